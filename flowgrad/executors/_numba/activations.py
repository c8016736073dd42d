"""Activations over rows: a = σ(z) and σ'(z) in one pass, equations (3) and (7).

A kernel is (z, a, slope, n): addresses of n reals, in place where z and a are the same. The formulas of maths/
run number by number in float64; the common ones have a vector form in `exponentials`.
"""

from __future__ import annotations

from collections.abc import Callable

from flowgrad.executors._numba.exponentials import vector_forms
from flowgrad.executors._numba.vectors import Lanes, lanes
from flowgrad.maths.activations import Activation, entries

Rows = Callable[[int, int, int, int], None]
Formula = Callable[[float], float]

REGISTERS = 128
"""Bytes of the vectors that vector forms work on: two registers of AVX-512, four of AVX2, to hide latencies."""


def rows(row: Lanes, sigma: Activation, f: Formula, df: Formula, slope: bool) -> Rows:
    """σ alone, or σ with σ': by vectors where there is such a form of this activation, else by f and df."""
    width = min(row.n, REGISTERS // row.dtype.itemsize)
    known = entries.get(sigma.name) == sigma
    vector = vector_forms(lanes(row.dtype, width)).get(sigma.name) if known else None
    if vector is None:
        return by_formula(row, f, df) if slope else values_by_formula(row, f)
    return by_vectors(lanes(row.dtype, width), vector, slope)


def by_vectors(lanes: Lanes, form: Callable[..., None], slope: bool) -> Rows:
    """A kernel from form(z, a, slope): one vector z, σ(z) and, where slope is not 0, σ'(z) to their addresses."""
    ROW, REAL, load = lanes.size, lanes.dtype.itemsize, lanes.load

    def both(z: int, a: int, slope: int, n: int) -> None:
        for j in range(0, n * REAL, ROW):
            form(load(z + j), a + j, slope + j)

    def value(z: int, a: int, slope: int, n: int) -> None:
        for j in range(0, n * REAL, ROW):
            form(load(z + j), a + j, 0)

    return both if slope else value


def by_formula(lanes: Lanes, f: Formula, df: Formula) -> Rows:
    """σ and σ' from scalar formulas."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def both(z: int, a: int, slope: int, n: int) -> None:
        for j in range(n):
            x = float(real_at(z, j))
            put_real(slope, j, df(x))
            put_real(a, j, f(x))

    return both


def values_by_formula(lanes: Lanes, f: Formula) -> Rows:
    """σ alone from its scalar formula."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def value(z: int, a: int, slope: int, n: int) -> None:
        for j in range(n):
            put_real(a, j, f(float(real_at(z, j))))

    return value
