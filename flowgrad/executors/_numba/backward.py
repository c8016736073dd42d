"""Backward over one tile: equations (5)–(10), neuron after neuron against topological order.

Every node pulls: each out-edge knows the row of A that holds ∂L/∂(w·a) of its term. For a plain neuron v (sum, r = 1)
that is ∂L/∂z_v itself, written over a_v, which nobody needs any more; any other neuron writes message rows when its
∂L/∂z is final, one for a multiple of the sum, one an in-edge for another aggregation. So one loop serves all: the row
times the weight goes to ∂L/∂a, the row times a, summed over lanes, is ∂L/∂w. Four edges are taken at a time, whose sums
over lanes are one transposition; each node's edges are filled up to whole groups with edges of weight 0 from a row of
zeros. They are stored as backward meets them, the last node's first.

Dense runs are matrix products: when their ∂L/∂z is final, their share of their sources' ∂L/∂a is added to the sources'
rows of base cases. Their ∂L/∂w is a product too, of many tiles at once (`multiply`).
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.across import dots, store_turned, total
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.dropped import thinned
from flowgrad.executors._numba.forms import exact, found, untold
from flowgrad.executors._numba.forward import NEXT, fetch_row
from flowgrad.executors._numba.memory import atomic_get, call_address, i32_at, i64_at, prefetch
from flowgrad.executors._numba.panels import most_rows, product
from flowgrad.executors._numba.records import (
    AGGREGATED,
    DENSE_SIZE,
    DROP,
    FUSE,
    FUSED,
    FUSED_SCALED,
    GROUP,
    SCALED,
    STRIDE,
    WHOLE,
    call_at,
    dense_at,
    net_at,
    tile_at,
)
from flowgrad.executors._numba.simd import (
    any_lane,
    bytes_of,
    choose,
    fma,
    keep,
    lanes_of,
    load,
    load4,
    put_real,
    real_at,
    real_of,
    size_of,
    splat,
    store,
)

INPUTS = -1
"""The kind of what stands before the first run."""
STREAM = 128
"""How many edges ahead what is read of them is fetched, a line for each node, which has about as many edges as that:
beside its rows, processors do so too late."""


@inline
def pull(spec: Any, net: Any, tile: Any, w: int, v: int, a: Any) -> Any:
    """∂L/∂a of node v; ∂L/∂w of its out-edges added to the chunk's. `w` is by place."""
    A, dw, first, row, ahead = tile.A, tile.weight, tile.first, net.out_row, net.ahead
    size, scale, begin = bytes_of(spec), size_of(spec) // STRIDE, i64_at(net.out_begin, v)
    da = load(spec, tile.G + i32_at(net.base_row, v) * size_of(spec))
    prefetch(row + (begin + STREAM) * 4)
    prefetch(w + (begin + STREAM) * size)
    prefetch(dw + (begin + STREAM) * size)
    for k in range(begin, i64_at(net.out_end, v), GROUP):
        if ahead > 0:
            for j in range(GROUP):
                fetch_row(spec, A + i32_at(row, k + ahead + j) * scale)
        d0, d1 = load(spec, A + i32_at(row, k) * scale), load(spec, A + i32_at(row, k + 1) * scale)
        d2, d3 = load(spec, A + i32_at(row, k + 2) * scale), load(spec, A + i32_at(row, k + 3) * scale)
        da = fma(splat(spec, real_at(spec, w, k)), d0, da)
        da = fma(splat(spec, real_at(spec, w, k + 1)), d1, da)
        da = fma(splat(spec, real_at(spec, w, k + 2)), d2, da)
        da = fma(splat(spec, real_at(spec, w, k + 3)), d3, da)
        sums = dots(a, d0, d1, d2, d3)
        if first == 0:
            sums = sums + load4(spec, dw + k * size)
        store(dw + k * size, sums)
    if tile.DA != 0:
        store(tile.DA + v * size_of(spec), da)
    return da


@kernel
def whole_run(spec: Any, net: int, tile: int, run: int, w: int) -> None:
    """A dense run, called by address: its sources' ∂L/∂a grow; what `multiply` needs is kept."""
    n, t = net_at(net), tile_at(tile)
    q = dense_at(n.dense + i32_at(n.run_dense, run) * DENSE_SIZE)
    row, real = size_of(spec), bytes_of(spec)
    e, dz = i64_at(n.in_begin, q.first), t.A + q.first * row
    skip = q.inputs if t.inputs == 0 else 0
    weights, base = w + (e + skip) * real, n.dense_base + (q.base_rows + skip) * 4
    product(spec, t.G, base, row, dz, n.iota, row, weights, real, q.sources * real, q.count, q.sources - skip, 0)
    if t.turned_block != q.block:
        t.turned_block = q.block
        turn_sources(spec, n, t, t.kept + q.turned * row, q.wide * real, e, q.sources)
    for v in range(q.count):
        store(t.kept + (q.dz + v) * row, load(spec, dz + v * row))


@inline
def turn_sources(spec: Any, net: Any, tile: Any, to: int, step: int, e: int, sources: int) -> None:
    """a of a block's sources, lane by lane; lanes that are no samples are 0. The last four fill up."""
    last = e + sources - 1
    for k in range(e, e + sources, 4):
        a, b = masked_source(spec, net, tile, k), masked_source(spec, net, tile, min(k + 1, last))
        c, d = masked_source(spec, net, tile, min(k + 2, last)), masked_source(spec, net, tile, min(k + 3, last))
        store_turned(to + (k - e) * bytes_of(spec), step, a, b, c, d)


