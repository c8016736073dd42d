"""Read samples from Parquet files that stay on disk, by row groups, for `fg.fit`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError, DataError, ShapeError, UnknownNameError, brief, suggest
from flowgrad.scaling import Scaling
from flowgrad.tables.archives import Parquet
from flowgrad.tables.delimited import matrix

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]
PathLike = str | os.PathLike[str]


class ParquetSamples:
    """Samples in Parquet files that stay on disk, for training on more data than fits into memory.

    The object is passed to `fg.fit` as X, with T left out. A row group is always read as a whole, so files should be
    written with a `row_group_size` of about 10,000 rows. By default, `fit` reads the row groups in a new random
    order in each epoch, and shuffles the samples of the groups that are in memory together (argument `shuffle`).

    Args:
        path: a file, or a list of files whose samples follow one another.
        inputs: names of the columns of X, in the order of the network's inputs.
        targets: names of the columns of T, in the order of the network's outputs; or a single name, not in a list, for
            targets of shape (N,): class indices under cross_entropy, else the values of a single output.
        classes: class labels, texts, allowed if `targets` is a single name: the column then contains labels, and
            classes[k] has the class index k. Default: the columns contain numbers.

    Raises:
        FileError: a file is missing, damaged or no Parquet file.
        UnknownNameError: a file lacks a column; or, when samples are read, a label is not in `classes`.
        DataError: there are no samples; or, when samples are read, a cell is empty or no number.
        ConfigError: `inputs`, `targets` or `classes` is no list of texts, or is empty; or `classes` is given and
            `targets` is a list.
        MissingDependencyError: pyarrow is not installed.
    """

    def __init__(
        self,
        path: PathLike | Sequence[PathLike],
        inputs: Sequence[str],
        targets: str | Sequence[str],
        classes: Sequence[str] | None = None,
    ) -> None:
        paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
        self.inputs, self._one = _texts("inputs", inputs), isinstance(targets, str)
        self.targets = (targets,) if isinstance(targets, str) else _texts("targets", targets)
        self.classes = None if classes is None else _texts("classes", classes)
        if self.classes is not None and not self._one:
            raise ConfigError("classes go with one target: give its name, targets='status', not a list")
        self._files = [Parquet(Path(each)) for each in paths]
        self._groups = [group for file in self._files for group in _groups(file)]
        self.blocks: Rows = np.cumsum([0, *(group.rows for group in self._groups)], dtype=np.intp)
        """Number of the first sample of each of the K non-empty row groups, and N: (K + 1,) int."""
        if not len(self):
            raise DataError(f"{brief(str(paths[0]) if paths else paths)} has no samples")
        self._need((*self.inputs, *self.targets))
        self._scaling: Scaling | None = None
        dtypes = {np.float32 if file.is_float32(self._of(file, self.inputs)) else np.float64 for file in self._files}
        self._dtype = np.dtype(np.float64 if np.float64 in dtypes else np.float32)

    def __len__(self) -> int:
        return int(self.blocks[-1])

    def take(self, rows: Rows, /) -> tuple[Array, Array]:
        """Read the samples with these numbers, in this order.

        Args:
            rows: (n,) int, numbers of samples from 0 to N − 1.

        Returns:
            x (n, I), float32 if every input column is float32 or float16 and there is no scaling, else float64; and
            t (n, O) float64. If `targets` is a single name, t is (n,), int64 if all its values are integers, else
            float64.

        Raises:
            DataError: a number is out of range; or as for the class.
            FileError, UnknownNameError: as for the class.
        """
        rows = np.asarray(rows)
        wrong = rows[(rows < 0) | (rows >= len(self))]
        if len(wrong):
            raise DataError(f"row {wrong[0]}: there are {len(self)} samples, 0 … {len(self) - 1}")
        x = np.empty((len(rows), len(self.inputs)), self._dtype)
        t = np.empty((len(rows), len(self.targets)))
        group = np.searchsorted(self.blocks, rows, side="right") - 1
        for k in np.unique(group).tolist():
            places = np.flatnonzero(group == k)
            of_x, of_t = self._read(self._groups[k])
            local = rows[places] - self.blocks[k]
            x[places], t[places] = of_x[local], of_t[local]
        if not self._one:
            return x, t
        whole = t[:, 0].astype(np.int64)
        return x, whole if (whole == t[:, 0]).all() else t[:, 0]

    def column(self, name: str) -> Array:
        """Read a column of numbers of all samples, (N,) float64, for example for the `sample_weight` of `fit`.

        Args:
            name: name of the column, which need not be an input or target.

        Raises:
            UnknownNameError: a file lacks the column.
            DataError, FileError: as for the class.
        """
        self._need([name])
        return np.concatenate([self._numbers(group, [name])[:, 0] for group in self._groups])

    def scaling(self) -> Scaling:
        """Compute the mean and standard deviation of each unscaled input, in one pass over the files.

        The result is an argument for `scaled`. A constant input has the scale 1.

        Raises:
            FileError, DataError: as for the class; or an input has values that are not finite.
        """
        return Scaling.over(self._numbers(group, self.inputs) for group in self._groups)

    def scaled(self, scaling: Scaling) -> ParquetSamples:
        """Return the same samples with a scaling that is applied to the inputs when they are read.

        Args:
            scaling: scaling of I columns; it replaces an earlier one.

        Raises:
            DataError: `scaling` is no `Scaling`.
            ShapeError: the number of columns of the scaling is not I.
        """
        if len(instance("scaled", scaling, Scaling)) != len(self.inputs):
            raise ShapeError(f"a scaling of {len(scaling)} columns: there are {len(self.inputs)} inputs")
        other = copy(self)
        other._scaling, other._dtype = scaling, np.dtype(np.float64)
        return other

    def _read(self, group: Group) -> tuple[Array, Array]:
        """Read a row group's inputs (n, I), scaled, and targets (n, O)."""
        if self.classes is None:
            both = self._numbers(group, (*self.inputs, *self.targets))
            x, t = both[:, : len(self.inputs)], both[:, len(self.inputs) :]
        else:
            file, inputs, targets = group.file, self._of(group.file, self.inputs), self._of(group.file, self.targets)
            numbers, texts = file.group(group.number, inputs, targets, group.first)
            x, t = matrix(file.arrow, numbers), self._indices(group, texts[0])
        scaled = x if self._scaling is None else self._scaling(x)
        return np.ascontiguousarray(scaled, self._dtype), t  # C order, as `take` gathers rows

    def _numbers(self, group: Group, names: Sequence[str]) -> Array:
        """Read columns of a row group as (n, columns) float64."""
        file = group.file
        return matrix(file.arrow, file.group(group.number, self._of(file, names), (), group.first)[0])

    def _indices(self, group: Group, texts: Any) -> Array:
        """Convert class texts to their class numbers, (n, 1) float64."""
        arrow, known = group.file.arrow, self.classes or ()
        found = arrow.compute.index_in(texts.cast(arrow.string()), value_set=arrow.array(known))
        if found.null_count:
            row = int(np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False))[0])
            word = str(texts[row].as_py())
            raise UnknownNameError(
                f"{group.file.path} row {group.first + row + 1}: {brief(word)} is no class of "
                f"{brief(self.targets[0])}{suggest(word, known)}"
            )
        indices: Array = found.to_numpy(zero_copy_only=False).astype(np.float64)[:, None]
        return indices

    def _need(self, names: Sequence[str]) -> None:
        """Raise UnknownNameError where a file lacks one of these columns."""
        for file in self._files:
            self._of(file, names)

    def _of(self, file: Parquet, names: Sequence[str]) -> list[int]:
        """Return the places of these columns in a file; UnknownNameError where one is missing."""
        place = {name: k for k, name in enumerate(file.names)}
        for name in names:
            if name not in place:
                raise UnknownNameError(f"{file.path} lacks the column {brief(name)}{suggest(name, file.names)}")
        return [place[name] for name in names]

    def __repr__(self) -> str:
        what = f"{len(self):,} samples in {len(self._groups)} row groups"
        return f"ParquetSamples({what}, {len(self.inputs)} inputs, {len(self.targets)} targets)"


@dataclass(frozen=True)
class Group:
    """A non-empty row group of a file: its number, its first row in the file, its number of rows."""

    file: Parquet
    number: int
    first: int
    rows: int


def _groups(file: Parquet) -> Iterator[Group]:
    first = 0
    for number, rows in enumerate(file.groups):
        if rows:
            yield Group(file, number, first, rows)
        first += rows


def _texts(what: str, given: Any) -> tuple[str, ...]:
    """Check a list of column names and return it as a tuple."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not len(given):
        raise ConfigError(f"{what}={brief(given)}: give a list of names")
    wrong = [each for each in given if not isinstance(each, str)]
    if wrong:
        raise ConfigError(f"{what} has {brief(wrong[0])}: columns of a file are called by texts")
    return tuple(given)
