"""Dropout in the sweeps: masks m of `flowgrad.maths.dropout`, hashed anew in forward and in backward, never stored.

A tile keeps a hash of each of its samples (`draws`); with a neuron's hash it gives the lanes that stay. Forward
multiplies a of inputs and hidden neurons by m/(1 − p), and backward their ∂L/∂z. A dropped lane is 0, even if it held
inf or NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from flowgrad.executors._numba.blocks import I32, block, constant, splatted
from flowgrad.executors._numba.compiled import inline
from flowgrad.executors._numba.memory import i32_at
from flowgrad.executors._numba.simd import choose, load, memory_at, pointer, put_word, size_of, splat, store
from flowgrad.executors._numba.spec import Spec, Truth
from flowgrad.maths.dropout import MASK32, ROUNDS, hashed


@inline
def hash_of(x: int) -> int:
    """Hash an integer to 32 bits, as `flowgrad.maths.dropout.hashed` does."""
    x = int(x) & MASK32
    for shift, factor in ROUNDS:
        x = ((x ^ (x >> shift)) * factor) & MASK32
    return x ^ (x >> 16)


def _emit_stays(builder: Any, truth: Any, kinds: Any, values: Any) -> Any:
    words, row = ir.VectorType(I32, truth.n), kinds[0].row.words
    x = builder.load(pointer(builder, values[1]), align=row.element.width // 8, typ=row)
    x = x if row == words else builder.trunc(x, words)
    x = builder.xor(x, splatted(builder, builder.trunc(values[2], I32), words))
    for shift, factor in ROUNDS:
        x = builder.mul(builder.xor(x, builder.lshr(x, constant(words, shift))), constant(words, factor))
    x = builder.xor(x, builder.lshr(x, constant(words, 16)))
    return builder.icmp_unsigned(">=", x, splatted(builder, builder.trunc(values[3], I32), words))


@block(lambda spec, address, neuron, least: Truth(spec.n), _emit_stays)
def stays(spec: Spec, address: int, neuron: int, least: int) -> Any:
    """Return the lanes whose sample's hash (at `address`, as wide as a real) ^ `neuron`, hashed again, is ≥ `least`."""
    samples = memory_at(address, f"u{spec.dtype.itemsize}", spec.n).astype(np.uint64)
    return hashed(samples ^ np.uint64(neuron)) >= least


@inline
def draw_samples(spec: Any, n: Any, c: Any, t: Any) -> None:
    """Write the hash of each lane's sample to `t.draws`, and copy the call's numbers of dropout to the tile."""
    for lane in range(n.lanes):
        put_word(spec, t.draws, lane, hash_of(c.drop_first + t.begin + lane + c.drop_samples))
    t.drop_neurons, t.drop_least, t.drop_inputs = c.drop_neurons, c.drop_least, c.drop_inputs


@inline
def thinned(spec: Any, n: Any, t: Any, v: int, x: Any) -> Any:
    """Return row x of node v times m/(1 − p), p that of inputs or of hidden neurons; an output's is unchanged."""
    least = t.drop_inputs if v < n.inputs else t.drop_least
    if least == 0 or 0 < i32_at(n.base_row, v) <= n.outputs:
        return x
    some = stays(spec, t.draws, hash_of(i32_at(n.position, v) + t.drop_neurons), least)
    return choose(some, x * splat(spec, 1.0 / (1.0 - least / 4294967296.0)), splat(spec, 0.0))


@inline
def thin_run(spec: Any, n: Any, t: Any, first: int, end: int) -> None:
    """Multiply a of nodes first … end−1 by m/(1 − p)."""
    for v in range(first, end):
        at = t.A + v * size_of(spec)
        store(at, thinned(spec, n, t, v, load(spec, at)))
