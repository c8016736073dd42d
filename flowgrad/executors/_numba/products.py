"""Kernels of product neurons: m = Π_k t_k in float64, and ∂m/∂t_k as prefix times suffix product, without division.

Factors are first multiplied as they are, and every prefix product, with zeros left out, is checked to lie within
2^±SAFE. The suffix products, quotients of two of these, then neither overflow nor become subnormal. If the check fails
in any lane, the neuron is computed again with mantissas and exponents apart: a factor is 2^k times a mantissa within
√½ … √2, or is itself the mantissa where it is 0, infinite or NaN. So the result never depends on whether a partial
product overflows or underflows, for any number of factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.executors._numba.blocks import filled, same_row, symbolic
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.memory import i32_at, i64_at
from flowgrad.executors._numba.powers import constants
from flowgrad.executors._numba.records import STRIDE, net_at, tile_at
from flowgrad.executors._numba.rows import exponent, mantissa, real, wide
from flowgrad.executors._numba.simd import (
    absolute,
    any_lane,
    both,
    bytes_of,
    choose,
    fma,
    keep,
    lanes_of,
    load,
    load_wide,
    power_of_two,
    real_at,
    size_of,
    splat,
    store,
    with_sign,
)

SMALLEST, LIFT = 2.0**-1022, 54.0  # least normal float64; exponent of the power of 2 that makes subnormals normal
SAFE = 300  # largest |log2| of a checked partial product
TOGETHER = 512
"""Mantissas multiplied before their product is split again: it stays within √2^±512 = 2^±256, far from overflow."""


def _lifted(x: Any) -> Any:
    """Return |x|, times 2^LIFT where it is subnormal or 0."""
    y = absolute(x)
    return choose(y < SMALLEST, y * 2.0**LIFT, y)


def _ordinary(y: Any) -> Any:
    return both(y >= SMALLEST, y < np.inf)


@symbolic(same_row)
def factor(x: Any) -> Any:
    """Return the signed mantissa of each number, √½ … √2 in magnitude; 0, ±inf and NaN as they are."""
    y = _lifted(x)
    return choose(_ordinary(y), with_sign(mantissa(y), x), x)


@symbolic(same_row)
def power(x: Any) -> Any:
    """Return k with x = factor(x)·2^k, an integer as float64; 0 where x is 0, ±inf or NaN."""
    y, none = _lifted(x), filled(x, 0.0)
    return choose(_ordinary(y), exponent(y) - choose(absolute(x) < SMALLEST, LIFT, none), none)


@symbolic(same_row)
def but_zeros(x: Any) -> Any:
    """Return x with every 0 replaced by 1."""
    return choose(x == 0.0, 1.0, x)


@symbolic(same_row)
def lesser(least: Any, x: Any) -> Any:
    """Return min(least, |x|) lane by lane: the least magnitude so far; NaN in x is skipped."""
    y = absolute(x)
    return choose(y < least, y, least)


@symbolic(same_row)
def larger(largest: Any, x: Any) -> Any:
    """Return max(largest, |x|) lane by lane: the largest magnitude so far; NaN in x is skipped."""
    y = absolute(x)
    return choose(y > largest, y, largest)


@symbolic(same_row)
def scaled(x: Any, k: Any) -> Any:
    """Return x·2^k, rounded once, for integer k and |x| within √½ … √2, or x = 0, ±inf or NaN."""
    k = choose(k > 2000.0, 2000.0, choose(k < -2000.0, -2000.0, k))
    first = choose(k > 1000.0, 1000.0, choose(k < -1000.0, -1000.0, k))
    onto = constants(x).onto
    return x * power_of_two(first + onto, 0) * power_of_two((k - first) + onto, 0)


@inline
def wide_term(spec: Any, n: Any, t: Any, w: int, e: int) -> Any:
    """Return the term t_k = w·a of in-edge e, in float64; exact where the program has float32."""
    a = load(spec, t.A + i32_at(n.in_source, e) * (size_of(spec) // STRIDE))
    return wide(spec, a) * np.float64(real_at(spec, w, e))


@inline
def unsafe(least: Any, largest: Any, q: Any) -> Any:
    """Return whether, in any lane, a product of nonzero factors has left 2^±SAFE or the last one, q, is NaN."""
    return any_lane(least < 2.0**-SAFE) or any_lane(largest > 2.0**SAFE) or any_lane(q != q)


@inline
def plain_product(spec: Any, n: Any, t: Any, w: int, begin: int, end: int, keeps: bool) -> Any:
    """Return Π t_k and whether it is `unsafe`; if `keeps`, store each factor's prefix product at t.terms, as float64.

    In float32 only every second product is checked: a factor w·a is 0 or within 2^−298 … 2^256.
    """
    m = wide(spec, splat(spec, 1.0))
    q, least, largest = m, m, m
    for e in range(begin, end):
        if keeps:
            store(t.terms + (e - begin) * 8 * lanes_of(spec), m)
        x = wide_term(spec, n, t, w, e)
        m, q = m * x, q * but_zeros(x)
        if bytes_of(spec) == 8 or (e - begin) % 2 == 1 or e == end - 1:
            least, largest = lesser(least, q), larger(largest, q)
    return m, unsafe(least, largest, q)


@inline
def split_product(spec: Any, n: Any, t: Any, w: int, begin: int, end: int) -> Any:
    """Return Π t_k, computed with mantissas and exponents apart."""
    k = wide(spec, splat(spec, 0.0))
    m = k + 1.0
    for e in range(begin, end):
        x = wide_term(spec, n, t, w, e)
        m, k = m * factor(x), k + power(x)
        if (e - begin) % TOGETHER == TOGETHER - 1:
            m, k = factor(m), k + power(m)
    return scaled(factor(m), k + power(m))


@kernel
def gather_product(spec: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """Compute z = b + r·Π t_k, (1) and (2), of the run's neurons; without in-edges the product is 0."""
    n, t = net_at(net), tile_at(tile)
    zeros = wide(spec, splat(spec, 0.0))
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        begin, end = i64_at(n.in_begin, v), i64_at(n.in_end, v)
        m, far = plain_product(spec, n, t, w, begin, end, False)
        if far:
            m = split_product(spec, n, t, w, begin, end)
        m = m if begin < end else zeros
        bias, r = np.float64(real_at(spec, b, i32_at(n.position, v))), np.float64(real_at(spec, n.response, v))
        store(t.Z + v * size_of(spec), real(spec, fma(m, r, zeros + bias)))


