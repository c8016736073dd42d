"""What a thread does in a call, from its first to its last: phases, whose items the threads take in turn.

An entry is called by Python; it writes where its arrays stand into the call's record, and posts this as a job, whose
body every thread of the call runs, each in a slot of its own, which is its tile. Items are tiles, chunks of tiles or
pieces of the parameters: how the work is cut depends on batch and graph alone, and every sum runs in one fixed order,
so that the number of threads changes no bit of a result. Of each phase two words count how many items are taken, and
how many are done. A thread that finds none left waits until all are done; one that comes late finds none and waits for
nothing. Backward takes numbers below the smallest normal one for 0 (FLUSH): a processor
takes 100 times as long over them.

Entries know a dtype; how many lanes a row has they read, and sweeps they call by address.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.dropped import draw_samples
from flowgrad.executors._numba.memory import (
    FLUSH,
    IEEE,
    atomic_get,
    call_address,
    data_of,
    f64_at,
    fetch_add,
    float_mode,
    i32_at,
    i64_at,
    put_f64,
    set_float_mode,
)
from flowgrad.executors._numba.panels import PANELS
from flowgrad.executors._numba.parameters import DONE, NEXT, wait_until
from flowgrad.executors._numba.records import BACKWARD, CALL, DROP, TILE_SIZE, call_at, net_at, tile_at
from flowgrad.executors._numba.simd import bytes_of, put_real, put_word, real_at

SCALE = (CALL.names or ()).index("scale")
"""Which word of a call's record is a float64."""
COLUMNS = 16
"""Columns of a (B, …) array that are read or written together: what stands in one cache line."""


@inline
def multiply_runs(n: Any, c: Any, call: int, tile: int, taken: int, turn: int, grad_weight: int, scale: float) -> None:
    """∂L/∂w of the dense runs, of a round."""
    item, items = fetch_add(taken, 1), n.dense_runs * PANELS
    while item < items:
        if atomic_get(c.stop) == 0:
            call_address(n.multiply, c.net, call, tile, item, turn, grad_weight, scale)
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, items, c.stop)


# ---- samples ------------------------------------------------------------------------------------------------


