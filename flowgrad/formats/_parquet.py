"""Read and write edges in Parquet, by columns, with pyarrow."""

from __future__ import annotations

import io
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, brief
from flowgrad.format import Claim, Source
from flowgrad.formats._arrow import needed

ROWS = 4_000_000  # rows of one batch
EDGE, ENTRY = 120, 40  # peak memory in bytes of an edge, of an attribute of an edge; measured, rounded up
TEXT = 5  # peak memory in bytes of a byte of an uncompressed column, while its text is decoded


class Table:
    """Read a Parquet file with columns of text, integers and floats; `first` holds their names."""

    def __init__(self, source: Source, max_bytes: int | None = None) -> None:
        self.arrow, self.what, self.progress = needed("reading Parquet"), str(source.path), source.progress
        self.claim = Claim(source.path, max_bytes)
        data = self.arrow.BufferReader(source.read())
        types = self.arrow.types
        try:
            schema = self.arrow.parquet.read_schema(data)
            texts = [f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type)]
            self.file = self.arrow.parquet.ParquetFile(data, read_dictionary=texts)  # each distinct text once
            self.first: list[str] = list(self.file.schema_arrow.names)
        except Exception as error:  # the library raises many types for damaged bytes
            raise self.broken(error) from None

    def place(self, row: int) -> str:
        """Return the file and the number of a row, for a message."""
        return f"{self.what}, row {row + 1}"

    def batches(self, wanted: Collection[int], loose: Collection[int] = ()) -> Iterator[dict[int, Any]]:
        """Yield batches of columns by position: pyarrow's dictionary arrays of text, arrays of int64 or float64.

        Args:
            loose: columns that may also hold truth values and missing entries: lists, unless in `wanted`, with None.

        Raises:
            FileError: damaged; an entry that is missing, with its row; a column of another type; more memory
                than the file may claim.
        """
        read, total = 0, self.file.metadata.num_rows
        self._claim({self.first[k] for k in {*wanted, *loose}}, len(loose))
        batches = self._batches([self.first[k] for k in {*wanted, *loose}])
        for batch in batches:
            columns = {k: self._column(batch.column(self.first[k]), self.first[k], read) for k in wanted}
            yield columns | {k: self._values(batch.column(self.first[k]), self.first[k]) for k in {*loose} - {*wanted}}
            read += batch.num_rows
            if self.progress is not None:
                self.progress(min(read / max(total, 1), 1.0))

    def _claim(self, columns: Collection[str], attributes: int) -> None:
        """Count the memory that the columns need, from the file's metadata, before any page of them is read."""
        metadata = self.file.metadata
        groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
        rows = max(metadata.num_rows, sum(group.num_rows for group in groups))
        chunks = [group.column(k) for group in groups for k in range(group.num_columns)]
        try:
            held = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in columns)
        except UnicodeDecodeError as error:  # a damaged name of a column
            raise self.broken(error) from None
        said = f"{rows:,} rows and {held:,} bytes of columns"
        self.claim.add(rows * (EDGE + ENTRY * attributes) + TEXT * max(held, 0), self.what, said)

    def _batches(self, columns: list[str]) -> Iterator[Any]:
        try:
            yield from self.file.iter_batches(ROWS, columns=columns)
        except Exception as error:
            raise self.broken(error) from None

    def _column(self, values: Any, name: str, first: int) -> Any:
        arrow = self.arrow
        if values.null_count:
            row = first + int(np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))[0])
            raise FileError(f"{self.place(row)}: column {brief(name)} is empty")
        kind = values.type.value_type if arrow.types.is_dictionary(values.type) else values.type
        try:
            if arrow.types.is_string(kind) or arrow.types.is_large_string(kind):
                texts = values.dictionary.cast(arrow.string())
                texts.validate(full=True)  # text of a damaged file may be no UTF-8
                return arrow.DictionaryArray.from_arrays(values.indices.cast(arrow.int32()), texts)
            if arrow.types.is_floating(kind):
                return values.cast(arrow.float64()).to_numpy(zero_copy_only=False)
            if arrow.types.is_integer(kind):
                return values.cast(arrow.int64()).to_numpy(zero_copy_only=False)
        except arrow.ArrowException as error:
            raise FileError(f"{self.what}: column {brief(name)}: {str(error).splitlines()[0][:200]}") from None
        raise FileError(f"{self.what}: column {brief(name)} is {values.type}: must be text, int64 or double")

    def _values(self, values: Any, name: str) -> list[Any]:
        types, kind = self.arrow.types, values.type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        plain = (types.is_string, types.is_large_string, types.is_integer, types.is_floating, types.is_boolean)
        if not any(of(kind) for of in (*plain, types.is_null)):
            raise FileError(
                f"{self.what}: column {brief(name)} is {values.type!s:.100}: an attribute must be text, a number or a "
                "truth value. attributes=[…] says which columns to keep"
            )
        try:
            values.validate(full=True)
            found = entries(values)
        except (self.arrow.ArrowException, UnicodeDecodeError) as error:
            raise FileError(f"{self.what}: column {brief(name)}: {str(error).splitlines()[0][:200]}") from None
        return found

    def broken(self, error: Exception) -> FileError:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        return FileError(f"{self.what} is no Parquet file, or a damaged one: {said}")


def entries(values: Any) -> list[Any]:
    """Convert a pyarrow array to a list of Python objects; equal entries of a dictionary array are one object."""
    if not hasattr(values, "dictionary"):
        return list(values.to_pylist())
    objects = [*values.dictionary.to_pylist(), None]
    return [objects[k] for k in values.indices.fill_null(len(objects) - 1).to_pylist()]


def dump(
    ids: Sequence[Hashable],
    source: npt.NDArray[np.int32],
    target: npt.NDArray[np.int32],
    values: Mapping[str, npt.NDArray[np.float64]],
) -> bytes:
    """Return a Parquet file of columns `source` and `target`, the ids at these rows (E,), and `values`, (E,) each."""
    arrow = needed("writing Parquet")
    whole = isinstance(ids, range) or type(ids[0]) is int
    names = arrow.array(list(ids), arrow.int64() if whole else arrow.string())
    out = io.BytesIO()
    ends = {"source": names.take(arrow.array(source)), "target": names.take(arrow.array(target))}
    arrow.parquet.write_table(arrow.table({**ends, **values}), out)
    return out.getvalue()
