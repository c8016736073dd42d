"""Entries: the kernels that Python calls, and what each thread of a call does, phase by phase.

An entry writes the addresses and strides of its arrays into the call's record and runs it as a job (`jobs`). Each
thread executes `run_phases` in a slot of its own, which selects its tile, and takes items of one phase after the other
(`phases`). The division into items depends on batch and graph alone, and every sum is evaluated in one fixed order, so
results are bit-identical for any number of threads. Backward flushes subnormal numbers to zero (FLUSH): they slow a
processor down a hundredfold.

Kernels are compiled for a dtype; they read the number of lanes from the record, and call sweeps by address.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.dropped import draw_samples
from flowgrad.executors._numba.memory import (
    FLUSH,
    IEEE,
    call_address,
    data_of,
    f64_at,
    float_mode,
    i32_at,
    i64_at,
    put_f64,
    set_float_mode,
)
from flowgrad.executors._numba.panels import PANELS
from flowgrad.executors._numba.phases import phase
from flowgrad.executors._numba.records import BACKWARD, DROP, SCALE, TILE_SIZE, call_at, net_at, tile_at
from flowgrad.executors._numba.simd import bytes_of, put_real, put_word, real_at

COLUMNS = 16
"""Columns of a (B, …) array that are copied together: a cache line of float32."""


# ---- entries, and the body that their threads execute -----------------------------------------------------------


@kernel
def predict(spec: Any, call: int, theta: Any, x: Any, y: Any) -> None:
    """Compute y (B, O) of x (B, I)."""
    c = call_at(call)
    record_inputs(spec, c, theta, x)
    c.targets, c.targets_step, c.targets_next = data_of(y), y.strides[0], y.strides[1]
    call_address(c.run_shared, c.table, call)


@kernel
def step(spec: Any, call: int, theta: Any, x: Any, targets: Any, share: Any, scale: float, out: Any, dx: Any) -> None:
    """Compute ∂L/∂θ · scale into out (P,) and ∂L/∂x into dx (B, I); `dx` and the sample weights (B,) may be empty."""
    c = call_at(call)
    record_inputs(spec, c, theta, x)
    c.targets, c.targets_step, c.targets_next = data_of(targets), targets.strides[0], targets.strides[1]
    c.share = data_of(share) if len(share) > 0 else 0
    c.out, c.dx, c.dx_step, c.dx_next = data_of(out), data_of(dx) if len(dx) > 0 else 0, dx.strides[0], dx.strides[1]
    put_f64(call, SCALE, scale)
    n = net_at(c.net)
    if n.direct != 0 and c.z == 0:
        c.grad_weight, c.grad_bias = c.out, c.out + (n.edges - n.inputs) * bytes_of(spec)
    call_address(c.run_shared, c.table, call)


@inline
def record_inputs(spec: Any, c: Any, theta: Any, x: Any) -> None:
    """Write addresses and strides of θ and x into the call's record."""
    c.theta, c.x, c.x_step, c.x_next = data_of(theta), data_of(x), x.strides[0], x.strides[1]
    n = net_at(c.net)
    if n.direct != 0:
        c.weight, c.bias = c.theta, c.theta + (n.edges - n.inputs) * bytes_of(spec)


@kernel
def run_phases(spec: Any, call: int, slot: int) -> None:
    """Go through the phases of a call: without chunks tiles are evaluated forward, else chunks forward and backward."""
    mode = float_mode()
    set_float_mode(IEEE)
    c = call_at(call)
    n, tile, taken = net_at(c.net), c.works + slot * TILE_SIZE, c.counters
    if n.direct == 0:
        taken = phase(c, call, tile, n.collect, c.pieces, taken)
    if c.chunks == 0:
        phase(c, call, tile, n.predict_tile, c.tiles, taken)
    else:
        taken = phase(c, call, tile, n.permute, c.pieces, taken)
        for number in range(c.rounds):
            tile_at(tile).round_number = number
            taken = phase(c, call, tile, n.step_chunk, c.chunks, taken)
            taken = phase(c, call, tile, n.multiply, n.dense_runs * PANELS, taken)
        taken = phase(c, call, tile, n.add, c.pieces if c.chunks > 1 else 0, taken)
        taken = phase(c, call, tile, n.unpermute, c.pieces, taken)
        if n.direct == 0 and c.z == 0:
            phase(c, call, tile, n.fold, 1, taken)
    set_float_mode(mode)


