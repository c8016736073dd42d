"""`safetensors`: a network in one file, its numbers as tensors, all else as JSON in the file's `__metadata__`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowgrad.format import Format, Source
from flowgrad.formats._document import WEIGHTS_OF, noted, restore
from flowgrad.formats._sealed import described, seal, unseal
from flowgrad.network import Network


def write(network: Network, path: Path, *, weights_of: str | None = None) -> Mapping[str, bytes]:
    """Return one file; `weights_of` is `History.weights_of`, as text."""
    document, tensors = described(network)
    return {path.name: seal(document if weights_of is None else {**document, WEIGHTS_OF: weights_of}, tensors)}


def read(source: Source) -> Network:
    """Read the network; the file's SHA-256 is checked."""
    document, tensors = unseal(source.read(), str(source.path))
    document.pop(WEIGHTS_OF, None)
    return restore(document, tensors, source)


def weights_of(source: Source) -> str | None:
    """Return the text `weights_of` of the file, or None."""
    return noted(unseal(source.read(), str(source.path))[0])


entry = Format(
    name="safetensors",
    suffixes=(".safetensors",),
    summary="a network in one file of safetensors",
    packs=False,
    read=read,
    write=write,
    keeps="everything",
)
