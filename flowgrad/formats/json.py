"""Read and write `json`: topology, functions and labels as JSON, the floats in a file of safetensors beside it.

`net.json` names `net.<16 hex digits>.safetensors`, where the digits are the start of that file's SHA-256, and ends
in the SHA-256 of all its own bytes before that line. New weights never overwrite old ones, and the JSON is
replaced last, so that it always names weights that exist (docs/decisions/0009-weight-files.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, brief
from flowgrad.format import Format, Source, is_bare
from flowgrad.formats._document import WEIGHTS_OF, describe, noted, restore
from flowgrad.formats._strict import dump, parse
from flowgrad.formats._tensors import pack, unpack
from flowgrad.network import Network

WEIGHTS = "flowgrad weights 1"  # the text in the weight file's metadata
_SEAL = re.compile(rb'"sha256": "([0-9a-f]{64})"\n}\n')
_SEAL_LENGTH = len(b'"sha256": ""\n}\n') + 64
_ADDRESSED = re.compile(r"\.[0-9a-f]{16}\.safetensors\Z")
_NAMED = re.compile(rb'\n"weights": (\{[^\n]*\}),\n"sha256": "[0-9a-f]{64}"\n}\n\Z')


def write(network: Network, path: Path, *, weights_of: str | None = None) -> Mapping[str, bytes]:
    """Return the weight file and the JSON that names it, in this order, as {file name: content}.

    Args:
        network: the network.
        path: path of the JSON; the weight file is named after it.
        weights_of: text to store: `History.weights_of` of the training that produced the weights. Default: none.

    Raises:
        GraphError: a file cannot hold an id, a value or a function of the network.
    """
    document, tensors = describe(network, lambda _, column: column.tolist())
    document |= {} if weights_of is None else {WEIGHTS_OF: weights_of}
    weights = pack(tensors, WEIGHTS)
    digest = sha256(weights).hexdigest()
    name = f"{path.name.removesuffix(path.suffix)}.{digest[:16]}.safetensors"
    document["weights"] = {"file": name, "bytes": len(weights), "sha256": digest}
    lines = "".join(f"{dump(key)}: {dump(value)},\n" for key, value in document.items())
    body = f"{{\n{lines}".encode()
    return {name: weights, path.name: body + f'"sha256": "{sha256(body).hexdigest()}"\n}}\n'.encode()}


def read(source: Source) -> Network:
    """Read a network from a JSON and the weight file that it names.

    Raises:
        FileError: a file is missing, truncated or altered (size and SHA-256 are checked), or not of the format.
        UnknownNameError: a function's name is unknown. GraphError: the network is not valid.
    """
    data = source.read()
    document = _open(data, source.path)
    try:
        weights = _weights(document.pop("weights", None), source)
    except FileError:
        if source.read() == data:
            raise
        return read(source)  # replaced by another process between the two readings
    document.pop(WEIGHTS_OF, None)
    return restore(document, weights, source)


def weights_of(source: Source) -> str | None:
    """Return the text `weights_of` that `write` stored in the JSON; None if there is none.

    Raises:
        FileError: the file is missing, truncated, altered or not of the format.
    """
    return noted(_open(source.read(), source.path))


def companions(data: bytes) -> tuple[str, ...]:
    """Return the name of the weight file that is named in the bytes of a JSON, as a tuple; () if there is none."""
    found = _NAMED.search(data[-2000:])
    name = parse(found[1], "the line of weights").get("file") if found else None
    return (name,) if isinstance(name, str) and _ADDRESSED.search(name) else ()


def _open(data: bytes, path: Path) -> dict[str, Any]:
    """Check the SHA-256 at the end of the data, and return the document."""
    body, seal = data[:-_SEAL_LENGTH], _SEAL.fullmatch(data[-_SEAL_LENGTH:])
    if seal is None:
        raise FileError(
            f"{path} does not end in its SHA-256: it is truncated, altered, or no network of flowgrad's "
            "(what another program wrote is read by its format, as node-link or neat)"
        )
    if sha256(body).hexdigest().encode() != seal[1]:
        raise FileError(f"{path} is altered: its SHA-256 is not the one that it ends in")
    document: dict[str, Any] = parse(data, str(path))  # an object, since it ends in a brace
    document.pop("sha256")
    return document


def _weights(entry: Any, source: Source) -> Any:
    """Read the tensors of the file that the entry names; its size and SHA-256 are checked."""
    keys = {"file": str, "bytes": int, "sha256": str}
    if not isinstance(entry, dict) or {k: type(v) for k, v in entry.items()} != keys:
        raise FileError(f"{source.path} does not name its weights by file, bytes and sha256")
    name, wanted = entry["file"], entry["sha256"]
    if not is_bare(name):
        raise FileError(f"{source.path} names the weights {brief(name)}: a file name is wanted, no path is followed")
    data = source.beside(name)
    what = str(source.path.with_name(name))
    if len(data) != entry["bytes"]:
        raise FileError(
            f"{what} has {len(data):,} bytes, {source.path.name} says {entry['bytes']:,}: "
            "truncated, altered, or the weights of another network"
        )
    if sha256(data).hexdigest() != wanted:
        raise FileError(
            f"{what} is altered, or holds the weights of another network: its SHA-256 is not the one "
            f"in {source.path.name}"
        )
    text, tensors = unpack(data, what)
    if text != WEIGHTS:
        raise FileError(f"{what} holds no weights of flowgrad's")
    return tensors


entry = Format(
    name="json",
    suffixes=(".json",),
    summary="a network as JSON, its weights in a file of safetensors beside it",
    packs=False,
    read=read,
    write=write,
    keeps="everything",
    companions=companions,
)
