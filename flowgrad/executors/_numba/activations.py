"""Activations over rows: a = σ(z) and σ'(z) in one pass, equations (3) and (7).

A kernel is (z, a, slope, n): addresses of n reals, in place where z and a are the same. The formulas of maths/
run lane by lane in float64; the common ones have a vector form of their own, with its error bound.
"""

from __future__ import annotations

from collections.abc import Callable

from flowgrad.executors._numba.vectors import Lanes

Rows = Callable[[int, int, int, int], None]
Formula = Callable[[float], float]


def rows(lanes: Lanes, f: Formula, df: Formula, slope: bool) -> Rows:
    """σ alone, or σ with σ'."""
    value, both = by_formula(lanes, f, df)
    return both if slope else value


def by_formula(lanes: Lanes, f: Formula, df: Formula) -> tuple[Rows, Rows]:
    """σ alone, and σ with σ', from scalar formulas."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def value(z: int, a: int, slope: int, n: int) -> None:
        for j in range(n):
            put_real(a, j, f(float(real_at(z, j))))

    def both(z: int, a: int, slope: int, n: int) -> None:
        for j in range(n):
            x = float(real_at(z, j))
            put_real(slope, j, df(x))
            put_real(a, j, f(x))

    return value, both
