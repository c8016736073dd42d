"""Files under gzip (RFC 1952), by the suffix `.gz`: opened unpacked, and packed, the same bytes each time."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from flowgrad.errors import FileError

SUFFIX = ".gz"
MAGIC = b"\x1f\x8b"  # the first bytes of every such file
LEVEL = 6  # of compression: gzip's own default; 9 takes twice as long for one per cent


def is_packed(path: Path) -> bool:
    """Whether the name ends in `.gz`, in any case.

    >>> is_packed(Path("net.csv.gz")), is_packed(Path("net.gz.csv"))
    (True, False)
    """
    return path.suffix.lower() == SUFFIX


def inner(path: Path) -> Path:
    """The path without `.gz`: what the file is called once it is unpacked.

    >>> inner(Path("net.csv.GZ")).name, inner(Path("net.csv")).name
    ('net.csv', 'net.csv')
    """
    return path.with_suffix("") if is_packed(path) else path


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The file's content, unpacked where its name ends in `.gz`; and the file, whose place tells how far it is read.

    Raises:
        FileError: it cannot be read; or it is no gzip, is cut off or damaged, which is noticed while it is read.
    """
    try:
        with open(path, "rb") as file:
            content: Any = gzip.GzipFile(fileobj=file) if is_packed(path) else file
            yield content, file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        said = "it is cut off" if isinstance(error, EOFError) else str(error).lower()
        raise FileError(f"{path} is no whole gzip file: {said}") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None


def packed(data: bytes) -> bytes:
    """The bytes as one gzip member without a name and a time. Members behind each other are one file."""
    return gzip.compress(data, LEVEL, mtime=0)
