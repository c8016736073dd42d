"""Reading and writing of gzip files (RFC 1952, suffix `.gz`); compression is reproducible byte for byte."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from flowgrad.errors import FileError

SUFFIX = ".gz"
MAGIC = b"\x1f\x8b"  # the first two bytes of every gzip file
LEVEL = 6  # compression level, the default of the gzip command; 9 takes twice as long and saves one per cent


def is_packed(path: Path) -> bool:
    """Tell whether a file name ends in `.gz`, in any case.

    >>> is_packed(Path("net.csv.gz")), is_packed(Path("net.gz.csv"))
    (True, False)
    """
    return path.suffix.lower() == SUFFIX


def inner(path: Path) -> Path:
    """Remove the suffix `.gz` from a path: the name of the decompressed file.

    >>> inner(Path("net.csv.GZ")).name, inner(Path("net.csv")).name
    ('net.csv', 'net.csv')
    """
    return path.with_suffix("") if is_packed(path) else path


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file: yields its content, decompressed where the name ends in `.gz`, and the file, for its position.

    Raises:
        FileError: it cannot be read; or it is not gzip, truncated or damaged, which is detected while reading.
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
    """Compress bytes to one gzip member without name and time; concatenated members form one file."""
    return gzip.compress(data, LEVEL, mtime=0)
