"""Read tables by column names in either orientation: one row per sample, or one row per feature."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import repeated
from flowgrad.errors import DataError, brief
from flowgrad.format import Claim
from flowgrad.tables.delimited import Block

Numbers = npt.NDArray[Any]
GROWTH = 1.125  # factor by which an array of rows grows when full


class Source(Protocol):
    """Protocol of a file that yields some of its columns block by block."""

    path: Path
    names: tuple[str, ...]

    def blocks(self, numbers: Sequence[int], texts: Sequence[int], only: Any = None) -> Iterator[Block]: ...


class BySample:
    """Read a table that has one row per sample.

    An unnamed first column is the index, and is not in `names`.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.names = source, source.names
        self._skipped = 1 if len(source.names) > 1 and source.names[0] == "" else 0
        self.names = source.names[self._skipped :]
        self._place = {name: k for k, name in enumerate(source.names) if k >= self._skipped}

    def ids(self) -> list[str] | None:
        """Return the index, one string per sample; None if there is no index."""
        return self._gather((), [], [0])[1][0] if self._skipped else None

    def gather(
        self, groups: Sequence[Sequence[str]], dtypes: Sequence[Any], texts: Sequence[str]
    ) -> tuple[list[Numbers], list[list[str]]]:
        """Read one array (B, columns) per group and one list of strings per text column, in one pass.

        Args:
            groups: the names of each group's columns; all names must exist.
            dtypes: the dtype of each group's array.
            texts: the names of the text columns.
        """
        columns = [[self._place[name] for name in group] for group in groups]
        return self._gather(columns, dtypes, [self._place[name] for name in texts])

    def _gather(
        self, groups: Sequence[Sequence[int]], dtypes: Sequence[Any], texts: Sequence[int]
    ) -> tuple[list[Numbers], list[list[str]]]:
        numbers = list(dict.fromkeys(place for group in groups for place in group))
        order = {place: k for k, place in enumerate(numbers)}
        kept = [_span([order[place] for place in group]) for group in groups]
        claim = Claim(self.source.path, remedy="unpack it first") if self.source.path.suffix.lower() == ".gz" else None
        arrays = [_Growing(len(group), dtype, claim) for group, dtype in zip(groups, dtypes, strict=True)]
        words: list[list[str]] = [[] for _ in texts]
        for block in self.source.blocks(numbers, texts):
            for array, columns in zip(arrays, kept, strict=True):
                array.add(block.numbers[:, columns])
            for column, more in zip(words, block.texts, strict=True):
                column += more
            del block  # frees it before the next is read
        return [array.finished() for array in arrays], words


class ByFeature:
    """Read a table that has one row per feature, as genes × samples.

    The first column names the features, and the header names the samples.

    Raises:
        DataError: the file has no column of samples, or two samples have the same name.
    """

    def __init__(self, source: Source) -> None:
        self.source, self._ids = source, list(source.names[1:])
        if not self._ids:
            raise DataError(f"{source.path} has no samples: orient = 'features' takes a column a sample")
        twice = repeated(self._ids)
        if twice is not None:
            raise DataError(f"{source.path} names the sample {brief(twice)} twice")
        found: list[str] = []
        for block in source.blocks((), (0,)):
            found += block.texts[0]
        self.names = tuple(found)

    def ids(self) -> list[str]:
        """Return the names of the samples, from the header."""
        return self._ids

    def gather(
        self, groups: Sequence[Sequence[str]], dtypes: Sequence[Any], texts: Sequence[str]
    ) -> tuple[list[Numbers], list[list[str]]]:
        """Read arrays and texts as `BySample.gather` does, with one additional pass for each text."""
        samples = range(1, len(self._ids) + 1)
        arrays = [np.empty((len(samples), len(group)), t) for group, t in zip(groups, dtypes, strict=True)]
        columns = [_places(group) for group in groups]
        wanted = {name for group in groups for name in group}
        if wanted:
            for block in self.source.blocks(samples, (0,), wanted):
                for array, places in zip(arrays, columns, strict=True):
                    at = [(row, k) for row, name in enumerate(block.texts[0]) for k in places.get(name, ())]
                    if at:
                        rows, into = map(list, zip(*at, strict=True))
                        with np.errstate(over="ignore"):
                            array[:, into] = block.numbers[rows].T
        return arrays, [self._text(name, samples) for name in texts]

    def _text(self, name: str, samples: Sequence[int]) -> list[str]:
        found = [block.texts for block in self.source.blocks((), (0, *samples), {name}) if block.texts[0]]
        return [column[0] for column in found[0][1:]]


class _Growing:
    """An array that is filled block by block; its memory is extended in place if the system can do so."""

    def __init__(self, columns: int, dtype: Any, claim: Claim | None) -> None:
        self._array: Numbers = np.empty((0, columns), dtype)
        self._rows, self._claim = 0, claim

    def add(self, block: Numbers) -> None:
        end = self._rows + len(block)
        if self._claim is not None:
            size = block.size * self._array.itemsize
            self._claim.add(size, str(self._claim.path), "its cells, unpacked,")
        if end > len(self._array):
            self._resize(max(end, int(GROWTH * len(self._array))))
        with np.errstate(over="ignore"):  # values beyond float32 become inf
            self._array[self._rows : end] = block
        self._rows = end

    def finished(self) -> Numbers:
        self._resize(self._rows)
        return self._array

    def _resize(self, rows: int) -> None:
        self._array.resize((rows, self._array.shape[1]), refcheck=False)


def _span(places: list[int]) -> Any:
    """Return places as a slice where they are consecutive (a view, not a copy), else as they are."""
    n = len(places)
    return slice(places[0], places[0] + n) if n and places == list(range(places[0], places[0] + n)) else places


def _places(names: Collection[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k, name in enumerate(names):
        found.setdefault(name, []).append(k)
    return found
