"""Read numbers that a model keeps in a file beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, show
from flowgrad.format import is_bare

BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""TensorProto's data types → bytes of one number."""


def inlined(place: str, proto: Any, folder: Path) -> Any:
    """Return the TensorProto with its external data inlined, as many bytes as its shape and type require.

    Raises:
        FileError: a name that leads out of the folder, a link, a file that is missing or too short.
    """
    said = {entry.key: entry.value for entry in proto.external_data}
    name, start, wanted = said.get("location", ""), _count(place, said, "offset"), _count(place, said, "length")
    name = name.removeprefix("./")
    if not is_bare(name):
        raise FileError(f"{place}: its data are in {show(name)}: only a file in the same folder is opened")
    if any(n < 0 for n in proto.dims) or proto.data_type not in BYTES:
        raise FileError(f"{place}: no shape, or no type of numbers: {list(proto.dims)}, {proto.data_type}")
    size = BYTES[proto.data_type]
    for n in proto.dims:
        size *= n
    if wanted not in (None, size):
        raise FileError(f"{place}: its data have {wanted:,} bytes: shape and type ask for {size:,}")
    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.ClearField("external_data")
    copy.ClearField("data_location")
    copy.raw_data = _bytes(place, folder / name, start or 0, size)
    return copy


def _count(place: str, said: dict[str, str], key: str) -> int | None:
    text = said.get(key)
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FileError(f"{place}: {key} of its data is {show(text)}: must be a number of bytes")
    return None if text is None else int(text)


def _bytes(place: str, path: Path, start: int, size: int) -> bytes:
    """Read `size` bytes from `start` on, of a regular file that is no link."""
    try:
        found = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise FileError(f"{place}: {show(path.name)}, which has its data, is a link or no regular file")
        if start + size > found.st_size:
            ends = f"bytes {start:,} to {start + size:,}"
            raise FileError(f"{place}: {show(path.name)} has {found.st_size:,} bytes: its data are {ends}")
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read(size)
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{place}: no file {show(path.name)} beside the model, which has its data") from None
    except (OSError, ValueError) as error:
        raise FileError(f"{place}: {show(path.name)} cannot be read: {error}") from None
    if len(data) != size:
        raise FileError(f"{place}: {show(path.name)} ended early")
    return data
