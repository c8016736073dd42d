"""Read tables in delimited text, plain or gzipped, block by block.

pyarrow is the fast reader; Python's csv module is the reference. If pyarrow rejects a row or a cell, or if quotation
marks or a NUL could be interpreted differently by the two, the csv module reads on after the last block of pyarrow,
and reports errors by line.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import stat
import threading
import zlib
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from flowgrad.errors import DataError, FileError, brief
from flowgrad.formats._arrow import needed

BLOCK = 1 << 24  # smallest block size of pyarrow, bytes
PIECE = 1 << 20  # bytes of one read of the file
AHEAD = 2  # blocks that pyarrow may read ahead of the batches it returns, to bound memory; its own limit is 32
PATIENCE = 0.5  # seconds after which it may read another anyway: a block of empty lines returns no batch
CAREFUL = 1 << 18  # cells in a block of the csv module
HEAD = 20  # rows that are searched for decimal commas
DELIMITERS = ",", "\t", ";"
QUOTED = re.compile(r'"[^"]*"')
COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
POINT = re.compile(r"\s*[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?\s*")


class Block(NamedTuple):
    """Hold some rows of a table.

    numbers  array (rows, columns), float64
    texts    one list of strings per text column
    """

    numbers: npt.NDArray[np.float64]
    texts: list[list[str]]


@dataclass(frozen=True)
class Head:
    """Hold the format of a table.

    names      column names, stripped of white space
    delimiter  comma, tab or semicolon
    start      offset of the first row under the header, in bytes after a byte order mark
    comma      whether numbers have decimal commas
    """

    names: tuple[str, ...]
    delimiter: str
    start: int
    comma: bool


class Delimited:
    """Read a table in delimited text, whose first row names the columns.

    The delimiter is the comma, tab or semicolon that is most frequent in the first line outside of quotes; it is the
    tab if the suffix is `.tsv` or `.tab`. Lines end in LF, CRLF or CR; empty lines are skipped. In tables with
    semicolons, numbers may have decimal commas, but then in all cells.

    Attributes:
        path: the file; text is decompressed if its suffix is `.gz`.
        head: the format of the table.
        names: names of all columns.

    Raises:
        FileError: the file is missing, unreadable, a pipe, or has a header that is not UTF-8 text.
        DataError: the file is empty.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrow = needed("reading tables", "cli")
        self.packed = path.suffix.lower() == ".gz"
        inner = Path(path.stem) if self.packed else path
        self._tabs = inner.suffix.lower() in (".tsv", ".tab")
        with self._reading():
            self.head = self._head()
        self.names = self.head.names

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Convert errors of the system, of gzip and of the csv module to FileError."""
        try:
            yield
        except FileError:
            raise
        except csv.Error as error:
            raise FileError(f"{self.path} is no CSV: {error}") from None
        except (OSError, EOFError, zlib.error) as error:
            said = getattr(error, "strerror", None) or str(error)
            raise FileError(f"cannot read {self.path}: {said.lower()}") from None

    def open(self) -> IO[bytes]:
        """Open the file for reading bytes, decompressed, positioned after a byte order mark.

        Raises:
            FileError: the file is a pipe. OSError: it cannot be opened.
        """
        if stat.S_ISFIFO(self.path.stat().st_mode):
            raise FileError(f"{self.path} is a pipe: a table is read more than once, write it into a file")
        file: Any = (gzip.open if self.packed else open)(self.path, "rb")
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        return cast("IO[bytes]", file)

    @contextmanager
    def _text(self) -> Iterator[IO[str]]:
        """Open the file as text; bytes that are not UTF-8 become surrogates, refused later in cells that are read."""
        with self.open() as file, io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="") as text:
            yield text

    def _head(self) -> Head:
        taken: list[str] = []

        def kept(text: IO[str]) -> Iterator[str]:
            for line in text:
                taken.append(line)
                yield line

        with self._text() as text:
            lines = kept(text)
            first = next((line for line in lines if line.strip("\r\n")), "")
            delimiter = "\t" if self._tabs else max(DELIMITERS, key=QUOTED.sub("", first).count)
            rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
            cells = next(rows, [])
            start = len("".join(taken).encode("utf-8", "surrogateescape"))
            if not all(map(_is_text, cells)):
                raise FileError(f"{self.path} is not UTF-8 text: give a CSV with a header, a Parquet file or an .npz")
            if not cells:
                raise DataError(f"{self.path} is empty: it has no header")
            some = [cell for row in islice(rows, HEAD) for cell in row] if delimiter == ";" else []
        comma = any(map(COMMA.fullmatch, some)) and not any(map(POINT.fullmatch, some))
        return Head(tuple(cell.strip() for cell in cells), delimiter, start, comma)

    def blocks(
        self, numbers: Sequence[int], texts: Sequence[int], only: Collection[str] | None = None
    ) -> Iterator[Block]:
        """Yield the columns at the given positions, block by block.

        Args:
            numbers: positions of the columns to read as float64, without repetition.
            texts: positions of the columns to read as text, stripped of white space, without repetition.
            only: keep only the rows whose first text is one of these; None keeps all.

        Raises:
            DataError: a row has another length than the header, or a cell is not a number; the message names line and
                column.
            FileError: quotation marks do not match, a cell contains a NUL, or text is not UTF-8.
        """
        done = 0
        with self._reading():
            stream = _Watched(self.arrow, self.open(), self.head)
        try:
            for count, block in self._fast(stream, numbers, texts, only):
                done += count
                yield block
                del block
            sure = not stream.doubtful
        except (self.arrow.ArrowException, OSError, EOFError, zlib.error):
            sure = False  # the csv module reads on, and reports an error that it finds by line
        finally:
            stream.close()
        if not sure:
            with self._reading():
                yield from self._careful(numbers, texts, only, done)

    def _fast(
        self, stream: _Watched, numbers: Sequence[int], texts: Sequence[int], only: Collection[str] | None
    ) -> Iterator[tuple[int, Block]]:
        """Yield blocks read by pyarrow, each after the number of rows it was made from."""
        arrow, csv_ = self.arrow, self.arrow.csv
        places = [*numbers, *texts]
        as_text = set(places if only is not None else texts)  # skipped rows may hold text there
        types = {str(k): arrow.string() if k in as_text else arrow.float64() for k in places}
        reader = csv_.open_csv(
            arrow.PythonFile(stream, "r"),
            csv_.ReadOptions(
                block_size=max(BLOCK, 8 * self.head.start), column_names=[str(k) for k in range(len(self.names))]
            ),
            csv_.ParseOptions(delimiter=self.head.delimiter, newlines_in_values=True),
            csv_.ConvertOptions(
                include_columns=[str(k) for k in places],
                column_types=types,
                null_values=[],
                true_values=[],  # each word would take memory in every column
                false_values=[],
                decimal_point="," if self.head.comma else ".",
            ),
        )
        for batch in reader:
            stream.proceed()
            columns, words = batch.columns[: len(numbers)], batch.columns[len(numbers) :]
            words = [arrow.compute.utf8_trim_whitespace(column) for column in words]
            if only is not None:
                mask = arrow.compute.is_in(words[0], arrow.array(list(only), arrow.string()))
                words = [column.filter(mask) for column in words]
                columns = [self._cast(column.filter(mask)) for column in columns]
            yield batch.num_rows, Block(matrix(arrow, columns), [column.to_pylist() for column in words])
            del batch, columns, words  # before there is another
        reader.close()

    def _cast(self, column: Any) -> Any:
        """Convert a column of text to float64; ArrowInvalid where a cell is no number."""
        compute = self.arrow.compute
        if self.head.comma:
            if compute.any(compute.match_substring(column, ".")).as_py():
                raise self.arrow.ArrowInvalid("a decimal point among decimal commas")
            column = compute.replace_substring(column, ",", ".")
        try:
            return column.cast(self.arrow.float64())
        except self.arrow.ArrowInvalid:
            return compute.utf8_trim_whitespace(column).cast(self.arrow.float64())

    def _careful(
        self, numbers: Sequence[int], texts: Sequence[int], only: Collection[str] | None, done: int
    ) -> Iterator[Block]:
        """Yield blocks of the rows after the first `done`, read by the csv module."""
        decimal = _Decimals(self.head)
        rows = islice(self._records(), done, None)
        while block := list(islice(rows, max(1, CAREFUL // len(self.names)))):
            kept = block if only is None else [(line, row) for line, row in block if row[texts[0]].strip() in only]
            values = np.empty((len(kept), len(numbers)))
            for k, (line, row) in enumerate(kept):
                try:
                    values[k] = decimal.all([row[place] for place in numbers])
                except ValueError:
                    values[k] = [self._number(decimal, line, row[place], place) for place in numbers]
            yield Block(values, [[self._word(line, row[place]) for line, row in kept] for place in texts])

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield every row under the header, with its line number."""
        with self._text() as text:
            rows = csv.reader(text, delimiter=self.head.delimiter, strict=True)
            numbered = ((rows.line_num, row) for row in rows if row)
            line, _ = next(numbered)
            while True:
                try:
                    line, row = next(numbered)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise FileError(f"{self.path} is no CSV from line {line + 1} on: {error}") from None
                if len(row) != len(self.names):
                    raise DataError(
                        f"{self.path} line {line} has {len(row)} cells: its header names {len(self.names)} columns"
                    )
                place = next((k for k, cell in enumerate(row) if "\0" in cell), None)
                if place is not None:
                    name = brief(self.names[place])
                    raise FileError(f"{self.path} line {line}, column {name} holds a NUL: it is no text")
                yield line, row

    def _number(self, decimal: _Decimals, line: int, cell: str, place: int) -> float:
        try:
            return decimal.all([cell])[0]
        except ValueError:
            said, name = brief(cell) if cell.strip() else "an empty cell", brief(self.names[place])
            raise DataError(f"{self.path} line {line}, column {name}: {said} is no number") from None

    def _word(self, line: int, cell: str) -> str:
        if not _is_text(cell):
            raise FileError(f"{self.path} line {line} is not UTF-8 text: {brief(cell)}")
        return cell.strip()


