"""Read and write `safetensors`: a network in one file, numbers as tensors, all else as JSON in the `__metadata__`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowgrad.format import Format, Source
from flowgrad.formats._document import WEIGHTS_OF, noted, restore
from flowgrad.formats._sealed import described, seal, unseal
from flowgrad.network import Network


def write(network: Network, path: Path, *, weights_of: str | None = None) -> Mapping[str, bytes]:
    """Return the file of a network, as {file name: content}.

    Args:
        network: the network.
        path: path of the file, which gives its name.
        weights_of: text to store: `History.weights_of` of the training that produced the weights. Default: none.

    Raises:
        GraphError: a file cannot hold an id, a value or a function of the network.
    """
    document, tensors = described(network)
    return {path.name: seal(document if weights_of is None else {**document, WEIGHTS_OF: weights_of}, tensors)}


def read(source: Source) -> Network:
    """Read a network.

    Raises:
        FileError: the file is missing, truncated or altered (its SHA-256 is checked), or not of the format.
        UnknownNameError: a function's name is unknown. GraphError: the network is not valid.
    """
    document, tensors = unseal(source.read(), str(source.path))
    document.pop(WEIGHTS_OF, None)
    return restore(document, tensors, source)


def weights_of(source: Source) -> str | None:
    """Return the text `weights_of` that `write` stored in the file; None if there is none.

    Raises:
        FileError: the file is missing, truncated, altered or not of the format.
    """
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
