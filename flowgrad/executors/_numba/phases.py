"""What threads do with samples, item by item, around the sweeps. A phase is a function (frame, item, slot).

Items are chunks of tiles or tiles, in `passes` pieces of the parameters; how the work is cut depends on the batch and
the graph alone, and every sum runs in one fixed order, so that the number of threads changes no bit of a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.floats import FLUSH, IEEE, set_float_mode
from flowgrad.executors._numba.frame import WORK, frame_at, work_at
from flowgrad.executors._numba.memory import LINE, call_address, i32_at, i64_at, put_f64
from flowgrad.executors._numba.passes import Phase, weights_turned
from flowgrad.executors._numba.vectors import Lanes, store

SIZE = WORK.itemsize

COLUMNS = 16
"""Columns of a (B, …) array that are read or written together: what stands in one cache line."""


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


def way_back(lanes: Lanes) -> Callable[..., None]:
    """go_back(f, t, frame, work, passed): the backward sweep, the smallest numbers taken for 0; at `passed`, where
    that is not 0, how many nodes it has passed.
    """
    turned = weights_turned(lanes)

    def go_back(f: Any, t: Any, frame: int, work: int, passed: int) -> None:
        if t.first != 0:
            turned(frame)
        t.passed = passed
        set_float_mode(FLUSH)
        call_address(f.backward, frame, work, 0)
        set_float_mode(IEEE)

    return go_back


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
    take, start, go_back = fill(lanes), open_tile(lanes), way_back(lanes)

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
        begin, end = item * f.tiles // f.chunks + f.round * f.at_once, (item + 1) * f.tiles // f.chunks
        for tile in range(begin, min(begin + f.at_once, end)):
            start(f, t, tile)
            t.top = t.stack
            take(t, t.A, f.x, f.x_step, f.x_next, f.inputs)
            call_address(f.forward, frame, work, 0)
            call_address(f.loss, frame, work, 0)
            go_back(f, t, frame, work, f.passed + item * LINE if tile == end - 1 else 0)
            if i64_at(f.stop, 0) != 0:
                return
            t.first = 0

    return phase


def adjoint(lanes: Lanes) -> Phase:
    """The same from kept z and given base cases: backward; ∂L/∂z and ∂L/∂a of every node, kept."""
    N, ROW, size = lanes.n, lanes.size, lanes.dtype.itemsize
    take, give, start, go_back = fill(lanes), empty(lanes), open_tile(lanes), way_back(lanes)

    def phase(frame: int, item: int, slot: int) -> None:
        f, work = frame_at(frame), frame_at(frame).works + slot * SIZE
        t = work_at(work)
        t.weight = f.chunk_weight + item * f.chunk_weight_step
        t.bias = f.chunk_bias + item * f.chunk_bias_step
        t.kept = f.kept + item * f.kept_step
        t.first = f.round == 0
        begin, end = item * f.tiles // f.chunks + f.round * f.at_once, (item + 1) * f.tiles // f.chunks
        for tile in range(begin, min(begin + f.at_once, end)):
            start(f, t, tile)
            take(t, t.A, f.z, size, f.node_step, f.nodes)
            take(t, t.G + ROW, f.y, f.y_step, f.y_next, f.outputs)
            for run in range(f.runs):
                v, last = i32_at(f.run_begin, run), i32_at(f.run_begin, run + 1)
                sigma = i64_at(f.activation, i32_at(f.run_activation, run))
                call_address(sigma, t.A + v * ROW, t.A + v * ROW, t.D + v * ROW, (last - v) * N)
            go_back(f, t, frame, work, f.passed + item * LINE if tile == end - 1 else 0)
            give(t, t.A, f.dz, size, f.node_step, f.nodes)
            give(t, t.DA, f.da, size, f.node_step, f.nodes)
            if i64_at(f.stop, 0) != 0:
                return
            t.first = 0

    return phase