class _Watched(io.RawIOBase):
    """Stream the bytes under the header to pyarrow, and watch for ambiguous quotation marks.

    `doubtful` becomes True if pyarrow may read them differently from the csv module: a quotation mark that is not
    closed or that is inside a cell, or a NUL. A thread of pyarrow reads the stream; after `AHEAD` blocks it waits for a
    call of `proceed`.
    """

    def __init__(self, arrow: Any, file: IO[bytes], head: Head) -> None:
        self._arrow, self._file, self._last, self._quotes, self._odd = arrow, file, b"", 0, False
        self._room = threading.Semaphore(AHEAD)
        other = rb'[^"\r\n' + head.delimiter.encode() + rb"]"
        self._within = re.compile(other + rb'"' + other)
        for begin in range(0, head.start, PIECE):
            file.read(min(PIECE, head.start - begin))

    def readable(self) -> bool:
        return True

    def read_buffer(self, size: int) -> Any:
        """Read the next bytes, at most `size`, into a buffer of pyarrow, whose allocator returns freed memory."""
        self._room.acquire(timeout=PATIENCE)
        whole, end = self._arrow.allocate_buffer(size), 0
        view = memoryview(whole).cast("B")
        while end < size and (piece := self._file.read(min(PIECE, size - end))):
            self._look(piece)
            view[end : end + len(piece)] = piece
            end += len(piece)
        return whole.slice(0, end)

    def _look(self, piece: bytes) -> None:
        quotes = piece.count(b'"')
        self._quotes += quotes
        if quotes or self._last.endswith(b'"'):
            self._odd = self._odd or self._within.search(self._last + piece) is not None
        self._odd = self._odd or b"\0" in piece
        self._last = (self._last + piece[-2:])[-2:]

    @property
    def doubtful(self) -> bool:
        """Whether the csv module must check the bytes as well; final once all bytes are read."""
        return self._odd or self._quotes % 2 == 1

    def proceed(self) -> None:
        """Allow another block to be read ahead."""
        self._room.release()

    def close(self) -> None:
        self._file.close()
        super().close()


class _Decimals:
    """Convert cells to floats; with semicolons, the first cell with a decimal comma or point decides for all cells."""

    def __init__(self, head: Head) -> None:
        self._sign = "." if head.delimiter != ";" else "," if head.comma else None

    def all(self, cells: Sequence[str]) -> list[float]:
        """Convert cells to floats; ValueError if a cell is not a number."""
        joined = "".join(cells)
        if self._sign is None and ("," in joined or "." in joined):
            self._sign = "," if "," in joined else "."
        if self._sign == ",":
            if "." in joined:
                raise ValueError
            cells = [cell.replace(",", ".") for cell in cells]
        if "_" in joined or not joined.isascii():
            raise ValueError  # float() would accept 1_000 and digits of other scripts
        return list(map(float, cells))


def matrix(arrow: Any, columns: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Stack float64 arrays of pyarrow, which contain no nulls, into an array (rows, columns), float64."""
    if not columns:
        return np.empty((0, 0))
    batch = arrow.RecordBatch.from_arrays(list(columns), [str(k) for k in range(len(columns))])
    found: npt.NDArray[np.float64] = batch.to_tensor(row_major=False).to_numpy()
    return found


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return False
    return True