# ---- items ------------------------------------------------------------------------------------------------------


@kernel
def predict_tile(spec: Any, call: int, tile: int, number: int) -> None:
    """Evaluate a tile forward. Rows of tiles that the call holds stay in memory for the backward of a later `step`.

    If the call's record has addresses of z and a (V, B), these are written for every node, and y is not.
    """
    c, t = call_at(call), tile_at(tile)
    n, size, A, D, stack = net_at(c.net), bytes_of(spec), t.A, t.D, t.stack
    open_tile(spec, n, c, t, number)
    read_samples(spec, n, t, t.A, c.x, c.x_step, c.x_next, n.inputs)
    if c.z != 0:
        t.Z = t.DA
        read_samples(spec, n, t, t.Z, c.x, c.x_step, c.x_next, n.inputs)
    call_address(n.forward, c.net, tile, c.stop, c.weight, c.bias, c.how)
    if c.z != 0:
        write_samples(spec, n, t, t.Z, c.z, size, c.batch * size, n.nodes)
        write_samples(spec, n, t, t.A, c.a, size, c.batch * size, n.nodes)
    else:
        if number < c.held_tiles:
            for lane in range(n.lanes):
                put_real(spec, t.A + c.held_zeros, lane, 0.0)
            put_f64(t.A, -1, float(t.top - t.stack))
        for begin in range(0, n.outputs, COLUMNS):
            for lane in range(t.count):
                at = c.targets + (t.begin + lane) * c.targets_step
                for k in range(begin, min(begin + COLUMNS, n.outputs)):
                    a = real_at(spec, t.A, i32_at(n.output, k) * n.lanes + lane)
                    put_real(spec, at + k * c.targets_next, 0, a)
    t.A, t.D, t.stack = A, D, stack


@kernel
def step_chunk(spec: Any, call: int, tile: int, chunk: int) -> None:
    """Evaluate a chunk's tiles of a round forward and backward.

    If the record has `pulled`, targets are ∂L/∂y, the base cases, and no forward is run for tiles that it holds. If it
    has addresses of z and a (V, B), these replace x: ∂L/∂z and ∂L/∂a of every node, ∂L/∂w by in-edge and ∂L/∂b by
    position are written to the addresses in the record, and `out` is not.
    """
    c, t = call_at(call), tile_at(tile)
    n, size, A, D, stack, traced = net_at(c.net), bytes_of(spec), t.A, t.D, t.stack, c.z != 0
    t.inputs = 1 if traced or c.dx != 0 else 0
    open_chunk(c, t, chunk)
    begin, end = first_tile(c, chunk) + t.round_number * c.at_once, first_tile(c, chunk + 1)
    for number in range(begin, min(begin + c.at_once, end)):
        open_tile(spec, n, c, t, number)
        if traced:
            restore(spec, n, c, t)
        elif number < c.held_tiles:
            t.top = t.stack + int(f64_at(t.A, -1))
        else:
            read_samples(spec, n, t, t.A, c.x, c.x_step, c.x_next, n.inputs)
            call_address(n.forward, c.net, tile, c.stop, c.weight, c.bias, c.how | BACKWARD)
        if c.pulled != 0:
            read_base(spec, n, t, c.targets, c.targets_step, c.targets_next)
        else:
            call_address(n.loss, c.net, tile, c.targets, c.targets_step, c.targets_next, c.share)
        set_float_mode(FLUSH)
        call_address(n.backward, c.net, tile, c.stop, c.weight, c.out_weight, c.how)
        set_float_mode(IEEE)
        if traced:
            write_samples(spec, n, t, t.D, c.dz, size, c.batch * size, n.nodes)
            write_samples(spec, n, t, t.DA, c.da, size, c.batch * size, n.nodes)
        if c.dx != 0:
            write_samples(spec, n, t, t.A, c.dx, c.dx_step, c.dx_next, n.inputs)
        t.first = 0
        t.A, t.D, t.stack = A, D, stack


