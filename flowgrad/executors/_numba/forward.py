"""Forward sweep over one tile: equations (1)–(3), neuron by neuron in topological order.

A tile holds `lanes` samples of the batch, with one row of lanes for each node. One thread sweeps the whole graph over
it, without synchronisation. A run is a sequence of consecutive neurons that have the same kind and activation, none of
which depends on another. A run of sums, or of multiples of sums, is fused if its activation is the one compiled into
the sweep: its loop over neurons computes a while z is in registers, and the processor overlaps the loads of one
neuron's rows with σ of another. Any other run stores z, from which one call of the activation's kernel computes a.

The activation's kernel also stores σ'(z) for backward. Of fused runs backward computes it from a, to save memory
traffic, which limits a step on a large graph. Near saturation, where 1 − a² would cancel, it needs z: fused runs push
rows onto the tile's stack, and backward pops them in reverse order. Every row is stored at the top of the stack, and
the top is moved only past rows that backward needs: so forward has no branch on a that could be mispredicted.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.dropped import thin_run
from flowgrad.executors._numba.forms import needs_z, value
from flowgrad.executors._numba.memory import LINE, atomic_get, call_address, i32_at, i64_at, prefetch
from flowgrad.executors._numba.panels import product
from flowgrad.executors._numba.records import (
    AGGREGATED,
    BACKWARD,
    DENSE_SIZE,
    DROP,
    FUSE,
    FUSED,
    STRIDE,
    WHOLE,
    dense_at,
    net_at,
    tile_at,
)
from flowgrad.executors._numba.simd import (
    any_lane,
    bytes_of,
    fma,
    lanes_of,
    load,
    plain,
    real_at,
    size_of,
    splat,
    store,
)


@inline
def fetch_row(spec: Any, row: int) -> None:
    """Prefetch the row of lanes at address `row`: one cache line, or two where a row is longer than one."""
    prefetch(row)
    if size_of(spec) > LINE:
        prefetch(row + LINE)


@inline
def summed(spec: Any, A: int, source: int, w: int, begin: int, end: int, last: int, ahead: int) -> Any:
    """Return Σ_e w_e·a_source(e) over in-edges e = begin … end−1 in order, prefetching rows `ahead` edges ahead."""
    scale, m = size_of(spec) // STRIDE, splat(spec, 0.0)
    if ahead > 0:
        for e in range(begin, end):
            fetch_row(spec, A + i32_at(source, min(e + ahead, last)) * scale)
            m = fma(splat(spec, real_at(spec, w, e)), load(spec, A + i32_at(source, e) * scale), m)
    else:
        for e in range(begin, end):
            m = fma(splat(spec, real_at(spec, w, e)), load(spec, A + i32_at(source, e) * scale), m)
    return m


@kernel
def whole_run(spec: Any, net: int, tile: int, run: int, w: int, b: int) -> None:
    """Compute z of a run of a dense block, as biases plus a matrix product; called by address."""
    n, t = net_at(net), tile_at(tile)
    q = dense_at(n.dense + i32_at(n.run_dense, run) * DENSE_SIZE)
    row, real = size_of(spec), bytes_of(spec)
    for v in range(q.first, q.first + q.count):
        store(t.Z + v * row, splat(spec, real_at(spec, b, i32_at(n.position, v))))
    e, z = i64_at(n.in_begin, q.first), t.Z + q.first * row
    weights, step = w + e * real, q.sources * real
    product(spec, z, n.iota, row, t.A, n.in_source + e * 4, row // STRIDE, weights, step, real, q.sources, q.count, 0)


@kernel
def sweep(form: Any, net: int, tile: int, stop: int, w: int, b: int, flags: int) -> None:
    """Compute a of every neuron into t.A; runs that are not fused store z in t.Z first, which may be the same memory.

    Args:
        form: Spec with the activation that is compiled into fused runs.
        net, tile: addresses of records; stop: address of the word that ends the sweep before the next run if not 0.
        w, b: addresses of the weights by in-edge and the biases by position, in the program's dtype.
        flags: sum of FUSE, BACKWARD (keep what σ' is computed from) and DROP.
    """
    spec, n, t = plain(form), net_at(net), tile_at(tile)
    row, lanes, last, ahead = size_of(spec), lanes_of(spec), n.edges - 1, n.ahead
    A, Z, in_begin, in_end, source, position = t.A, t.Z, n.in_begin, n.in_end, n.in_source, n.position
    response, backward, top = n.response, flags & BACKWARD, t.top
    if flags & DROP != 0:
        thin_run(spec, n, t, 0, n.inputs)
    for run in range(n.runs):
        if atomic_get(stop) != 0:
            return
        kind = i32_at(n.run_kind, run)
        first, end = i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)
        if kind == FUSED and flags & FUSE != 0:
            for v in range(first, end):
                m = summed(spec, A, source, w, i64_at(in_begin, v), i64_at(in_end, v), last, ahead)
                z = fma(m, real_at(spec, response, v), real_at(spec, b, i32_at(position, v)))
                a = value(form, z)
                store(A + v * row, a)
                if backward != 0:
                    store(top, z)
                    top += row if any_lane(needs_z(form, a)) else 0
            continue
        if kind < WHOLE:
            for v in range(first, end):
                m = summed(spec, A, source, w, i64_at(in_begin, v), i64_at(in_end, v), last, ahead)
                store(Z + v * row, fma(m, real_at(spec, response, v), real_at(spec, b, i32_at(position, v))))
        elif kind == WHOLE:
            call_address(n.whole_forward, net, tile, run, w, b)
        else:
            call_address(i64_at(n.gather, kind - AGGREGATED), net, tile, run, w, b)
        sigma, at = i64_at(n.activate, i32_at(n.run_activation, run)), first * row
        call_address(sigma, Z + at, A + at, t.D + at, (end - first) * lanes, backward)
        if flags & DROP != 0:
            thin_run(spec, n, t, first, end)
    t.top = top
