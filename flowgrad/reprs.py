"""Abbreviated `name: value` lists for the reprs of activations, gradients, slots of θ and reversed graphs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

SHOWN, VALUES = 10, 3
"""The number of names that a repr shows, and of values of each."""


def said(value: Any) -> str:
    """Write a number with six significant digits, or the first `VALUES` numbers of a row, for a repr.

    >>> said(2.0), said(np.float32(0.1)), said(7), said(np.arange(5.0))
    ('2', '0.1', '7', '[0, 1, 2 … (2 more)]')
    """
    if np.ndim(value) == 0:
        return str(value) if isinstance(value, (int, np.integer)) else f"{value:.6g}"
    more = f" … ({len(value) - VALUES} more)" if len(value) > VALUES else ""
    return f"[{', '.join(map(said, value[:VALUES]))}{more}]"


def named(pairs: Iterable[tuple[str, Any]], n: int) -> str:
    """Write `name: value, name: value … (n more)` for a repr: at most `SHOWN` of n pairs.

    >>> named([("a", 1.0), ("b", np.array([2.0, 3.0]))], 2), named(((str(k), k) for k in range(12)), 12)[-21:]
    ('a: 1, b: [2, 3]', '8: 8, 9: 9 … (2 more)')
    """
    shown = [f"{name}: {said(value)}" for name, value in islice(pairs, SHOWN)]
    return ", ".join(shown) + (f" … ({n - SHOWN:,} more)" if n > SHOWN else "")