@inline
def fill(spec: Any, n: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """Rows of a tile from a (B, count) array with these steps in bytes; lanes that are no samples repeat the last."""
    for begin in range(0, count, COLUMNS):
        for lane in range(n.lanes):
            at = values + (t.begin + min(lane, t.count - 1)) * step
            for i in range(begin, min(begin + COLUMNS, count)):
                put_real(spec, rows, i * n.lanes + lane, real_at(spec, at + i * next, 0))


@inline
def empty(spec: Any, n: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """The tile's samples of so many rows to where a (B, count) array has them."""
    for i in range(count):
        for lane in range(t.count):
            put_real(spec, values + (t.begin + lane) * step + i * next, 0, real_at(spec, rows, i * n.lanes + lane))


@inline
def fill_base(spec: Any, n: Any, t: Any, dy: int, step: int, next: int) -> None:
    """Base cases of outputs from ∂L/∂y (B, O); 0 in lanes that are no samples."""
    fill(spec, n, t, t.G + n.lanes * bytes_of(spec), dy, step, next, n.outputs)
    for k in range(1, n.outputs + 1):
        for lane in range(t.count, n.lanes):
            put_real(spec, t.G, k * n.lanes + lane, 0.0)


@inline
def open_tile(spec: Any, n: Any, c: Any, t: Any, number: int) -> None:
    """Say which samples a tile has, in the mask row too; base cases of what is no output are 0."""
    t.begin = number * n.lanes
    t.count = min(n.lanes, c.batch - t.begin)
    t.turned_block = -1
    t.top = t.stack
    if c.how & DROP != 0:
        draw_samples(spec, n, c, t)
    for lane in range(n.lanes):
        put_word(spec, t.mask, lane, -1 if lane < t.count else 0)
    for k in range((n.outputs + 1) * n.lanes, n.bases * n.lanes):
        put_real(spec, t.G, k, 0.0)


@inline
def lay_out(c: Any, t: Any, number: int, A: int, D: int, stack: int) -> None:
    """A thread's tile gets the rows that are held of a tile, or its own, A, D and stack."""
    if number < c.held_tiles:
        rows = c.held + number * c.held_step
        t.A, t.D, t.stack = rows, rows + c.held_slopes, rows + c.held_stack
    else:
        t.A, t.D, t.stack = A, D, stack
    t.Z = t.A


@inline
def open_chunk(c: Any, t: Any, chunk: int, turn: int) -> None:
    """A thread's tile gets the arrays of a chunk."""
    t.weight = c.chunk_weight + chunk * c.chunk_weight_step
    t.bias = c.chunk_bias + chunk * c.chunk_bias_step
    t.kept, t.kept_step, t.chunk = c.kept, c.kept_step, chunk
    t.loss = c.chunk_loss + chunk * 8
    t.first = 1 if turn == 0 else 0
    if turn == 0:
        put_f64(t.loss, 0, 0.0)


# ---- entries ------------------------------------------------------------------------------------------------


@kernel
def predict(spec: Any, call: int, theta: Any, x: Any, y: Any) -> None:
    """y (B, O) of x (B, I), by everyone who comes."""
    c = call_at(call)
    take_in(c, theta, x)
    c.targets, c.targets_step, c.targets_next = data_of(y), y.strides[0], y.strides[1]
    call_address(c.together, c.board, call)


@kernel
def step(spec: Any, call: int, theta: Any, x: Any, targets: Any, share: Any, scale: float, out: Any, dx: Any) -> None:
    """∂L/∂θ times `scale` into out (P,), ∂L/∂x into dx (B, I) or, empty, nowhere; share (B,) of samples, or empty."""
    c = call_at(call)
    take_in(c, theta, x)
    c.targets, c.targets_step, c.targets_next = data_of(targets), targets.strides[0], targets.strides[1]
    c.share = data_of(share) if len(share) > 0 else 0
    c.out, c.dx, c.dx_step, c.dx_next = data_of(out), data_of(dx) if len(dx) > 0 else 0, dx.strides[0], dx.strides[1]
    put_f64(call, SCALE, scale)
    call_address(c.together, c.board, call)


@inline
def take_in(c: Any, theta: Any, x: Any) -> None:
    """Where a call's arrays stand."""
    c.theta, c.x, c.x_step, c.x_next = data_of(theta), data_of(x), x.strides[0], x.strides[1]


# ---- what every thread does -----------------------------------------------------------------------------------


@kernel
def predict_tiles(spec: Any, call: int, slot: int) -> None:
    """Tiles that the call holds stay where they are for the backward of a `step`.

    Where the call has room for z and a of every node, these go there, and y is not looked at.
    """
    mode = float_mode()
    set_float_mode(IEEE)
    c, tile = call_at(call), call_at(call).works + slot * TILE_SIZE
    n, t, taken = net_at(c.net), tile_at(tile), c.counters + NEXT
    w, b = weights(spec, n, c, call)
    A, D, stack = t.A, t.D, t.stack
    number = fetch_add(taken, 1)
    while number < c.tiles:
        lay_out(c, t, number, A, D, stack)
        open_tile(spec, n, c, t, number)
        fill(spec, n, t, t.A, c.x, c.x_step, c.x_next, n.inputs)
        if c.z != 0:
            t.Z = t.DA
            fill(spec, n, t, t.Z, c.x, c.x_step, c.x_next, n.inputs)
        call_address(n.forward, c.net, tile, c.stop, w, b, c.how)
        if c.z != 0:
            empty(spec, n, t, t.Z, c.z, bytes_of(spec), c.batch * bytes_of(spec), n.nodes)
            empty(spec, n, t, t.A, c.a, bytes_of(spec), c.batch * bytes_of(spec), n.nodes)
        else:
            if number < c.held_tiles:
                for lane in range(n.lanes):
                    put_real(spec, t.A + c.held_zeros, lane, 0.0)
                put_f64(c.held_tops, number, float(t.top - t.stack))
            for begin in range(0, n.outputs, COLUMNS):
                for lane in range(t.count):
                    at = c.targets + (t.begin + lane) * c.targets_step
                    for k in range(begin, min(begin + COLUMNS, n.outputs)):
                        a = real_at(spec, t.A, i32_at(n.output, k) * n.lanes + lane)
                        put_real(spec, at + k * c.targets_next, 0, a)
        fetch_add(taken + DONE, 1)
        number = fetch_add(taken, 1)
    t.A, t.D, t.stack = A, D, stack
    wait_until(taken + DONE, c.tiles, c.stop)
    set_float_mode(mode)


@kernel
def step_chunks(spec: Any, call: int, slot: int) -> None:
    """The chunks' losses go into theirs.

    Where the call says `pulled`, its targets are the base cases ∂L/∂y; tiles that it holds have their forward behind
    them. Where the call has z and a of a forward, these stand for x: ∂L/∂z and ∂L/∂a of every node, ∂L/∂w by in-edge
    and ∂L/∂b by position go where it says, and `out` stays as it is.
    """
    mode = float_mode()
    set_float_mode(IEEE)
    c, tile = call_at(call), call_at(call).works + slot * TILE_SIZE
    n, t, taken = net_at(c.net), tile_at(tile), c.counters + 2 * NEXT
    w, b = weights(spec, n, c, call)
    traced, scale = c.z != 0, f64_at(call, SCALE)
    t.inputs = 1 if traced or c.dx != 0 else 0
    A, D, stack = t.A, t.D, t.stack
    grad_weight, grad_bias = c.out, c.out + (n.edges - n.inputs) * bytes_of(spec)
    summed = scale
    if n.direct == 0 or traced:
        grad_weight, grad_bias, summed = c.grad_weight, c.grad_bias, 1.0
    call_address(n.prepare, call, w)
    for turn in range(c.rounds):
        chunk = fetch_add(taken, 1)
        while chunk < c.chunks:
            open_chunk(c, t, chunk, turn)
            begin, end = first_tile(c, chunk) + turn * c.at_once, first_tile(c, chunk + 1)
            for number in range(begin, min(begin + c.at_once, end)):
                lay_out(c, t, number, A, D, stack)
                open_tile(spec, n, c, t, number)
                if traced:
                    remember(spec, n, c, t)
                elif number < c.held_tiles:
                    t.top = t.stack + int(f64_at(c.held_tops, number))
                else:
                    fill(spec, n, t, t.A, c.x, c.x_step, c.x_next, n.inputs)
                    call_address(n.forward, c.net, tile, c.stop, w, b, c.how | BACKWARD)
                if c.pulled != 0:
                    fill_base(spec, n, t, c.targets, c.targets_step, c.targets_next)
                else:
                    call_address(n.loss, c.net, tile, c.targets, c.targets_step, c.targets_next, c.share)
                set_float_mode(FLUSH)
                call_address(n.backward, c.net, tile, c.stop, w, c.turned, c.how)
                set_float_mode(IEEE)
                if traced:
                    empty(spec, n, t, t.A, c.dz, bytes_of(spec), c.batch * bytes_of(spec), n.nodes)
                    empty(spec, n, t, t.DA, c.da, bytes_of(spec), c.batch * bytes_of(spec), n.nodes)
                if c.dx != 0:
                    empty(spec, n, t, t.A, c.dx, c.dx_step, c.dx_next, n.inputs)
                t.first = 0
            fetch_add(taken + DONE, 1)
            chunk = fetch_add(taken, 1)
        wait_until(taken + DONE, c.chunks, c.stop)
        multiply_runs(n, c, call, tile, taken + NEXT, turn, grad_weight, summed)
        taken += 2 * NEXT
    t.A, t.D, t.stack = A, D, stack
    call_address(n.finish, call, taken, grad_weight, grad_bias, summed)
    if n.direct == 0 and not traced:
        call_address(n.fold, call, taken + 2 * NEXT, c.out, scale)
    set_float_mode(mode)


@inline
def first_tile(c: Any, chunk: int) -> int:
    """Where a chunk begins: all have as many tiles, or the first ones have one more."""
    return int(chunk * (c.tiles // c.chunks) + min(chunk, c.tiles % c.chunks))


@inline
def weights(spec: Any, n: Any, c: Any, call: int) -> Any:
    """Addresses of w and b; the first phase gathers them where θ is not just these."""
    if n.direct == 0:
        call_address(n.collect, call, c.theta)
        return c.weight, c.bias
    return c.theta, c.theta + (n.edges - n.inputs) * bytes_of(spec)


@inline
def remember(spec: Any, n: Any, c: Any, t: Any) -> None:
    """a of every node, and what σ' is found from, of the z that forward gave."""
    row, size = n.lanes * bytes_of(spec), bytes_of(spec)
    fill(spec, n, t, t.A, c.z, size, c.batch * size, n.nodes)
    for run in range(n.runs):
        first, end = i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)
        sigma, at = i64_at(n.activate, i32_at(n.run_activation, run)), t.A + first * row
        call_address(sigma, at, at, t.D + first * row, (end - first) * n.lanes, 1)
    if c.how & DROP != 0:
        for k in range(n.nodes * n.lanes):
            put_real(spec, t.U, k, real_at(spec, t.A, k))
        fill(spec, n, t, t.A, c.a, size, c.batch * size, n.nodes)
