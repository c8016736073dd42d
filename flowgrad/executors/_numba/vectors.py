"""Rows of lanes as vector values, as building blocks. Twins work on NumPy arrays of one row.

A vector holds n numbers of one dtype, one sample each. LLVM cuts it into the registers that the machine has
(AVX2, AVX-512, NEON), so that a kernel is written once for all of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from flowgrad.executors._numba.blocks import F32, F64, I1, I8, I32, I64, Site, block, splat
from flowgrad.executors._numba.machine import can_estimate, can_gather
from flowgrad.executors._numba.memory import f32_at, f64_at, put_f32, put_f64, put_i32, put_i64


def mask_of(indices: Any) -> Any:
    """Lanes, as a shuffle wants them."""
    return ir.Constant(ir.VectorType(I32, len(indices)), list(indices))


def _constant(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _bits(kind: Any) -> Any:
    """The vector of integers as wide as a vector of floats."""
    return ir.VectorType(ir.IntType(32 if kind.element == F32 else 64), kind.count)


def name_of(intrinsic: str, kind: Any) -> str:
    """LLVM's, of an intrinsic for a vector type."""
    return f"llvm.{intrinsic}.v{kind.count}f{32 if kind.element == F32 else 64}"


# ---- arithmetic ---------------------------------------------------------------------------------------------


def _alike(s: Site) -> list[Any]:
    """The arguments as vectors; a number stands for a vector of it."""
    kind = next(v.type for v in s.values if isinstance(getattr(v, "type", None), ir.VectorType))
    return [v if getattr(v, "type", None) == kind else splat(s.builder, v, kind) for v in s.values]


def _intrinsic(name: str) -> Any:
    def emit(s: Site) -> Any:
        values = _alike(s)
        return s.call(name_of(name, values[0].type), values[0].type, *values)

    return emit


@block(_intrinsic("fmuladd"))
def fma(x: Any, y: Any, z: Any) -> Any:
    """x·y + z, rounded once where the machine can."""
    return x * y + z


@block(_intrinsic("fabs"))
def absolute(x: Any) -> Any:
    """|x|"""
    return np.abs(x)


@block(_intrinsic("copysign"))
def with_sign(x: Any, y: Any) -> Any:
    """|x| with the sign of y."""
    return np.copysign(x, y)


def _emit_choose(s: Site) -> Any:
    x, y = _alike(Site(s.builder, s.values[1:]))
    return s.builder.select(s.values[0], x, y)


@block(_emit_choose)
def choose(c: Any, x: Any, y: Any) -> Any:
    """x where c, else y."""
    return np.where(c, x, y)


def _emit_power_of_two(s: Site) -> Any:
    kind = s.values[0].type
    single = kind.element == F32
    ints = _bits(kind)
    n = s.builder.bitcast(s.values[0], ints)
    n = s.builder.shl(n, _constant(ints, 23 if single else 52))
    n = s.builder.add(n, _constant(ints, (127 + s.values[1]) << 23 if single else (1023 + s.values[1]) << 52))
    return s.builder.bitcast(n, kind)


ROUND = {np.dtype(np.float32): 1.5 * 2**23, np.dtype(np.float64): 1.5 * 2**52}
"""x + ROUND holds x, rounded to an integer, in the low bits of its mantissa."""


@block(_emit_power_of_two)
def power_of_two(x: Any, more: int) -> Any:
    """2^(n + more) where x = n + ROUND; n + more within the exponents of normal numbers."""
    ints, shift, bias = (np.uint32, 23, 127) if x.dtype == np.float32 else (np.uint64, 52, 1023)
    return ((x.view(ints) << ints(shift)) + (ints(bias + more) << ints(shift))).view(x.dtype)


