"""Convert tables to samples: the roles of columns, held-out samples, and the coding of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, DataError, UnknownNameError, brief, listing, suggest
from flowgrad.fitting.samples import digest
from flowgrad.tables.table import Table

ROWS = 1024  # rows that are checked at a time


@dataclass(frozen=True)
class Samples:
    """X (B, I), float64 or float32, and T: (B, O) float64 targets, or (B,) int64 class indices under a label.

    s  (B,) float64 sample weights above 0, or None
    """

    X: npt.NDArray[Any]
    T: npt.NDArray[Any]
    s: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.X)

    def take(self, rows: npt.NDArray[np.int64]) -> Samples:
        """Select rows of the samples."""
        return Samples(self.X[rows], self.T[rows], None if self.s is None else self.s[rows])

    def digests(self) -> dict[str, str]:
        """Compute the digest by which a resumed training recognises its test samples."""
        return {"test data": digest(self.X, self.T, self.s)}


@dataclass(frozen=True)
class Roles:
    """The roles of a file's columns for a network.

    inputs   columns of X, in the order of the network's inputs
    targets  columns of T, in the order of its outputs; empty under a label
    label    the column of classes, or None
    classes  class k belongs to output k; a single output gives the logit of classes[1]
    weight   the column of the samples' weights, or None
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...] = ()
    label: str | None = None
    classes: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    weight: str | None = None


def with_weight(roles: Roles, weight: str | None) -> Roles:
    """Add the column of the samples' weights; it is never surplus, also where weights are not read.

    Raises:
        ConfigError: the column is an input, a target or the label.
    """
    if weight is None:
        return roles
    taken = {"an input": roles.inputs, "a target": roles.targets, "the label": (roles.label,)}
    for role, names in taken.items():
        if weight in names:
            raise ConfigError(f'data.weight = "{weight}": that column is {role}')
    return replace(roles, weight=weight, ignore=tuple(dict.fromkeys((*roles.ignore, weight))))


def columns_of(table: Table, given: Sequence[str] | str | None, default: Sequence[str]) -> tuple[str, ...]:
    """Resolve the columns that a key of the configuration names: a list, or the columns of a 2-D array."""
    if given is None:
        return tuple(default)
    if isinstance(given, str):
        if given not in table.wide:
            raise UnknownNameError(f"{table.path} has no 2-D array {brief(given)}{suggest(given, table.wide)}")
        return table.wide[given]
    return tuple(given)


def read(table: Table, roles: Roles, *, finite: bool = False, answers: bool = True, dtype: Any = np.float64) -> Samples:
    """Read the samples of a file; a column that nothing reads is an error, unless the table's reading ignores it.

    Args:
        finite: refuse NaN and inf, naming the cell.
        answers: whether targets or labels are read, and weights; without, T is empty. Samples of weight 0 are left out.
        dtype: of X; float32 is float64 rounded.
    """
    for name in roles.inputs:
        table.need(name, "input")
    for name in roles.targets if answers else ():
        table.need(name, "target")
    if table.reading.surplus == "error":
        _check_surplus(table, roles)
    classes, weight = (roles.label, roles.weight) if answers else (None, None)
    groups = [roles.inputs, roles.targets if answers else (), () if weight is None else (weight,)]
    for name in groups[2]:
        table.need(name, "weight")
    X, T, s = table.gather(groups, [dtype, np.float64, np.float64], () if classes is None else (classes,))
    if finite:
        _check_finite(table, X, roles.inputs)
    if not answers:
        return Samples(X, np.empty((len(X), 0)))
    if classes is not None:
        T = class_indices(table, classes, roles.classes)
    else:
        _check_finite(table, T, roles.targets)
    return Samples(X, T) if weight is None else _weighted(table, Samples(X, T), s[:, 0], weight)


def _weighted(table: Table, samples: Samples, s: npt.NDArray[np.float64], weight: str) -> Samples:
    """Select the samples of weight above 0, with their weights."""
    wrong = np.flatnonzero(~(np.isfinite(s) & (s >= 0)))
    if len(wrong):
        where = f"{table.path}, sample {wrong[0] + 1}, column {brief(weight)}"
        raise DataError(f"{where}: {s[wrong[0]]} is no weight: must be finite, 0 or more")
    return Samples(samples.X, samples.T, s).take(np.flatnonzero(s))


