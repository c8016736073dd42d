"""Decode delimited text to rows and numbers, without comments: shared by the readers of text formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from flowgrad.errors import FileError, GraphError, brief
from flowgrad.gzipped import MAGIC

COMMENT = "#"  # prefix of comments, in the files of any tool
UNQUOTED = "\t "  # delimiters between which a quotation mark is an ordinary character
Place = Callable[[int], str]
"""Function of an edge's row that says where in the file it is, for messages: "net.csv, line 7"."""


def text(data: bytes, what: str, line: int = 0, *, bom: bool = True) -> str:
    """Decode UTF-8 text, without its byte-order mark if `bom`; `line` lines of the file precede it.

    Raises:
        FileError: it is not UTF-8, or holds a NUL; the message names the line.
    """
    try:
        found = data.decode("utf-8-sig" if bom else "utf-8")
    except UnicodeDecodeError as error:
        if line == 0 and data.startswith(MAGIC):
            raise FileError(f"{what} is under gzip: call it by a name that ends in .gz") from None
        line += data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{what}, line {line}: no UTF-8 text") from None
    if "\0" in found:
        line += found.count("\n", 0, found.index("\0")) + 1
        raise FileError(f"{what}, line {line}: a NUL is no text")
    return found


class Lines:
    """Iterate over the lines of a file with those that begin with `mark` blanked, which keeps the line numbers.

    A line inside a quoted field is no comment. `comments` holds the blanked lines so far, by line number.
    """

    def __init__(self, lines: Iterable[str], mark: str, quoting: int, line: int = 0) -> None:
        self.lines, self.mark, self.quotes = lines, mark, quoting != csv.QUOTE_NONE
        self.line, self.comments = line, dict[int, str]()

    def __iter__(self) -> Iterator[str]:
        within = False
        for number, line in enumerate(self.lines, self.line + 1):
            if self.mark and not within and line.startswith(self.mark):
                self.comments[number] = line
                yield "\n"
                continue
            if self.quotes and line.count('"') % 2:
                within = not within
            yield line


def refuse_row(comment: str, place: str, delimiter: str, width: int) -> None:
    """Refuse a comment that looks like a row, since it may be either of the two.

    Raises:
        FileError: it has as many fields as rows have, and more than one.
    """
    if width > 1 and comment.count(delimiter) + 1 == width:
        raise FileError(
            f"{place}: {brief(comment.strip())} begins as a comment does, and has {width} fields as a row has: "
            "quotation marks around its first field, or another one before it, make it a row"
        )


def table(data: bytes, what: str, delimiter: str, comment: str = COMMENT) -> tuple[list[list[str]], Place]:
    """Return the rows of a delimited file, all of one length, without blank lines and comments; and their `Place`.

    Args:
        comment: prefix of comments; "" is none.

    Raises:
        FileError: not UTF-8, a broken quotation, rows of unequal length, no rows, a comment that looks like a row;
            the message names the line.
    """
    source = text(data, what)
    quoting: Any = csv.QUOTE_NONE if delimiter in UNQUOTED else csv.QUOTE_MINIMAL

    def reader() -> tuple[Any, Lines]:
        lines = Lines(io.StringIO(source, newline=""), comment, quoting)
        return csv.reader(lines, delimiter=delimiter, strict=True, quoting=quoting), lines

    def line(row: int) -> str:
        rows, _ = reader()
        full = (rows.line_num for fields in rows if fields)
        return f"{what}, line {next(number for k, number in enumerate(full) if k == row)}"

    rows, lines = reader()
    try:
        found = [fields for fields in rows if fields]
    except csv.Error as error:
        raise FileError(f"{what}, line {rows.line_num}: {error}") from None
    if not found:
        raise FileError(f"{what} is empty")
    width = len(found[0])
    for number, said in lines.comments.items():
        refuse_row(said, f"{what}, line {number}", delimiter, width)
    if set(map(len, found)) != {width}:
        row = next(k for k, fields in enumerate(found) if len(fields) != width)
        raise FileError(f"{line(row)}: {len(found[row])} fields, where the first row has {width}")
    return found, line


def numbers(values: Sequence[str], what: str, place: Place) -> Any:
    """Parse to (n,) float64 of finite numbers; FileError names the line of a text that is no finite number."""
    try:
        column = np.array(list(map(float, values)))
    except ValueError:
        column = np.array([np.nan])
    if len(column) == len(values) and np.isfinite(column).all():
        return column
    for row, value in enumerate(values):
        try:
            good = np.isfinite(float(value))
        except ValueError:
            good = False
        if not good:
            raise FileError(f"{place(row)}: {what} {brief(value)} is no finite number")
    raise AssertionError("some value is no finite number")


def quoted(field: Hashable) -> str:
    """Format a field of CSV, in quotation marks where it needs them, also if it is empty or would begin a comment.

    >>> quoted("a"), quoted('a "b", c'), quoted("# a")
    ('a', '"a ""b"", c"', '"# a"')
    """
    text = str(field)
    needs = not text or text.startswith(COMMENT) or set(text) & set(',"\r\n')
    return '"' + text.replace('"', '""') + '"' if needs else text


def names_only(ids: Iterable[Hashable], what: str) -> None:
    """Refuse ids that would not be read back unchanged from a text format.

    Raises:
        GraphError: an id is no text, or text that lines and fields cannot hold.
    """
    for name in ids:
        if type(name) is not str:
            raise GraphError(f"node {brief(name)} is a {type(name).__name__}: {what} keeps text ids only")
        if not name or "\0" in name or any(0xD800 <= ord(c) < 0xE000 for c in name):
            raise GraphError(f"node {brief(name)}: {what} cannot keep this id")
