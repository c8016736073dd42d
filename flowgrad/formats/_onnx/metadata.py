"""The ids of inputs and outputs, in the metadata of a model: `flowgrad` → JSON with `inputs` and `outputs`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from flowgrad.errors import FileError, FlowgradError, GraphError
from flowgrad.formats._strict import dump, parse
from flowgrad.formats._values import decode, encode
from flowgrad.network import Network

KEY = "flowgrad"
KINDS = ("inputs", "outputs")


def text(net: Network) -> str:
    """What stands under the key.

    Raises:
        GraphError: an id of another type than a file keeps.
    """
    ids: dict[str, list[Any]] = {}
    for kind in KINDS:
        ids[kind] = []
        for name in getattr(net, kind):
            try:
                ids[kind].append(encode(name))
            except TypeError as error:
                raise GraphError(f"{kind[:-1]} {name!r}: ONNX cannot keep this id: {error}") from None
    return dump(ids)


def names(model: Any, what: str) -> tuple[list[Hashable] | None, list[Hashable] | None]:
    """Ids of the inputs and of the outputs; None where the file was not written by flowgrad.

    Raises:
        FileError: what stands there is no such JSON, or names one twice.
    """
    found = [entry.value for entry in model.metadata_props if entry.key == KEY]
    if not found:
        return None, None
    place = f"{what}: its metadata {KEY!r}"
    document = parse(found[0].encode("utf-8", "surrogatepass"), place)
    if len(found) > 1 or not isinstance(document, dict) or set(document) != set(KINDS):
        raise FileError(f"{place}: must be one object with {' and '.join(KINDS)}")
    ids: list[list[Hashable]] = []
    for kind in KINDS:
        if not isinstance(document[kind], list):
            raise FileError(f"{place}: {kind} must be a list")
        try:
            ids.append([decode(value) for value in document[kind]])
            twice = len(set(ids[-1])) < len(ids[-1])
        except FlowgradError:
            raise
        except (TypeError, ValueError, LookupError) as error:
            raise FileError(f"{place}: {kind} holds what is no id: {error}") from None
        if twice:
            raise FileError(f"{place}: {kind} name one id twice")
    return ids[0], ids[1]
