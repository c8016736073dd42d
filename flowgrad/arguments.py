"""Validation of arguments by type, range and shape; errors name the argument, its value, and the rule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, DataError, FlowgradError, ShapeError, brief

T = TypeVar("T")

INSTEAD = {
    ("Network", "Program"): "give program.network()",
    ("Network", "DiGraph"): "give Network.from_networkx(graph)",
    ("Network", "str"): "give fg.load(path)",
    ("Network", "PosixPath"): "give fg.load(path)",
    ("Network", "WindowsPath"): "give fg.load(path)",
    ("Network", "list"): "give one, or fg.union(networks)",
    ("Network", "tuple"): "give one, or fg.union(networks)",
    ("Network", "Columns"): "give Network.from_columns(columns)",
    ("Columns", "Network"): "give network.columns",
    ("Columns", "Program"): "give program.network().columns",
    ("Program", "Network"): "give fg.compile(network)",
    ("Program", "DiGraph"): "give fg.compile(fg.Network.from_networkx(graph))",
    ("Program", "Activations"): "give the program that made them",
    ("Activations", "Network"): "give fg.compile(network).forward(X)",
    ("Activations", "Program"): "give program.forward(X)",
    ("Activations", "Gradients"): "give program.forward(X)",
    ("Activations", "ndarray"): "give program.forward(X)",
    ("Activations", "list"): "give program.forward(X)",
    ("Activations", "DataFrame"): "give program.forward(X)",
    ("Activations", "NoneType"): "give program.forward(X)",
    ("Activations", "dict"): "give program.forward(X)",
    ("Activations", "str"): "give program.forward(X)",
}
"""(expected type, given type) → the advice, in an error message, how to convert the given object."""


def instance(who: str, value: object, kind: type[T], error: type[FlowgradError] = DataError) -> T:
    """Return the value if it is an instance of `kind`; `who` names the caller in messages.

    Raises:
        error: it is of another type; the message names both types, and how to convert where `INSTEAD` knows it.

    >>> instance("union", "net.json", dict)
    Traceback (most recent call last):
    flowgrad.errors.DataError: union wants a dict, not a str
    """
    if isinstance(value, kind):
        return value
    wanted, given = kind.__name__, type(value).__name__
    hint = INSTEAD.get((wanted, given))
    raise error(f"{who} wants {one(wanted)}, not {one(given)}{f': {hint}' if hint else ''}")


def one(noun: str) -> str:
    """Prefix a noun by its indefinite article, for messages."""
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def hashable(value: Any) -> bool:
    """Tell whether `hash(value)` succeeds; `isinstance(value, Hashable)` is True also for a tuple that holds a list."""
    try:
        hash(value)
    except TypeError:
        return False
    return True


def repeated(values: Iterable[T]) -> T | None:
    """Return the first of these hashable values that equals an earlier one; None if all are distinct."""
    seen: set[T] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


LARGEST = 2**63  # exclusive upper bound of integer arguments: they fit into int64


def real(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """Validate a finite number, low ≤ value < high, or low < value where `open_low`; returns a float.

    Raises:
        ConfigError: not a number, not finite or out of range; the message names the argument.

    >>> real("momentum", 0.9, 0, 1)
    0.9
    """
    below = "(" if open_low else "["
    rule = f"must be a finite number in {below}{low:g}, {high:g})"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigError(f"{name}={brief(value)}: {rule}")
    try:
        number = float(value)
    except OverflowError:  # of an integer
        number = math.inf
    if not math.isfinite(number) or not low <= number < high or (open_low and number == low):
        raise ConfigError(f"{name}={brief(value)}: {rule}")
    return number


def whole(name: str, value: object, low: int) -> int:
    """Validate an integer, low ≤ value < 2^63; returns an int.

    Raises:
        ConfigError: as `real`.

    >>> whole("epochs", 3, 1)
    3
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ConfigError(f"{name}={brief(value)}: must be an integer, {low} or more")
    if not low <= value < LARGEST:
        rule = f"{low} or more" if value < low else "below 2^63"
        raise ConfigError(f"{name}={digits(int(value))}: must be an integer, {rule}")
    return int(value)


def flag(name: str, value: object) -> bool:
    """Validate a bool.

    Raises:
        ConfigError: it is neither True nor False; the message names the argument.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name}={brief(value)}: must be True or False")
    return bool(value)


def chance(name: str, value: object) -> float:
    """Validate a probability, 0 ≤ value ≤ 1; returns a float.

    Raises:
        ConfigError: as `real`.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.floating)) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={brief(value)}: must be a probability, 0 to 1")
    return float(value)


def row(name: str, value: object, rows: int) -> int:
    """Validate a row number, 0 … rows−1; returns an int.

    Raises:
        DataError: it is not an integer in this range; the message names the argument.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < rows:
        raise DataError(f"{name}={brief(value)}: must be 0 … {rows - 1}")
    return int(value)


def plain(values: Any, what: str) -> npt.NDArray[Any]:
    """Convert to a NumPy array; returns an ndarray unchanged. `what` names the argument in errors.

    Raises:
        DataError: a masked array, as its mask would be lost; or values that cannot be converted.
        ShapeError: rows of unequal length.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{what} is a masked array, and its mask would be lost: fill it, with NaN say")
    try:
        return np.asarray(values)
    except ValueError as error:
        uneven = _uneven(values)
        if not uneven:
            raise DataError(f"{what} is no array: {str(error)[:200]}") from None
        raise ShapeError(f"the rows of {what} have unequal lengths: {uneven}") from None


def _uneven(values: Any) -> str:
    """Describe the first row of a sequence whose length differs from that of row 0; empty if there is none."""
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in values] if hasattr(values, "__len__") else []
    odd = next((k for k, n in enumerate(lengths) if n != lengths[0]), None)
    return "" if odd is None else f"row 0 has {lengths[0]} numbers, row {odd} has {lengths[odd]}"


def frozen(value: T) -> T:
    """Make an array read-only in place; returns the value. Other values are returned unchanged."""
    if isinstance(value, np.ndarray):
        value.flags.writeable = False
    return value


def digits(n: int) -> str:
    """Write an integer for a message: its digits, or its magnitude if |n| ≥ 10^18.

    >>> digits(-1234), digits(10**5000)
    ('-1234', 'about 10^5000')
    """
    if abs(n) < 10**18:
        return str(n)
    return f"about {'-' * (n < 0)}10^{math.floor(math.log10(abs(n)))}"
