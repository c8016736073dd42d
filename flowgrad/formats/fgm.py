"""`fgm`: a model in one file of safetensors: a network, and what its data needs (columns, scaling, classes, loss).

The document is `{"format": "flowgrad model", "version": 1, "model": …, "network": …}`: the network as in a file of
`safetensors`, the model as `flowgrad.model.about_of` gives it, or null where a network alone was written.
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
    """Return the file of a network without `about`."""
    return write_model(network, None, path)


def write_model(network: Network, about: Mapping[str, Any] | None, path: Path) -> Mapping[str, bytes]:
    """Return the file of a network that takes scaled columns, and `about`: columns, scaling, classes, loss."""
    document, tensors = described(network)
    whole = {"format": FORMAT, "version": VERSION, "model": about, "network": document}
    return {path.name: seal(whole, tensors)}


def read(source: Source) -> Network:
    """Read the network that takes raw columns: the scaling is folded into its weights."""
    network, about = read_model(source)
    return network if about is None else folded(network, *scalings(about, str(source.path)))


def read_model(source: Source) -> tuple[Network, dict[str, Any] | None]:
    """Read the network that takes scaled columns, and `about`, or None; the file's SHA-256 is checked."""
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
    """Return the scalings of the inputs and of the targets; None where there is none.

    Raises:
        FileError: they are damaged; `what` names the file in the message.
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
