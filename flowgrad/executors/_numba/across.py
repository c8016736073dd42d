"""Blocks that combine lanes of vectors: sums over lanes, transposition of four vectors, gathers from memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from flowgrad.executors._numba.blocks import I32, I64, block, call, constant, splatted
from flowgrad.executors._numba.machine import register_lanes
from flowgrad.executors._numba.simd import loader, memory_at, name_of, pointer
from flowgrad.executors._numba.spec import ELEMENTS, Truth, Vector


def _shuffled(builder: Any, x: Any, y: Any, lanes: Any) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), list(lanes)))


def _halved(builder: Any, v: Any, n: int) -> Any:
    """Emit the addition of the two halves of v, repeated until n lanes are left."""
    while (count := v.type.count) > n:
        v = builder.fadd(
            _shuffled(builder, v, v, range(count // 2)), _shuffled(builder, v, v, range(count // 2, count))
        )
    return v


def _crossed(builder: Any, x: Any, y: Any, group: int, size: int) -> list[Any]:
    """Emit two vectors that interleave pieces of `size` lanes of x and y from the lower, upper halves of each group."""
    n, found = x.type.count, []
    for half in (0, group // 2):
        lanes: list[int] = []
        for begin in range(half, n, group):
            for at in range(begin, begin + group // 2, size):
                lanes += [*range(at, at + size), *range(n + at, n + at + size)]
        found.append(_shuffled(builder, x, y, lanes))
    return found


def _products(builder: Any, x: Any, y: Any) -> Any:
    """Emit x·y, with its register-wide parts added up to one register, or to four lanes."""
    wide = max(register_lanes(4 if x.type.element == ir.FloatType() else 8), 4)
    n, total = min(x.type.count, wide), None
    for at in range(0, x.type.count, n):
        p, q = (_shuffled(builder, v, v, range(at, at + n)) for v in (x, y))
        total = builder.fmul(p, q) if total is None else call(builder, name_of("fmuladd", p.type), p.type, p, q, total)
    return total


def _emit_dots(builder: Any, four: Any, kinds: Any, values: Any) -> Any:
    """Emit a 4×4 transposition with an addition at each step: in 128-bit groups of float32, or of four float64."""
    y, *rows = values
    rows = [_products(builder, x, y) for x in rows]
    if four.real == types.float64:
        a, b, c, d = (_halved(builder, x, 4) for x in rows)
        ab, cd = (builder.fadd(*_crossed(builder, x, y, 2, 1)) for x, y in ((a, b), (c, d)))
        low, high = (_shuffled(builder, ab, cd, lanes) for lanes in ([0, 1, 4, 5], [2, 3, 6, 7]))
        return builder.fadd(low, high)
    a, b, c, d = rows
    ab, cd = (builder.fadd(*_crossed(builder, x, y, 4, 1)) for x, y in ((a, b), (c, d)))
    return _halved(builder, builder.fadd(*_crossed(builder, ab, cd, 4, 2)), 4)


@block(lambda y, *rows: Vector(y.real, 4), _emit_dots)
def dots(y: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the dot products of four vectors with y, as a vector of four."""
    return np.array([x @ y for x in (a, b, c, d)], y.dtype)


def _emit_total(builder: Any, real: Any, kinds: Any, values: Any) -> Any:
    return builder.extract_element(_halved(builder, values[0], 1), ir.Constant(I32, 0))


@block(lambda x: x.real, _emit_total)
def total(x: Any) -> Any:
    """Return the sum of the lanes of x, added pairwise by halves."""
    return x.sum(dtype=x.dtype)


def _emit_store_transposed(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    to, step, a, b, c, d = values
    row = kinds[2]
    group = 4 if row.real == types.float32 else 2  # lanes of 128 bits
    pairs = list(zip(_crossed(builder, a, b, group, 1), _crossed(builder, c, d, group, 1), strict=True))
    for lane in range(row.n):
        ab, cd = pairs[lane % group // (group // 2)]
        at = lane // group * group + lane % (group // 2) * 2
        four = _shuffled(builder, ab, cd, [at, at + 1, row.n + at, row.n + at + 1])
        address = builder.add(to, builder.mul(step, ir.Constant(I64, lane)))
        builder.store(four, pointer(builder, address), align=row.real.bitwidth // 8)


@block(lambda to, step, a, b, c, d: types.none, _emit_store_transposed)
def store_transposed(to: int, step: int, a: Any, b: Any, c: Any, d: Any) -> None:
    """Store four vectors transposed: the four numbers of lane k are contiguous at address to + k·step, in bytes."""
    for lane, four in enumerate(zip(a, b, c, d, strict=True)):
        memory_at(to + lane * step, a.dtype, 4)[:] = four


def _emit_lanes_at(builder: Any, result: Any, kinds: Any, values: Any) -> Any:
    numbers = ir.Constant(ir.ArrayType(ELEMENTS[result.dtype], result.count), ir.Undefined)
    for place, row in enumerate(values[1:]):
        numbers = builder.insert_value(numbers, builder.extract_element(row, values[0]), place)
    return numbers


@block(lambda k, *rows: types.UniTuple(rows[0].real, len(rows)), _emit_lanes_at)
def lanes_at(k: int, *rows: Any) -> Any:
    """Return the number in lane k of each row."""
    return tuple(row[k] for row in rows)


@block(lambda row, k, x: row, lambda b, r, kinds, v: b.insert_element(v[0], v[2], v[1]))
def with_lane(row: Any, k: int, x: float) -> Any:
    """Return the row with x in lane k."""
    return np.where(np.arange(len(row)) == k, x, row)


GATHERED = 8
"""Numbers, and their int32 indices, that one `gather` reads."""


def _emit_gather(builder: Any, eight: Any, kinds: Any, values: Any) -> Any:
    _, base, index = values
    size = eight.real.bitwidth // 8
    ints, words = ir.VectorType(I32, GATHERED), ir.VectorType(I64, GATHERED)
    index = builder.load(pointer(builder, index), align=4, typ=ints)
    inside = builder.icmp_signed(">=", index, constant(ints, 0))
    offset = builder.mul(builder.sext(index, words), constant(words, size))
    places = builder.inttoptr(
        builder.add(offset, splatted(builder, base, words)), ir.VectorType(ir.PointerType(), GATHERED)
    )
    name = f"llvm.masked.gather.v{GATHERED}f{8 * size}.v{GATHERED}p0"
    return call(builder, name, eight.ir, places, ir.Constant(I32, size), inside, constant(eight.ir, 0.0))


@block(lambda spec, base, index: Vector(spec.real, GATHERED), _emit_gather)
def gather(spec: Any, base: int, index: int) -> Any:
    """Return base[i] for the eight int32 indices i at address `index`; 0 where an index is negative."""
    at, size = memory_at(index, np.int32, GATHERED), spec.dtype.itemsize
    numbers = [memory_at(base + int(k) * size, spec.dtype, 1)[0] if k >= 0 else 0.0 for k in at]
    return np.array(numbers, spec.dtype)


load8 = loader(lambda spec: Vector(spec.real, GATHERED))
"""Load the eight numbers at an address."""


@block(
    lambda spec, index: Truth(GATHERED),
    lambda b, r, k, v: b.icmp_signed(
        ">=",
        b.load(pointer(b, v[1]), align=4, typ=ir.VectorType(I32, GATHERED)),
        ir.Constant(ir.VectorType(I32, GATHERED), [0] * GATHERED),
    ),
)
def placed(spec: Any, index: int) -> Any:
    """Return which of the eight int32 indices at address `index` are not negative."""
    return memory_at(index, np.int32, GATHERED) >= 0
