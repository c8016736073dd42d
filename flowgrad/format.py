"""The contract of a file format: one record a format, its reader and its writer together in one file of `formats/`.

Neither of them touches the disk. A reader asks its `Source` for bytes, which bounds sizes and follows no path
that stands in a file; a writer returns bytes by file name, and `flowgrad.files` puts them in place whole or not
at all.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowgrad.errors import FileError, UnknownNameError, show, suggest
from flowgrad.registry import find, names, singular

if TYPE_CHECKING:
    from flowgrad.maths.activations import Activation
    from flowgrad.maths.aggregations import Aggregation
    from flowgrad.network import Network

LIMIT = 1 << 36  # bytes that one file may have: 64 GiB


@dataclass(frozen=True)
class Source:
    """What a reader reads: one file, the files beside it, and the functions that names in it may stand for.

    `own` are the user's activations (and aggregations) by name, as `flowgrad.load` was given them.
    """

    path: Path
    own: Mapping[str, Activation | Aggregation] = field(default_factory=dict)

    def read(self) -> bytes:
        """The file, whole.

        Raises:
            FileError: it is missing, no regular file, unreadable or larger than `LIMIT`.
        """
        return read_bytes(self.path)

    def beside(self, name: str) -> bytes:
        """Another file of the same folder, by a bare name that stands in this one.

        Raises:
            FileError: as `read`; or the name is a path, which is never followed.
        """
        if not is_bare(name):
            raise FileError(f"{self.path} names the file {name!r}: only a bare name, in the same folder, is read")
        return read_bytes(self.path.parent / name)

    def function(self, kind: str, name: str) -> Any:
        """The Activation or Aggregation (`kind` "activations" or "aggregations") of that name. Imports nothing.

        Raises:
            UnknownNameError: neither the registry nor `own` has it; the message names the nearest.
        """
        record_type = _record_type(kind)
        mine = {n: f for n, f in self.own.items() if isinstance(f, record_type)}
        if name in mine:
            return mine[name]
        if name in names(kind):
            return find(kind, name)
        raise UnknownNameError(
            f"{self.path} names the {singular(kind)} {show(name)}, which is unknown here"
            f"{suggest(name, (*mine, *names(kind)))} (your own ones go into load(..., activations=[...]))"
        )


def _record_type(kind: str) -> type:
    from flowgrad.maths.activations import Activation
    from flowgrad.maths.aggregations import Aggregation

    return {"activations": Activation, "aggregations": Aggregation}[kind]


@dataclass(frozen=True)
class Format:
    """One file format.

    name      what the user types; the module's name in `flowgrad/formats/`, or the entry point's
    suffixes  ('.json', …), lower case: which paths mean this format
    summary   one line, for lists and help texts
    read      source → network; None where the format cannot be read. Its keyword-only arguments are the options
              that `flowgrad.load` passes on
    write     (network, path) → bytes by bare file name, all for the path's folder; the path's own name comes
              last, so that it refers only to files that are in place; None where the format cannot be written.
              Its keyword-only arguments are the options that `flowgrad.save` passes on
    companions  the bytes of such a file → bare names of the files that belong to it, () where it is not of the
              format; those of a file that is overwritten, and that the new one does not use, are removed
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    read: Callable[..., Network] | None = None
    write: Callable[..., Mapping[str, bytes]] | None = None
    companions: Callable[[bytes], tuple[str, ...]] | None = None


def is_bare(name: str) -> bool:
    """Whether a name is that of a file in the same folder, on every system: no separator, drive, `..` or NUL.

    >>> is_bare("net.safetensors"), is_bare("../net"), is_bare("C:net"), is_bare("..")
    (True, False, False, False)
    """
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0")


def read_bytes(path: Path) -> bytes:
    """A regular file, whole; FileError where there is none of at most `LIMIT` bytes, or it cannot be read."""
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size <= LIMIT:
            return path.read_bytes()
    except FileNotFoundError:
        raise FileError(f"no file {path}") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, MemoryError) as error:  # a NUL in the path; more bytes than memory
        raise FileError(f"{str(path)!r} cannot be read: {error or 'out of memory'}") from None
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f"{path} is a folder: give a file")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{path} is no regular file")
    raise FileError(f"{path} has {status.st_size:,} bytes: at most {LIMIT:,} are read")
