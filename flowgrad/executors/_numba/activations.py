"""Activations over rows: forward a = σ(z) and σ'(z), equations (3) and (7); backward ∂L/∂z = σ'(z)·∂L/∂a, (8).

A kernel is (z, a, slope, n) or (a, slope, da, n): addresses of n reals. Forward is in place where z and a are the
same, backward writes ∂L/∂z over a. The formulas of maths/ run number by number in float64; the common ones have a
vector form in `exponentials`, which keeps what σ' is found from where a does not tell it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.exponentials import FORMS, Form
from flowgrad.executors._numba.vectors import Lanes, lanes, store
from flowgrad.maths.activation import Activation
from flowgrad.registry import find, is_own

Rows = Callable[[int, int, int, int], None]
Formula = Callable[[float], float]

REGISTERS = 128
"""Bytes of the vectors that vector forms work on: two registers of AVX-512, four of AVX2, to hide latencies."""


def _known(sigma: Activation) -> tuple[str, float] | None:
    """(name, factor) where σ(z) is that of a vector form's name at factor · z; of flowgrad's own alone."""
    if not is_own("activations", sigma):
        return None
    if sigma.name in FORMS:
        return sigma.name, 1.0
    same = sigma.affine
    if same is None or same.of.name not in FORMS or (same.shift, same.scale, same.offset) != (0.0, 1.0, 0.0):
        return None
    return same.of.name, same.factor


def has_vector_form(sigma: Activation) -> bool:
    """Whether this is one of flowgrad's own that `exponentials` knows, or such a one at a multiple of z."""
    return _known(sigma) is not None


def vector_form(sigma: Activation, vectors: Lanes) -> Form | None:
    """The form of `exponentials` for these lanes, or None."""
    known = _known(sigma)
    if known is None:
        return None
    name, factor = known
    form = FORMS[name](vectors)
    return form if factor == 1.0 else after(form, factor)


def after(form: Form, factor: float) -> Form:
    """The form of σ(factor · z) from that of σ; the product is rounded, which σ takes for a change of z."""

    def value(z: Any) -> Any:
        return form.value(z * factor)

    def found(a: Any) -> Any:
        return form.found(a) * factor

    def kept(z: Any) -> Any:
        return form.kept(z * factor)

    def exact(row: Any, a: Any) -> Any:
        return form.exact(row, a) * factor

    return Form(value, found, form.untold, kept, exact)


def form_named(name: str, vectors: Lanes) -> Form:
    """The form of one of flowgrad's own that has one, by its name."""
    form = vector_form(find("activations", name), vectors)
    assert form is not None
    return form


def rows(row: Lanes, sigma: Activation, f: Formula, df: Formula, slope: bool) -> Rows:
    """σ alone, or σ with σ': by vectors where there is such a form of this activation, else by f and df."""
    vectors = _vectors(row)
    form = vector_form(sigma, vectors)
    if form is not None:
        return by_vectors(vectors, form, slope)
    return by_formula(row, f, df) if slope else values_by_formula(row, f)


def _vectors(row: Lanes) -> Lanes:
    return lanes(row.dtype, min(row.n, REGISTERS // row.dtype.itemsize))


def slopes(row: Lanes, sigma: Activation) -> Rows:
    """∂L/∂z over a from ∂L/∂a and σ': as forward wrote it, or found from a or what a vector form has kept."""
    vectors = _vectors(row)
    ROW, REAL, load = vectors.size, vectors.dtype.itemsize, vectors.load
    form = vector_form(sigma, vectors)
    if form is None:

        def stored(a: int, slope: int, da: int, n: int) -> None:
            for j in range(0, n * REAL, ROW):
                store(a + j, load(slope + j) * load(da + j))

        return stored

    def recall(at: int, kept: int, da: int, n: int) -> None:
        for j in range(0, n * REAL, ROW):
            a = load(at + j)
            slope = form.found(a)
            if form.untold(a):
                slope = form.exact(load(kept + j), a)
            store(at + j, slope * load(da + j))

    return recall


def by_vectors(lanes: Lanes, form: Form, slope: bool) -> Rows:
    """A kernel from a vector form: σ(z) and, where `slope`, what it keeps for σ'(z)."""
    ROW, REAL, load, KEEPS = lanes.size, lanes.dtype.itemsize, lanes.load, slope and form.keeps

    def values(z: int, a: int, kept: int, n: int) -> None:
        for j in range(0, n * REAL, ROW):
            row = load(z + j)
            store(a + j, form.value(row))
            if KEEPS:
                store(kept + j, form.kept(row))

    return values


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
