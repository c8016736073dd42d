"""Read and write `fgm`: a model (network, columns, scaling, classes and loss) in one file of safetensors.

The document is `{"format": "flowgrad model", "version": 1, "model": …, "network": …}`: the network as in a file of
`safetensors`, the model as returned by `flowgrad.model.about_of`, or null if only a network was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, FlowgradError
from flowgrad.format import Format, Source
from flowgrad.formats._document import restore
from flowgrad.formats._sealed import described, seal, unseal
from flowgrad.network import Network
from flowgrad.scaling import Scaling, folded

FORMAT, VERSION = "flowgrad model", 1
KEYS = {"format", "version", "model", "network"}


def write(network: Network, path: Path) -> Mapping[str, bytes]:
    """Return the file of a network without the data of a model, as {file name: content}."""
    return write_model(network, None, path)


def write_model(network: Network, about: Mapping[str, Any] | None, path: Path) -> Mapping[str, bytes]:
    """Return the file of a model, as {file name: content}.

    Args:
        network: the network, which takes scaled columns.
        about: columns, scaling, classes and loss, as returned by `flowgrad.model.about_of`; None for a network alone.
        path: path of the file, which gives its name.

    Raises:
        GraphError: a file cannot hold an id, a value or a function of the network.
    """
    document, tensors = described(network)
    whole = {"format": FORMAT, "version": VERSION, "model": about, "network": document}
    return {path.name: seal(whole, tensors)}


def read(source: Source) -> Network:
    """Read a model as a network that takes raw columns: the scaling is folded into its weights.

    Raises:
        FileError: as `read_model`, or the scaling is damaged. GraphError: a folded weight overflows.
    """
    network, about = read_model(source)
    return network if about is None else folded(network, *scalings(about, str(source.path)))


def read_model(source: Source) -> tuple[Network, dict[str, Any] | None]:
    """Read a model: the network, which takes scaled columns, and `about`, None if the file holds a network alone.

    Raises:
        FileError: the file is truncated, altered (its SHA-256 is checked), or of another format or version.
        UnknownNameError: a function's name is unknown.
    """
    document, tensors = unseal(source.read(), str(source.path))
    if document.get("format") != FORMAT or document.get("version") != VERSION or set(document) != KEYS:
        raise FileError(
            f"{source.path} holds no model of version {VERSION}, which this flowgrad reads: a newer one wrote it, or "
            "it is a file of another format"
        )
    about = document["model"]
    if about is not None and not isinstance(about, dict):
        raise FileError(f"{source.path}: the key 'model' holds no object")
    return restore(document["network"], tensors, source), about


def scalings(about: Mapping[str, Any], what: str) -> tuple[Scaling | None, Scaling | None]:
    """Return the scalings of the inputs and of the targets; None for one that is not given.

    Args:
        about: the data of a model, as returned by `read_model`.
        what: name of the file, for messages.

    Raises:
        FileError: a scaling is damaged.
    """

    def one(key: str) -> Scaling | None:
        given = about.get(key)
        if given is None:
            return None
        try:
            return Scaling(given["mean"], given["scale"])
        except (FlowgradError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise FileError(f"{what}, {key}: {type(error).__name__}: {str(error)[:200]}") from None

    return one("scaling" if "scaling" in about else "standardised"), one("standardised_targets")


entry = Format(
    name="fgm",
    suffixes=(".fgm",),
    summary="a model in one file: a network, its columns, scaling, classes and loss",
    packs=False,
    read=read,
    write=write,
    keeps="everything",
    read_model=read_model,
    write_model=write_model,
)
