"""Kernels of activations over a run of neurons: forward a = σ(z), (3), and backward ∂L/∂z = σ'(z)·∂L/∂a, (7) and (8).

Both run over the n reals of a run, whose rows follow upon one another. They take rows of REGISTERS bytes, whatever the
sweeps', and write n numbers; they read up to a row further, which all buffers have room for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executors._numba.compiled import address, inline, kernel
from flowgrad.executors._numba.forms import exact, form_key, form_of, found, kept, untold, value
from flowgrad.executors._numba.forms import keeps as form_keeps
from flowgrad.executors._numba.formula import called, formula
from flowgrad.executors._numba.simd import (
    any_lane,
    bytes_of,
    choose,
    lanes_of,
    load,
    numbers,
    plain,
    put_real,
    real_at,
    store,
)
from flowgrad.executors._numba.spec import Spec
from flowgrad.maths.activation import Activation

REGISTERS = 128
"""Bytes of the rows that vector forms work on: two registers of AVX-512, four of AVX2, to hide latencies."""
I = types.int64
f, df = called("f"), called("df")
"""A spec's scalar formulas."""


def spec_of(sigma: Activation, dtype: np.dtype[Any]) -> Spec:
    """What the kernels of an activation are compiled for: its form, or its formulas."""
    n, key = REGISTERS // np.dtype(dtype).itemsize, form_key(sigma)
    if key is None:
        return Spec(dtype, n, f=formula(sigma.f), df=formula(sigma.df))
    return Spec(dtype, n, sigma=key)


def activation(sigma: Activation, dtype: np.dtype[Any]) -> int:
    """The address of forward's kernel of an activation: activate(spec, z, a, kept, n, keeps)."""
    spec = spec_of(sigma, dtype)
    by = activate if "sigma" in spec.functions else activate_by_formula
    return address(by, spec.type, I, I, I, I, I)


def slope(sigma: Activation, dtype: np.dtype[Any]) -> int:
    """The address of backward's: slopes(spec, a, kept, da, n); one serves all whose σ' itself is kept."""
    spec = spec_of(sigma, dtype)
    if "sigma" in spec.functions and not form_of(spec).keeps_slope:
        return address(slopes, spec.type, I, I, I, I)
    return address(slopes_kept, Spec(dtype, spec.n).type, I, I, I, I)


@inline
def put(spec: Any, at: int, x: Any, left: int) -> None:
    """Write a row; where fewer numbers are left than it has, no more than these."""
    if left < lanes_of(spec):
        x = choose(numbers(spec) < float(left), x, load(spec, at))
    store(at, x)


@kernel
def activate(form: Any, z: int, a: int, row: int, n: int, keeps: int) -> None:
    """a = σ(z) of n numbers, and what σ' is found from where a does not tell it; a and z may be the same memory.

    Args:
        row: where that goes, not looked at where `keeps` is 0 or the form keeps nothing.
    """
    spec = plain(form)
    for k in range(0, n, lanes_of(spec)):
        j, left = k * bytes_of(spec), n - k
        x = load(spec, z + j)
        put(spec, a + j, value(form, x), left)
        if form_keeps(form) and keeps != 0:
            put(spec, row + j, kept(form, x), left)


@kernel
def slopes(form: Any, a: int, row: int, da: int, n: int) -> None:
    """∂L/∂z of n numbers, over a, from ∂L/∂a and what `activate` kept."""
    spec = plain(form)
    for k in range(0, n, lanes_of(spec)):
        j = k * bytes_of(spec)
        x = load(spec, a + j)
        slope, near = found(form, x), untold(form, x)
        if any_lane(near):
            slope = choose(near, exact(form, load(spec, row + j), x), slope)
        put(spec, a + j, slope * load(spec, da + j), n - k)


@kernel
def activate_by_formula(spec: Any, z: int, a: int, row: int, n: int, keeps: int) -> None:
    """The same from scalar formulas, number by number in float64; what is kept is σ'(z)."""
    for j in range(n):
        x = np.float64(real_at(spec, z, j))
        if keeps != 0:
            put_real(spec, row, j, float(df(spec, x)))
        put_real(spec, a, j, float(f(spec, x)))


@kernel
def slopes_kept(spec: Any, a: int, row: int, da: int, n: int) -> None:
    """∂L/∂z of n numbers, over a, from ∂L/∂a and σ'."""
    for k in range(0, n, lanes_of(spec)):
        j = k * bytes_of(spec)
        put(spec, a + j, load(spec, row + j) * load(spec, da + j), n - k)
