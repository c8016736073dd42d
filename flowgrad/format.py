"""The contract of a file format: one `Format` record, with its reader and its writer, per module of `formats/`.

Readers and writers do not access the disk. A reader requests bytes from its `Source`, which bounds sizes and follows
no path given in a file; a writer returns bytes by file name, and `flowgrad.files` writes them atomically.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import numpy as np

from flowgrad.arguments import digits, whole
from flowgrad.errors import FileError, UnknownNameError, brief, show
from flowgrad.gzipped import inner, is_packed, opened
from flowgrad.registry import find, names, nearest, singular

if TYPE_CHECKING:
    from flowgrad.maths.activation import Activation
    from flowgrad.maths.aggregations import Aggregation
    from flowgrad.network import Network

LIMIT = 1 << 36  # bytes, 64 GiB: the largest file that is read
BLOCK = 1 << 25  # bytes, 32 MiB: size of the pieces in which large files are read

CLAIM = 1 << 30  # bytes, 1 GiB: memory that the contents of a file may require, whatever the size of the file
EXPANSION = 64  # further bytes of memory allowed per byte of the file

Progress = Callable[[float], None]
"""Callback with the fraction done, from 0 to 1, called after each piece that is read or written."""


@dataclass(frozen=True)
class Source:
    """Input of a reader: one file, the files in its folder, and the functions that names in it may refer to.

    `own` holds the user's activations and aggregations by name, as given to `flowgrad.load`; `progress` is called
    with the fraction of the file that has been read.
    """

    path: Path
    own: Mapping[str, Activation | Aggregation] = field(default_factory=dict)
    progress: Progress | None = None

    @property
    def suffix(self) -> str:
        """Return the last suffix in lower case, without `.gz`."""
        return inner(self.path).suffix.lower()

    def read(self) -> bytes:
        """Read the whole file, decompressed where its name ends in `.gz`.

        Raises:
            FileError: it is missing, no regular file, unreadable, larger than `LIMIT`, or damaged under gzip.
        """
        return read_bytes(self.path)

    def blocks(self, size: int | None = None) -> Iterator[bytes]:
        """Read the file in pieces, each but the last ended by a line feed, for readers of large files.

        The content is decompressed where the name ends in `.gz`.

        Args:
            size: approximate bytes per piece; None is `BLOCK`. A longer line makes a longer piece.

        Raises:
            FileError: as `read`.
        """
        rest = b""
        for piece in _pieces(self.path, size or BLOCK, self.progress):
            kept, line_feed, piece = piece.rpartition(b"\n")
            if line_feed:
                yield b"".join((rest, kept, line_feed))
                rest = piece
            else:
                rest += piece
        if rest:
            yield rest

    def beside(self, name: str) -> bytes:
        """Read another file of the same folder, by a bare name given in this file.

        Raises:
            FileError: as `read`; or the name is a path, which is never followed.
        """
        if not is_bare(name):
            raise FileError(f"{self.path} names the file {brief(name)}: only a bare name, in the same folder, is read")
        return read_bytes(self.path.parent / name)

    def function(self, kind: str, name: str) -> Any:
        """Find the Activation or Aggregation (`kind` "activations" or "aggregations") of that name; imports nothing.

        Raises:
            UnknownNameError: neither the registry nor `own` has it; the message gives the nearest names.
        """
        record_type = _record_type(kind)
        mine = {n: f for n, f in self.own.items() if isinstance(f, record_type)}
        if name in mine:
            return mine[name]
        if name in names(kind):
            return find(kind, name)
        raise UnknownNameError(
            f"{self.path} names the {singular(kind)} {show(name)}, which is unknown here"
            f"{nearest(kind, name, mine)} (your own ones go into load(..., activations=[...]))"
        )


@dataclass
class Claim:
    """Memory that the contents of a file require, such as a shape or a count of rows; counted before allocation.

    path       the file
    max_bytes  the limit in bytes, an option of the reader; None is `CLAIM` + `EXPANSION` times the file's size
    remedy     end of the error message, how to read such a file all the same; {} is a number of bytes
    """

    path: Path
    max_bytes: int | None = None
    remedy: str = "max_bytes={} allows more"
    asked: int = 0

    def __post_init__(self) -> None:
        if self.max_bytes is not None:
            whole("max_bytes", self.max_bytes, 1)

    def add(self, amount: int, place: str, said: str) -> None:
        """Add `amount` bytes; an error message begins with `place`, and `said` names the content that needs them.

        Raises:
            FileError: the sum exceeds the limit.
        """
        self.asked += amount
        size = _size(self.path)
        limit = CLAIM + EXPANSION * size if self.max_bytes is None else self.max_bytes
        if self.asked > limit:
            raise FileError(
                f"{place}: {said} take about {_gigabytes(self.asked)} of memory, and a file of {size:,} bytes may ask "
                f"for {_gigabytes(limit)}: {self.remedy.format(digits(2 * self.asked))}"
            )


def _gigabytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n < 10**15 else f"{digits(n // 10**9)} GB"


@dataclass(frozen=True)
class Parts:
    """Content of a file in pieces, for writers of large files: piece k of `count` is `part(k)`, made when needed."""

    count: int
    part: Callable[[int], bytes]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.part, range(self.count))


def _record_type(kind: str) -> type:
    from flowgrad.maths.activation import Activation
    from flowgrad.maths.aggregations import Aggregation

    return {"activations": Activation, "aggregations": Aggregation}[kind]


KEEPS = {
    "everything": "every bit: ids of any type, attributes, shared and frozen weights, the parts of a union",
    "network": "nodes, edges, functions, numbers and order; ids of text or integers; attributes of all of them",
    "functions": "nodes, edges, functions and numbers, under the numbers that the format gives nodes",
    "weights": "nodes with edges, and weights; no functions, no biases",
    "edges": "nodes with edges, and nothing else",
    "outputs": "a network that computes the same outputs, perhaps of other nodes",
}


@dataclass(frozen=True)
class Format:
    """A file format.

    name      public name: the module's name in `flowgrad/formats/`, or the entry point's
    suffixes  ('.json', …), lower case: paths with these suffixes select the format
    summary   one line, for lists and help texts
    read      source → network; None where the format cannot be read. Its keyword-only arguments are the options
              that `flowgrad.load` passes on
    write     (network, path) → {bare file name: bytes or `Parts`}, all for the path's folder; the path's own name
              comes last, so that it refers only to files that exist already; None where the format cannot be
              written. Its keyword-only arguments are the options that `flowgrad.save` passes on
    keeps     the part of a network that survives writing and reading, a key of `KEEPS`; None where the format is
              not both written and read
    example   a small file of the format, as bytes, from which tests of readers start; required where the format is
              read and not written
    packs     whether files may be gzipped, with `.gz` after their suffix; False for formats that are compressed
              already or consist of several files
    companions  content of a file → bare names of the files that belong to it, () where it is not of the format;
              when a file is overwritten, those of its companions that the new one does not use are removed
    read_model, write_model  as `read` and `write`, for a network with the data of `flowgrad.model.about_of`
    """

    name: str
    suffixes: tuple[str, ...]
    summary: str
    read: Callable[..., Network] | None = None
    write: Callable[..., Mapping[str, bytes | Parts]] | None = None
    keeps: str | None = None
    example: bytes | None = None
    packs: bool = True
    companions: Callable[[bytes], tuple[str, ...]] | None = None
    read_model: Callable[[Source], tuple[Network, dict[str, Any] | None]] | None = None
    write_model: Callable[[Network, Mapping[str, Any], Path], Mapping[str, bytes | Parts]] | None = None


def is_bare(name: str) -> bool:
    """Tell whether a name is a bare file name on every system: no separator, drive, `..` or NUL.

    >>> is_bare("net.safetensors"), is_bare("../net"), is_bare("C:net"), is_bare("..")
    (True, False, False, False)
    """
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0")


def read_bytes(path: Path) -> bytes:
    """Read a whole regular file, decompressed where its name ends in `.gz`.

    Raises:
        FileError: it is missing, no regular file, larger than `LIMIT` or unreadable; its gzip data are damaged, or
            decompress to more bytes than `Claim` allows.
    """
    _size(path)
    try:
        return b"".join(_pieces(path)) if is_packed(path) else path.read_bytes()
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise FileError(f"{path} cannot be read: out of memory") from None


def _pieces(path: Path, size: int = BLOCK, progress: Progress | None = None) -> Iterator[bytes]:
    """Yield a file's content, `size` bytes at a time; decompressed bytes are counted against a `Claim`."""
    total = max(_size(path), 1)
    claim = Claim(path, remedy="unpack it first") if is_packed(path) else None
    with opened(path) as (content, file):
        while piece := content.read(size):
            if claim is not None:
                claim.add(len(piece), str(path), "the unpacked bytes")
            if progress is not None:
                progress(min(file.tell() / total, 1.0))
            yield piece


