"""Blocks over rows for activations and losses: conversion of dtypes, access to bits, calls of C for rare arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from flowgrad.executors._numba import simd
from flowgrad.executors._numba.blocks import I64, block, call, constant, same_row, symbolic
from flowgrad.executors._numba.simd import pointer
from flowgrad.executors._numba.spec import SpecType, Truth, Vector

Function = Callable[..., Any]


def _wide(kind: Any) -> Any:
    return Vector(types.float64, kind.n) if isinstance(kind, Vector) and kind.real == types.float32 else None


def _narrow(kind: Any) -> Any:
    return Vector(types.float32, kind.n) if isinstance(kind, Vector) and kind.real == types.float64 else None


@block(_wide, lambda b, row, kinds, values: b.fpext(values[0], row.ir))
def widened(x: Any) -> Any:
    """Convert float32 to float64."""
    return x.astype(np.float64)


@block(_narrow, lambda b, row, kinds, values: b.fptrunc(values[0], row.ir))
def narrowed(x: Any) -> Any:
    """Round float64 to float32."""
    with np.errstate(all="ignore"):
        return x.astype(np.float32)


def dtype_of(spec: Any) -> np.dtype[Any]:
    """Return the dtype of a Spec or of its type."""
    return np.dtype(spec.char) if isinstance(spec, SpecType) else np.dtype(spec.dtype)


@symbolic(lambda spec, x: Vector(types.float64, x.n) if isinstance(x, Vector) else None)
def wide(spec: Any, x: Any) -> Any:
    """Convert a row of the kernel's dtype to float64."""
    return x if x.dtype == np.float64 else widened(x)


@symbolic(lambda spec, x: spec.row)
def real(spec: Any, x: Any) -> Any:
    """Round a row of float64 to the kernel's dtype."""
    return x if dtype_of(spec) == np.float64 else narrowed(x)


# ---- bits ------------------------------------------------------------------------------------------------------

_ROOT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
_MANTISSA = {32: 23, 64: 52}
_INTS = {4: np.int32, 8: np.int64}


def _emit_scale(builder: Any, row: Any, x: Any) -> tuple[Any, Any]:
    """Emit (bits of x, k) with x = 2^k · m, √½ ≤ m < √2, both as integers as wide as x."""
    bits, words = row.real.bitwidth, row.words
    word = builder.bitcast(x, words)
    above = builder.sub(word, constant(words, _ROOT_HALF[bits]))
    return word, builder.ashr(above, constant(words, _MANTISSA[bits]))


def _emit_exponent(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    _, k = _emit_scale(builder, row, values[0])
    onto = constant(row.ir, simd.ROUND[row.real])
    near = builder.bitcast(builder.add(k, builder.bitcast(onto, row.words)), row.ir)
    return builder.fsub(near, onto)


@block(same_row, _emit_exponent)
def exponent(x: Any) -> Any:
    """Return k, in x's dtype, for normal x > 0, with x = 2^k · m, √½ ≤ m < √2."""
    bits = 8 * x.itemsize
    word = x.view(_INTS[x.itemsize])
    return ((word - word.dtype.type(_ROOT_HALF[bits])) >> _MANTISSA[bits]).astype(x.dtype)


def _emit_mantissa(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    word, k = _emit_scale(builder, row, values[0])
    of_k = builder.shl(k, constant(row.words, _MANTISSA[row.real.bitwidth]))
    return builder.bitcast(builder.sub(word, of_k), row.ir)


@block(same_row, _emit_mantissa)
def mantissa(x: Any) -> Any:
    """Return m of x = 2^k · m, √½ ≤ m < √2, for normal x > 0."""
    bits = 8 * x.itemsize
    word = x.view(_INTS[x.itemsize])
    k = (word - word.dtype.type(_ROOT_HALF[bits])) >> _MANTISSA[bits]
    return (word - (k << _MANTISSA[bits])).view(x.dtype)


def _emit_bit(builder: Any, truth: Any, kinds: Any, values: Any) -> Any:
    words = kinds[0].words
    which = builder.shl(constant(words, 1), constant(words, values[1].constant))
    found = builder.and_(builder.bitcast(values[0], words), which)
    return builder.icmp_signed("!=", found, constant(words, 0))


@block(lambda x, k: Truth(x.n) if isinstance(x, Vector) else None, _emit_bit)
def bit(x: Any, k: int) -> Any:
    """Return whether bit k of each number is set, bit 0 being the lowest of the mantissa."""
    return (x.view(_INTS[x.itemsize]) >> k) & 1 != 0


# ---- rare arguments ------------------------------------------------------------------------------------------


def rarely(name: str, function: Function) -> Function:
    """Make a block (x, rare, otherwise): a C function of x in lanes where `rare` holds, `otherwise` elsewhere.

    Args:
        name: the function's name in the C library; it takes float64, as in the rows, and is called if a lane is rare.
        function: the same function in NumPy.
    """

    def emit(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
        x, rare, otherwise = values
        bits = ir.IntType(row.n)
        some = builder.icmp_unsigned("!=", builder.bitcast(rare, bits), ir.Constant(bits, 0))
        with builder.goto_entry_block():
            room = builder.ptrtoint(builder.alloca(row.ir), I64)
        before = builder.block
        with builder.if_then(some, likely=False):
            builder.store(x, pointer(builder, room))
            with cgutils.for_range(builder, ir.Constant(I64, row.n)) as loop:
                at = pointer(builder, builder.add(room, builder.mul(loop.index, ir.Constant(I64, 8))))
                found = call(builder, name, ir.DoubleType(), builder.load(at, typ=ir.DoubleType()))
                builder.store(found, at)
            chosen = builder.select(rare, builder.load(pointer(builder, room), typ=row.ir), otherwise)
            inside = builder.block
        either = builder.phi(row.ir)
        either.add_incoming(otherwise, before)
        either.add_incoming(chosen, inside)
        return either

    @block(same_row, emit)
    def number(x: Any, rare: Any, otherwise: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.where(rare, function(x), otherwise)

    return number
