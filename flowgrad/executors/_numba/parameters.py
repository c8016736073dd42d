"""Passes over the parameters: permute weights into backward's order, sum the chunks' gradients, permute these back.

`prepare` runs before the sweeps of a gradient, `finish` after them. Every thread of a call runs each of them, and takes
its items from a shared counter, as described in `steps`.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.across import GATHERED, gather, load8, placed
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.memory import atomic_get, fetch_add, give_way, i32_at, pause
from flowgrad.executors._numba.records import call_at, net_at
from flowgrad.executors._numba.simd import bytes_of, choose, lanes_of, load, put_real, real_at, real_of, size_of, store

GLANCES = 1000
"""Polls of the counter by a waiting thread before it yields its core to the scheduler at every further poll."""
DONE = 8
"""Offset in bytes from a phase's counter of items taken to its counter of items done."""
NEXT = 16
"""Offset in bytes from the counters of one phase to those of the next."""


@inline
def wait_until(word: int, items: int, stop: int) -> None:
    """Spin until the counter at address `word` reaches `items`, or the word at address `stop` is not 0."""
    looks = 0
    while atomic_get(word) < items and atomic_get(stop) == 0:
        pause()
        looks += 1
        if looks > GLANCES:
            give_way()


@kernel
def collect(spec: Any, call: int, theta: int) -> None:
    """Gather w by in-edge and b by position from θ and frozen values, where θ is not w, then b; the first phase."""
    c = call_at(call)
    n, taken = net_at(c.net), c.counters
    item = fetch_add(taken, 1)
    while item < c.pieces:
        for e in range(item * n.edges // c.pieces, (item + 1) * n.edges // c.pieces):
            slot = i32_at(n.weight_slot, e)
            put_real(spec, c.weight, e, real_at(spec, theta, slot) if slot >= 0 else real_at(spec, n.frozen_weight, e))
        for p in range(item * n.positions // c.pieces, (item + 1) * n.positions // c.pieces):
            slot = i32_at(n.bias_slot, p)
            put_real(spec, c.bias, p, real_at(spec, theta, slot) if slot >= 0 else real_at(spec, n.frozen_bias, p))
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, c.pieces, c.stop)


@kernel
def prepare(spec: Any, call: int, w: int) -> None:
    """Gather the weights by place, the order in which backward reads them, 0 in padding: the second phase."""
    c = call_at(call)
    n, taken = net_at(c.net), c.counters + NEXT
    eights, size = n.places // GATHERED, bytes_of(spec)
    item = fetch_add(taken, 1)
    while item < c.pieces:
        for k in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
            store(c.turned + k * size, gather(spec, w, n.out_edge + k * 4))
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, c.pieces, c.stop)


@kernel
def finish(spec: Any, call: int, taken: int, grad_weight: int, grad_bias: int, scale: float) -> None:
    """Sum ∂L/∂w and ∂L/∂b over the chunks, in their order, and write them by in-edge and by position, times `scale`.

    ∂L/∂w of edges in dense runs is left unchanged. Two phases, whose counters begin at address `taken`.
    """
    c = call_at(call)
    n, size, factor = net_at(c.net), bytes_of(spec), real_of(spec, scale)
    vectors = (n.places + lanes_of(spec) - 1) // lanes_of(spec)
    item = fetch_add(taken, 1)
    while item < c.pieces:
        for k in range(item * vectors // c.pieces, (item + 1) * vectors // c.pieces if c.chunks > 1 else 0):
            at = c.chunk_weight + k * size_of(spec)
            g = load(spec, at)
            for chunk in range(1, c.chunks):
                g = g + load(spec, at + chunk * c.chunk_weight_step)
            store(at, g)
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, c.pieces, c.stop)
    taken += NEXT
    sparse = 0 if n.all_dense != 0 else n.edges
    eights = sparse // GATHERED
    item = fetch_add(taken, 1)
    while item < c.pieces:
        for e in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
            to, places = grad_weight + e * size, n.out_place + e * 4
            g = gather(spec, c.chunk_weight, places) * factor
            store(to, choose(placed(spec, places), g, load8(spec, to)))
        for e in range(eights * GATHERED if item == c.pieces - 1 else sparse, sparse):
            k = i32_at(n.out_place, e)
            if k >= 0:
                put_real(spec, grad_weight, e, real_at(spec, c.chunk_weight, k) * factor)
        for p in range(max(item * n.positions // c.pieces, n.inputs), (item + 1) * n.positions // c.pieces):
            node = i32_at(n.node, p)
            b = real_at(spec, c.chunk_bias, node)
            for chunk in range(1, c.chunks):
                b += real_at(spec, c.chunk_bias + chunk * c.chunk_bias_step, node)
            put_real(spec, grad_bias, p, b * factor)
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, c.pieces, c.stop)


@kernel
def fold(spec: Any, call: int, taken: int, out: int, scale: float) -> None:
    """Write ∂L/∂θ times `scale` from ∂L/∂w and ∂L/∂b, adding edges that share a slot in order; a phase of one item."""
    c = call_at(call)
    n = net_at(c.net)
    if fetch_add(taken, 1) == 0:
        for k in range(n.parameters):
            put_real(spec, out, k, 0.0)
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
        fetch_add(taken + DONE, 1)
    wait_until(taken + DONE, 1, c.stop)