@inline
def first_tile(c: Any, chunk: int) -> int:
    """Return a chunk's first tile; chunks have equally many tiles, or the first ones have one more."""
    return int(chunk * (c.tiles // c.chunks) + min(chunk, c.tiles % c.chunks))


@inline
def open_chunk(c: Any, t: Any, chunk: int) -> None:
    """Point a thread's tile to the gradient arrays and the loss of a chunk; the first round zeroes the loss."""
    t.weight = c.chunk_weight + chunk * c.chunk_weight_step
    t.bias = c.chunk_bias + chunk * c.chunk_bias_step
    t.kept, t.kept_step, t.chunk = c.kept, c.kept_step, chunk
    t.loss = c.chunk_loss + chunk * 8
    t.first = 1 if t.round_number == 0 else 0
    if t.round_number == 0:
        put_f64(t.loss, 0, 0.0)


@inline
def open_tile(spec: Any, n: Any, c: Any, t: Any, number: int) -> None:
    """Set which samples a tile has, its mask row too, and the base cases of other nodes than outputs to 0.

    Its rows A, D and stack become those that are held of it, if it is one of the tiles that the call holds.
    """
    if number < c.held_tiles:
        rows = c.held + number * c.held_step
        t.A, t.D, t.stack = rows, rows + c.held_slopes, rows + c.held_stack
    t.Z, t.top = t.A, t.stack
    t.begin = number * n.lanes
    t.count = min(n.lanes, c.batch - t.begin)
    t.transposed_block = -1
    if c.how & DROP != 0:
        draw_samples(spec, n, c, t)
    for lane in range(n.lanes):
        put_word(spec, t.mask, lane, -1 if lane < t.count else 0)
    for k in range((n.outputs + 1) * n.lanes, n.bases * n.lanes):
        put_real(spec, t.G, k, 0.0)


@inline
def restore(spec: Any, n: Any, c: Any, t: Any) -> None:
    """Restore a and σ' of every node from z and a of an earlier forward."""
    row, size = n.lanes * bytes_of(spec), bytes_of(spec)
    read_samples(spec, n, t, t.A, c.z, size, c.batch * size, n.nodes)
    for run in range(n.runs):
        first, end = i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)
        sigma, at = i64_at(n.activate, i32_at(n.run_activation, run)), t.A + first * row
        call_address(sigma, at, at, t.D + first * row, (end - first) * n.lanes, 1)
    read_samples(spec, n, t, t.A, c.a, size, c.batch * size, n.nodes)


# ---- samples ------------------------------------------------------------------------------------------------


@inline
def read_samples(spec: Any, n: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """Copy a tile's samples of a (B, count) array, strides in bytes, to rows; lanes beyond them repeat the last one."""
    for begin in range(0, count, COLUMNS):
        for lane in range(n.lanes):
            at = values + (t.begin + min(lane, t.count - 1)) * step
            for i in range(begin, min(begin + COLUMNS, count)):
                put_real(spec, rows, i * n.lanes + lane, real_at(spec, at + i * next, 0))


@inline
def write_samples(spec: Any, n: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """Copy `count` rows of a tile to its samples in a (B, count) array, strides in bytes."""
    for i in range(count):
        for lane in range(t.count):
            put_real(spec, values + (t.begin + lane) * step + i * next, 0, real_at(spec, rows, i * n.lanes + lane))


@inline
def read_base(spec: Any, n: Any, t: Any, dy: int, step: int, next: int) -> None:
    """Copy ∂L/∂y (B, O) of a tile to the base cases of the outputs; 0 in lanes without a sample."""
    read_samples(spec, n, t, t.G + n.lanes * bytes_of(spec), dy, step, next, n.outputs)
    for k in range(1, n.outputs + 1):
        for lane in range(t.count, n.lanes):
            put_real(spec, t.G, k * n.lanes + lane, 0.0)
