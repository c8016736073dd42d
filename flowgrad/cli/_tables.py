"""Tables of samples: CSV, TSV or .npz in, CSV out. Columns by name; numbers as float64, classes as text."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from flowgrad.atomic import put
from flowgrad.errors import DataError, FileError, UnknownNameError, brief, suggest
from flowgrad.format import Claim

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
BLOCK = 8192  # rows turned into numbers at a time


class Table:
    """A file of samples: its columns' names at once, their values when asked for.

    `wide` names the 2-D arrays of an .npz; `A` of k columns stands for the columns `A[0]` … `A[k-1]`.

    Raises:
        FileError: missing, unreadable, or not of the format that its suffix says.
        DataError: no header, a name twice, no rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wide: dict[str, tuple[str, ...]] = {}
        self._arrays: dict[str, npt.NDArray[Any]] | None = None
        if path.suffix.lower() == ".npz":
            self._arrays, self.wide = _arrays(path)
            self.names = tuple(self._arrays)
        else:
            with _rows(path) as rows:
                self.names = _header(path, rows)
        self._place = {name: k for k, name in enumerate(self.names)}

    def need(self, name: str, what: str) -> None:
        """Raises UnknownNameError, with the nearest name, where there is no such column."""
        if name not in self._place:
            raise UnknownNameError(f"{self.path} lacks the column of {what} {brief(name)}{suggest(name, self.names)}")

    def numbers(self, names: Sequence[str]) -> Floats:
        """(B, len(names)) float64; NaN and inf are numbers here.

        Raises:
            UnknownNameError: no such column.
            DataError: a cell is no number, named by line and column; no rows; a row of another length.
        """
        for name in names:
            self.need(name, "numbers")
        if self._arrays is not None:
            return np.stack([_real(self.path, name, self._arrays[name]) for name in names], axis=1)
        places = [self._place[name] for name in names]
        blocks = [_floats(self.path, names, places, block, lines) for lines, block in self._blocks()]
        return np.concatenate(blocks)

    def text(self, name: str) -> list[str]:
        """A column as text: classes."""
        self.need(name, "classes")
        if self._arrays is not None:
            return [str(value) for value in self._arrays[name].tolist()]
        place = self._place[name]
        return [row[place].strip() for _, block in self._blocks() for row in block]

    def _blocks(self) -> Iterator[tuple[list[int], list[list[str]]]]:
        """Blocks of rows, and the line of each; empty lines are left out."""
        with _rows(self.path) as rows:
            _header(self.path, rows)
            numbered = ((rows.line_num, row) for row in rows if row)
            found = False
            while block := list(islice(numbered, BLOCK)):
                found = True
                for line, row in block:
                    if len(row) != len(self.names):
                        raise DataError(
                            f"{self.path} line {line} has {len(row)} cells: its header names {len(self.names)} columns"
                        )
                yield [line for line, _ in block], [row for _, row in block]
            if not found:
                raise DataError(f"{self.path} has no samples under its header")


@contextmanager
def _rows(path: Path) -> Iterator[Any]:
    """The csv.reader of a CSV or, by its suffix, TSV."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.reader(file, delimiter="\t" if path.suffix.lower() in (".tsv", ".tab") else ",", strict=True)
    except UnicodeDecodeError:
        raise FileError(f"{path} is not UTF-8 text: give a CSV with a header, or an .npz") from None
    except csv.Error as error:
        raise FileError(f"{path} is no CSV: {error}") from None
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from None


def _header(path: Path, rows: Iterator[list[str]]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in next(rows, []))
    if not names:
        raise DataError(f"{path} is empty: it has no header")
    twice = repeated(names)
    if twice is not None:
        raise DataError(f"{path} names the column {brief(twice)} twice")
    return names


def repeated(names: Iterable[T]) -> T | None:
    """The first of these hashable names that has come before; None where each comes once."""
    seen: set[T] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _floats(path: Path, names: Sequence[str], places: list[int], block: list[list[str]], lines: list[int]) -> Floats:
    """(rows, columns) of one block; the slow path finds the cell that is no number."""
    try:
        return np.array([[row[k] for k in places] for row in block], np.float64).reshape(len(block), len(places))
    except ValueError:
        for line, row in zip(lines, block, strict=True):
            for name, place in zip(names, places, strict=True):
                try:
                    float(row[place])
                except ValueError:
                    cell = repr(row[place]) if row[place].strip() else "an empty cell"
                    raise DataError(f"{path} line {line}, column {brief(name)}: {cell} is no number") from None
        raise


def _arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, tuple[str, ...]]]:
    """Columns by name, and the names of the columns of each 2-D array."""
    columns: dict[str, npt.NDArray[Any]] = {}
    wide: dict[str, tuple[str, ...]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            held = sum(member.file_size for member in archive.zip.infolist())
            claim = Claim(path, remedy="write it by np.savez, which does not compress")
            claim.add(2 * held, str(path), f"{held:,} bytes of arrays, decompressed,")
            given = {name: archive[name] for name in archive.files}
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {(error.strerror or 'it is no .npz archive').lower()}") from None
    except Exception as error:  # zipfile and NumPy raise many kinds for a damaged archive
        raise FileError(f"{path} is no readable .npz archive: {error}") from None
    for name, array in given.items():
        if array.ndim == 2:
            wide[name] = tuple(f"{name}[{k}]" for k in range(array.shape[1]))
            columns.update(zip(wide[name], array.T, strict=True))
        elif array.ndim == 1:
            columns[name] = array
        else:
            raise DataError(
                f"{path}: array {brief(name)} has shape {array.shape}: must be a column or a table of columns"
            )
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths or not min(lengths.values()):
        raise DataError(f"{path} has no samples")
    if len(set(lengths.values())) > 1:
        a, b = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise DataError(f"{path}: {brief(a)} has {lengths[a]} samples and {brief(b)} {lengths[b]}: all must be equal")
    return columns, wide


def _real(path: Path, name: str, array: npt.NDArray[Any]) -> Floats:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: array {brief(name)} holds {array.dtype}: must be real numbers")
    return array.astype(np.float64)


def write(path: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    """Write a CSV with a header, whole or not at all.

    Raises:
        FileError: the folder is missing or cannot be written to; something that is no regular file stands there.
    """
    try:
        put(path, map(str.encode, _lines(columns)))
    except OSError as error:
        raise FileError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def write_rows(file: IO[str], columns: Mapping[str, Iterable[Any]]) -> None:
    """Write header and rows to an open file."""
    file.writelines(_lines(columns))


def _lines(columns: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """The lines of a CSV: header and rows; floats by repr, so that they come back bit for bit."""
    line: Any = csv.writer(SimpleNamespace(write=str), lineterminator="\n")  # writerow gives what write gives
    yield line.writerow(columns)
    yield from map(
        line.writerow, zip(*(c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()), strict=True)
    )
