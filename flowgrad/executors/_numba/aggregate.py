"""Kernels of neurons with another aggregation than a multiple of the sum: equation (1) and its gradient, by formula.

Lane by lane, in float64; O(fan-in) a neuron and sample beside what the formula takes. Forward makes z = b + r·m,
backward one message row an in-edge, ∂L/∂t_k = r·∂m/∂t_k·∂L/∂z, which the predecessors pull. Lanes without a sample
become 0 there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray
from numba.core import types

from flowgrad.executors._numba.compiled import address, kernel
from flowgrad.executors._numba.formula import formula
from flowgrad.executors._numba.memory import i32_at, i64_at
from flowgrad.executors._numba.records import STRIDE, net_at, tile_at
from flowgrad.executors._numba.scalar import called
from flowgrad.executors._numba.simd import Spec, block, lanes_of, memory_at, pointer, put_real, real_at, size_of
from flowgrad.maths.aggregations import Aggregation

I = types.int64
f, df = called("f"), called("df")
"""A spec's formulas of terms."""


def gathers(aggregation: Aggregation, dtype: np.dtype[Any], lanes: int) -> int:
    """The address of forward's kernel of an aggregation: gather(spec, net, tile, run, w, b)."""
    return address(gather_by_formula, Spec(dtype, lanes, f=formula(aggregation.f)).type, I, I, I, I, I)


def spreads(aggregation: Aggregation, dtype: np.dtype[Any], lanes: int) -> int:
    """The address of backward's: spread(spec, net, tile, run, w)."""
    return address(spread_by_formula, Spec(dtype, lanes, df=formula(aggregation.df)).type, I, I, I, I)


_doubles = types.CPointer(types.float64)


@block(lambda address: _doubles, lambda b, r, k, v: pointer(b, v[0]))
def doubles(address: int) -> Any:
    """The float64 at an address, as `carray` takes them."""
    return memory_at(address, np.float64, 1).ctypes


@kernel
def gather_by_formula(spec: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """z of the run's neurons."""
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
def spread_by_formula(spec: Any, net: int, tile: int, run: int, w: int) -> None:
    """∂L/∂t_k of every in-edge of the run's neurons, into its message row."""
    n, t, lanes, scale = net_at(net), tile_at(tile), lanes_of(spec), size_of(spec) // STRIDE
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        first = i64_at(n.in_begin, v)
        fan_in = i64_at(n.in_end, v) - first
        if fan_in == 0:
            continue
        row, r = i32_at(n.message, v), np.float64(real_at(spec, n.response, v))
        terms, slopes = carray(doubles(t.terms), (fan_in,)), carray(doubles(t.slopes), (fan_in,))
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
