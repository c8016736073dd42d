"""Backward sweep over one tile: equations (5)–(10), neuron by neuron in reverse topological order.

Every node u gathers from its out-edges: for each edge u→v an index gives the row of A with ∂L/∂(w_uv·a_u). If v is a
multiple r of the sum, this row is r·∂L/∂z_v, which overwrites a_v once a_v is no longer needed. Under any other
aggregation v writes a message row for each in-edge when its ∂L/∂z is final. One loop serves all: row · w_uv is added to
∂L/∂a_u, and row · a_u, summed over lanes, to ∂L/∂w_uv. It processes four edges at a time and reduces their sums over
lanes by one 4×4 transposition. Each node's out-edges are padded to whole groups with edges of weight 0 that read a row
of zeros, and are stored in the order of the sweep, the last node's first.

A dense run uses matrix products: when its ∂L/∂z is final, its share of ∂L/∂a of its sources is added to their rows of
base cases. Its ∂L/∂w is one product over a tile of every chunk (`multiply`).
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.across import dots, store_transposed, total
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.dropped import thinned
from flowgrad.executors._numba.forms import needs_z, slope_at
from flowgrad.executors._numba.forward import fetch_row
from flowgrad.executors._numba.memory import atomic_get, call_address, i32_at, i64_at
from flowgrad.executors._numba.panels import LONGEST, PANELS, product
from flowgrad.executors._numba.parameters import factor_of
from flowgrad.executors._numba.records import (
    AGGREGATED,
    DENSE_SIZE,
    DROP,
    FUSE,
    FUSED,
    GROUP,
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
    fma,
    keep,
    lanes_of,
    load,
    load4,
    plain,
    put_real,
    real_at,
    real_of,
    size_of,
    splat,
    store,
)

INPUTS = -1
"""Kind of the input nodes, which precede the first run and are processed last."""


@inline
def pull(spec: Any, net: Any, tile: Any, w: int, v: int, a: Any) -> Any:
    """Return ∂L/∂a of node v, (10), and add its out-edges' ∂L/∂w to the chunk's; w: address of weights by place."""
    A, dw, first, row, ahead = tile.A, tile.weight, tile.first, net.out_row, net.ahead
    size, scale, begin = bytes_of(spec), size_of(spec) // STRIDE, i64_at(net.out_begin, v)
    da = load(spec, tile.G + i32_at(net.base_row, v) * size_of(spec))
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
    """Add a dense run's share of ∂L/∂a to its sources' base cases; store operands of `multiply`; called by address."""
    n, t = net_at(net), tile_at(tile)
    q = dense_at(n.dense + i32_at(n.run_dense, run) * DENSE_SIZE)
    row, real = size_of(spec), bytes_of(spec)
    e, dz = i64_at(n.in_begin, q.first), t.A + q.first * row
    skip = q.inputs if t.inputs == 0 else 0
    weights, base = w + (e + skip) * real, n.dense_base + (q.base_rows + skip) * 4
    product(spec, t.G, base, row, dz, n.iota, row, weights, real, q.sources * real, q.count, q.sources - skip, 0)
    if t.transposed_block != q.block:
        t.transposed_block = q.block
        transpose_sources(spec, n, t, t.kept + q.transposed * t.kept_step, e, q.sources)
    for v in range(q.count):
        store(t.kept + (q.dz + v) * t.kept_step + t.chunk * row, load(spec, dz + v * row))


@inline
def transpose_sources(spec: Any, net: Any, tile: Any, to: int, e: int, sources: int) -> None:
    """Store a of a block's sources transposed, the last source repeated up to fours; 0 in lanes without a sample."""
    last, row, lanes = e + sources - 1, size_of(spec), lanes_of(spec)
    for k in range(0, sources, 4):
        square = to + k // lanes * lanes * tile.kept_step + tile.chunk * lanes * row
        k += e
        a, b = masked_source(spec, net, tile, k), masked_source(spec, net, tile, min(k + 1, last))
        c, d = masked_source(spec, net, tile, min(k + 2, last)), masked_source(spec, net, tile, min(k + 3, last))
        store_transposed(square + (k - e) % lanes * bytes_of(spec), row, a, b, c, d)


