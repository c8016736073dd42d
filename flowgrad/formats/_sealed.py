"""Write a document and its tensors as one safetensors file that holds its own SHA-256, and read it.

The document is JSON in the file's `__metadata__`. Its last key is the SHA-256 of the whole file, computed with these
64 digits set to zero.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from flowgrad.errors import FileError
from flowgrad.formats._document import describe
from flowgrad.formats._strict import dump, parse
from flowgrad.formats._tensors import Tensors, pack, unpack
from flowgrad.network import Network

_ZEROS = "0" * 64
_SEAL = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"}"')


def described(network: Network) -> tuple[dict[str, Any], Tensors]:
    """Return the network's document, and its tensors: floats and integers.

    Raises:
        GraphError: as `_document.describe`.
    """
    integers: Tensors = {}

    def keep(name: str, column: Any) -> dict[str, str]:
        integers[name] = column.astype(np.int64 if column.dtype.itemsize == 8 else np.int32)
        return {"tensor": name}

    document, floats = describe(network, keep)
    return document, {**floats, **integers}


def seal(document: Mapping[str, Any], tensors: Tensors) -> bytes:
    """Return the bytes of the file.

    Raises:
        GraphError: the document does not fit into the header of such a file.
    """
    blank = pack(tensors, dump({**document, "sha256": _ZEROS}))
    return blank.replace(_field(_ZEROS), _field(sha256(blank).hexdigest()), 1)


def unseal(data: bytes, what: str) -> tuple[dict[str, Any], Tensors]:
    """Check the file's SHA-256, and return the document and the tensors.

    Raises:
        FileError: the file is truncated, altered or of another kind; `what` names it in the message.
    """
    digests = _SEAL.findall(data)
    if len(digests) == 1:
        (digest,) = digests
        blank = data.replace(_field(digest.decode()), _field(_ZEROS))
        if sha256(blank).hexdigest().encode() != digest:
            raise FileError(f"{what} is truncated or altered: its SHA-256 is not the one that stands in it")
    text, tensors = unpack(data, what)
    if text.startswith("flowgrad weights"):
        raise FileError(f"{what} holds weights alone: load the .json beside it")
    document = parse(text, f"the metadata of {what}")
    if len(digests) != 1 or not isinstance(document, dict) or "sha256" not in document:
        raise FileError(f"{what} is altered, or no network of flowgrad's: its SHA-256 does not stand in it")
    document.pop("sha256")
    return document, tensors


def _field(digest: str) -> bytes:
    r"""Return the digest as the file holds it: a JSON text within a JSON text, quoted by \"."""
    return f'\\"sha256\\":\\"{digest}\\"}}"'.encode()
