"""Read delimited text in batches of rows, as columns: shared by the readers of large tables.

Text whose quoted fields hold no delimiter, line end or quotation mark is split by pyarrow, if it is installed, with
array operations; any other text is split by the `csv` module. Both give the same fields.
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

ROWS = 200_000  # rows of one batch of the csv module
MOST = (1 << 31) - 1  # maximal bytes of one pyarrow array of strings, whose offsets are int32
FIELD = csv.field_size_limit()  # maximal characters of one field, 131,072
BOM, LINE_FEED, QUOTE = b"\xef\xbb\xbf", 10, ord('"')

Column = Any
"""The text of one column in one batch: list[str], or a pyarrow array of strings."""


class Delimited:
    """Represent a delimited file whose rows all have the same length; blank lines and comments are skipped.

    comment   prefix of comments, "" for none; None is "#", where a comment with as many fields as a row is refused
    first     the fields of the first row
    data      number of rows before those that `batches` gives: 1 if the first row is a header, else 0
    headers   the fields of each comment before the first row that has as many fields: candidates for a header
    header    the one of `headers` that is the header, or None
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
        """Return the file and line of row `row` of the batches, for a message."""
        reader = self._reader(self._lines(self.source.blocks()))
        full = (reader.line_num for fields in reader if fields)
        return f"{self.what}, line {next(islice(full, row + self.data, None))}"

    def batches(self, wanted: Collection[int], loose: Collection[int] = ()) -> Iterator[dict[int, Column]]:
        """Yield the wanted and `loose` columns (in text there is no difference) by position, batch by batch.

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
        """Return the fields of block k, after `line` lines, as one pyarrow array; None where only csv can split it."""
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
        """Call `refuse_row`, unless the caller gave the prefix of comments, or the comment is the header."""
        fields = [field.strip() for field in comment.removeprefix(self.mark).split(self.delimiter)]
        if self.comment is None and fields != self.header:
            refuse_row(comment, place, self.delimiter, len(self.first))

    def _slowly(self, blocks: Iterator[bytes], k: int, read: int, line: int) -> Iterator[list[list[str]]]:
        """Yield batches of rows by the csv module, from block k on; `read` rows on `line` lines precede it."""
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
        """Yield the rows that are not blank; `line` lines precede them."""
        reader = self._reader(lines)
        try:
            yield from filter(None, reader)
        except csv.Error as error:
            raise FileError(f"{self.what}, line {line + reader.line_num}: {error}") from None

    def _reader(self, lines: Lines) -> Any:
        return csv.reader(lines, delimiter=self.delimiter, strict=True, quoting=self.quoting)

    def _lines(self, blocks: Iterator[bytes], k: int = 0, line: int = 0) -> Lines:
        """Return the lines of text, comments blanked, from block k on, which follows `line` lines."""
        return Lines(self._texts(blocks, k, line), self.mark, self.quoting, line)

    def _texts(self, blocks: Iterator[bytes], k: int, line: int) -> Iterator[str]:
        for number, block in enumerate(blocks, k):
            yield from io.StringIO(text(block, self.what, line, bom=number == 0), newline="")
            line += block.count(b"\n")


def _plainly_quoted(block: bytes, mark: int) -> bool:
    """Tell whether every quotation mark begins or ends a field, and quoted fields hold no delimiter or line end."""
    padded = np.frombuffer(b"\n" + block + b"\n", np.uint8)
    between = (padded == mark) | (padded == LINE_FEED)
    quotes = np.flatnonzero(padded == QUOTE)
    first, last = quotes[0::2], quotes[1::2]
    if len(first) != len(last) or not between[first - 1].all() or not between[last + 1].all():
        return False
    ends = np.flatnonzero(between)
    return bool((np.searchsorted(ends, first) == np.searchsorted(ends, last)).all())


def floats(values: Column) -> Any:
    """Parse a column to (n,) float64, NaN where a text is no number."""
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
