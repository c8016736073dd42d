"""Binary tables, .npz and Parquet, read by columns, block by block."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import DataError, FileError, brief
from flowgrad.format import Claim
from flowgrad.formats._arrow import needed
from flowgrad.formats._npz import arrays
from flowgrad.tables.delimited import Block, matrix

ROWS = 8192  # rows of an .npz in a block, to bound the memory of conversion to float64
CELLS = 1 << 22  # cells of a Parquet file in a block
UNNAMED = "__index_level_0__"  # column in which pandas stores an unnamed index


class Archive:
    """Read an `.npz` archive as a table, by columns.

    A 1-D array is a column; a 2-D array `A` of k columns is the columns `A[0]` … `A[k-1]`.

    Attributes:
        path: the file.
        names: names of all columns.
        wide: mapping from the name of each 2-D array to the names of its columns.

    Raises:
        FileError: the file is missing, damaged, not an archive, or claims more memory than its size allows.
        DataError: there are no samples, arrays have different lengths, or an array has no axis or more than two.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arrays, self.wide = _arrays(path)
        self.names = tuple(self._arrays)

    def blocks(self, numbers: Sequence[int], texts: Sequence[int], only: None = None) -> Iterator[Block]:
        """Yield the columns at the given positions, block by block.

        Args:
            numbers: positions of the columns to read as float64.
            texts: positions of the columns to read as text, stripped of white space.
            only: always None; archives do not select rows.

        Raises:
            DataError: an array among `numbers` does not hold real numbers or booleans.
        """
        columns = list(self._arrays.items())
        for place in numbers:
            name, array = columns[place]
            if array.dtype.kind not in "fiub":
                raise DataError(f"{self.path}: array {brief(name)} holds {array.dtype}: must be real numbers")
        for first in range(0, len(columns[0][1]), ROWS):
            rows = slice(first, first + ROWS)
            values = [columns[place][1][rows].astype(np.float64) for place in numbers]
            words = [[str(value).strip() for value in columns[place][1][rows].tolist()] for place in texts]
            yield Block(np.stack(values, axis=1) if values else np.empty((0, 0)), words)


def _arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, tuple[str, ...]]]:
    """Read an .npz; return columns by name, and the column names of each 2-D array."""
    columns: dict[str, npt.NDArray[Any]] = {}
    wide: dict[str, tuple[str, ...]] = {}
    for name, array in arrays(path).items():
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


