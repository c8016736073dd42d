"""The two sweeps over one tile: equations (1)–(3) in topological order, (5)–(10) in the reverse.

A tile is `lanes` samples; each node has a row of them. One thread sweeps the whole graph over its tile, so that
nothing waits for anything.

Backward pulls: every out-edge knows the row of D that holds ∂L/∂(w·a) of its term. For a plain neuron v (sum,
r = 1) that is ∂L/∂z_v itself; any other neuron writes message rows when its ∂L/∂z is final, one for a scaled sum,
one an in-edge for another aggregation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.frame import AGGREGATED, PLAIN, SCALED, frame_at, work_at
from flowgrad.executors._numba.memory import call_address, i32_at, i64_at, prefetch
from flowgrad.executors._numba.vectors import Lanes, dot, dots, fma, keep, lane_sum, store


def fetcher(lanes: Lanes, ahead: int) -> Callable[[int, int, int], None]:
    """fetch(rows, index, k): begin to fetch the row of edge k, where rows are fetched ahead at all."""
    ROW = lanes.size

    def fetch(rows: int, index: int, k: int) -> None:
        if ahead > 0:
            row = rows + i32_at(index, k) * ROW
            prefetch(row)
            if ROW > 64:
                prefetch(row + 64)

    return fetch


def forward(lanes: Lanes, ahead: int = 0) -> Callable[[int, int, int], None]:
    """forward(frame, work, _): z, a and, where the activations' table gives it, σ'(z) of every neuron."""
    ROW, N = lanes.size, lanes.n
    load, splat, real_at = lanes.load, lanes.splat, lanes.real_at
    fetch = fetcher(lanes, ahead)

    def sweep(frame: int, work: int, _: int) -> None:
        f, t = frame_at(frame), work_at(work)
        A, Z, D = t.A, t.Z, t.D
        in_begin, in_end, source, weight, bias = f.in_begin, f.in_end, f.in_source, f.weight, f.bias
        begin, run_kind, activation = f.run_begin, f.run_kind, f.run_activation
        response, functions, gather, stop = f.response, f.activation, f.gather, f.stop
        edge = f.edges - 1
        for run in range(f.runs):
            if i64_at(stop, 0) != 0:
                return
            first, last = i32_at(begin, run), i32_at(begin, run + 1)
            kind = i32_at(run_kind, run)
            if kind == PLAIN:
                for v in range(first, last):
                    z = splat(real_at(bias, v))
                    for e in range(i64_at(in_begin, v), i64_at(in_end, v)):
                        fetch(A, source, min(e + ahead, edge))
                        z = fma(splat(real_at(weight, e)), load(A + i32_at(source, e) * ROW), z)
                    store(Z + v * ROW, z)
            elif kind == SCALED:
                for v in range(first, last):
                    m = splat(0.0)
                    for e in range(i64_at(in_begin, v), i64_at(in_end, v)):
                        m = fma(splat(real_at(weight, e)), load(A + i32_at(source, e) * ROW), m)
                    store(Z + v * ROW, fma(splat(real_at(response, v)), m, splat(real_at(bias, v))))
            else:
                call_address(i64_at(gather, kind - AGGREGATED), frame, work, run)
            sigma = i64_at(functions, i32_at(activation, run))
            call_address(sigma, Z + first * ROW, A + first * ROW, D + first * ROW, (last - first) * N)

    return sweep


def backward(lanes: Lanes, ahead: int = 0) -> Callable[[int, int, int], None]:
    """backward(frame, work, _): ∂L/∂z of every node over its σ'(z) in D; ∂L/∂w and ∂L/∂b of the tile."""
    ROW = lanes.size
    load, load4, splat, real_at, put_real = lanes.load, lanes.load4, lanes.splat, lanes.real_at, lanes.put_real
    REAL = lanes.dtype.itemsize
    fetch = fetcher(lanes, ahead)

    def pull(f: Any, t: Any, v: int) -> None:
        D, dw, first = t.D, t.weight, t.first
        row, w, mask = f.out_row, f.turned, load(t.mask)
        a = keep(load(t.A + v * ROW), mask)
        da = load(t.G + i32_at(f.base_row, v) * ROW)
        k, end = i64_at(f.out_begin, v), i64_at(f.out_end, v)
        while k + 4 <= end:
            fetch(D, row, max(k - ahead, 0))
            fetch(D, row, max(k - ahead + 1, 0))
            fetch(D, row, max(k - ahead + 2, 0))
            fetch(D, row, max(k - ahead + 3, 0))
            d0, d1 = load(D + i32_at(row, k) * ROW), load(D + i32_at(row, k + 1) * ROW)
            d2, d3 = load(D + i32_at(row, k + 2) * ROW), load(D + i32_at(row, k + 3) * ROW)
            da = fma(splat(real_at(w, k)), d0, da)
            da = fma(splat(real_at(w, k + 1)), d1, da)
            da = fma(splat(real_at(w, k + 2)), d2, da)
            da = fma(splat(real_at(w, k + 3)), d3, da)
            sums = dots(a, d0, d1, d2, d3)
            if first == 0:
                sums = sums + load4(dw + k * REAL)
            store(dw + k * REAL, sums)
            k += 4
        while k < end:
            fetch(D, row, max(k - ahead, 0))
            d0 = load(D + i32_at(row, k) * ROW)
            da = fma(splat(real_at(w, k)), d0, da)
            product = dot(d0, a)
            if first == 0:
                product += real_at(dw, k)
            put_real(dw, k, product)
            k += 1
        if t.DA != 0:
            store(t.DA + v * ROW, da)
        dz = keep(load(D + v * ROW) * da, mask)
        store(D + v * ROW, dz)
        db = lane_sum(dz)
        if first == 0:
            db += real_at(t.bias, v)
        put_real(t.bias, v, db)

    def sweep(frame: int, work: int, _: int) -> None:
        f, t = frame_at(frame), work_at(work)
        for run in range(f.runs - 1, -1, -1):
            if i64_at(f.stop, 0) != 0:
                return
            first, last = i32_at(f.run_begin, run), i32_at(f.run_begin, run + 1)
            for v in range(last - 1, first - 1, -1):
                pull(f, t, v)
            kind = i32_at(f.run_kind, run)
            if kind == SCALED:
                for v in range(first, last):
                    message = splat(real_at(f.response, v)) * load(t.D + v * ROW)
                    store(t.D + i32_at(f.message, v) * ROW, message)
            elif kind != PLAIN:
                call_address(i64_at(f.spread, kind - AGGREGATED), frame, work, run)
        for v in range(f.inputs - 1, -1, -1):
            pull(f, t, v)

    return sweep
