"""Building blocks across the lanes of vectors: sums over them, and four vectors turned.

A sum over lanes is a transposition of four vectors by shuffles with an addition after each, so that four cost little
more than one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir

from flowgrad.executors._numba.blocks import F32, F64, I64, Site, block, splat
from flowgrad.executors._numba.machine import register_lanes
from flowgrad.executors._numba.vectors import mask_of, memory_at, name_of


def _halves(s: Site, v: Any) -> Any:
    """The two halves of a vector added."""
    n, undefined = v.type.count, ir.Constant(v.type, ir.Undefined)
    low = s.builder.shuffle_vector(v, undefined, mask_of(range(n // 2)))
    high = s.builder.shuffle_vector(v, undefined, mask_of(range(n // 2, n)))
    return s.builder.fadd(low, high)


def _fold(s: Site, v: Any, n: int) -> Any:
    """Halved until n lanes are left."""
    while v.type.count > n:
        v = _halves(s, v)
    return v


def _crossed(s: Site, x: Any, y: Any, group: int, size: int) -> list[Any]:
    """Of every group of lanes of x and y, pieces of that size in turn: of the lower half, and of the upper."""
    n, found = x.type.count, []
    for half in (0, group // 2):
        lanes: list[int] = []
        for begin in range(half, n, group):
            for at in range(begin, begin + group // 2, size):
                lanes += [*range(at, at + size), *range(n + at, n + at + size)]
        found.append(s.builder.shuffle_vector(x, y, mask_of(lanes)))
    return found


def _pairs(s: Site, x: Any, y: Any, group: int, size: int) -> Any:
    """Of every group of lanes of x and y, pieces of that size added by twos: x's sums and y's in turn."""
    return s.builder.fadd(*_crossed(s, x, y, group, size))


def _products(s: Site, x: Any, y: Any) -> Any:
    """x·y, its parts of one register each added up."""
    wide = register_lanes(np.dtype(np.float32 if x.type.element == F32 else np.float64))
    n, undefined = min(x.type.count, wide), ir.Constant(x.type, ir.Undefined)
    total = None
    for at in range(0, x.type.count, n):
        p, q = (s.builder.shuffle_vector(v, undefined, mask_of(range(at, at + n))) for v in (x, y))
        total = s.builder.fmul(p, q) if total is None else s.call(name_of("fmuladd", p.type), p.type, p, q, total)
    return total


def _lane_sum(x: Any) -> Any:
    """Σ of the lanes, by halving."""
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 :]
    return x[0]


def _emit_dots(s: Site) -> Any:
    y, *rows = s.values
    return _four_sums(s, [_products(s, x, y) for x in rows])


def _four_sums(s: Site, rows: list[Any]) -> Any:
    """A transposition by shuffles, an addition after each: within 128 bits of whole registers, or of four doubles."""
    if rows[0].type.element == F64:
        a, b, c, d = (_fold(s, x, 4) for x in rows)
        ab, cd = _pairs(s, a, b, 2, 1), _pairs(s, c, d, 2, 1)
        low, high = (s.builder.shuffle_vector(ab, cd, mask_of(g)) for g in ([0, 1, 4, 5], [2, 3, 6, 7]))
        return s.builder.fadd(low, high)
    a, b, c, d = (_fold(s, x, register_lanes(np.dtype(np.float32))) for x in rows)
    return _fold(s, _pairs(s, _pairs(s, a, b, 4, 1), _pairs(s, c, d, 4, 1), 4, 2), 4)


@block(_emit_dots)
def dots(y: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The dot products of four vectors with y, as a vector of four."""
    return lane_sums(a * y, b * y, c * y, d * y)


@block(lambda s: _four_sums(s, list(s.values)))
def lane_sums(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Σ of the lanes of four vectors, as a vector of four."""
    return np.array([_lane_sum(x) for x in (a, b, c, d)])


def _emit_first_of_four(s: Site) -> Any:
    words = ir.VectorType(I64, 4)
    count = splat(s.builder, s.as_(0, I64), words)
    inside = s.builder.icmp_signed("<", ir.Constant(words, [0, 1, 2, 3]), count)
    x, y = s.values[1:]
    return s.builder.select(inside, x, y)


@block(_emit_first_of_four)
def first_of_four(n: int, x: Any, y: Any) -> Any:
    """Of vectors of four: the first n lanes of x, the others of y."""
    return np.where(np.arange(4) < n, x, y)


def _emit_store_turned(s: Site) -> None:
    a, b, c, d = s.values[2:]
    single, n = a.type.element == F32, a.type.count
    group = 4 if single else 2  # lanes of 128 bits
    pairs = list(zip(_crossed(s, a, b, group, 1), _crossed(s, c, d, group, 1), strict=True))
    for lane in range(n):
        ab, cd = pairs[lane % group // (group // 2)]
        at = lane // group * group + lane % (group // 2) * 2
        four = s.builder.shuffle_vector(ab, cd, mask_of([at, at + 1, n + at, n + at + 1]))
        address = s.builder.add(s.as_(0, I64), s.builder.mul(s.as_(1, I64), ir.Constant(I64, lane)))
        s.builder.store(four, s.pointer(address, four.type), align=4 if single else 8)


@block(_emit_store_turned)
def store_turned(to: int, step: int, a: Any, b: Any, c: Any, d: Any) -> None:
    """Write four vectors to memory lane by lane: the four numbers of each, so many bytes on from those of the last."""
    for lane, four in enumerate(zip(a, b, c, d, strict=True)):
        memory_at(to + lane * step, a.dtype, 4)[:] = four
