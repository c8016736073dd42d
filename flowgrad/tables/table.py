"""Read tables of samples from text, Parquet or .npz by column names, and write them as CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import repeated
from flowgrad.atomic import put
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError, brief, suggest
from flowgrad.tables.archives import Archive, Parquet
from flowgrad.tables.delimited import Delimited
from flowgrad.tables.views import ByFeature, BySample

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Reading:
    """Hold the options for reading tables of samples: keys of [data] in a TOML file, and options of commands.

    orient   "samples": one row per sample; "features": one row per feature, as in tables of genes × samples
    surplus  "error": an unused column raises an error, since its name may be misspelt; "ignore": it is skipped
    missing  "error": an input that the table lacks raises an error; "drop": the input is removed from the network
    labels   path of another table with the columns of targets or classes, joined by the ids of the samples; None if all
             columns are in one table
    key      name of the column of sample ids in both tables; None uses the unnamed first column, or the header if a row
             is a feature
    """

    orient: str = "samples"
    surplus: str = "error"
    missing: str = "error"
    labels: Path | None = None
    key: str | None = None


class Table:
    """Read columns of a file of samples by name.

    The names are read at construction, the values on demand. The suffixes `.npz`, `.parquet` and `.pq` select these
    formats; any other file is read as delimited text, decompressed if it ends in `.gz`.

    Args:
        path: the file.
        reading: options; the default reads one row per sample, without a table of labels.

    Attributes:
        names: the columns (or features) of the file itself; those of the table `reading.labels` can be read as well.
        wide: mapping from the name of each 2-D array `A` of an .npz to its columns `A[0]` … `A[k-1]`.

    Raises:
        FileError: the file is missing, unreadable, or not of the format of its suffix.
        DataError: there is no header; a name occurs twice (with `surplus="ignore"` this is raised when the column is
            read); an .npz, or a table whose rows are features, has no samples.
        ConfigError: `reading.orient` is "features" for an .npz.
    """

    def __init__(self, path: Path, reading: Reading = Reading()) -> None:
        self.path, self.reading = path, reading
        source = _source(path)
        self.wide: dict[str, tuple[str, ...]] = source.wide if isinstance(source, Archive) else {}
        if reading.orient == "features" and isinstance(source, Archive):
            raise ConfigError(f"{path}: an .npz has no rows of features: transpose its arrays, or write a CSV")
        self._view = ByFeature(source) if reading.orient == "features" else BySample(source)
        self.names = self._view.names
        self._known, self._texts = Counter(self.names), dict[str, list[str]]()
        twice = repeated(self.names) if reading.surplus == "error" else None
        if twice is not None:
            raise DataError(f"{path} names the {self.what} {brief(twice)} twice")
        self._labels = None
        if reading.labels is not None:
            self._labels = Table(reading.labels, Reading(surplus="ignore", key=reading.key))

    @property
    def what(self) -> str:
        """Noun for a name in messages: "column", or "feature" if a row is a feature."""
        return "column" if self.reading.orient == "samples" else "feature"

    def has(self, name: str) -> bool:
        """Return whether the file, or its table of labels, has a column of that name."""
        return name in self._known or (self._labels is not None and self._labels.has(name))

    def need(self, name: str, what: str) -> None:
        """Check that a column exists and is unambiguous.

        Args:
            name: name of the column.
            what: use of the column, for the message.

        Raises:
            UnknownNameError: there is no such column; the message suggests the nearest name.
            DataError: the name occurs twice, or in the file and in its table of labels.
        """
        if not self.has(name):
            rest, known = "", [*self.names]
            if self._labels is not None:
                rest, known = f", and so does {self._labels.path}", [*known, *self._labels.names]
            raise UnknownNameError(
                f"{self.path} lacks the {self.what} of {what} {brief(name)}{rest}{suggest(name, known)}"
            )
        if self._known[name] > 1:
            raise DataError(f"{self.path} names the {self.what} {brief(name)} twice")
        if self._labels is not None and self._labels.has(name):
            if name in self._known and name != self.reading.key:  # the key may have one name in both
                raise DataError(f"{brief(name)} stands in {self.path} and in {self._labels.path}: rename one of them")
            self._labels.need(name, what)

    def numbers(self, names: Sequence[str], dtype: Any = np.float64) -> Numbers:
        """Read columns as an array (B, len(names)) of the given dtype, rounded from float64; NaN and inf are accepted.

        Raises:
            UnknownNameError, DataError: as `gather`.
        """
        return self.gather([names], [dtype])[0]

    def gather(
        self, groups: Sequence[Sequence[str]], dtypes: Sequence[Any], texts: Sequence[str] = ()
    ) -> list[Numbers]:
        """Read one array (B, columns) per group of column names, in one pass over the file.

        Args:
            groups: the names of each group's columns, all read as numbers.
            dtypes: the dtype of each group's array.
            texts: names of columns to read as text in the same pass; they are cached for `text`.

        Raises:
            UnknownNameError: there is no such column.
            DataError: a cell is not a number, or a row has another length than the header (the message names line and
                column); a name is ambiguous; the file has no rows.
        """
        for group in groups:
            for name in group:
                self.need(name, "numbers")
        own = [[name for name in group if name in self._known] for group in groups]
        both = {name for group in own for name in group}
        words = [name for name in texts if name in self._known and name not in self._texts and name not in both]
        arrays, found = self._view.gather(own, dtypes, words)
        if any(map(len, own)) and not all(map(len, arrays)):
            raise DataError(f"{self.path} has no samples under its header")
        self._texts |= dict(zip(words, found, strict=True))
        joined = zip(groups, own, arrays, strict=True)
        return [array if len(mine) == len(group) else self._joined(group, mine, array) for group, mine, array in joined]

    def _joined(self, group: Sequence[str], own: Sequence[str], array: Numbers) -> Numbers:
        """Join the columns of a group from the file and its labels, in the order of the group."""
        assert self._labels is not None
        others = [name for name in group if name not in self._known]
        rows = self._rows_of_labels
        found = np.empty((len(rows), len(group)), array.dtype)
        at = {name: k for k, name in enumerate(group)}
        if own:
            found[:, [at[name] for name in own]] = array
        found[:, [at[name] for name in others]] = self._labels.numbers(others)[rows]
        return found

    def text(self, name: str) -> list[str]:
        """Read a column as a list of strings: classes, ids or groups.

        Raises:
            UnknownNameError, DataError: as `need`; a cell is empty (the message names the sample); the file has no
                rows.
        """
        self.need(name, "classes")
        words, where = self._words(name), self.path
        if name not in self._known:
            assert self._labels is not None
            words, where = self._labels._words(name), self._labels.path
            words = [words[row] for row in self._rows_of_labels.tolist()]
        if "" in words:
            row = words.index("")
            who = f"sample {row + 1}" if name in self._known else f"sample {brief(self.ids()[row])}"
            said = "the cell is empty; leave the sample out, or write what it is"
            raise DataError(f"{where}, {who}, {self.what} {brief(name)}: {said}")
        return words

    def _words(self, name: str) -> list[str]:
        """Read a column of this file as text, cached; [] for a column that this file lacks."""
        if name not in self._known:
            return []
        if name not in self._texts:
            self._texts[name] = self._view.gather([], [], [name])[1][0]
        if not self._texts[name]:
            raise DataError(f"{self.path} has no samples under its header")
        return self._texts[name]

    def ids(self) -> list[str]:
        """Return the id of each sample: from the column `reading.key`, else the unnamed first column, or the header.

        The header is used if a row is a feature.

        Raises:
            ConfigError: the file has none of these.
        """
        if self.reading.orient == "samples" and self.reading.key is not None and self.reading.key in self._known:
            return self.text(self.reading.key)
        if self._ids is None:
            lacks = "it has no unnamed first column" if self.reading.key is None else "it lacks that column"
            said = "data.key is missing" if self.reading.key is None else f'data.key = "{self.reading.key}"'
            near = suggest(self.reading.key or "", self.names)
            raise ConfigError(f"{said}: {self.path} cannot be joined by ids, as {lacks}{near}")
        return self._ids

    @cached_property
    def _ids(self) -> list[str] | None:
        return self._view.ids()

    @cached_property
    def _rows_of_labels(self) -> npt.NDArray[np.int64]:
        """(B,) row of `labels` for each sample; DataError where a sample has none, or two."""
        assert self._labels is not None
        known, own = self._labels.ids(), self.ids()
        twice = repeated(known)
        if twice is not None:
            raise DataError(f"{self._labels.path} has two rows of the sample {brief(twice)}: ids must be unique there")
        row = {name: k for k, name in enumerate(known)}
        lost = [name for name in own if name not in row]
        if lost:
            more = f", and {len(lost) - 1:,} more" if len(lost) > 1 else ""
            raise DataError(
                f"{self._labels.path} has no row of the sample {brief(lost[0])} of {self.path}{more}"
                f"{suggest(lost[0], row)}"
            )
        return np.array([row[name] for name in own], np.int64)


def _source(path: Path) -> Archive | Parquet | Delimited:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return Archive(path)
    return Parquet(path) if suffix in (".parquet", ".pq") else Delimited(path)


def write(path: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    """Write a CSV file with a header, atomically.

    Args:
        path: the file; an existing regular file is replaced.
        columns: the entries of each column by name, all of the same length. Floats are written by `repr`, which is read
            back bit-identically.

    Raises:
        FileError: the folder is missing or cannot be written to, or the path is not a regular file.
    """
    try:
        put(path, map(str.encode, _lines(columns)))
    except OSError as error:
        raise FileError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None


def write_rows(file: IO[str], columns: Mapping[str, Iterable[Any]]) -> None:
    """Write the header and the rows of a CSV to an open text file; `columns` as for `write`."""
    file.writelines(_lines(columns))


def _lines(columns: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV, header first; floats by repr, which is read back bit-identical."""
    line: Any = csv.writer(SimpleNamespace(write=str), lineterminator="\n")  # writerow returns what write returns
    yield line.writerow(columns)
    yield from map(
        line.writerow, zip(*(c.tolist() if isinstance(c, np.ndarray) else c for c in columns.values()), strict=True)
    )