@inline
def masked_source(spec: Any, net: Any, tile: Any, e: int) -> Any:
    """a of in-edge e's source."""
    return keep(load(spec, tile.A + i32_at(net.in_source, e) * (size_of(spec) // STRIDE)), load(spec, tile.mask))


@kernel
def sweep(spec: Any, net: int, tile: int, stop: int, w: int, turned: int, flags: int) -> None:
    """∂L/∂z of every node over its a; ∂L/∂w and ∂L/∂b of the tile added to its chunk's.

    Lanes that are no samples are 0 from a run's ∂L/∂z on. A run's ∂L/∂b is summed when all its ∂L/∂z are there.

    Args:
        net, tile, stop, flags: as forward's.
        w, turned: addresses of the weights, by in-edge and by place.
    """
    n, t = net_at(net), tile_at(tile)
    row, mask, A, S, top = size_of(spec), load(spec, t.mask), t.A, t.S, t.top
    for run in range(n.runs - 1, -2, -1):
        if atomic_get(stop) != 0:
            return
        kind = i32_at(n.run_kind, run) if run >= 0 else INPUTS
        first = i32_at(n.run_begin, run) if run >= 0 else 0
        end = i32_at(n.run_begin, run + 1)
        fused, at = kind in (FUSED, FUSED_SCALED) and flags & FUSE != 0, first * row
        for v in range(end - 1, first - 1, -1):
            fetch_row(spec, A + (v - NEXT) * row)
            a = load(spec, A + v * row)
            da = pull(spec, n, t, turned, v, keep(a, mask))
            if fused:
                slope, near = found(spec, a), untold(spec, a)
                if any_lane(near):
                    top -= row
                    slope = choose(near, exact(spec, load(spec, top), a), slope)
                store(A + v * row, keep(slope * da, mask))
            elif kind == INPUTS:
                da = keep(da, mask)
                store(A + v * row, thinned(spec, n, t, v, da) if flags & DROP != 0 else da)
            else:
                if flags & DROP != 0:
                    store(A + v * row, load(spec, t.U + v * row))
                store(S + (v - first) * row, da)
        if kind == INPUTS:
            return
        if not fused:
            slopes = i64_at(n.slopes, i32_at(n.run_activation, run))
            call_address(slopes, A + at, t.D + at, S, (end - first) * lanes_of(spec))
        for v in range(first, end):
            dz = load(spec, A + v * row)
            if not fused:
                dz = keep(dz, mask)
                if flags & DROP != 0:
                    dz = thinned(spec, n, t, v, dz)
                store(A + v * row, dz)
            s = total(dz)
            put_real(spec, t.bias, v, s if t.first != 0 else s + real_at(spec, t.bias, v))
            if kind in (SCALED, FUSED_SCALED):
                store(A + i32_at(n.message, v) * row, splat(spec, real_at(spec, n.response, v)) * dz)
        if kind == WHOLE:
            call_address(n.whole_backward, net, tile, run, w)
        elif kind >= AGGREGATED:
            call_address(i64_at(n.spread, kind - AGGREGATED), net, tile, run, w)


@kernel
def multiply(spec: Any, net: int, call: int, tile: int, item: int, turn: int, to: int, scale: float) -> None:
    """∂L/∂w of dense run `item` from what the chunks have kept in this round, in order; called by address.

    Panels go straight to where they belong, `to` being ∂L/∂w by in-edge; the end of a row that is no whole vector takes
    a detour. After the last round it is multiplied by `scale`.
    """
    n, c, t = net_at(net), call_at(call), tile_at(tile)
    q = dense_at(n.dense + item * DENSE_SIZE)
    row, real, lanes, most = size_of(spec), bytes_of(spec), lanes_of(spec), most_rows(spec)
    begin, step = to + i64_at(n.in_begin, q.first) * real, q.sources * real
    rest = q.sources % lanes
    for r in range(0, q.count, most):
        rows, at = min(most, q.count - r), begin + r * step
        for column in range(0, q.sources - rest, lanes):
            grow_panel(spec, n, c, q, turn, r, rows, column, at + column * real, step)
        if rest > 0:
            column = q.sources - rest
            copy_columns(spec, t.S, row, 0, at, step, column, rest, rows)
            grow_panel(spec, n, c, q, turn, r, rows, column, t.S, row)
            copy_columns(spec, at, step, column, t.S, row, 0, rest, rows)
    if turn == c.rounds - 1:
        factor = splat(spec, scale)
        count = q.count * q.sources
        for k in range(0, count - count % lanes, lanes):
            store(begin + k * real, load(spec, begin + k * real) * factor)
        for k in range(count - count % lanes, count):
            put_real(spec, begin, k, real_at(spec, begin, k) * real_of(spec, scale))


@inline
def grow_panel(
    spec: Any, net: Any, call: Any, q: Any, turn: int, r: int, rows: int, column: int, to: int, step: int
) -> None:
    """A panel of ∂L/∂w grows by every tile of the round."""
    row, real, lanes = size_of(spec), bytes_of(spec), lanes_of(spec)
    new, wide = 1 if turn == 0 else 0, q.wide * real
    for c in range(call.chunks):
        if c * call.tiles // call.chunks + turn < (c + 1) * call.tiles // call.chunks:
            kept = call.kept + c * call.kept_step
            a, dz = kept + q.turned * row + column * real, kept + (q.dz + r) * row
            product(spec, to, net.iota, step, a, net.iota, wide, dz, row, real, lanes, rows, new)
            new = 0


@inline
def copy_columns(
    spec: Any, to: int, to_step: int, to_column: int, of: int, step: int, column: int, columns: int, rows: int
) -> None:
    """Of so many rows some numbers, from one place to another."""
    for r in range(rows):
        for k in range(columns):
            put_real(spec, to + r * to_step, to_column + k, real_at(spec, of + r * step, column + k))