@inline
def masked_source(spec: Any, net: Any, tile: Any, e: int) -> Any:
    """Return a of in-edge e's source, with 0 in lanes without a sample."""
    return keep(load(spec, tile.A + i32_at(net.in_source, e) * (size_of(spec) // STRIDE)), load(spec, tile.mask))


@kernel
def sweep(form: Any, net: int, tile: int, stop: int, w: int, out_weight: int, flags: int) -> None:
    """Overwrite a of every node with r·∂L/∂z, and add ∂L/∂w and ∂L/∂b of the tile to the sums of its chunk.

    ∂L/∂z is 0 in lanes without a sample; of traced calls, whose tiles have rows DA, it is written to t.D. r is not 1 in
    multiples of the sum alone. ∂L/∂b of a run is summed after ∂L/∂z of all its neurons.

    Args:
        form, net, tile, stop, flags: as in `forward.sweep`.
        w, out_weight: addresses of the weights by in-edge, and by place (in the order of out-edges, with padding).
    """
    spec, n, t = plain(form), net_at(net), tile_at(tile)
    row, mask, A, D, top = size_of(spec), load(spec, t.mask), t.A, t.D, t.top
    for run in range(n.runs - 1, -2, -1):
        if atomic_get(stop) != 0:
            return
        kind = i32_at(n.run_kind, run) if run >= 0 else INPUTS
        first = i32_at(n.run_begin, run) if run >= 0 else 0
        end = i32_at(n.run_begin, run + 1)
        fused = kind == FUSED and flags & FUSE != 0
        for v in range(end - 1, first - 1, -1):
            a = load(spec, A + v * row)
            dz = pull(spec, n, t, out_weight, v, keep(a, mask))
            if fused:
                top -= row if any_lane(needs_z(form, a)) else 0
                dz = slope_at(form, a, top) * dz
            elif kind != INPUTS:
                dz = load(spec, D + v * row) * dz
            dz = keep(dz, mask)
            if flags & DROP != 0:
                dz = thinned(spec, n, t, v, dz)
            store(A + v * row, dz)
            if t.DA != 0:
                store(D + v * row, dz)
        if kind == INPUTS:
            return
        for v in range(first, end):
            dz = load(spec, A + v * row)
            s = total(dz)
            put_real(spec, t.bias, v, s if t.first != 0 else s + real_at(spec, t.bias, v))
            r = real_at(spec, n.response, v)
            if kind <= FUSED and r != 1.0:
                store(A + v * row, dz * r)
        if kind == WHOLE:
            call_address(n.whole_backward, net, tile, run, w)
        elif kind >= AGGREGATED:
            call_address(i64_at(n.spread, kind - AGGREGATED), net, tile, run, w)


@kernel
def multiply(spec: Any, call: int, tile: int, item: int) -> None:
    """Accumulate ∂L/∂w of up to LONGEST neurons of a dense run over the tiles of one round; an item of a phase.

    `item` is the dense run's number times PANELS plus the panel's. The first round overwrites ∂L/∂w, the last one
    multiplies it by the call's factor. Columns at the end of a row that fill no vector go through t.S. The operands are
    contiguous: a of `lanes` sources by chunk and lane, and ∂L/∂z of each neuron by chunk.
    """
    c, t = call_at(call), tile_at(tile)
    n = net_at(c.net)
    q, r = dense_at(n.dense + item // PANELS * DENSE_SIZE), item % PANELS * LONGEST
    row, real, lanes = size_of(spec), bytes_of(spec), lanes_of(spec)
    rows, step, every = min(LONGEST, q.count - r), q.sources * real, c.chunks * row
    at, dz = c.grad_weight + i64_at(n.in_begin, q.first) * real + r * step, c.kept + (q.dz + r) * every
    terms, new, rest = chunks_in(c, t.round_number) * lanes, 1 if t.round_number == 0 else 0, q.sources % lanes
    if rows <= 0:
        return
    for column in range(0, q.sources - rest, lanes):
        a = c.kept + (q.transposed + column) * every
        product(spec, at + column * real, n.iota, step, a, n.iota, row, dz, every, real, terms, rows, new)
    if rest > 0:
        column = q.sources - rest
        a = c.kept + (q.transposed + column) * every
        copy_columns(spec, t.S, row, 0, at, step, column, rest, rows)
        product(spec, t.S, n.iota, row, a, n.iota, row, dz, every, real, terms, rows, new)
        copy_columns(spec, at, step, column, t.S, row, 0, rest, rows)
    if t.round_number == c.rounds - 1:
        scale = factor_of(c, call)
        factor = splat(spec, scale)
        count = rows * q.sources
        for k in range(0, count - count % lanes, lanes):
            store(at + k * real, load(spec, at + k * real) * factor)
        for k in range(count - count % lanes, count):
            put_real(spec, at, k, real_at(spec, at, k) * real_of(spec, scale))


@inline
def chunks_in(call: Any, number: int) -> int:
    """Return the number of chunks that have a tile in this round: all, except maybe in the last round."""
    return int(min(max(call.tiles - number * call.chunks, 0), call.chunks))


@inline
def copy_columns(
    spec: Any, to: int, to_step: int, to_column: int, of: int, step: int, column: int, columns: int, rows: int
) -> None:
    """Copy `columns` numbers of each of `rows` rows; addresses `of` and `to`, steps from row to row in bytes."""
    for r in range(rows):
        for k in range(columns):
            put_real(spec, to + r * to_step, to_column + k, real_at(spec, of + r * step, column + k))
