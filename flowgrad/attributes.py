"""Validation of attributes of nodes and edges, and their conversion to columns.

Errors name the node or edge whose entry is invalid.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import hashable, one, plain
from flowgrad.errors import GraphError, UnknownNameError, brief, suggest
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.registry import find, singular

Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def formula(kind: str, value: object, where: Callable[[], str]) -> Any:
    """Return the Activation or Aggregation of a name, or a record itself; `where()` ends the subject of errors."""
    record = {"activations": Activation, "aggregations": Aggregation}[kind]
    if isinstance(value, record):
        return value
    if not isinstance(value, str):
        given, wanted = one(type(value).__name__), one(record.__name__)
        raise GraphError(f"{singular(kind)} {brief(value)}{where()} is {given}: give a name or {wanted}")
    try:
        return find(kind, value)
    except UnknownNameError as error:
        unknown, said, rest = str(error).partition(brief(value))
        raise UnknownNameError(f"{unknown}{said}{where()}{rest}") from None


def _at_neuron(name: Hashable) -> str:
    return f" at neuron {brief(name)}"


def _at_first(value: object, values: Sequence[Any], ids: Sequence[Hashable]) -> str:
    return _at_neuron(ids[values.index(value)])


def encode(kind: str, values: Sequence[Any], ids: Sequence[Hashable]) -> tuple[Codes, tuple[Any, ...]]:
    """Encode one function per node as int16 codes (V,) into a table of distinct records; None (an input) is −1."""
    table: dict[Any, int] = {None: -1}
    records: dict[Any, int] = {}
    for value in _distinct(kind, values, ids):
        if value is not None:
            record = formula(kind, value, partial(_at_first, value, values, ids))
            table[value] = records.setdefault(record, len(records))
    return np.fromiter(map(table.__getitem__, values), np.int16, len(values)), tuple(records)


def _distinct(kind: str, values: Sequence[Any], ids: Sequence[Hashable]) -> Iterable[Any]:
    """Remove duplicates, in the order of first appearance; raises for unhashable values, naming the neuron."""
    try:
        return dict.fromkeys(values)
    except TypeError:  # an unhashable value is no name or record: `formula` raises for it
        for name, value in zip(ids, values, strict=True):
            if not hashable(value):
                formula(kind, value, partial(_at_neuron, name))
        raise


_REAL = (int, float, np.integer, np.floating)


def numbers(values: Any, what: str, name: Callable[[int], str], absent: float | None = None) -> Floats:
    """Convert to a column of finite float64; None entries become `absent` where it is given.

    Raises:
        GraphError: an entry is text, complex, bool, NaN, infinite or no number at all; the message names the
            node or edge by `name(row)`.
    """
    array = plain(values, what) if isinstance(values, np.ndarray) else _as_array(values)
    if len(array) == len(values) and array.ndim == 1 and array.dtype.kind in "fiu":
        column = array.astype(np.float64)
        finite = np.isfinite(column)
        if finite.all():
            return column
        row = int(np.flatnonzero(~finite)[0])
        raise GraphError(f"{what} {column[row]} at {name(row)}: must be finite")
    column = np.empty(len(values), np.float64)
    for row, value in enumerate(values):
        column[row] = absent if value is None and absent is not None else number(value, what, name, row)
    return column


def _as_array(values: Any) -> npt.NDArray[Any]:
    """Convert a list of real numbers to an array; an empty one if an entry is no real number (slow path names it)."""
    kinds = set(map(type, values))
    plain = all(issubclass(kind, _REAL) and kind is not bool for kind in kinds)
    return np.asarray(values) if plain else np.empty(0, object)


def number(value: Any, what: str, name: Callable[[int], str], row: int = 0) -> float:
    """Convert to a finite float; a GraphError names the node or edge by `name(row)`."""
    if not isinstance(value, _REAL) or isinstance(value, bool):
        raise GraphError(f"{what} {brief(value)} at {name(row)} is {one(type(value).__name__)}: must be a real number")
    try:
        result = float(value)
    except OverflowError:
        result = float("inf")
    if not np.isfinite(result):
        raise GraphError(f"{what} {value} at {name(row)}: must be finite")
    return result


def flags(values: Iterable[Any], what: str, name: Callable[[int], str]) -> Bools:
    """Convert to a column of bool; None becomes True."""
    column = []
    for row, value in enumerate(values):
        if value is None:
            value = True
        elif not isinstance(value, (bool, np.bool_)):
            raise GraphError(f"{what} {brief(value)} at {name(row)}: must be True or False")
        column.append(bool(value))
    return np.array(column, np.bool_)


def rows_of(names: Iterable[Hashable], index: Mapping[Hashable, int], what: str) -> Ints:
    """Look up the rows of the named nodes, in order.

    Raises:
        UnknownNameError: a name is no node.
        GraphError: a name is repeated.
    """
    if isinstance(names, (str, bytes)):
        raise GraphError(f"{what}s={brief(names)}: give a list of node ids")
    rows: dict[int, None] = {}
    for name in names:
        row = index.get(name) if hashable(name) else None
        if row is None:
            raise UnknownNameError(f"{what} {brief(name)} is no node of the graph{suggest(name, index)}")
        if row in rows:
            raise GraphError(f"{what} {brief(name)} is named twice")
        rows[row] = None
    return np.fromiter(rows, np.int32, len(rows))
