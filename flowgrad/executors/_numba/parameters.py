"""Passes over the parameters: permute weights into backward's order, sum the chunks' gradients, permute these back.

Each kernel computes one item of a phase (`phases`): of `pieces` ranges of edges and neurons, the range `item`.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.across import GATHERED, gather, load8, placed
from flowgrad.executors._numba.compiled import inline, kernel
from flowgrad.executors._numba.memory import f64_at, i32_at
from flowgrad.executors._numba.records import SCALE, call_at, net_at
from flowgrad.executors._numba.simd import bytes_of, choose, lanes_of, load, put_real, real_at, real_of, size_of, store


@kernel
def collect(spec: Any, call: int, tile: int, item: int) -> None:
    """Gather w by in-edge and b by position from θ and frozen values, where θ is not w, then b."""
    c = call_at(call)
    n = net_at(c.net)
    for e in range(item * n.edges // c.pieces, (item + 1) * n.edges // c.pieces):
        slot = i32_at(n.weight_slot, e)
        put_real(spec, c.weight, e, real_at(spec, c.theta, slot) if slot >= 0 else real_at(spec, n.frozen_weight, e))
    for p in range(item * n.positions // c.pieces, (item + 1) * n.positions // c.pieces):
        slot = i32_at(n.bias_slot, p)
        put_real(spec, c.bias, p, real_at(spec, c.theta, slot) if slot >= 0 else real_at(spec, n.frozen_bias, p))


@kernel
def permute(spec: Any, call: int, tile: int, item: int) -> None:
    """Gather the weights by place, the order in which backward reads them, 0 in padding."""
    c = call_at(call)
    n, size = net_at(c.net), bytes_of(spec)
    eights = n.places // GATHERED
    for k in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
        store(c.out_weight + k * size, gather(spec, c.weight, n.out_edge + k * 4))


@kernel
def add(spec: Any, call: int, tile: int, item: int) -> None:
    """Add the chunks' ∂L/∂w by place to the first chunk's, in their order."""
    c = call_at(call)
    vectors = (net_at(c.net).places + lanes_of(spec) - 1) // lanes_of(spec)
    for k in range(item * vectors // c.pieces, (item + 1) * vectors // c.pieces):
        at = c.chunk_weight + k * size_of(spec)
        g = load(spec, at)
        for chunk in range(1, c.chunks):
            g = g + load(spec, at + chunk * c.chunk_weight_step)
        store(at, g)


@kernel
def unpermute(spec: Any, call: int, tile: int, item: int) -> None:
    """Write ∂L/∂w by in-edge and ∂L/∂b by position, summed over the chunks, times the call's `factor`.

    ∂L/∂w of edges in dense runs is left unchanged.
    """
    c = call_at(call)
    n, size, factor = net_at(c.net), bytes_of(spec), real_of(spec, factor_of(c, call))
    sparse = 0 if n.all_dense != 0 else n.edges
    eights = sparse // GATHERED
    for e in range(item * eights // c.pieces * GATHERED, (item + 1) * eights // c.pieces * GATHERED, GATHERED):
        to, places = c.grad_weight + e * size, n.out_place + e * 4
        g = gather(spec, c.chunk_weight, places) * factor
        store(to, choose(placed(spec, places), g, load8(spec, to)))
    for e in range(eights * GATHERED if item == c.pieces - 1 else sparse, sparse):
        k = i32_at(n.out_place, e)
        if k >= 0:
            put_real(spec, c.grad_weight, e, real_at(spec, c.chunk_weight, k) * factor)
    for p in range(max(item * n.positions // c.pieces, n.inputs), (item + 1) * n.positions // c.pieces):
        node = i32_at(n.node, p)
        b = real_at(spec, c.chunk_bias, node)
        for chunk in range(1, c.chunks):
            b += real_at(spec, c.chunk_bias + chunk * c.chunk_bias_step, node)
        put_real(spec, c.grad_bias, p, b * factor)


@kernel
def fold(spec: Any, call: int, tile: int, item: int) -> None:
    """Write ∂L/∂θ times `scale` from ∂L/∂w and ∂L/∂b, adding edges that share a slot in order; there is one item."""
    c = call_at(call)
    n, scale = net_at(c.net), real_of(spec, f64_at(call, SCALE))
    for k in range(n.parameters):
        put_real(spec, c.out, k, 0.0)
    for e in range(n.edges):
        slot = i32_at(n.weight_slot, e)
        if slot >= 0:
            put_real(spec, c.out, slot, real_at(spec, c.out, slot) + real_at(spec, c.grad_weight, e))
    for p in range(n.positions):
        slot = i32_at(n.bias_slot, p)
        if slot >= 0:
            put_real(spec, c.out, slot, real_at(spec, c.grad_bias, p))
    for k in range(n.parameters):
        put_real(spec, c.out, k, real_at(spec, c.out, k) * scale)


@inline
def factor_of(c: Any, call: int) -> float:
    """Return the factor of ∂L/∂w and ∂L/∂b: `scale`, unless `fold` applies it or a trace is written, unscaled."""
    return f64_at(call, SCALE) if net_at(c.net).direct != 0 and c.z == 0 else 1.0
