"""tanh by tables: where the processor looks up 32 numbers in one instruction, in float32 by short polynomials.

    tanh x = tanh c + (x − c) g(x − c),    0 ≤ x ≤ 15

Every octave from 2⁻⁴ on is cut into four pieces, and the lowest reaches down to 0; each has a centre c and a
polynomial g of degree 4. Centres are such that tanh c is all but a float32 (Gal's accurate tables), and g is
interpolated at Chebyshev's points: so the last rounding is nearly all the error there is, which is below 1 ulp.

Where it gathers numbers quickly, in float64 by the theorem of addition:

    tanh (c + d) = (tanh c + tanh d) / (1 + tanh c · tanh d),    c = n/16,  |d| ≤ 1/32

tanh d is the beginning of its series, whose next term would be 2^−57 of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.executors._numba.vectors import ROUND, choose, fma, look_up, near_reciprocal, pick, piece_of

PIECES = 32
LOWEST = 0.0625
"""Where the second piece begins."""
HIGHEST = 15.0
"""From here on, and long before, tanh is 1."""
DEGREE = 4
NEIGHBOURS = 2000
"""Floats on either side of a piece's middle that may become its centre."""


def tanh_table() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(PIECES,) centres, and (DEGREE + 2, PIECES) tanh of them and g's coefficients, by `vectors.piece_of`."""
    begin = LOWEST * np.ldexp(1.0 + np.arange(PIECES) % 4 / 4, np.arange(PIECES) // 4)
    place = piece_of(begin.astype(np.float32)) % PIECES
    end, begin[0] = np.append(begin[1:], 16.0), 0.0
    middle = ((begin + end) / 2).astype(np.float32)
    near = middle.view(np.int32)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1, dtype=np.int32)
    candidates = near.view(np.float32).astype(np.float64)
    exact = np.tanh(candidates)
    best = np.abs(1.0 - exact.astype(np.float32) / exact).argmin(axis=1)
    c = candidates[np.arange(PIECES), best]
    c[0] = 0.0  # so that what is small keeps all its digits
    half, powers = (end - begin) / 2, np.arange(DEGREE + 1)
    x = (begin + half)[:, None] + half[:, None] * np.cos((powers + 0.5) / (DEGREE + 1) * np.pi)
    y = x - c[:, None]
    quotient = np.divide(np.sinh(y), y, out=np.ones_like(y), where=y != 0.0)
    g = quotient / (np.cosh(x) * np.cosh(c)[:, None])  # (tanh x − tanh c) / (x − c), and nothing cancels
    scaled = (y / half[:, None])[..., None] ** powers
    coefficients = np.linalg.solve(scaled, g[..., None])[..., 0] / half[:, None] ** powers
    centre, table = np.empty(PIECES, np.float32), np.empty((DEGREE + 2, PIECES), np.float32)
    centre[place], table[0, place], table[1:, place] = c, np.tanh(c), coefficients.T
    return centre, table


@cache
def tanh_by_table() -> Callable[[Any], Any]:
    """magnitude(x): tanh of x ≥ 0 in every lane; NaN stays."""
    CENTRE, (T, G0, G1, G2, G3, G4) = tanh_table()

    def magnitude(x: Any) -> Any:
        x = choose(x > HIGHEST, HIGHEST, x)
        piece = piece_of(choose(x < LOWEST, LOWEST, x))
        y = x - pick(CENTRE, piece)
        g = fma(pick(G4, piece), y, pick(G3, piece))
        g = fma(fma(fma(g, y, pick(G2, piece)), y, pick(G1, piece)), y, pick(G0, piece))
        return fma(y, g, pick(T, piece))

    return magnitude


STEPS, FURTHEST = 16, 305
"""Of float64's table, steps a unit; the last that is wanted, where tanh is 1."""


@cache
def tanh_by_addition() -> Callable[[Any], Any]:
    """magnitude(x): tanh of x ≥ 0 in every lane; NaN stays."""
    KNOWN = np.tanh(np.arange(512).astype(np.longdouble) / STEPS).astype(np.float64)
    ONTO, STEP, END = ROUND[np.dtype(np.float64)], 1.0 / STEPS, FURTHEST / STEPS
    C1, C2, C3, C4 = -1.0 / 3.0, 2.0 / 15.0, -17.0 / 315.0, 62.0 / 2835.0

    def magnitude(x: Any) -> Any:
        x = choose(x > END, END, x)
        n = fma(x, 1.0 * STEPS, ONTO)
        d = fma(n - ONTO, -1.0 * STEP, x)
        square = d * d
        t = fma(d * square, fma(fma(fma(square, C4, C3), square, C2), square, C1), d)
        known = look_up(KNOWN, n)
        above, below = known + t, fma(known, t, 1.0)
        inverse = near_reciprocal(below)
        inverse = fma(fma(below, inverse * -1.0, 1.0), inverse, inverse)
        quotient = above * inverse
        return fma(fma(below, quotient * -1.0, above), inverse, quotient)

    return magnitude
