"""Read data frames of any library, by narwhals: select columns by name, and list their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw

from flowgrad.arguments import repeated
from flowgrad.errors import DataError, UnknownNameError, brief, suggest


def known_frame(values: Any, name: str = "a frame", **how: bool) -> Any:
    """Wrap a data frame, or a series, by narwhals; return any other value unchanged.

    Raises:
        DataError: two columns have the same name.
    """
    try:
        known = nw.from_native(values, pass_through=True, **how)
        _ = known.columns if isinstance(known, nw.DataFrame) else ()
    except nw.exceptions.DuplicateError:
        twice = repeated(getattr(values, "columns", ()))
        raise DataError(f"{name} has the column {brief(twice)} twice: give each name to one column") from None
    return known


def names_of(values: Any, name: str = "X") -> tuple[str, ...] | None:
    """Return the column names of a frame, or the name of a series; None if a name is not text, or for other values."""
    known = known_frame(values, name, eager_only=True, allow_series=True)
    if isinstance(known, nw.DataFrame):
        names = tuple(known.columns)
    elif isinstance(known, nw.Series):
        names = (known.name,)
    else:
        return None
    return names if all(isinstance(name, str) and name for name in names) else None


def chosen(X: Any, wanted: Sequence[str]) -> Any:
    """Return the frame's columns with these names, in this order; an array is returned unchanged.

    Raises:
        UnknownNameError: a column is missing; the message suggests the nearest name.
    """
    known = known_frame(X, "X", eager_only=True)
    if not isinstance(known, nw.DataFrame):
        return X
    there = set(known.columns)
    missing = [name for name in wanted if name not in there]
    if missing:
        rest = [name for name in known.columns if name not in set(wanted)]
        near = suggest(missing[0], rest).replace("; known", "; X has, unasked")
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnknownNameError(f"X lacks the column of input {brief(missing[0])}{more}{near}")
    return known.select(list(wanted)).to_native()


def eager(name: str, values: Any) -> None:
    """Raise DataError if an argument is a lazy frame."""
    if isinstance(known_frame(values, name, allow_series=True), nw.LazyFrame):
        raise DataError(f"{name} is a {type(values).__name__}, which holds no values yet: collect() or compute() it")


def numeric(X: Any) -> Any:
    """Return X unchanged, after checking that no column of a frame has a type that is known not to be numeric.

    Raises:
        DataError: a column, named in the message, holds text, categories or times; or the frame is lazy.
    """
    eager("X", X)
    known = known_frame(X, "X")
    if isinstance(known, nw.DataFrame):
        for name, dtype in known.schema.items():
            if dtype in (nw.String, nw.Categorical) or isinstance(dtype, nw.Enum) or dtype.is_temporal():
                hint = "encode it, by OneHotEncoder in a pipeline say, or leave it out"
                raise DataError(f"column {brief(name)} of X holds {dtype}, and a network takes numbers: {hint}")
    return X
