"""Write named arrays and one text as a safetensors file, and read them; imports `safetensors`, here alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, GraphError, MissingDependencyError, brief
from flowgrad.formats._strict import parse

Tensors = dict[str, npt.NDArray[Any]]

HEADER_LIMIT = 100_000_000  # bytes; the library's own bound
KEY = "flowgrad"  # the only key of __metadata__: the library writes several in an order that differs between runs
_DTYPES = {"F64", "I64", "I32", "I16"}


def _library(purpose: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] != "safetensors":
            raise
        raise MissingDependencyError("safetensors", "safetensors", purpose) from None
    return safetensors


def pack(tensors: Mapping[str, npt.NDArray[Any]], text: str) -> bytes:
    """Return the bytes of a safetensors file with these arrays, and the text in `__metadata__`.

    Raises:
        GraphError: the text does not fit into the header of such a file.
    """
    library = _library("saving weights")
    dense = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        return bytes(library.numpy.save(dense, metadata={KEY: text}))
    except library.SafetensorError as error:
        raise GraphError(
            f"{len(text):,} characters of names and attributes do not fit into one safetensors file ({error}): "
            "save as .json"
        ) from None


def unpack(data: bytes, what: str) -> tuple[str, Tensors]:
    """Return the text and the arrays of a safetensors file; `what` names it in messages.

    Raises:
        FileError: it is no safetensors file, or was not written by flowgrad.
    """
    library = _library("loading weights")
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(len(data) - 8, HEADER_LIMIT):
        raise FileError(f"{what} is no safetensors file, or a truncated one: its header has {length:,} bytes")
    header = parse(data[8 : 8 + length], f"the header of {what}")
    metadata = header.pop("__metadata__", None) if isinstance(header, dict) else None
    text = metadata.get(KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise FileError(f"{what} is no network: flowgrad did not write it")
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
            raise FileError(f"tensor {brief(name)} of {what} is none of {', '.join(sorted(_DTYPES))}")
    try:
        return text, library.numpy.load(data)
    except (library.SafetensorError, ValueError, MemoryError) as error:
        raise FileError(f"{what} is no safetensors file: {error}") from None
