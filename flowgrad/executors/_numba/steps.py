"""What a thread does in a call, from its first to its last: phases, whose items the threads take in turn.

An entry is called by every thread of a call with the same arguments but for its slot, which is its tile. Items are
tiles, chunks of tiles or pieces of the parameters: how the work is cut depends on batch and graph alone, and every sum
runs in one fixed order, so that the number of threads changes no bit of a result. A thread that finds no item left waits
until the items of the phase are done; one that comes late finds none and waits for nothing.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.across import GATHERED, eight, gather, load8, placed
from flowgrad.executors._numba.backward import backward
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.forward import forward
from flowgrad.executors._numba.memory import (
    FLUSH,
    IEEE,
    atomic_get,
    call_address,
    fetch_add,
    float_mode,
    give_way,
    i32_at,
    i64_at,
    pause,
    put_f64,
    set_float_mode,
)
from flowgrad.executors._numba.records import DENSE_SIZE, TILE_SIZE, call_at, net_at, tile_at
from flowgrad.executors._numba.simd import (
    bytes_of,
    choose,
    keep,
    lanes_of,
    load,
    put_real,
    put_word,
    real_at,
    real_of,
    size_of,
    splat,
    store,
)

COLUMNS = 16
"""Columns of a (B, …) array that are read or written together: what stands in one cache line."""
GLANCES = 1000
"""Looks at what the others do before a thread that waits lets another have its core, for each further look."""


# ---- items --------------------------------------------------------------------------------------------------


@inline
def take(c: Any, phase: int) -> int:
    """The next item of a phase; beyond the last there are none."""
    return fetch_add(c.counters + 16 * phase, 1)


@inline
def put_down(c: Any, phase: int) -> None:
    """An item of a phase is done."""
    fetch_add(c.counters + 16 * phase + 8, 1)


@inline
def wait(c: Any, phase: int, items: int) -> None:
    """Until all items of a phase are done."""
    looks = 0
    while atomic_get(c.counters + 16 * phase + 8) < items:
        pause()
        looks += 1
        if looks > GLANCES:
            give_way()


# ---- passes over the parameters --------------------------------------------------------------------------------


@inline
def collect_parameters(spec: Any, n: Any, c: Any, phase: int, theta: int) -> None:
    """w and b from θ and what is frozen, where θ is not w and b as they stand."""
    item = take(c, phase)
    while item < c.pieces:
        for e in range(item * n.edges // c.pieces, (item + 1) * n.edges // c.pieces):
            slot = i32_at(n.weight_slot, e)
            put_real(spec, c.weight, e, real_at(spec, theta, slot) if slot >= 0 else real_at(spec, n.frozen_weight, e))
        for p in range(item * n.positions // c.pieces, (item + 1) * n.positions // c.pieces):
            slot = i32_at(n.bias_slot, p)
            put_real(spec, c.bias, p, real_at(spec, theta, slot) if slot >= 0 else real_at(spec, n.frozen_bias, p))
        put_down(c, phase)
        item = take(c, phase)
    wait(c, phase, c.pieces)


@inline
def weights_and_biases(spec: Any, n: Any, c: Any, phase: int, theta: int) -> tuple[int, int]:
    """Where w stands by in-edge, and b by position."""
    if n.direct != 0:
        return theta, theta + (n.edges - n.inputs) * bytes_of(spec)
    collect_parameters(spec, n, c, phase, theta)
    return c.weight, c.bias


@inline
def turn_weights(spec: Any, n: Any, c: Any, phase: int, w: int) -> None:
    """Weights by place: in the order in which backward reads them, 0 where no edge is."""
    eights, zeros, size = n.places // GATHERED, eight(spec, 0.0), bytes_of(spec)
    item = take(c, phase)
    while item < c.pieces:
        for k in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
            store(c.turned + k * size, gather(spec, w, n.out_edge + k * 4, zeros))
        put_down(c, phase)
        item = take(c, phase)
    wait(c, phase, c.pieces)


@inline
def add_up(spec: Any, n: Any, c: Any, phase: int) -> None:
    """The chunks' ∂L/∂w added up by place, in their order, in the first chunk."""
    lanes, row = lanes_of(spec), size_of(spec)
    vectors = (n.places + lanes - 1) // lanes
    item = take(c, phase)
    while item < c.pieces:
        for k in range(item * vectors // c.pieces, (item + 1) * vectors // c.pieces):
            at = c.chunk_weight + k * row
            g = load(spec, at)
            for chunk in range(1, c.chunks):
                g = g + load(spec, at + chunk * c.chunk_weight_step)
            store(at, g)
        put_down(c, phase)
        item = take(c, phase)
    wait(c, phase, c.pieces)


@inline
def turn_back(spec: Any, n: Any, c: Any, phase: int, grad_weight: int, grad_bias: int, scale: float) -> None:
    """∂L/∂w of sparse edges by in-edge, ∂L/∂b by position with the chunks added up, both times `scale`."""
    size, eights, rest = bytes_of(spec), n.edges // GATHERED, n.edges % GATHERED
    item = take(c, phase)
    while item < c.pieces:
        if n.all_dense == 0:
            for e in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
                turned_back(spec, n, c, grad_weight, e, scale)
            if item == c.pieces - 1:
                for e in range(n.edges - rest, n.edges):
                    k = i32_at(n.out_place, e)
                    if k >= 0:
                        put_real(spec, grad_weight, e, real_at(spec, c.chunk_weight, k) * real_of(spec, scale))
        for p in range(item * n.positions // c.pieces, (item + 1) * n.positions // c.pieces):
            if p >= n.inputs:
                node = i32_at(n.node, p)
                b = real_at(spec, c.chunk_bias, node)
                for chunk in range(1, c.chunks):
                    b += real_at(spec, c.chunk_bias + chunk * c.chunk_bias_step, node)
                put_real(spec, grad_bias, p, b * real_of(spec, scale))
        put_down(c, phase)
        item = take(c, phase)
    wait(c, phase, c.pieces)


@inline
def turned_back(spec: Any, n: Any, c: Any, grad_weight: int, e: int, scale: float) -> None:
    """Eight edges; those of dense runs stay as they are."""
    to, places = grad_weight + e * bytes_of(spec), n.out_place + e * 4
    g = gather(spec, c.chunk_weight, places, eight(spec, 0.0)) * scale
    store(to, choose(placed(spec, places), g, load8(spec, to)))


@inline
def fold(spec: Any, n: Any, c: Any, phase: int, out: int, scale: float) -> None:
    """∂L/∂θ from ∂L/∂w and ∂L/∂b: edges that share a slot add up, in their order. One item."""
    if take(c, phase) == 0:
        for k in range(n.parameters):
            put_real(spec, out, k, real_of(spec, 0.0))
        for e in range(n.edges):
            slot = i32_at(n.weight_slot, e)
            if slot >= 0:
                put_real(spec, out, slot, real_at(spec, out, slot) + real_at(spec, c.grad_weight, e))
        for p in range(n.positions):
            slot = i32_at(n.bias_slot, p)
            if slot >= 0:
                put_real(spec, out, slot, real_at(spec, c.grad_bias, p))
        for k in range(n.parameters):
            put_real(spec, out, k, real_at(spec, out, k) * real_of(spec, scale))
        put_down(c, phase)
    wait(c, phase, 1)


# ---- samples ------------------------------------------------------------------------------------------------


@inline
def open_tile(spec: Any, n: Any, c: Any, t: Any, number: int) -> None:
    """Say which samples a tile has; in the mask row lanes that are samples are all ones."""
    lanes = lanes_of(spec)
    t.begin = number * lanes
    t.count = min(lanes, c.batch - t.begin)
    t.turned_block = -1
    t.top = t.stack
    for lane in range(lanes):
        put_word(spec, t.mask, lane, -1 if lane < t.count else 0)


@inline
def fill(spec: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """Rows of a tile from a (B, count) array with these steps in bytes; lanes that are no samples repeat the last."""
    lanes = lanes_of(spec)
    for begin in range(0, count, COLUMNS):
        for lane in range(lanes):
            at = values + (t.begin + min(lane, t.count - 1)) * step
            for i in range(begin, min(begin + COLUMNS, count)):
                put_real(spec, rows, i * lanes + lane, real_at(spec, at + i * next, 0))


@inline
def empty(spec: Any, t: Any, rows: int, values: int, step: int, next: int, count: int) -> None:
    """The tile's samples of so many rows to where a (B, count) array has them."""
    lanes = lanes_of(spec)
    for i in range(count):
        for lane in range(t.count):
            put_real(spec, values + (t.begin + lane) * step + i * next, 0, real_at(spec, rows, i * lanes + lane))


@inline
def begin_of(c: Any, chunk: int, turn: int) -> int:
    """The first tile of a chunk in a round."""
    return chunk * c.tiles // c.chunks + turn * c.at_once


@inline
def open_chunk(c: Any, t: Any, chunk: int, turn: int) -> None:
    """A thread's tile gets the arrays of a chunk."""
    t.weight = c.chunk_weight + chunk * c.chunk_weight_step
    t.bias = c.chunk_bias + chunk * c.chunk_bias_step
    t.kept = c.kept + chunk * c.kept_step
    t.loss = c.chunk_loss + chunk * 8
    t.first = 1 if turn == 0 else 0
    if turn == 0:
        put_f64(t.loss, 0, 0.0)


@inline
def go_back(spec: Any, c: Any, tile: int, w: int, fuse: bool) -> None:
    """The backward sweep, the smallest numbers taken for 0: processors are a hundred times slower with them."""
    set_float_mode(FLUSH)
    backward(spec, c.net, tile, c.stop, w, c.turned, fuse)
    set_float_mode(IEEE)


# ---- entries ------------------------------------------------------------------------------------------------


@kernel
def predict(spec: Any, call: int, slot: int, theta: Any, x: Any, y: Any) -> None:
    """y (B, O) of x (B, I)."""
    mode = float_mode()
    set_float_mode(IEEE)
    c = call_at(call)
    n, tile = net_at(c.net), c.works + slot * TILE_SIZE
    t = tile_at(tile)
    t.Z = t.A
    w, b = weights_and_biases(spec, n, c, 0, theta.ctypes.data)
    number = take(c, 1)
    while number < c.tiles:
        open_tile(spec, n, c, t, number)
        fill(spec, t, t.A, x.ctypes.data, x.strides[0], x.strides[1], n.inputs)
        forward(spec, c.net, tile, c.stop, w, b, True, False)
        for k in range(n.outputs):
            at = t.A + i32_at(n.output, k) * size_of(spec)
            empty(spec, t, at, y.ctypes.data + k * y.strides[1], y.strides[0], 0, 1)
        put_down(c, 1)
        number = take(c, 1)
    wait(c, 1, c.tiles)
    set_float_mode(mode)


@kernel
def trace(spec: Any, call: int, slot: int, theta: Any, x: Any, z: Any, a: Any) -> None:
    """z and a (V, B) of every node."""
    mode = float_mode()
    set_float_mode(IEEE)
    c = call_at(call)
    n, tile = net_at(c.net), c.works + slot * TILE_SIZE
    t = tile_at(tile)
    t.Z = t.DA
    w, b = weights_and_biases(spec, n, c, 0, theta.ctypes.data)
    number = take(c, 1)
    while number < c.tiles:
        open_tile(spec, n, c, t, number)
        fill(spec, t, t.A, x.ctypes.data, x.strides[0], x.strides[1], n.inputs)
        fill(spec, t, t.Z, x.ctypes.data, x.strides[0], x.strides[1], n.inputs)
        forward(spec, c.net, tile, c.stop, w, b, False, False)
        empty(spec, t, t.Z, z.ctypes.data, z.strides[1], z.strides[0], n.nodes)
        empty(spec, t, t.A, a.ctypes.data, a.strides[1], a.strides[0], n.nodes)
        put_down(c, 1)
        number = take(c, 1)
    wait(c, 1, c.tiles)
    set_float_mode(mode)


@inline
def differentiate_tile(
    spec: Any, n: Any, c: Any, t: Any, tile: int, number: int, w: int, b: int, x: Any, targets: Any, share: Any
) -> None:
    """Forward, loss and base cases, backward."""
    open_tile(spec, n, c, t, number)
    for row in range(n.outputs + 1, n.bases):
        store(t.G + row * size_of(spec), splat(spec, 0.0))
    fill(spec, t, t.A, x.ctypes.data, x.strides[0], x.strides[1], n.inputs)
    forward(spec, c.net, tile, c.stop, w, b, True, True)
    shares = share.ctypes.data if len(share) > 0 else 0
    call_address(n.loss, c.net, tile, targets.ctypes.data, targets.strides[0], targets.strides[1], shares)
    go_back(spec, c, tile, w, True)


@kernel
def step(
    spec: Any, call: int, slot: int, theta: Any, x: Any, targets: Any, share: Any, scale: float, out: Any
) -> None:
    """∂L/∂θ times `scale` into out (P,), the chunks' losses into theirs; share (B,) of each sample, or empty."""
    mode = float_mode()
    set_float_mode(IEEE)
    c = call_at(call)
    n, tile = net_at(c.net), c.works + slot * TILE_SIZE
    t = tile_at(tile)
    t.Z, t.DA = t.A, 0
    w, b = weights_and_biases(spec, n, c, 0, theta.ctypes.data)
    turn_weights(spec, n, c, 1, w)
    direct, phase = n.direct != 0, 2
    grad_weight = out.ctypes.data if direct else c.grad_weight
    grad_bias = out.ctypes.data + (n.edges - n.inputs) * bytes_of(spec) if direct else c.grad_bias
    summed = scale if direct else 1.0
    for turn in range(c.rounds):
        chunk = take(c, phase)
        while chunk < c.chunks:
            open_chunk(c, t, chunk, turn)
            begin, end = begin_of(c, chunk, turn), begin_of(c, chunk + 1, 0)
            for number in range(begin, min(begin + c.at_once, end)):
                differentiate_tile(spec, n, c, t, tile, number, w, b, x, targets, share)
                t.first = 0
            put_down(c, phase)
            chunk = take(c, phase)
        wait(c, phase, c.chunks)
        multiply_runs(spec, n, c, phase + 1, call, tile, turn, grad_weight, summed)
        phase += 2
    add_up(spec, n, c, phase)
    turn_back(spec, n, c, phase + 1, grad_weight, grad_bias, summed)
    if not direct:
        fold(spec, n, c, phase + 2, out.ctypes.data, scale)
    set_float_mode(mode)


@inline
def multiply_runs(
    spec: Any, n: Any, c: Any, phase: int, call: int, tile: int, turn: int, grad_weight: int, scale: float
) -> None:
    """∂L/∂w of the dense runs, of a round."""
    item = take(c, phase)
    while item < n.dense_runs:
        if atomic_get(c.stop) == 0:
            call_address(n.multiply, c.net, call, tile, item, turn, grad_weight, scale)
        put_down(c, phase)
        item = take(c, phase)
    wait(c, phase, n.dense_runs)


@kernel
def adjoint(
    spec: Any, call: int, slot: int, theta: Any, z: Any, dy: Any, dz: Any, da: Any, weight: Any, bias: Any
) -> None:
    """From z (V, B) of forward and ∂L/∂y (B, O): ∂L/∂z and ∂L/∂a (V, B), ∂L/∂w (E,) and ∂L/∂b (V,)."""
    mode = float_mode()
    set_float_mode(IEEE)
    c = call_at(call)
    n, tile = net_at(c.net), c.works + slot * TILE_SIZE
    t = tile_at(tile)
    w, b = weights_and_biases(spec, n, c, 0, theta.ctypes.data)
    turn_weights(spec, n, c, 1, w)
    phase = 2
    for turn in range(c.rounds):
        chunk = take(c, phase)
        while chunk < c.chunks:
            open_chunk(c, t, chunk, turn)
            begin, end = begin_of(c, chunk, turn), begin_of(c, chunk + 1, 0)
            for number in range(begin, min(begin + c.at_once, end)):
                adjoint_tile(spec, n, c, t, tile, number, w, z, dy, dz, da)
                t.first = 0
            put_down(c, phase)
            chunk = take(c, phase)
        wait(c, phase, c.chunks)
        multiply_runs(spec, n, c, phase + 1, call, tile, turn, weight.ctypes.data, 1.0)
        phase += 2
    add_up(spec, n, c, phase)
    turn_back(spec, n, c, phase + 1, weight.ctypes.data, bias.ctypes.data, 1.0)
    set_float_mode(mode)


@inline
def adjoint_tile(
    spec: Any, n: Any, c: Any, t: Any, tile: int, number: int, w: int, z: Any, dy: Any, dz: Any, da: Any
) -> None:
    """a and what σ' is found from, of the z that forward gave, then backward."""
    row, lanes = size_of(spec), lanes_of(spec)
    open_tile(spec, n, c, t, number)
    for k in range(n.outputs + 1, n.bases):
        store(t.G + k * row, splat(spec, 0.0))
    fill(spec, t, t.A, z.ctypes.data, z.strides[1], z.strides[0], n.nodes)
    fill(spec, t, t.G + row, dy.ctypes.data, dy.strides[0], dy.strides[1], n.outputs)
    mask = load(spec, t.mask)
    for k in range(1, n.outputs + 1):
        store(t.G + k * row, keep(load(spec, t.G + k * row), mask))
    for run in range(n.runs):
        first, end = i32_at(n.run_begin, run), i32_at(n.run_begin, run + 1)
        sigma, at = i64_at(n.activate, i32_at(n.run_activation, run)), t.A + first * row
        call_address(sigma, at, at, t.D + first * row, (end - first) * lanes, 1)
    go_back(spec, c, tile, w, False)
    empty(spec, t, t.A, dz.ctypes.data, dz.strides[1], dz.strides[0], n.nodes)
    empty(spec, t, t.DA, da.ctypes.data, da.strides[1], da.strides[0], n.nodes)
