"""Kernels of activations over a run of neurons: a = σ(z), (3), and σ'(z), (7).

They process the n reals of a run, whose rows are contiguous, in vectors of REGISTERS bytes, independent of the tile's
row length. They write n numbers, but read up to the end of the last vector, for which all buffers have room.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executors._numba.compiled import address, inline, kernel
from flowgrad.executors._numba.forms import form_key, slope_at, value
from flowgrad.executors._numba.formula import called, formula
from flowgrad.executors._numba.simd import (
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
"""Bytes of a vector: two AVX-512 or four AVX2 registers, whose independent operations hide each other's latency."""
I = types.int64
f, df = called("f"), called("df")
"""Calls of the scalar formulas of σ and σ' that a Spec holds: f(spec, z), df(spec, z), in float64."""


def spec_of(sigma: Activation, dtype: np.dtype[Any]) -> Spec:
    """Return the Spec of an activation's kernels, with its vector form, or with its scalar formulas if it has none."""
    n, key = REGISTERS // np.dtype(dtype).itemsize, form_key(sigma)
    if key is None:
        return Spec(dtype, n, f=formula(sigma.f), df=formula(sigma.df))
    return Spec(dtype, n, sigma=key)


def activation(sigma: Activation, dtype: np.dtype[Any]) -> int:
    """Return the address of an activation's kernel, with the arguments (spec, z, a, row, n, keeps)."""
    spec = spec_of(sigma, dtype)
    by = activate if "sigma" in spec.functions else activate_by_formula
    return address(by, spec.type, I, I, I, I, I)


@inline
def put(spec: Any, at: int, x: Any, left: int) -> None:
    """Store vector x at address `at`, or only its first `left` numbers if it has more; no other number changes."""
    if left < lanes_of(spec):
        x = choose(numbers(spec) < float(left), x, load(spec, at))
    store(at, x)


@kernel
def activate(form: Any, z: int, a: int, row: int, n: int, keeps: int) -> None:
    """Compute a = σ(z) of n numbers and, unless `keeps` is 0, σ'(z); z, a and row are addresses, z may be a."""
    spec = plain(form)
    for k in range(0, n, lanes_of(spec)):
        j, left = k * bytes_of(spec), n - k
        x = value(form, load(spec, z + j))
        if keeps != 0:
            put(spec, row + j, slope_at(form, x, z + j), left)
        put(spec, a + j, x, left)


@kernel
def activate_by_formula(spec: Any, z: int, a: int, row: int, n: int, keeps: int) -> None:
    """Compute as `activate`, but by scalar formulas, number by number in float64."""
    for j in range(n):
        x = np.float64(real_at(spec, z, j))
        if keeps != 0:
            put_real(spec, row, j, float(df(spec, x)))
        put_real(spec, a, j, float(f(spec, x)))