class Parquet:
    """Read a Parquet file as a table, by columns of numbers and text.

    Attributes:
        path: the file.
        arrow: the module pyarrow.
        names: names of all columns; an unnamed pandas index comes first, with the name "".

    Raises:
        FileError: the file is missing, or not a Parquet file.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.arrow = path, needed("reading Parquet", "cli")
        try:
            self._file = self.arrow.parquet.ParquetFile(path)
            schema = self._file.schema_arrow
        except FileNotFoundError:
            raise FileError(f"cannot read {path}: no such file or directory") from None
        except Exception as error:  # pyarrow raises many kinds for damaged bytes
            raise self._broken(error) from None
        self._columns: list[str] = list(schema.names)
        names = ["" if name == UNNAMED else name for name in self._columns]
        if "" in names:  # pandas writes the index last
            first = names.index("")
            for row in (names, self._columns):
                row.insert(0, row.pop(first))
        self.names = tuple(names)

    def _broken(self, error: Exception) -> FileError:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return FileError(f"{self.path} is no Parquet file, or a damaged one: {said}")

    def blocks(
        self, numbers: Sequence[int], texts: Sequence[int], only: Collection[str] | None = None
    ) -> Iterator[Block]:
        """Yield the columns at the given positions, block by block; see `Delimited.blocks`.

        A null in a column of `texts` becomes "".

        Raises:
            DataError: a column of `numbers` is not numeric, or has a null; the message names its row.
            FileError: the file is damaged, claims more memory than its size allows, or holds text that is not UTF-8.
        """
        places = [*numbers, *texts]
        self._claim(places, range(self._file.metadata.num_row_groups))
        rows, done = max(1, CELLS // max(1, len(places))), 0
        for batch in self._batches(rows, [self._columns[place] for place in places]):
            values = [self._numbers(batch.column(self._columns[k]), k, done) for k in numbers]
            words = [self._texts(batch.column(self._columns[k]), k) for k in texts]
            done += batch.num_rows
            if only is not None:
                keep = [word in only for word in words[0]]
                values = [column.filter(self.arrow.array(keep)) for column in values]
                words = [list(compress(column, keep)) for column in words]
            yield Block(matrix(self.arrow, values), words)

    @property
    def groups(self) -> list[int]:
        """Number of rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]

    def is_float32(self, places: Sequence[int]) -> bool:
        """Return whether all these columns are float32 or float16, so that float32 holds their numbers exactly."""
        types, schema = self.arrow.types, self._file.schema_arrow
        kinds = [schema.field(self._columns[place]).type for place in places]
        return all(types.is_float32(kind) or types.is_float16(kind) for kind in kinds)

    def group(self, k: int, numbers: Sequence[int], texts: Sequence[int], first: int) -> tuple[list[Any], list[Any]]:
        """Read columns of one row group.

        Args:
            k: number of the row group, from 0.
            numbers: positions of the columns to read as numbers.
            texts: positions of the columns to read as text.
            first: position in the file of the group's first row, used in messages.

        Returns:
            The columns of `numbers` as float64 arrays of pyarrow, and those of `texts` as pyarrow arrays of their own
            type.

        Raises:
            FileError: the group is damaged, or claims more memory than the file's size allows.
            DataError: a cell is empty, or a column of `numbers` is not numeric.
        """
        places = list(dict.fromkeys((*numbers, *texts)))
        names = [self._columns[place] for place in places]
        self._claim(places, [k])
        try:
            table = self._file.read_row_group(k, columns=names, use_threads=False)
            columns = {name: self.arrow.concat_arrays(table.column(name).chunks) for name in names}
            for column in columns.values():
                column.validate(full=True)
        except Exception as error:
            raise self._broken(error) from None
        words = [columns[self._columns[place]] for place in texts]
        for word, place in zip(words, texts, strict=True):
            self._check_full(word, place, first, "the cell is empty")
        return [self._numbers(columns[self._columns[place]], place, first) for place in numbers], words

    def _claim(self, places: Sequence[int], numbers: Iterable[int]) -> None:
        """Refuse row groups whose metadata claim more memory than the file's size allows."""
        metadata, wanted = self._file.metadata, {self._columns[place] for place in places}
        groups = [metadata.row_group(k) for k in numbers]
        chunks = [group.column(k) for group in groups for k in range(group.num_columns)]
        held = sum(max(0, chunk.total_uncompressed_size) for chunk in chunks if chunk.path_in_schema in wanted)
        rows = sum(group.num_rows for group in groups)
        amount = 8 * rows * len(places) + held
        said = f"{rows:,} rows of {len(places):,} columns"
        Claim(self.path, remedy="write it without compression").add(amount, str(self.path), said)

    def _batches(self, rows: int, columns: list[str]) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(rows, columns=columns)
        except Exception as error:
            raise self._broken(error) from None

    def _numbers(self, column: Any, place: int, done: int) -> Any:
        types, name = self.arrow.types, brief(self.names[place])
        self._check_full(column, place, done)
        if not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type)):
            raise DataError(f"{self.path}, column {name} is {column.type!s:.100}: must be real numbers")
        if types.is_boolean(column.type):
            column = column.cast(self.arrow.uint8())
        return column.cast(self.arrow.float64(), safe=False)

    def _texts(self, column: Any, place: int) -> list[str]:
        try:
            return ["" if value is None else str(value).strip() for value in column.to_pylist()]
        except UnicodeDecodeError:
            raise FileError(f"{self.path}, column {brief(self.names[place])} is not UTF-8 text") from None

    def _check_full(self, column: Any, place: int, done: int, said: str = "an empty cell is no number") -> None:
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(f"{self.path} row {done + row + 1}, column {brief(self.names[place])}: {said}")