def text_of(table: Table, name: str, roles: Roles) -> list[str]:
    """Read a column as text, for the samples that `read` gives."""
    words = table.text(name)
    if roles.weight is None:
        return words
    return [words[row] for row in np.flatnonzero(table.numbers((roles.weight,))[:, 0]).tolist()]


def answered(table: Table, roles: Roles) -> bool:
    """Return whether a table holds the label, or all targets."""
    return table.has(roles.label) if roles.label is not None else all(map(table.has, roles.targets))


def _check_surplus(table: Table, roles: Roles) -> None:
    expected = {*roles.inputs, *roles.targets, *roles.ignore, roles.label, table.reading.key}
    extra = [name for name in table.names if name not in expected]
    if extra:
        raise UnknownNameError(
            f"{table.path} has a {table.what} {brief(extra[0])}, which is no input, target or label"
            f"{f', and {len(extra) - 1} more' if len(extra) > 1 else ''}: have it ignored, rename it, or say "
            'surplus = "ignore"'
        )


def _check_finite(table: Table, values: npt.NDArray[Any], names: Sequence[str]) -> None:
    for first in range(0, len(values), ROWS):
        wrong = np.argwhere(~np.isfinite(values[first : first + ROWS]))
        if not len(wrong):
            continue
        row, column = first + int(wrong[0, 0]), int(wrong[0, 1])
        raise DataError(
            f"{table.path}, sample {row + 1}, column {brief(names[column])}: {values[row, column]} is not finite"
        )


def class_indices(table: Table, label: str, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Map a column of class names to indices (B,) int64 into `classes`."""
    index = {name: k for k, name in enumerate(classes)}
    found = table.text(label)
    for row, name in enumerate(found):
        if name not in index:
            raise UnknownNameError(
                f"{table.path}, sample {row + 1}: {brief(name)} is no class of {brief(label)}{suggest(name, classes)}"
            )
    return np.array([index[name] for name in found], np.int64)


def classes_of(table: Table, label: str, outputs: Sequence[str], positive: str | None) -> tuple[str, ...]:
    """Order the classes as the outputs.

    Several outputs whose names are the classes give their order; else it is that of numbers, or of the alphabet.
    A single output gives the logit of `positive`: by default the class of its name, or the last of two.

    Raises:
        ConfigError: another number of classes than the outputs can tell apart, or no such `positive`.
    """
    table.need(label, "label")
    found = words_of(table, label)
    room = 2 if len(outputs) == 1 else len(outputs)
    if len(found) != room:
        raise ConfigError(
            f"{table.path} has {len(found)} classes in {brief(label)} ({listing(found, limit=5)}): "
            f"the network's outputs, {listing(outputs, limit=5)}, tell {room} apart"
        )
    if positive is not None and (positive not in found or len(outputs) > 1):
        rest = "needs a network with one output" if len(outputs) > 1 else f"is no class of {label!r}"
        raise ConfigError(f'data.positive = "{positive}": {rest}{suggest(positive, found)}')
    if len(outputs) > 1:
        return tuple(outputs) if set(outputs) == set(found) else tuple(found)
    last = positive or (outputs[0] if outputs[0] in found else found[1])
    return (*(name for name in found if name != last), last)


def words_of(table: Table, label: str) -> list[str]:
    """List the distinct words of a column: numbers first, by value, then all others, in alphabetical order."""
    return sorted(set(table.text(label)), key=_class_order)


def _class_order(name: str) -> tuple[int, float, str]:
    """Give the sort key of a class name: numbers by value before words; "nan", which has no order, is a word."""
    try:
        value = float(name)
    except ValueError:
        value = math.nan
    return (1, 0.0, name) if math.isnan(value) else (0, value, name)


def hold_out(samples: Samples, fraction: float, seed: int, classes: int) -> tuple[Samples, Samples]:
    """Draw a fraction of the samples by the seed, of each class alike; returns the rest, and those drawn.

    Raises:
        DataError: too few samples for both to have one.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(k == samples.T) for k in range(classes)] if classes else [np.arange(len(samples))]
    held, kept = [], []
    for group in groups:
        drawn = rng.permutation(group)
        n = round(fraction * len(group))
        held.append(drawn[:n])
        kept.append(drawn[n:])
    out, rest = np.sort(np.concatenate(held)), np.sort(np.concatenate(kept))
    if not len(out) or not len(rest):
        raise DataError(f"{len(samples)} samples are too few to hold out {fraction:g} of them")
    return samples.take(rest), samples.take(out)
