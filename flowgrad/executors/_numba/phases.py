"""What threads do, item by item, besides and around the sweeps. A phase is a function (frame, item, slot).

Items are chunks of tiles, tiles, or pieces of the parameters; how the work is cut depends on the batch and the
graph alone, and every sum runs in one fixed order, so that the number of threads changes no bit of a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.floats import FLUSH, IEEE, set_float_mode
from flowgrad.executors._numba.frame import DENSE, WORK, dense_at, frame_at, work_at
from flowgrad.executors._numba.memory import call_address, f64_at, i32_at, i64_at, put_f64
from flowgrad.executors._numba.panels import product, rows_at_once
from flowgrad.executors._numba.vectors import GATHERED, Lanes, store

SIZE, RECORD = WORK.itemsize, DENSE.itemsize
Phase = Callable[[int, int, int], None]

COLUMNS = 16
"""Columns of a (B, …) array that are read or written together: what stands in one cache line."""


# ---- parameters ---------------------------------------------------------------------------------------------


def gather(lanes: Lanes) -> Phase:
    """A piece of the parameters: w and b from θ and the frozen values, where θ is not w and b as they stand."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        for e in range(item * f.edges // f.pieces, (item + 1) * f.edges // f.pieces):
            slot = i32_at(f.weight_slot, e)
            put_real(f.weight, e, real_at(f.theta, slot) if slot >= 0 else f64_at(f.frozen_weight, e))
        for p in range(item * f.positions // f.pieces, (item + 1) * f.positions // f.pieces):
            slot = i32_at(f.bias_slot, p)
            put_real(f.bias, p, real_at(f.theta, slot) if slot >= 0 else f64_at(f.frozen_bias, p))

    return phase


def turn(lanes: Lanes) -> Phase:
    """A piece of the places: weights in the order in which backward reads them; 0 where no edge is."""
    REAL, gather = lanes.dtype.itemsize, lanes.gather

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        w, turned, out_edge, eights = f.weight, f.turned, f.out_edge, f.places // GATHERED
        for k in range(item * eights // f.pieces * GATHERED, (item + 1) * eights // f.pieces * GATHERED, GATHERED):
            store(turned + k * REAL, gather(w, out_edge + k * 4, 0.0))

    return phase


def add_up(lanes: Lanes) -> Phase:
    """A piece of the edges and positions: the chunks' ∂L/∂w and ∂L/∂b added, in order; by place, in the first chunk."""
    real_at, put_real, load, ROW, N = lanes.real_at, lanes.put_real, lanes.load, lanes.size, lanes.n

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        vectors = (f.places + N - 1) // N if f.chunks > 1 else 0  # a chunk is as long as they are
        for k in range(item * vectors // f.pieces, (item + 1) * vectors // f.pieces):
            at = f.chunk_weight + k * ROW
            g = load(at)
            for c in range(1, f.chunks):
                g = g + load(at + c * f.chunk_weight_step)
            store(at, g)
        for p in range(item * f.positions // f.pieces, (item + 1) * f.positions // f.pieces):
            node = i32_at(f.node, p)
            b = real_at(f.chunk_bias, node)
            for c in range(1, f.chunks):
                b += real_at(f.chunk_bias + c * f.chunk_bias_step, node)
            if p >= f.bias_from:
                put_real(f.grad_bias, p - f.bias_from, b if p >= f.inputs else 0.0)

    return phase


def multiply(lanes: Lanes) -> Phase:
    """A dense run: its ∂L/∂w from what the chunks have kept of this round's tiles, in order.

    Panels go straight to where they belong; the end of a row that is no whole vector takes a detour.
    """
    ROW, REAL, N, real_at, put_real = lanes.size, lanes.dtype.itemsize, lanes.n, lanes.real_at, lanes.put_real
    by_lane, most = product(lanes, ROW), rows_at_once(lanes)

    def grow(f: Any, q: Any, row: int, rows: int, column: int, to: int, step: int) -> None:
        """A panel of ∂L/∂w, by every tile of the round."""
        new, wide = f.round == 0, q.wide * REAL
        for c in range(f.chunks):
            if c * f.tiles // f.chunks + f.round < (c + 1) * f.tiles // f.chunks:
                kept = f.kept + c * f.kept_step
                a, dz = kept + q.turned * ROW + column * REAL, kept + (q.dz + row) * ROW
                by_lane(to, f.iota, step, a, f.iota, wide, dz, ROW, REAL, N, rows, new)
                new = False

    def phase(frame: int, item: int, slot: int) -> None:
        f, t = frame_at(frame), work_at(frame_at(frame).works + slot * SIZE)
        if i64_at(f.stop, 0) != 0:
            return
        q = dense_at(f.dense + item * RECORD)
        first, step = f.grad_weight + i64_at(f.in_begin, q.first) * REAL, q.sources * REAL
        for row in range(0, q.count, most):
            rows, to = min(most, q.count - row), first + row * step
            for column in range(0, q.sources - N + 1, N):
                grow(f, q, row, rows, column, to + column * REAL, step)
            rest = q.sources % N
            if rest > 0:
                column = q.sources - rest
                for r in range(rows):
                    for k in range(rest):
                        put_real(t.S, r * N + k, real_at(to + r * step, column + k))
                grow(f, q, row, rows, column, t.S, ROW)
                for r in range(rows):
                    for k in range(rest):
                        put_real(to + r * step, column + k, real_at(t.S, r * N + k))

    return phase


def turn_back(lanes: Lanes) -> Phase:
    """A piece of the edges: ∂L/∂w of the sparse ones in edge order."""
    REAL, real_at, put_real = lanes.dtype.itemsize, lanes.real_at, lanes.put_real
    gather, load8 = lanes.gather, lanes.load8

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        summed, out_place, to, eights = f.chunk_weight, f.out_place, f.grad_weight, f.edges // GATHERED
        for e in range(item * eights // f.pieces * GATHERED, (item + 1) * eights // f.pieces * GATHERED, GATHERED):
            store(to + e * REAL, gather(summed, out_place + e * 4, load8(to + e * REAL)))
        for e in range(eights * GATHERED, f.edges if item == 0 else 0):
            k = i32_at(out_place, e)
            if k >= 0:
                put_real(to, e, real_at(summed, k))

    return phase


def fold(lanes: Lanes) -> Phase:
    """∂L/∂θ from ∂L/∂w and ∂L/∂b: edges that share a slot add up, in edge order. One item."""
    real_at, put_real = lanes.real_at, lanes.put_real

    def phase(frame: int, item: int, _: int) -> None:
        f = frame_at(frame)
        for p in range(f.parameters):
            put_real(f.grad_theta, p, 0.0)
        for e in range(f.edges):
            slot = i32_at(f.weight_slot, e)
            if slot >= 0:
                put_real(f.grad_theta, slot, real_at(f.grad_theta, slot) + real_at(f.grad_weight, e))
        for p in range(f.positions):
            slot = i32_at(f.bias_slot, p)
            if slot >= 0:
                put_real(f.grad_theta, slot, real_at(f.grad_bias, p))

    return phase


# ---- samples ------------------------------------------------------------------------------------------------


def fill(lanes: Lanes) -> Callable[..., None]:
    """fill(t, rows, values, step, next, n): n rows of a tile from samples; lanes without one repeat the last."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real

    def fill(t: Any, rows: int, values: int, step: int, next: int, n: int) -> None:
        for begin in range(0, n, COLUMNS):
            for lane in range(N):
                at = values + (t.begin + min(lane, t.count - 1)) * step
                for i in range(begin, min(begin + COLUMNS, n)):
                    put_real(rows, i * N + lane, real_at(at + i * next, 0))

    return fill


def empty(lanes: Lanes) -> Callable[..., None]:
    """empty(t, rows, values, step, next, n): the tile's samples of n rows to where (V, B) results are wanted."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real

    def empty(t: Any, rows: int, values: int, step: int, next: int, n: int) -> None:
        for i in range(n):
            for lane in range(t.count):
                put_real(values + (t.begin + lane) * step + i * next, 0, real_at(rows, i * N + lane))

    return empty


def open_tile(lanes: Lanes) -> Callable[..., None]:
    """open_tile(f, t, tile): which samples; the mask; base cases are 0."""
    N, ROW = lanes.n, lanes.size
    splat, put_word = lanes.splat, lanes.put_word

    def open_tile(f: Any, t: Any, tile: int) -> None:
        t.begin = tile * N
        t.count = min(N, f.batch - tile * N)
        for lane in range(N):
            put_word(t.mask, lane, -1 if lane < t.count else 0)
        t.transposed = -1
        for row in range(f.outputs + 1, f.bases):
            store(t.G + row * ROW, splat(0.0))

    return open_tile


def go_back(f: Any, frame: int, work: int) -> None:
    """The backward sweep, the smallest numbers taken for 0."""
    set_float_mode(FLUSH)
    call_address(f.backward, frame, work, 0)
    set_float_mode(IEEE)


def predict(lanes: Lanes) -> Phase:
    """One tile: the outputs alone."""
    N, ROW, real_at, put_real = lanes.n, lanes.size, lanes.real_at, lanes.put_real
    take = fill(lanes)

    def phase(frame: int, item: int, slot: int) -> None:
        f, work = frame_at(frame), frame_at(frame).works + slot * SIZE
        t = work_at(work)
        t.begin = item * N
        t.count = min(N, f.batch - item * N)
        t.Z = t.A
        take(t, t.A, f.x, f.x_step, f.x_next, f.inputs)
        call_address(f.forward, frame, work, 0)
        for begin in range(0, f.outputs, COLUMNS):
            for lane in range(t.count):
                at = f.y + (t.begin + lane) * f.y_step
                for n in range(begin, min(begin + COLUMNS, f.outputs)):
                    put_real(at + n * f.y_next, 0, real_at(t.A + i32_at(f.output, n) * ROW, lane))

    return phase


def trace(lanes: Lanes) -> Phase:
    """One tile: z and a of every node, kept."""
    N, size = lanes.n, lanes.dtype.itemsize
    take, give = fill(lanes), empty(lanes)

    def phase(frame: int, item: int, slot: int) -> None:
        f, work = frame_at(frame), frame_at(frame).works + slot * SIZE
        t = work_at(work)
        t.begin = item * N
        t.count = min(N, f.batch - item * N)
        t.Z = t.D
        take(t, t.A, f.x, f.x_step, f.x_next, f.inputs)
        take(t, t.D, f.x, f.x_step, f.x_next, f.inputs)
        call_address(f.forward, frame, work, 0)
        give(t, t.D, f.z, size, f.node_step, f.nodes)
        give(t, t.A, f.a, size, f.node_step, f.nodes)

    return phase


def step(lanes: Lanes) -> Phase:
    """The tiles of one chunk in this round: forward, loss and base cases, backward."""
    take, start = fill(lanes), open_tile(lanes)

    def phase(frame: int, item: int, slot: int) -> None:
        f, work = frame_at(frame), frame_at(frame).works + slot * SIZE
        t = work_at(work)
        t.weight = f.chunk_weight + item * f.chunk_weight_step
        t.bias = f.chunk_bias + item * f.chunk_bias_step
        t.loss = f.chunk_loss + item * 8
        t.kept = f.kept + item * f.kept_step
        t.first, t.DA, t.Z = f.round == 0, 0, t.A
        if f.round == 0:
            put_f64(t.loss, 0, 0.0)
        begin = item * f.tiles // f.chunks + f.round * f.at_once
        for tile in range(begin, min(begin + f.at_once, (item + 1) * f.tiles // f.chunks)):
            start(f, t, tile)
            t.top = t.stack
            take(t, t.A, f.x, f.x_step, f.x_next, f.inputs)
            call_address(f.forward, frame, work, 0)
            call_address(f.loss, frame, work, 0)
            go_back(f, frame, work)
            if i64_at(f.stop, 0) != 0:
                return
            t.first = 0

    return phase


def adjoint(lanes: Lanes) -> Phase:
    """The same from kept z and given base cases: backward; ∂L/∂z and ∂L/∂a of every node, kept."""
    N, ROW, size = lanes.n, lanes.size, lanes.dtype.itemsize
    take, give, start = fill(lanes), empty(lanes), open_tile(lanes)

    def phase(frame: int, item: int, slot: int) -> None:
        f, work = frame_at(frame), frame_at(frame).works + slot * SIZE
        t = work_at(work)
        t.weight = f.chunk_weight + item * f.chunk_weight_step
        t.bias = f.chunk_bias + item * f.chunk_bias_step
        t.kept = f.kept + item * f.kept_step
        t.first = f.round == 0
        begin = item * f.tiles // f.chunks + f.round * f.at_once
        for tile in range(begin, min(begin + f.at_once, (item + 1) * f.tiles // f.chunks)):
            start(f, t, tile)
            take(t, t.A, f.z, size, f.node_step, f.nodes)
            take(t, t.G + ROW, f.y, f.y_step, f.y_next, f.outputs)
            for run in range(f.runs):
                v, end = i32_at(f.run_begin, run), i32_at(f.run_begin, run + 1)
                sigma = i64_at(f.activation, i32_at(f.run_activation, run))
                call_address(sigma, t.A + v * ROW, t.A + v * ROW, t.D + v * ROW, (end - v) * N)
            go_back(f, frame, work)
            give(t, t.A, f.dz, size, f.node_step, f.nodes)
            give(t, t.DA, f.da, size, f.node_step, f.nodes)
            if i64_at(f.stop, 0) != 0:
                return
            t.first = 0

    return phase
