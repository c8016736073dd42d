"""The two sweeps over one tile: equations (1)–(3) in topological order, (5)–(10) in the reverse.

A tile is `lanes` samples; each node has a row of them. One thread sweeps the whole graph over its tile, so that
nothing waits for anything.

Backward pulls: every out-edge knows the row of A that holds ∂L/∂(w·a) of its term. For a plain neuron v (sum,
r = 1) that is ∂L/∂z_v itself, written over a_v, which nobody needs any more; any other neuron writes message rows
when its ∂L/∂z is final, one for a scaled sum, one an in-edge for another aggregation.

Runs of plain neurons of the commonest activation have kernels of their own, with σ and σ' compiled into the loop over
neurons: while rows come from the caches, the processor has another neuron's σ to work on.

Dense runs, parts of the plan's blocks, are matrix products (`panels`): forward z, and when their ∂L/∂z is final,
their share of their sources' ∂L/∂a, which is added to the sources' rows of base cases. Their ∂L/∂w is a product too,
of many tiles at once: `passes.multiply`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.across import dots, first_of_four, lane_sums, store_turned
from flowgrad.executors._numba.activations import form_named
from flowgrad.executors._numba.frame import (
    AGGREGATED,
    DENSE,
    FUSED,
    GROUP,
    SCALED,
    STRIDE,
    WHOLE,
    dense_at,
    frame_at,
    work_at,
)
from flowgrad.executors._numba.memory import LINE, call_address, i32_at, i64_at, prefetch, publish
from flowgrad.executors._numba.panels import product
from flowgrad.executors._numba.vectors import Lanes, fma, keep, store

RECORD = DENSE.itemsize
NEXT = 8
"""How many neurons ahead their own rows are fetched."""
STREAM = 128
"""How many edges ahead backward fetches what it reads of them, a line for each neuron, which has about as many edges as
that: beside its rows, processors do so too late."""


def fetcher(lanes: Lanes, ahead: int) -> Callable[[int, int, int], None]:
    """fetch(rows, index, k): begin to fetch the row of edge k, where rows are fetched ahead at all."""
    SCALE, fetch_row = lanes.size // STRIDE, row_fetcher(lanes)

    def fetch(rows: int, index: int, k: int) -> None:
        if ahead > 0:
            fetch_row(rows + i32_at(index, k) * SCALE)

    return fetch


def row_fetcher(lanes: Lanes) -> Callable[[int], None]:
    """fetch_row(row): begin to fetch it into the first cache."""
    ROW = lanes.size

    def fetch_row(row: int) -> None:
        prefetch(row)
        if ROW > LINE:
            prefetch(row + LINE)

    return fetch_row


def adder(lanes: Lanes, ahead: int) -> Callable[..., Any]:
    """grown(z, A, source, weight, begin, end, last): z and the weighted rows of in-edges begin … end−1, in order."""
    SCALE, load, splat, real_at = lanes.size // STRIDE, lanes.load, lanes.splat, lanes.real_at
    fetch = fetcher(lanes, ahead)

    def grown(z: Any, A: int, source: int, weight: int, begin: int, end: int, last: int) -> Any:
        for e in range(begin, end):
            fetch(A, source, min(e + ahead, last))
            z = fma(splat(real_at(weight, e)), load(A + i32_at(source, e) * SCALE), z)
        return z

    return grown


def forward(lanes: Lanes, ahead: int = 0) -> Callable[[int, int, int], None]:
    """forward(frame, work, _): z, a and, where the activations' table gives it, what σ'(z) is found from."""
    ROW, N = lanes.size, lanes.n
    splat, real_at = lanes.splat, lanes.real_at
    grown = adder(lanes, ahead)

    def sweep(frame: int, work: int, _: int) -> None:
        f, t = frame_at(frame), work_at(work)
        A, Z, D = t.A, t.Z, t.D
        in_begin, in_end, source, weight, bias = f.in_begin, f.in_end, f.in_source, f.weight, f.bias
        begin, run_kind, activation = f.run_begin, f.run_kind, f.run_activation
        response, functions, gather, stop, fused = f.response, f.activation, f.gather, f.stop, f.fused_forward
        position = f.position
        edge = f.edges - 1
        for run in range(f.runs):
            if i64_at(stop, 0) != 0:
                return
            kind = i32_at(run_kind, run)
            if kind == FUSED and fused != 0:
                call_address(fused, frame, work, run)
                continue
            first, last = i32_at(begin, run), i32_at(begin, run + 1)
            if kind <= FUSED:
                for v in range(first, last):
                    z = splat(real_at(bias, i32_at(position, v)))
                    store(Z + v * ROW, grown(z, A, source, weight, i64_at(in_begin, v), i64_at(in_end, v), edge))
            elif kind == SCALED:
                for v in range(first, last):
                    m = grown(splat(0.0), A, source, weight, i64_at(in_begin, v), i64_at(in_end, v), edge)
                    b = splat(real_at(bias, i32_at(position, v)))
                    store(Z + v * ROW, fma(splat(real_at(response, v)), m, b))
            elif kind == WHOLE:
                call_address(f.whole_forward, frame, work, run)
            else:
                call_address(i64_at(gather, kind - AGGREGATED), frame, work, run)
            sigma = i64_at(functions, i32_at(activation, run))
            call_address(sigma, Z + first * ROW, A + first * ROW, D + first * ROW, (last - first) * N)

    return sweep


def fused_forward(lanes: Lanes, ahead: int, sigma: str, slope: bool) -> Callable[[int, int, int], None]:
    """fused_forward(frame, work, run): a of a run and, where `slope`, the rows kept of those whose a does not tell σ'.

    They stand one upon another, as backward takes them off again: a store to a row of its own for one neuron in ten
    would wait for memory every time. A row that is not wanted is written too, and the next one over it.
    """
    ROW, splat, real_at = lanes.size, lanes.splat, lanes.real_at
    fetch_row, grown, form = row_fetcher(lanes), adder(lanes, ahead), form_named(sigma, lanes)
    KEEPS = slope and form.keeps

    def sweep(frame: int, work: int, run: int) -> None:
        f, t = frame_at(frame), work_at(work)
        A, top, in_begin, in_end = t.A, t.top, f.in_begin, f.in_end
        source, weight, bias, edge, position = f.in_source, f.weight, f.bias, f.edges - 1, f.position
        for v in range(i32_at(f.run_begin, run), i32_at(f.run_begin, run + 1)):
            fetch_row(A + (v + NEXT) * ROW)
            b = splat(real_at(bias, i32_at(position, v)))
            z = grown(b, A, source, weight, i64_at(in_begin, v), i64_at(in_end, v), edge)
            a = form.value(z)
            store(A + v * ROW, a)
            if KEEPS:
                store(top, form.kept(z))
                top += ROW if form.untold(a) else 0
        t.top = top

    return sweep


def whole_forward(lanes: Lanes) -> Callable[[int, int, int], None]:
    """whole_forward(frame, work, run): z of a dense run."""
    ROW, REAL = lanes.size, lanes.dtype.itemsize
    splat, real_at = lanes.splat, lanes.real_at
    grow = product(lanes)

    def sweep(frame: int, work: int, run: int) -> None:
        f, t = frame_at(frame), work_at(work)
        q = dense_at(f.dense + i32_at(f.run_dense, run) * RECORD)
        for v in range(q.first, q.first + q.count):
            store(t.Z + v * ROW, splat(real_at(f.bias, i32_at(f.position, v))))
        e, z = i64_at(f.in_begin, q.first), t.Z + q.first * ROW
        w, step = f.weight + e * REAL, q.sources * REAL
        grow(z, f.iota, ROW, t.A, f.in_source + e * 4, ROW // STRIDE, w, step, REAL, q.sources, q.count, 0)

    return sweep


def whole_backward(lanes: Lanes) -> Callable[[int, int, int], None]:
    """whole_backward(frame, work, run): ∂L/∂a of a dense run's sources grown; what `passes.multiply` needs is kept."""
    ROW, REAL, load = lanes.size, lanes.dtype.itemsize, lanes.load
    by_source = product(lanes, REAL)

    def a_of(f: Any, t: Any, e: int) -> Any:
        """The source's, of an edge."""
        return keep(load(t.A + i32_at(f.in_source, e) * (ROW // STRIDE)), load(t.mask))

    def turn_block(f: Any, t: Any, q: Any, e: int) -> None:
        """The sources' a by lane, once a block and tile: lanes that are no samples are 0."""
        if t.transposed == q.block:
            return
        t.transposed = q.block
        to, last = t.kept + q.turned * ROW, e + q.sources - 1
        for k in range(e, e + q.sources, 4):  # the last one fills its four up
            a, b = a_of(f, t, k), a_of(f, t, min(k + 1, last))
            c, d = a_of(f, t, min(k + 2, last)), a_of(f, t, min(k + 3, last))
            store_turned(to + (k - e) * REAL, q.wide * REAL, a, b, c, d)

    def sweep(frame: int, work: int, run: int) -> None:
        f, t = frame_at(frame), work_at(work)
        q = dense_at(f.dense + i32_at(f.run_dense, run) * RECORD)
        e, dz = i64_at(f.in_begin, q.first), t.A + q.first * ROW
        skip = q.inputs if t.DA == 0 else 0
        w, step = f.weight + (e + skip) * REAL, q.sources * REAL
        base = f.dense_base + (q.base + skip) * 4
        by_source(t.G, base, ROW, dz, f.iota, ROW, w, REAL, step, q.count, q.sources - skip, 0)
        turn_block(f, t, q, e)
        for v in range(q.count):
            store(t.kept + (q.dz + v) * ROW, load(dz + v * ROW))

    return sweep


def reader(lanes: Lanes, partial: bool) -> Callable[[int, Any], Any]:
    """read(row, mask): a row, its lanes that are no samples 0 where there are `partial` tiles."""
    load = lanes.load

    def read(row: int, mask: Any) -> Any:
        return keep(load(row), mask) if partial else load(row)

    return read


def puller(lanes: Lanes, ahead: int) -> Callable[..., Any]:
    """pull(f, A, G, DA, dw, first, v, a): ∂L/∂a of node v, and ∂L/∂w of its out-edges; each group's last ones may be
    none, and are 0. A, G, DA, dw and first are what the thread's record has at A, G, DA, weight and first.
    """
    ROW, REAL, SCALE = lanes.size, lanes.dtype.itemsize, lanes.size // STRIDE
    load, load4, splat, real_at = lanes.load, lanes.load4, lanes.splat, lanes.real_at
    fetch = fetcher(lanes, ahead)

    def pull(f: Any, A: int, G: int, DA: int, dw: int, first: int, v: int, a: Any) -> Any:
        row, w, begin = f.out_row, f.turned, i64_at(f.out_begin, v)
        da = load(G + i32_at(f.base_row, v) * ROW)
        prefetch(row + (begin + STREAM) * 4)
        prefetch(w + (begin + STREAM) * REAL)
        prefetch(dw + (begin + STREAM) * REAL)
        for k in range(begin, i64_at(f.out_end, v), GROUP):
            fetch(A, row, k + ahead)
            fetch(A, row, k + ahead + 1)
            fetch(A, row, k + ahead + 2)
            fetch(A, row, k + ahead + 3)
            d0, d1 = load(A + i32_at(row, k) * SCALE), load(A + i32_at(row, k + 1) * SCALE)
            d2, d3 = load(A + i32_at(row, k + 2) * SCALE), load(A + i32_at(row, k + 3) * SCALE)
            da = fma(splat(real_at(w, k)), d0, da)
            da = fma(splat(real_at(w, k + 1)), d1, da)
            da = fma(splat(real_at(w, k + 2)), d2, da)
            da = fma(splat(real_at(w, k + 3)), d3, da)
            sums = dots(a, d0, d1, d2, d3)
            store(dw + k * REAL, sums if first else sums + load4(dw + k * REAL))
        if DA != 0:
            store(DA + v * ROW, da)
        return da

    return pull


def fused_backward(lanes: Lanes, ahead: int, partial: bool, sigma: str) -> Callable[[int, int, int], None]:
    """fused_backward(frame, work, run): ∂L/∂z over a of a run whose σ' is found here; ∂L/∂w of its out-edges.

    It asks of the same a whether a row was kept: lanes that are no samples repeat one that is, and are 0 here.
    """
    ROW, load, read = lanes.size, lanes.load, reader(lanes, partial)
    pull, fetch_row, form = puller(lanes, ahead), row_fetcher(lanes), form_named(sigma, lanes)

    def sweep(frame: int, work: int, run: int) -> None:
        f, t = frame_at(frame), work_at(work)
        A, G, DA, dw, first, top, mask = t.A, t.G, t.DA, t.weight, t.first, t.top, load(t.mask)
        for v in range(i32_at(f.run_begin, run + 1) - 1, i32_at(f.run_begin, run) - 1, -1):
            fetch_row(A + (v - NEXT) * ROW)
            a = read(A + v * ROW, mask)
            slope = form.found(a)
            if form.untold(a):
                top -= ROW
                slope = form.exact(load(top), a)
            store(A + v * ROW, slope * pull(f, A, G, DA, dw, first, v, a))
        t.top = top

    return sweep


def backward(lanes: Lanes, ahead: int = 0, partial: bool = True) -> Callable[[int, int, int], None]:
    """backward(frame, work, _): ∂L/∂z of every node over its a; ∂L/∂w and ∂L/∂b of the tile."""
    ROW, N, REAL = lanes.size, lanes.n, lanes.dtype.itemsize
    load, load4, splat, real_at = lanes.load, lanes.load4, lanes.splat, lanes.real_at
    pull, read = puller(lanes, ahead), reader(lanes, partial)

    def settle(t: Any, begin: int, end: int, mask: Any) -> None:
        """∂L/∂b of neurons; lanes of ∂L/∂z that are no samples become 0."""
        A, bias, first, mend = t.A, t.bias, t.first, partial and t.count < N
        for v in range(begin, end, 4):
            last = end - 1
            r0, r1, r2, r3 = (
                A + v * ROW,
                A + min(v + 1, last) * ROW,
                A + min(v + 2, last) * ROW,
                A + min(v + 3, last) * ROW,
            )
            d0, d1, d2, d3 = read(r0, mask), read(r1, mask), read(r2, mask), read(r3, mask)
            if mend:
                store(r0, d0)
                store(r1, d1)
                store(r2, d2)
                store(r3, d3)
            sums, old = lane_sums(d0, d1, d2, d3), load4(bias + v * REAL)
            store(bias + v * REAL, first_of_four(min(end - v, 4), sums if first else sums + old, old))

    def sweep(frame: int, work: int, _: int) -> None:
        f, t = frame_at(frame), work_at(work)
        A, G, DA, dw, mask = t.A, t.G, t.DA, t.weight, load(t.mask)
        for run in range(f.runs - 1, -1, -1):
            if i64_at(f.stop, 0) != 0:
                return
            first, last, kind = i32_at(f.run_begin, run), i32_at(f.run_begin, run + 1), i32_at(f.run_kind, run)
            if kind == FUSED and f.fused_backward != 0:
                call_address(f.fused_backward, frame, work, run)
            else:
                for v in range(last - 1, first - 1, -1):
                    da = pull(f, A, G, DA, dw, t.first, v, read(A + v * ROW, mask))
                    store(t.S + (v - first) * ROW, da)
                slope = i64_at(f.slope, i32_at(f.run_activation, run))
                call_address(slope, t.A + first * ROW, t.D + first * ROW, t.S, (last - first) * N)
            settle(t, first, last, mask)
            if kind == SCALED:
                for v in range(first, last):
                    message = splat(real_at(f.response, v)) * load(t.A + v * ROW)
                    store(t.A + i32_at(f.message, v) * ROW, message)
            elif kind == WHOLE:
                call_address(f.whole_backward, frame, work, run)
            elif kind >= AGGREGATED:
                call_address(i64_at(f.spread, kind - AGGREGATED), frame, work, run)
            if t.passed != 0:
                publish(t.passed, f.nodes - first)
        for v in range(f.inputs - 1, -1, -1):
            store(A + v * ROW, pull(f, A, G, DA, dw, t.first, v, read(A + v * ROW, mask)))
        settle(t, 0, f.inputs, mask)
        if t.passed != 0:
            publish(t.passed, f.nodes)

    return sweep
