"""Kernels of neurons whose aggregation is no multiple of the sum: equation (1) and its gradient, over rows of lanes.

Forward computes z = b + r·m, with m aggregated from the terms t_k = w_uv·a_u. Backward writes one message row for each
in-edge, ∂L/∂t_k = r·∂m/∂t_k·∂L/∂z, 0 in lanes without a sample, which the predecessors gather. Ties, NaN and zeros are
treated as in `flowgrad.maths.aggregations`: the first edge in edge order attains the extremum; where a term is NaN, the
gradient of max, min, max_abs and median is NaN at the NaN terms and 0 at the others; 0 is an ordinary factor.

Terms are rounded to the program's dtype, except in products, which are computed in float64 (`products`). A median sorts
K rows by Batcher's merge exchange in O(K log² K) (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M); all else
is O(K). The scratch buffer at a tile's `terms` has ROOM bytes for each lane and term of the largest such neuron.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executors._numba import aggregate_formula
from flowgrad.executors._numba.blocks import symbolic
from flowgrad.executors._numba.compiled import address, inline, kernel
from flowgrad.executors._numba.formula import formula
from flowgrad.executors._numba.memory import i32_at, i64_at
from flowgrad.executors._numba.products import gather_product, spread_product
from flowgrad.executors._numba.records import STRIDE, net_at, tile_at
from flowgrad.executors._numba.simd import absolute as magnitude
from flowgrad.executors._numba.simd import any_lane, choose, fma, keep, load, plain, real_at, size_of, splat, store
from flowgrad.executors._numba.spec import Spec, SpecType, Truth
from flowgrad.maths.aggregations import Aggregation
from flowgrad.registry import is_own

I = types.int64
ROOM = 16
"""Bytes of scratch for each lane and term: two float64, a mantissa and an exponent, or a term and its derivative."""


def gathers(aggregation: Aggregation, dtype: np.dtype[Any], lanes: int) -> int:
    """Return the address of an aggregation's forward kernel, with the arguments (spec, net, tile, run, w, b)."""
    name = own_name(aggregation)
    if name is None:
        spec = Spec(dtype, lanes, f=formula(aggregation.f))
        return address(aggregate_formula.gather, spec.type, I, I, I, I, I)
    return address(GATHER[name], _spec(name, dtype, lanes), I, I, I, I, I)


def spreads(aggregation: Aggregation, dtype: np.dtype[Any], lanes: int, most: int = 0) -> int:
    """Return the address of an aggregation's backward kernel (spec, net, tile, run, w); most: the largest fan-in."""
    name = own_name(aggregation)
    if name is None or most > 2 ** np.finfo(dtype).nmant:  # beyond, dtype cannot represent every index of a term
        spec = Spec(dtype, lanes, df=formula(aggregation.df))
        return address(aggregate_formula.spread, spec.type, I, I, I, I)
    return address(SPREAD[name], _spec(name, dtype, lanes), I, I, I, I)


def _spec(name: str, dtype: np.dtype[Any], lanes: int) -> SpecType:
    """Return the type of a built-in aggregation's Spec, with its name if several aggregations share the kernel."""
    return (Spec(dtype, lanes, aggregation=name) if name in _BETTER else Spec(dtype, lanes)).type


def own_name(aggregation: Aggregation) -> str | None:
    """Return the name of a built-in aggregation that has vector kernels, None for any other aggregation."""
    return aggregation.name if aggregation.name in GATHER and is_own("aggregations", aggregation) else None


