"""`safetensors`: a network in one file, its numbers as tensors, all else as JSON in the file's `__metadata__`.

The JSON's last key is the SHA-256 of the whole file, taken with these 64 digits as zeros.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import FileError
from flowgrad.format import Format, Source
from flowgrad.formats._document import describe, restore
from flowgrad.formats._strict import dump, parse
from flowgrad.formats._tensors import Tensors, pack, unpack
from flowgrad.network import Network

_ZEROS = "0" * 64
_SEAL = re.compile(rb'\\"sha256\\":\\"([0-9a-f]{64})\\"}"')


def write(network: Network, path: Path) -> Mapping[str, bytes]:
    """One file."""
    integers: Tensors = {}

    def keep(name: str, column: Any) -> dict[str, str]:
        integers[name] = column.astype(np.int64 if column.dtype.itemsize == 8 else np.int32)
        return {"tensor": name}

    document, floats = describe(network, keep)
    blank = pack({**floats, **integers}, dump({**document, "sha256": _ZEROS}))
    return {path.name: blank.replace(_field(_ZEROS), _field(sha256(blank).hexdigest()), 1)}


def read(source: Source) -> Network:
    """The network, once the file is the one that was written, byte by byte."""
    data = source.read()
    digests = _SEAL.findall(data)
    if len(digests) == 1:
        (digest,) = digests
        blank = data.replace(_field(digest.decode()), _field(_ZEROS))
        if sha256(blank).hexdigest().encode() != digest:
            raise FileError(f"{source.path} is truncated or altered: its SHA-256 is not the one that stands in it")
    text, tensors = unpack(data, str(source.path))
    if text.startswith("flowgrad weights"):
        raise FileError(f"{source.path} holds weights alone: load the .json beside it")
    document = parse(text, f"the metadata of {source.path}")
    if len(digests) != 1 or not isinstance(document, dict) or "sha256" not in document:
        raise FileError(f"{source.path} is altered, or no network of flowgrad's: its SHA-256 does not stand in it")
    document.pop("sha256")
    return restore(document, tensors, source)


def _field(digest: str) -> bytes:
    r"""The digest as it stands in the file: a JSON text within a JSON text, quoted by \"."""
    return f'\\"sha256\\":\\"{digest}\\"}}"'.encode()


entry = Format(
    name="safetensors",
    suffixes=(".safetensors",),
    summary="a network in one file of safetensors",
    read=read,
    write=write,
    keeps="everything",
)