def _size(path: Path) -> int:
    """Return the size of a regular file in bytes; FileError if it is missing, irregular or larger than `LIMIT`."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise FileError(f"no file {path}") from None
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the path
        raise FileError(f"{brief(str(path))} cannot be read: {error}") from None
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f"{path} is a folder: give a file")
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{path} is no regular file")
    if status.st_size > LIMIT:
        raise FileError(f"{path} has {status.st_size:,} bytes: at most {LIMIT:,} are read")
    return status.st_size


# ---- options ------------------------------------------------------------------------------------------------

NUMBERS: Mapping[Any, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
}


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """List the keyword-only arguments of a format's `read` or `write`: name → type hint, Any where it is unknown."""
    return dict(_hints(function))


@cache
def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Compute `options_of`, cached: evaluating the hints takes longer than reading a small file."""
    try:
        parameters = signature(function, eval_str=True).parameters
    except NameError:  # a hint of names that are imported for type checkers alone
        parameters = signature(function).parameters
    hints = {p.name: p.annotation for p in parameters.values() if p.kind is Parameter.KEYWORD_ONLY}
    return {name: Any if hint is Parameter.empty or isinstance(hint, str) else hint for name, hint in hints.items()}


def is_of(value: object, hint: Any) -> bool:
    """Tell whether a value matches a type hint, items of mappings and collections included; str is no collection.

    >>> is_of({"type": "chemical"}, Mapping[str, str]), is_of("ab", Iterable[str]), is_of(True, int | None)
    (True, False, False)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(is_of(value, one) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if hint in NUMBERS:
        return isinstance(value, NUMBERS[hint]) and (hint is bool or not isinstance(value, (bool, np.bool_)))
    if not isinstance(value, NoneType if hint is None else origin or hint):
        return False
    if isinstance(value, Mapping) and issubclass(origin or object, Mapping):
        return all(is_of(k, inner[0]) and is_of(v, inner[1]) for k, v in value.items())
    if origin is None or not issubclass(origin, Iterable):
        return True
    return not isinstance(value, (str, bytes)) and (
        not isinstance(value, Collection) or all(is_of(one, inner[0]) for one in value)
    )


WORDS: Mapping[Any, str] = {Hashable: "ids of nodes"}


def described(hint: Any) -> list[str]:
    """Describe the types that a hint allows, in words.

    >>> described(Mapping[str, int] | Iterable[str] | Literal[False] | float | None)
    ['a dict of str to int', 'a list of str', 'False', 'float', 'None']
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return [word for one in inner for word in described(one)]
    if origin is Literal:
        return list(map(repr, inner))
    if origin is not None and issubclass(origin, Iterable):
        words = [" or ".join(described(one)) for one in inner]
        return [f"a dict of {words[0]} to {words[1]}" if issubclass(origin, Mapping) else f"a list of {words[0]}"]
    return [WORDS.get(hint, getattr(origin or hint, "__name__", str(hint)).removesuffix("Type"))]
