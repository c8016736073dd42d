"""Kernels, as in `aggregate`, of aggregations that are computed by scalar formulas: lane by lane, in float64."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba import carray
from numba.core import types

from flowgrad.executors._numba.blocks import block
from flowgrad.executors._numba.compiled import kernel
from flowgrad.executors._numba.formula import called
from flowgrad.executors._numba.memory import i32_at, i64_at
from flowgrad.executors._numba.records import STRIDE, net_at, tile_at
from flowgrad.executors._numba.simd import lanes_of, pointer, put_real, real_at, size_of

f, df = called("f"), called("df")
"""Calls of the formulas that a Spec holds: f(spec, terms) returns m, df(spec, terms, slopes) fills in ∂m/∂t_k."""


_doubles = types.CPointer(types.float64)


@block(lambda address: _doubles, lambda b, r, k, v: pointer(b, v[0]))
def doubles(address: int) -> Any:
    """Return an address as a pointer to float64, which `carray` takes."""
    return ctypes.cast(int(address), ctypes.POINTER(ctypes.c_double))


@kernel
def gather(spec: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """Compute z = b + r·m of the run's neurons; m is 0 without in-edges."""
    n, t, lanes, scale = net_at(net), tile_at(tile), lanes_of(spec), size_of(spec) // STRIDE
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        first = i64_at(n.in_begin, v)
        fan_in = i64_at(n.in_end, v) - first
        bias, r = np.float64(real_at(spec, b, i32_at(n.position, v))), np.float64(real_at(spec, n.response, v))
        terms = carray(doubles(t.terms), (fan_in,))
        for lane in range(lanes):
            for k in range(fan_in):
                a = np.float64(real_at(spec, t.A + i32_at(n.in_source, first + k) * scale, lane))
                terms[k] = np.float64(real_at(spec, w, first + k)) * a
            m = float(f(spec, terms)) if fan_in > 0 else 0.0
            put_real(spec, t.Z, v * lanes + lane, bias + r * m)


@kernel
def spread(spec: Any, net: int, tile: int, run: int, w: int) -> None:
    """Write ∂L/∂t_k of every in-edge of the run's neurons into its message row, 0 in lanes without a sample."""
    n, t, lanes, scale = net_at(net), tile_at(tile), lanes_of(spec), size_of(spec) // STRIDE
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        first = i64_at(n.in_begin, v)
        fan_in = i64_at(n.in_end, v) - first
        if fan_in == 0:
            continue
        row, r = i32_at(n.message, v), np.float64(real_at(spec, n.response, v))
        terms, slopes = carray(doubles(t.terms), (fan_in,)), carray(doubles(t.terms + 8 * fan_in), (fan_in,))
        for lane in range(t.count):
            for k in range(fan_in):
                a = np.float64(real_at(spec, t.A + i32_at(n.in_source, first + k) * scale, lane))
                terms[k] = np.float64(real_at(spec, w, first + k)) * a
            df(spec, terms, slopes)
            dz = np.float64(real_at(spec, t.A, v * lanes + lane))
            for k in range(fan_in):
                put_real(spec, t.A, (row + k) * lanes + lane, r * slopes[k] * dz)
        for lane in range(t.count, lanes):
            for k in range(fan_in):
                put_real(spec, t.A, (row + k) * lanes + lane, 0.0)