@inline
def term(spec: Any, n: Any, t: Any, w: int, e: int) -> Any:
    """Return the row of the term t_k = w·a of in-edge e, in the program's dtype."""
    return load(spec, t.A + i32_at(n.in_source, e) * (size_of(spec) // STRIDE)) * real_at(spec, w, e)


@inline
def message(spec: Any, n: Any, t: Any, v: int, k: int) -> int:
    """Return the address of the message row with ∂L/∂t_k of neuron v's in-edge number k, from 0."""
    at: int = t.A + (i32_at(n.message, v) + k) * size_of(spec)
    return at


@inline
def settled(spec: Any, n: Any, t: Any, w: int, v: int, m: Any, first: Any, second: Any, share: float) -> None:
    """Write neuron v's messages: ∂m/∂t_k is `share` for each of the rows `first` and `second` that equals k, else 0.

    In lanes where m is NaN, it is NaN at the NaN terms and 0 at the others.
    """
    begin, mask = i64_at(n.in_begin, v), load(spec, t.mask)
    r, dz = real_at(spec, n.response, v), load(spec, t.A + v * size_of(spec))
    nan = any_lane(m != m)
    for k in range(i64_at(n.in_end, v) - begin):
        number = splat(spec, float(k))
        slope = choose(first == number, share, splat(spec, 0.0)) + choose(second == number, share, splat(spec, 0.0))
        if nan:
            x = term(spec, n, t, w, begin + k)
            slope = choose(m == m, slope, choose(x == x, splat(spec, 0.0), x))
        store(message(spec, n, t, v, k), keep(slope * r * dz, mask))


# ---- max, min, max_abs -----------------------------------------------------------------------------------------

_BETTER: dict[str, Callable[[Any, Any], Any]] = {
    "max": lambda x, m: x > m,
    "min": lambda x, m: x < m,
    "max_abs": lambda x, m: magnitude(x) > magnitude(m),
}


def _name(spec: Any) -> str:
    return str(dict(spec.functions)["aggregation"])


@symbolic(lambda spec, x, m: Truth(x.n))
def better(spec: Any, x: Any, m: Any) -> Any:
    """Return the lanes in which term x replaces m, the extremum of the terms before it."""
    return _BETTER[_name(spec)](x, m)


@kernel
def gather_winner(form: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """Compute z of the run's neurons, of max, min or max_abs."""
    spec, n, t = plain(form), net_at(net), tile_at(tile)
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        begin, end = i64_at(n.in_begin, v), i64_at(n.in_end, v)
        m = term(spec, n, t, w, begin) if begin < end else splat(spec, 0.0)
        for e in range(begin + 1, end):
            x = term(spec, n, t, w, e)
            m = choose(better(form, x, m), x, choose(x == x, m, x))
        bias, r = real_at(spec, b, i32_at(n.position, v)), real_at(spec, n.response, v)
        store(t.Z + v * size_of(spec), fma(m, r, bias))


@kernel
def spread_winner(form: Any, net: int, tile: int, run: int, w: int) -> None:
    """Write the messages ∂L/∂t_k of every in-edge of the run's neurons, of max, min or max_abs."""
    spec, n, t = plain(form), net_at(net), tile_at(tile)
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        begin, end = i64_at(n.in_begin, v), i64_at(n.in_end, v)
        if begin < end:
            m, winner = term(spec, n, t, w, begin), splat(spec, 0.0)
            for e in range(begin + 1, end):
                x = term(spec, n, t, w, e)
                wins = better(form, x, m)
                winner = choose(wins, float(e - begin), winner)
                m = choose(wins, x, choose(x == x, m, x))
            settled(spec, n, t, w, v, m, winner, splat(spec, -1.0), 1.0)


# ---- median ----------------------------------------------------------------------------------------------------


@inline
def exchange(spec: Any, at: int, other: int) -> None:
    """Store the lane-wise minimum of the rows at two addresses at the first, and the maximum at the second."""
    x, y = load(spec, at), load(spec, other)
    swap = y < x
    store(at, choose(swap, y, x))
    store(other, choose(swap, x, y))


@inline
def sort(spec: Any, rows: int, K: int) -> None:
    """Sort K rows at address `rows` into ascending order, each lane by itself; lanes with a NaN are left unsorted."""
    size, top = size_of(spec), 1
    while 2 * top < K:
        top *= 2
    p = top
    while p > 0:
        q, shift, d = top, 0, p
        while True:
            for i in range(K - d):
                if i & p == shift:
                    exchange(spec, rows + i * size, rows + (i + d) * size)
            if q == p:
                break
            d, q, shift = q - p, q // 2, p
        p //= 2


@inline
def terms_sorted(spec: Any, n: Any, t: Any, w: int, begin: int, K: int) -> Any:
    """Sort the K terms from in-edge `begin` on into t.terms; return a row that is NaN in lanes with a NaN, else 0."""
    nan = splat(spec, 0.0)
    for k in range(K):
        x = term(spec, n, t, w, begin + k)
        nan = choose(x == x, nan, x)
        store(t.terms + k * size_of(spec), x)
    sort(spec, t.terms, K)
    return nan


@kernel
def gather_median(spec: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """Compute z of the run's neurons, m being the middle term, or the mean of the middle two if K is even."""
    n, t = net_at(net), tile_at(tile)
    size = size_of(spec)
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        begin, m = i64_at(n.in_begin, v), splat(spec, 0.0)
        K = i64_at(n.in_end, v) - begin
        if K > 0:
            nan = terms_sorted(spec, n, t, w, begin, K)
            m = load(spec, t.terms + (K - 1) // 2 * size)
            if K % 2 == 0:
                y = load(spec, t.terms + K // 2 * size)
                m = choose(m * m < 1.0, (m + y) * 0.5, m * 0.5 + y * 0.5)
            m = choose(nan == nan, m, nan)
        bias, r = real_at(spec, b, i32_at(n.position, v)), real_at(spec, n.response, v)
        store(t.Z + v * size, fma(m, r, bias))


@inline
def number_of(spec: Any, n: Any, t: Any, w: int, begin: int, K: int, rank: int) -> Any:
    """Return by lane the index of the term at position `rank` of a stable sort; unspecified in lanes with a NaN."""
    x = load(spec, t.terms + rank * size_of(spec))
    left = splat(spec, float(rank))  # becomes the position among the terms equal to x
    for k in range(K):
        left = left - choose(term(spec, n, t, w, begin + k) < x, 1.0, splat(spec, 0.0))
    found = splat(spec, -1.0)
    for k in range(K):
        like = term(spec, n, t, w, begin + k) == x
        found = choose(like, choose(left == 0.0, float(k), found), found)
        left = left - choose(like, 1.0, splat(spec, 0.0))
    return found


@kernel
def spread_median(spec: Any, net: int, tile: int, run: int, w: int) -> None:
    """Write the messages ∂L/∂t_k of the run's neurons: ½ for each of the middle two terms, 1 for a single one."""
    n, t = net_at(net), tile_at(tile)
    for v in range(i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)):
        begin = i64_at(n.in_begin, v)
        K = i64_at(n.in_end, v) - begin
        if K > 0:
            nan = terms_sorted(spec, n, t, w, begin, K)
            first = number_of(spec, n, t, w, begin, K, (K - 1) // 2)
            second = first if K % 2 == 1 else number_of(spec, n, t, w, begin, K, K // 2)
            settled(spec, n, t, w, v, nan, first, second, 0.5)


GATHER = {"max": gather_winner, "min": gather_winner, "max_abs": gather_winner, "median": gather_median}
SPREAD = {"max": spread_winner, "min": spread_winner, "max_abs": spread_winner, "median": spread_median}
GATHER["product"], SPREAD["product"] = gather_product, spread_product
"""Forward and backward kernels by name of the aggregation."""
