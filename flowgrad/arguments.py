"""Numbers and arrays given as arguments, held to their rules; the error names the argument and the rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, DataError, ShapeError

LARGEST = 2**63  # which no integer argument reaches


def real(name: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """A finite number between `low` and `high`, the upper bound excluded, the lower one where `open_low`.

    Raises:
        ConfigError: no number, not finite or out of range; the message names the argument.

    >>> real("momentum", 0.9, 0, 1)
    0.9
    """
    below = "(" if open_low else "["
    rule = f"must be a finite number in {below}{low:g}, {high:g})"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ConfigError(f"{name}={value!r}: {rule}")
    if not math.isfinite(value) or not low <= value < high or (open_low and value == low):
        raise ConfigError(f"{name}={value}: {rule}")
    return float(value)


def whole(name: str, value: object, low: int) -> int:
    """A whole number, `low` or more, that int64 holds.

    Raises:
        ConfigError: as `real`.

    >>> whole("epochs", 3, 1)
    3
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise ConfigError(f"{name}={value!r}: must be a whole number, {low} or more")
    if not low <= value < LARGEST:
        rule = f"{low} or more" if value < low else "below 2^63"
        raise ConfigError(f"{name}={digits(int(value))}: must be a whole number, {rule}")
    return int(value)


def chance(name: str, value: object) -> float:
    """A probability, 0 and 1 included.

    Raises:
        ConfigError: as `real`.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.floating)) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value!r}: must be a probability, 0 to 1")
    return float(value)


def row(name: str, value: object, rows: int) -> int:
    """The number of a row, 0 … rows−1.

    Raises:
        DataError: it is none; the message names the argument.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value < rows:
        raise DataError(f"{name}={value!r}: must be 0 … {rows - 1}")
    return int(value)


def plain(values: Any, what: str) -> npt.NDArray[Any]:
    """A NumPy array of what was given, unmasked; the very same one where it is one already.

    Raises:
        DataError: a masked array, whose mask an array cannot keep; or none can be made of it.
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
    """Which of a sequence's rows differs from the first in length, in words; empty where none does."""
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in values] if hasattr(values, "__len__") else []
    odd = next((k for k, n in enumerate(lengths) if n != lengths[0]), None)
    return "" if odd is None else f"row 0 has {lengths[0]} numbers, row {odd} has {lengths[odd]}"


def digits(n: int) -> str:
    """An integer for a message: its digits, or its magnitude where they are many.

    >>> digits(-1234), digits(10**5000)
    ('-1234', 'about 10^5000')
    """
    if abs(n) < 10**18:
        return str(n)
    return f"about {'-' * (n < 0)}10^{math.floor(math.log10(abs(n)))}"
