"""`safetensors`: a network in one file, its numbers as tensors, all else as JSON in the file's `__metadata__`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowgrad.format import Format, Source
from flowgrad.formats._document import restore
from flowgrad.formats._sealed import described, seal, unseal
from flowgrad.network import Network


def write(network: Network, path: Path) -> Mapping[str, bytes]:
    """One file."""
    return {path.name: seal(*described(network))}


def read(source: Source) -> Network:
    """The network, once the file is the one that was written, byte by byte."""
    return restore(*unseal(source.read(), str(source.path)), source)


entry = Format(
    name="safetensors",
    suffixes=(".safetensors",),
    summary="a network in one file of safetensors",
    read=read,
    write=write,
    keeps="everything",
)
