"""Edges in Parquet, by columns. pyarrow reads and writes it."""

from __future__ import annotations

import io
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError
from flowgrad.format import Source
from flowgrad.formats._arrow import needed

ROWS = 4_000_000  # that are read at a time


class Table:
    """A Parquet file of columns of text, whole numbers and floats; `first` are their names."""

    def __init__(self, source: Source) -> None:
        self.arrow, self.what, self.progress = needed("reading Parquet"), str(source.path), source.progress
        data = source.read()
        try:
            self.file = self.arrow.parquet.ParquetFile(self.arrow.BufferReader(data))
            self.first: list[str] = list(self.file.schema_arrow.names)
        except Exception as error:  # whatever the library finds wrong with the bytes
            raise self.broken(error) from None

    def place(self, row: int) -> str:
        """Where a row stands, for a message."""
        return f"{self.what}, row {row + 1}"

    def batches(self, wanted: Collection[int], loose: Collection[int] = ()) -> Iterator[dict[int, Any]]:
        """Those columns, by place, batch by batch: pyarrow arrays of text, arrays of int64 or float64.

        Args:
            loose: columns that may also hold truth values, and nothing; as lists, None where nothing stands.

        Raises:
            FileError: damaged; an entry that is missing, with its row; a column of another type.
        """
        read, total = 0, self.file.metadata.num_rows
        batches = self._batches([self.first[k] for k in {*wanted, *loose}])
        for batch in batches:
            columns = {k: self._column(batch.column(self.first[k]), self.first[k], read) for k in wanted}
            yield columns | {k: self._values(batch.column(self.first[k]), self.first[k]) for k in {*loose} - {*wanted}}
            read += batch.num_rows
            if self.progress is not None:
                self.progress(min(read / max(total, 1), 1.0))

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        try:
            yield from self.file.iter_batches(ROWS, columns=columns)
        except Exception as error:
            raise self.broken(error) from None

    def _column(self, values: Any, name: str, first: int) -> Any:
        arrow = self.arrow
        if values.null_count:
            row = first + int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            raise FileError(f"{self.place(row)}: column {name!r} is empty")
        kind = values.type.value_type if arrow.types.is_dictionary(values.type) else values.type
        try:
            if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
                text = values.cast(arrow.string())
                text.validate(full=True)  # text of a damaged file may be no UTF-8
                return text
            if arrow.types.is_floating(kind):
                return values.cast(arrow.float64()).to_numpy(zero_copy_only=False)
            if arrow.types.is_integer(kind):
                return values.cast(arrow.int64()).to_numpy(zero_copy_only=False)
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
            raise FileError(f"{self.what}: column {name!r}: {str(error).splitlines()[0][:200]}") from None
        raise FileError(f"{self.what}: column {name!r} is {values.type}: must be text, int64 or double")

    def _values(self, values: Any, name: str) -> list[Any]:
        types, kind = self.arrow.types, values.type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
        if not any(of(kind) for of in (*plain, types.is_null)):
            raise FileError(
                f"{self.what}: column {name!r:.100} is {values.type!s:.100}: an attribute must be text, a number or a "
                "truth value. attributes=[…] says which columns to keep"
            )
        try:
            values.validate(full=True)
            found: list[Any] = values.to_pylist()
        except (self.arrow.ArrowInvalid, UnicodeDecodeError) as error:
            raise FileError(f"{self.what}: column {name!r:.100}: {str(error).splitlines()[0][:200]}") from None
        return found

    def broken(self, error: Exception) -> FileError:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return FileError(f"{self.what} is no Parquet file, or a damaged one: {said}")


def dump(
    ids: Sequence[Hashable],
    source: npt.NDArray[np.int32],
    target: npt.NDArray[np.int32],
    values: Mapping[str, npt.NDArray[np.float64]],
) -> bytes:
    """A Parquet file of columns `source` and `target`, ids of the rows (E,), and the `values`, (E,) each."""
    arrow = needed("writing Parquet")
    whole = isinstance(ids, range) or type(ids[0]) is int
    names = arrow.array(list(ids), arrow.int64() if whole else arrow.string())
    out = io.BytesIO()
    ends = {"source": names.take(arrow.array(source)), "target": names.take(arrow.array(target))}
    arrow.parquet.write_table(arrow.table({**ends, **values}), out)
    return out.getvalue()