@inline
def plain_slopes(spec: Any, n: Any, t: Any, w: int, v: int) -> Any:
    """Write the messages ∂L/∂t_k of neuron v, and return True; return False, writing none, if a product is `unsafe`."""
    begin, end, mask, row = i64_at(n.in_begin, v), i64_at(n.in_end, v), load(spec, t.mask), 8 * lanes_of(spec)
    r, dz = np.float64(real_at(spec, n.response, v)), wide(spec, load(spec, t.A + v * size_of(spec)))
    _, far = plain_product(spec, n, t, w, begin, end, True)
    if far:
        return False
    dz = dz * r
    m = wide(spec, splat(spec, 1.0))
    for e in range(end - 1, begin - 1, -1):
        slope = load_wide(spec, t.terms + (e - begin) * row) * m
        to = t.A + (i32_at(n.message, v) + e - begin) * size_of(spec)
        store(to, keep(real(spec, slope * dz), mask))
        m = m * wide_term(spec, n, t, w, e)
    return True


@inline
def split_slopes(spec: Any, n: Any, t: Any, w: int, v: int) -> None:
    """Write the messages ∂L/∂t_k of neuron v, computed with mantissas and exponents apart."""
    begin, end, mask, row = i64_at(n.in_begin, v), i64_at(n.in_end, v), load(spec, t.mask), 8 * lanes_of(spec)
    r, dz = np.float64(real_at(spec, n.response, v)), wide(spec, load(spec, t.A + v * size_of(spec)))
    zeros = wide(spec, splat(spec, 0.0))
    m, k = zeros + 1.0, zeros
    for e in range(begin, end):
        at = t.terms + 2 * (e - begin) * row
        store(at, m)
        store(at + row, k)
        x = wide_term(spec, n, t, w, e)
        m, k = m * factor(x), k + power(x)
        if (e - begin) % TOGETHER == TOGETHER - 1:
            m, k = factor(m), k + power(m)
    m, k = zeros + 1.0, zeros
    for e in range(end - 1, begin - 1, -1):
        at = t.terms + 2 * (e - begin) * row
        x, before = load_wide(spec, at) * m, load_wide(spec, at + row)
        slope = scaled(factor(x), before + k + power(x))
        to = t.A + (i32_at(n.message, v) + e - begin) * size_of(spec)
        store(to, keep(real(spec, slope * r * dz), mask))
        x = wide_term(spec, n, t, w, e)
        m, k = m * factor(x), k + power(x)
        if (e - begin) % TOGETHER == 0:
            m, k = factor(m), k + power(m)


@kernel
def spread_product(spec: Any, net: int, tile: int, run: int, w: int) -> None:
    """Write the messages ∂L/∂t_k of every in-edge of the run's neurons."""
    n, t = net_at(net), tile_at(tile)
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        if not plain_slopes(spec, n, t, w, v):
            split_slopes(spec, n, t, w, v)
