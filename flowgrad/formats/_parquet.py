"""Edges in Parquet, by columns. `polars` is imported here alone."""

from __future__ import annotations

import io
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, MissingDependencyError
from flowgrad.format import Source

ROWS = 5_000_000  # that are read at a time


def _library(purpose: str) -> Any:
    try:
        import polars
    except ModuleNotFoundError:
        raise MissingDependencyError("polars", "polars", purpose) from None
    return polars


class Table:
    """A Parquet file of columns of text, whole numbers and floats; `first` are their names."""

    def __init__(self, source: Source) -> None:
        self.polars, self.what, self.progress = _library("reading Parquet"), str(source.path), source.progress
        data = source.read()
        try:
            self.scan = self.polars.scan_parquet(io.BytesIO(data))
            self.first: list[str] = list(self.scan.collect_schema().names())
            self.rows = int(self.scan.select(self.polars.len()).collect().item())
        except (Exception, self.polars.exceptions.PanicException) as error:  # whatever it finds wrong with the bytes
            raise self.broken(error) from None

    def place(self, row: int) -> str:
        """Where a row stands, for a message."""
        return f"{self.what}, row {row + 1}"

    def batches(self, wanted: Collection[int]) -> Iterator[dict[int, Any]]:
        """Those columns, by place, batch by batch: polars Series of text, arrays of int64 or float64.

        Raises:
            FileError: damaged; an entry that is missing, with its row; a column of another type.
        """
        for first in range(0, self.rows, ROWS):
            try:
                frame = self.scan.slice(first, ROWS).select([self.first[k] for k in wanted]).collect()
            except (Exception, self.polars.exceptions.PanicException) as error:
                raise self.broken(error) from None
            yield {k: self._column(frame[self.first[k]], first) for k in wanted}
            if self.progress is not None:
                self.progress(min((first + ROWS) / self.rows, 1.0))

    def _column(self, series: Any, first: int) -> Any:
        if series.null_count():
            row = first + int(np.flatnonzero(series.is_null().to_numpy())[0])
            raise FileError(f"{self.place(row)}: column {series.name!r} is empty")
        if series.dtype == self.polars.String:
            return series
        if series.dtype.is_float():
            return series.cast(self.polars.Float64).to_numpy()
        if not series.dtype.is_integer() or (series.dtype == self.polars.UInt64 and series.max() >= 1 << 63):
            raise FileError(f"{self.what}: column {series.name!r} is {series.dtype}: must be text, Int64 or Float64")
        return series.cast(self.polars.Int64).to_numpy()

    def broken(self, error: BaseException) -> FileError:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return FileError(f"{self.what} is no Parquet file: {said}")


def dump(
    ids: Sequence[Hashable],
    source: npt.NDArray[np.int32],
    target: npt.NDArray[np.int32],
    values: Mapping[str, npt.NDArray[np.float64]],
) -> bytes:
    """A Parquet file of columns `source` and `target`, ids of the rows (E,), and the `values`, (E,) each."""
    polars = _library("writing Parquet")
    names = polars.Series(ids, dtype=polars.Int64 if isinstance(ids, range) or type(ids[0]) is int else polars.String)
    out = io.BytesIO()
    ends = {"source": names.gather(source), "target": names.gather(target)}
    polars.DataFrame({**ends, **values}).write_parquet(out)
    return out.getvalue()