def _by_parts(s: Site, x: Any, n: int, f: Callable[[Any], Any]) -> Any:
    """f of each n lanes of a vector, put together again; one of fewer is filled up."""
    count, undefined = x.type.count, ir.Constant(x.type, ir.Undefined)
    parts = [
        f(s.builder.shuffle_vector(x, undefined, mask_of([min(k, count) for k in range(at, at + n)])))
        for at in range(0, count, n)
    ]
    while len(parts) > 1:
        lanes = mask_of(range(2 * parts[0].type.count))
        parts = [s.builder.shuffle_vector(a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    whole = parts[0]
    return whole if count >= n else s.builder.shuffle_vector(whole, whole, mask_of(range(count)))


def _emit_reciprocal(s: Site) -> Any:
    x = s.values[0]
    real, bits, letter = (F32, 32, "s") if x.type.element == F32 else (F64, 64, "d")
    n = min(x.type.count, 512 // bits)
    if not can_estimate() or n * bits < 256:
        return s.builder.fdiv(_constant(x.type, 1.0), x)
    kind, every = ir.VectorType(real, n), ir.Constant(ir.IntType(8 if n < 8 else n), -1)
    name = f"llvm.x86.avx512.rcp14.p{letter}.{bits * n}"
    return _by_parts(s, x, n, lambda part: s.call(name, kind, part, _constant(kind, 0.0), every))


@block(_emit_reciprocal)
def near_reciprocal(x: Any) -> Any:
    """1/x to 14 bits or better, of normal numbers: an estimate where `can_estimate`, else a division."""
    return 1 / x


def _emit_pick(s: Site) -> Any:
    table, at = s.values
    kind = ir.VectorType(F32, 16)
    low, high = (ir.Constant(kind, table[half].tolist()) for half in (slice(16), slice(16, 32)))
    name = "llvm.x86.avx512.vpermi2var.ps.512"
    return _by_parts(s, at, 16, lambda part: s.call(name, kind, low, part, high))


@block(_emit_pick)
def pick(table: Any, at: Any) -> Any:
    """Of a table of 32 float32, the number that the last five bits of every lane say."""
    return table[at & 31]


def _emit_look_up(s: Site) -> Any:
    table, x = s.values
    kind, ints = ir.VectorType(F64, 8), ir.VectorType(I64, 8)
    base = s.pointer(table.ctypes.data, I8)
    every = ir.Constant(ir.VectorType(I1, 8), [1] * 8)
    name = "llvm.x86.avx512.mask.gather.qpd.512"

    def numbers(part: Any) -> Any:
        at = s.builder.and_(s.builder.bitcast(part, ints), _constant(ints, len(table) - 1))
        return s.call(name, kind, _constant(kind, 0.0), base, at, every, ir.Constant(I32, 8))

    return _by_parts(s, x, 8, numbers)


@block(_emit_look_up)
def look_up(table: Any, x: Any) -> Any:
    """Of a table of 2^k float64, which has to stay where it is, the number that the last k bits of every lane say."""
    return table[x.view(np.int64) & (len(table) - 1)]


def _emit_piece_of(s: Site) -> Any:
    ints = _bits(s.values[0].type)
    return s.builder.lshr(s.builder.bitcast(s.values[0], ints), _constant(ints, 21))


@block(_emit_piece_of)
def piece_of(x: Any) -> Any:
    """Of a positive float32: its exponent, and below it two bits of its mantissa."""
    return x.view(np.uint32) >> np.uint32(21)


def _emit_any(s: Site) -> Any:
    bits = ir.IntType(s.values[0].type.count)
    return s.builder.icmp_unsigned("!=", s.builder.bitcast(s.values[0], bits), ir.Constant(bits, 0))


@block(_emit_any)
def any_lane(c: Any) -> Any:
    """Whether a comparison holds in any lane."""
    return bool(np.any(c))


# ---- masks --------------------------------------------------------------------------------------------------


def _emit_keep(s: Site) -> Any:
    kind, ints = s.values[0].type, _bits(s.values[0].type)
    both = s.builder.and_(*(s.builder.bitcast(v, ints) for v in s.values))
    return s.builder.bitcast(both, kind)


@block(_emit_keep)
def keep(x: Any, mask: Any) -> Any:
    """x where the mask's lane is all ones, +0 where it is all zeros."""
    ints = np.uint32 if x.dtype == np.float32 else np.uint64
    return (x.view(ints) & mask.view(ints)).view(x.dtype)


# ---- one dtype and one width --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lanes:
    """The blocks of vectors of n lanes of one dtype. `size` is that of a row in bytes."""

    dtype: np.dtype[Any]
    n: int
    size: int
    load: Any
    splat: Any
    load4: Any
    load8: Any
    gather: Any
    real_at: Any
    put_real: Any
    put_word: Any


def _emit_store(s: Site) -> None:
    value = s.values[1]
    s.builder.store(value, s.pointer(s.values[0], value.type), align=4 if value.type.element == F32 else 8)


@block(_emit_store)
def store(address: int, x: Any) -> None:
    """Write a vector to memory."""
    memory_at(address, x.dtype, len(x))[:] = x


def memory_at(address: int, dtype: Any, n: int) -> Any:
    """n numbers in memory, to read and to write."""
    return np.frombuffer((ctypes.c_char * (n * dtype.itemsize)).from_address(int(address)), dtype)


def _loader(dtype: np.dtype[Any], kind: Any) -> Any:
    @block(lambda s: s.builder.load(s.pointer(s.values[0], kind), align=dtype.itemsize))
    def load(address: int) -> Any:
        """The vector at address."""
        return memory_at(address, dtype, kind.count).copy()

    return load


GATHERED = 8
"""Numbers that `gather` reads at a time."""


def _gatherer(dtype: np.dtype[Any], real: Any) -> Any:
    size, kind, ints = dtype.itemsize, ir.VectorType(real, GATHERED), ir.VectorType(I32, GATHERED)
    name = "llvm.x86.avx512.mask.gather" + ("3siv8.sf" if real == F32 else ".dpd.512")

    def emit(s: Site) -> Any:
        index, otherwise = s.builder.load(s.pointer(s.values[1], ints), align=4), s.as_(2, kind)
        inside = s.builder.icmp_signed(">=", index, _constant(ints, 0))
        if can_gather():
            base = s.pointer(s.values[0], I8)
            return s.call(name, kind, otherwise, base, index, inside, ir.Constant(I32, size))
        safe, found = s.builder.select(inside, index, _constant(ints, 0)), ir.Constant(kind, ir.Undefined)
        for lane in range(GATHERED):
            at = s.builder.extract_element(safe, ir.Constant(I32, lane))
            number = s.builder.load(s.element(s.values[0], at, size, real), align=size)
            found = s.builder.insert_element(found, number, ir.Constant(I32, lane))
        return s.builder.select(inside, found, otherwise)

    @block(emit)
    def gather(base: int, index: int, otherwise: Any) -> Any:
        """Of the array at base the numbers at eight indices (int32); `otherwise` where an index is negative."""
        at = memory_at(index, np.dtype(np.int32), GATHERED)
        numbers = [memory_at(base + int(k) * size, dtype, 1)[0] if k >= 0 else 0.0 for k in at]
        return np.where(at >= 0, np.array(numbers, dtype), otherwise)

    return gather


def _splatter(dtype: np.dtype[Any], kind: Any) -> Any:
    @block(lambda s: splat(s.builder, s.values[0], kind))
    def fill(x: float) -> Any:
        """x in every lane."""
        return np.full(kind.count, x, dtype)

    return fill


@cache
def lanes(dtype: np.dtype[Any], n: int) -> Lanes:
    """The blocks for vectors of n lanes."""
    single = dtype == np.float32
    real = F32 if single else F64
    kind = ir.VectorType(real, n)
    return Lanes(
        dtype=dtype,
        n=n,
        size=n * dtype.itemsize,
        load=_loader(dtype, kind),
        splat=_splatter(dtype, kind),
        load4=_loader(dtype, ir.VectorType(real, 4)),
        load8=_loader(dtype, ir.VectorType(real, GATHERED)),
        gather=_gatherer(dtype, real),
        real_at=f32_at if single else f64_at,
        put_real=put_f32 if single else put_f64,
        put_word=put_i32 if single else put_i64,
    )
