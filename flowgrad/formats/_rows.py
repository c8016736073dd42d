"""Delimited text a batch of rows at a time, as columns: what the readers of large tables of text take.

Text whose quoted fields hold no delimiter, line end or quotation mark is split by pyarrow where that is installed,
at array speed; all else, and where it is not, by the `csv` module. Both give the same fields.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, FileError, brief
from flowgrad.format import Source
from flowgrad.formats._arrow import arrow, needed
from flowgrad.formats._delimited import COMMENT, UNQUOTED, Lines, refuse_row, text

ROWS = 200_000  # that the csv module reads at a time
MOST = (1 << 31) - 1  # bytes of one pyarrow array of strings
FIELD = csv.field_size_limit()  # characters of one field, 131,072
BOM, LINE_FEED, QUOTE = b"\xef\xbb\xbf", 10, ord('"')

Column = Any
"""Text of one batch: list[str], or a pyarrow array of strings."""


class Delimited:
    """A file of rows of one length, blank lines and comments left out.

    comment   what comments begin with, "" none; None is "#", unless the comment has as many fields as a row
    first     the fields of the first row
    data      rows that come before those that `batches` gives: 1 once the first one is a header, else 0
    headers   the fields of comments before the first row that have as many of them: one may be a header
    header    that one of them which is
    """

    def __init__(self, source: Source, delimiter: str, comment: str | None = None) -> None:
        if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n\0' or delimiter > "\x7f":
            raise ConfigError(f"delimiter={brief(delimiter)}: must be one character, as ',' or ';'")
        if comment is not None and set(comment) & set('"\r\n\0'):
            raise ConfigError(f"comment={brief(comment)}: must be what comments begin with, as '#', or '' for none")
        self.source, self.delimiter, self.data = source, delimiter, 0
        self.comment, self.mark = comment, COMMENT if comment is None else comment
        self.quoting: Any = csv.QUOTE_NONE if delimiter in UNQUOTED else csv.QUOTE_MINIMAL
        self.what = str(source.path)
        lines = self._lines(source.blocks(1 << 16))
        first = next(self._rows(lines), None)
        if first is None:
            raise FileError(f"{self.what} is empty")
        self.first = first
        said = (text.removeprefix(self.mark).strip("\r\n") for text in lines.comments.values())
        split = ([field.strip() for field in text.split(delimiter)] for text in said)
        self.headers = [fields for fields in split if len(fields) == len(first)]
        self.header: list[str] | None = None

    def place(self, row: int) -> str:
        """Where a row of the batches stands, for a message."""
        reader = self._reader(self._lines(self.source.blocks()))
        full = (reader.line_num for fields in reader if fields)
        return f"{self.what}, line {next(islice(full, row + self.data, None))}"

    def batches(self, wanted: Collection[int], loose: Collection[int] = ()) -> Iterator[dict[int, Column]]:
        """Those columns of the rows, by place, batch by batch; `loose` ones are no other in text.

        Raises:
            FileError: not UTF-8, a NUL, a broken quotation, a row of another length, a comment that looks like a row;
                the message names the line.
        """
        blocks, read, line, wanted = self.source.blocks(), 0, 0, {*wanted, *loose}
        for k, block in enumerate(blocks):
            fields = self._split(block, k, line)
            if fields is None:
                for rows in self._slowly(chain([block], blocks), k, read, line):
                    columns = list(zip(*rows, strict=True))
                    yield {column: list(columns[column]) for column in wanted}
                return
            skip, width = max(self.data - read, 0), len(self.first)
            read += len(fields) // width
            line += block.count(b"\n")
            yield {column: fields.take(np.arange(skip * width + column, len(fields), width)) for column in wanted}

    def _split(self, block: bytes, k: int, line: int = 0) -> Any:
        """The fields of block k, behind `line` lines; None where it is not rows of that many plain fields."""
        library, width, mark = arrow(), len(self.first), self.delimiter.encode()
        if k == 0:
            block = block.removeprefix(BOM)
        begins = self.mark.encode()
        if begins and (block.startswith(begins) or b"\n" + begins in block):
            if b'"' in block or b"\r" in block.replace(b"\r\n", b"\n"):
                return None
            comments = re.compile(rb"^%b[^\n]*\n?" % re.escape(begins), re.MULTILINE)
            for said in comments.finditer(block):
                before = line + block.count(b"\n", 0, said.start())
                self._refuse_row(text(said[0], self.what, before, bom=False), f"{self.what}, line {before + 1}")
            block = comments.sub(b"", block)
        block = block.replace(b"\r\n", b"\n").removesuffix(b"\n")
        if library is None or width < 2 or b"\r" in block or b"\0" in block or len(block) > MOST:
            return None
        if self.quoting != csv.QUOTE_NONE and b'"' in block:
            if not _plainly_quoted(block, mark[0]):
                return None
            block = block.replace(b'"', b"")
        found = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero((found == mark[0]) | (found == LINE_FEED))
        rows, rest = divmod(len(ends) + 1, width)
        feeds = found[ends] == LINE_FEED
        longest = np.diff(ends, prepend=-1, append=len(block)).max()
        if rest or feeds.sum() != rows - 1 or not feeds[width - 1 :: width].all() or longest > FIELD:
            return None
        try:
            whole = block.replace(b"\n", mark).decode()
        except UnicodeDecodeError:
            return None
        return library.compute.split_pattern(library.array([whole]), self.delimiter).flatten()

    def _refuse_row(self, comment: str, place: str) -> None:
        """`refuse_row`, where nobody has said what comments begin with, and but for the header."""
        fields = [field.strip() for field in comment.removeprefix(self.mark).split(self.delimiter)]
        if self.comment is None and fields != self.header:
            refuse_row(comment, place, self.delimiter, len(self.first))

    def _slowly(self, blocks: Iterator[bytes], k: int, read: int, line: int) -> Iterator[list[list[str]]]:
        """Rows by the csv module, from block k on, before which `read` rows on `line` lines were read."""
        width, before = len(self.first), max(read - self.data, 0)
        lines = self._lines(blocks, k, line)
        rows = islice(self._rows(lines, line), max(self.data - read, 0), None)
        while batch := list(islice(rows, ROWS)):
            if set(map(len, batch)) != {width}:
                row = next(k for k, fields in enumerate(batch) if len(fields) != width)
                said = f"{len(batch[row])} fields, where the first row has {width}"
                raise FileError(f"{self.place(before + row)}: {said}")
            before += len(batch)
            yield batch
        for number, said in lines.comments.items():
            self._refuse_row(said, f"{self.what}, line {number}")

    def _rows(self, lines: Lines, line: int = 0) -> Iterator[list[str]]:
        """Rows that are not blank; `line` lines stand before them."""
        reader = self._reader(lines)
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            raise FileError(f"{self.what}, line {line + reader.line_num}: {error}") from None

    def _reader(self, lines: Lines) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, quoting=self.quoting)

    def _lines(self, blocks: Iterator[bytes], k: int = 0, line: int = 0) -> Lines:
        """Lines of text, comments blank, from block k on, which begins behind `line` lines."""
        return Lines(self._texts(blocks, k, line), self.mark, self.quoting, line)

    def _texts(self, blocks: Iterator[bytes], k: int, line: int) -> Iterator[str]:
        for number, block in enumerate(blocks, k):
            yield from io.StringIO(text(block, self.what, line, bom=number == 0), newline="")
            line += block.count(b"\n")


def _plainly_quoted(block: bytes, mark: int) -> bool:
    """Whether every quotation mark begins or ends a whole field that has none of the marks inside it."""
    padded = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    between = (padded == mark) | (padded == LINE_FEED)
    quotes = np.flatnonzero(padded == QUOTE)
    first, last = quotes[0::2], quotes[1::2]
    if len(first) != len(last) or not between[first - 1].all() or not between[last + 1].all():
        return False
    ends = np.flatnonzero(between)
    return bool((np.searchsorted(ends, first) == np.searchsorted(ends, last)).all())


def floats(values: Column) -> Any:
    """(n,) float64 of decimal numbers, NaN where there is none."""
    if not isinstance(values, (list, tuple)):
        library = needed("reading numbers")
        try:
            return values.cast(library.float64()).to_numpy()
        except library.ArrowInvalid:
            values = values.to_pylist()
    return np.array(list(map(_float, values)))


def _float(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")
