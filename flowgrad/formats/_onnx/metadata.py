"""Read and write ids of neurons in the metadata of a model: `flowgrad` → JSON with `inputs`, `outputs` and `tensors`.

`tensors` maps every tensor that holds neurons of the network to the list of its columns' ids.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgrad.errors import FileError, GraphError, brief
from flowgrad.formats._strict import dump, parse
from flowgrad.formats._values import decode, encode

KEY = "flowgrad"


@dataclass(frozen=True)
class Ids:
    """Hold the ids of a file; each is an input or in exactly one tensor."""

    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]
    tensors: Mapping[str, Sequence[Hashable]]


def text(ids: Ids) -> str:
    """Serialize the ids to the text under `KEY`.

    Raises:
        GraphError: an id of a type that a file does not keep.
    """
    tensors = {name: [_encoded(v) for v in some] for name, some in ids.tensors.items()}
    ends = [[_encoded(v) for v in some] for some in (ids.inputs, ids.outputs)]
    return dump({"inputs": ends[0], "outputs": ends[1], "tensors": tensors})


def _encoded(name: Hashable) -> Any:
    try:
        return encode(name)
    except TypeError as error:
        raise GraphError(f"node {brief(name)}: ONNX cannot keep this id: {error}") from None


def ids(model: Any, what: str) -> Ids | None:
    """Read the ids of a file; None where it was not written by flowgrad.

    Raises:
        FileError: the metadata are no such JSON, or name an id twice.
    """
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not found:
        return None
    place = f"{what}: its metadata {KEY!r}"
    document = parse(found[0].encode("utf-8", "surrogatepass"), place)
    kinds = {"inputs": list, "outputs": list, "tensors": dict}
    said = {k: type(v) for k, v in document.items()} if isinstance(document, dict) else None
    if len(found) > 1 or said != kinds or not all(isinstance(v, list) for v in document["tensors"].values()):
        raise FileError(f"{place}: must be one object with lists inputs and outputs, and lists in tensors")
    try:
        inputs, outputs = ([decode(v) for v in document[kind]] for kind in ("inputs", "outputs"))
        tensors = {name: [decode(v) for v in some] for name, some in document["tensors"].items()}
        every = [*inputs, *(v for some in tensors.values() for v in some)]
        twice = len(set(every)) < len(every) or len(set(outputs)) < len(outputs) or not set(outputs) <= set(every)
    except (TypeError, ValueError, LookupError) as error:
        raise FileError(f"{place}: holds what is no id: {error}") from None
    if twice:
        raise FileError(f"{place}: names an id twice, or an output that is no node")
    return Ids(inputs, outputs, tensors)
