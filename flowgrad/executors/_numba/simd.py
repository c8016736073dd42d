"""Vector arithmetic and memory access in kernels, as blocks: a row is a vector of n lanes, one sample per lane.

LLVM splits a vector into registers of the target's width (AVX2, AVX-512, NEON), so one kernel source serves them all.
Addresses are int64; loads and stores need the alignment of one number only.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from flowgrad.executors._numba.blocks import I64, Twin, as_row, block, call, constant, is_number, splatted
from flowgrad.executors._numba.spec import ELEMENTS, Spec, SpecType, Truth, Vector

# ---- arithmetic ---------------------------------------------------------------------------------------------


def _alike(*kinds: Any) -> Any:
    """Return the only vector type among argument types; None if there are none, several, or types not of numbers."""
    rows = {k for k in kinds if isinstance(k, Vector)}
    return rows.pop() if len(rows) == 1 and all(isinstance(k, Vector) or is_number(k) for k in kinds) else None


def of_rows(emit: Callable[..., Any], result: Callable[..., Any] = _alike) -> Callable[[Twin], Twin]:
    """Make a block over vectors of one type. `emit` gets the builder and the vectors; numbers are broadcast first."""

    def rows(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
        row = _alike(*kinds)
        return emit(builder, *(as_row(builder, v, k, row) for v, k in zip(values, kinds, strict=True)))

    return block(result, rows)


def _intrinsic(name: str) -> Callable[..., Any]:
    """Return the emitter of a call of an LLVM intrinsic, for `of_rows`."""

    def emit(builder: Any, *rows: Any) -> Any:
        return call(builder, name_of(name, rows[0].type), rows[0].type, *rows)

    return emit


def name_of(intrinsic: str, kind: Any) -> str:
    """Return an intrinsic's full name for an LLVM vector type, for example `llvm.sqrt.v16f32`."""
    return f"llvm.{intrinsic}.v{kind.count}f{32 if kind.element == ir.FloatType() else 64}"


def _truth(*kinds: Any) -> Any:
    row = _alike(*kinds)
    return None if row is None else Truth(row.n)


for _operator, _emit in (
    (operator.add, lambda b, x, y: b.fadd(x, y)),
    (operator.sub, lambda b, x, y: b.fsub(x, y)),
    (operator.mul, lambda b, x, y: b.fmul(x, y)),
    (operator.truediv, lambda b, x, y: b.fdiv(x, y)),
):
    of_rows(_emit)(_operator)
for _operator, _sign in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
    (operator.eq, "=="),
):
    of_rows(lambda b, x, y, sign=_sign: b.fcmp_ordered(sign, x, y), _truth)(_operator)
of_rows(lambda b, x, y: b.fcmp_unordered("!=", x, y), _truth)(operator.ne)
of_rows(lambda b, x: b.fneg(x))(operator.neg)


@of_rows(_intrinsic("fmuladd"))
def fma(x: Any, y: Any, z: Any) -> Any:
    """Return x·y + z: with one rounding where the processor has FMA instructions, otherwise with two."""
    return x * y + z


@of_rows(_intrinsic("fabs"))
def absolute(x: Any) -> Any:
    """Return |x|."""
    return np.abs(x)


@of_rows(_intrinsic("sqrt"))
def root(x: Any) -> Any:
    """Return √x, correctly rounded."""
    return np.sqrt(x)


@of_rows(_intrinsic("copysign"))
def with_sign(x: Any, y: Any) -> Any:
    """Return |x| with the sign of y."""
    return np.copysign(x, y)


def _emit_choose(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    x, y = (as_row(builder, v, k, row) for v, k in zip(values[1:], kinds[1:], strict=True))
    return builder.select(values[0], x, y)


@block(lambda c, x, y: _alike(x, y) if isinstance(c, Truth) else None, _emit_choose)
def choose(c: Any, x: Any, y: Any) -> Any:
    """Select x in lanes where the comparison c holds, y elsewhere; at least one of x and y is a vector."""
    return np.where(c, x, y).astype(np.result_type(x, y) if isinstance(x, np.ndarray) else y.dtype)


@block(
    lambda c: types.boolean,
    lambda b, r, k, v: b.icmp_unsigned("!=", b.bitcast(v[0], bits := ir.IntType(k[0].n)), ir.Constant(bits, 0)),
)
def any_lane(c: Any) -> Any:
    """Return whether a comparison holds in any lane."""
    return bool(np.any(c))


@block(lambda c, d: c, lambda b, r, k, v: b.and_(*v))
def both(c: Any, d: Any) -> Any:
    """Return the lanes in which both comparisons hold."""
    return np.logical_and(c, d)


def _emit_power_of_two(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    words, bits = row.words, row.real.bitwidth
    shift = constant(words, 23 if bits == 32 else 52)
    bias = ir.Constant(words.element, 127 if bits == 32 else 1023)
    more = values[1]
    more = (
        builder.trunc(more, words.element)
        if more.type.width > bits
        else builder.sext(more, words.element)
        if more.type.width < bits
        else more
    )
    n = builder.bitcast(values[0], words)
    n = builder.add(n, splatted(builder, builder.add(more, bias), words))
    return builder.bitcast(builder.shl(n, shift), row.ir)


ROUND = {types.float32: 1.5 * 2**23, types.float64: 1.5 * 2**52}
"""x + ROUND has x, rounded to the nearest integer, in the low bits of its mantissa, if |x| is below ROUND / 3."""


@block(lambda x, more: x, _emit_power_of_two)
def power_of_two(x: Any, more: int) -> Any:
    """Return 2^(n + more), n an integer, given x = n + ROUND; 2^(n + more) must be a normal number."""
    ints, shift, bias = (np.uint32, 23, 127) if x.dtype == np.float32 else (np.uint64, 52, 1023)
    return ((x.view(ints) + ints(bias + more)) << ints(shift)).view(x.dtype)


def _emit_keep(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    both = builder.and_(*(builder.bitcast(v, row.words) for v in values))
    return builder.bitcast(both, row.ir)


@block(lambda x, mask: x, _emit_keep)
def keep(x: Any, mask: Any) -> Any:
    """Mask x bit by bit: x in lanes of the mask (a row) whose bits are all ones, +0 in lanes of all zeros."""
    ints = np.uint32 if x.dtype == np.float32 else np.uint64
    return (x.view(ints) & mask.view(ints)).view(x.dtype)


# ---- memory -------------------------------------------------------------------------------------------------


def pointer(builder: Any, address: Any) -> Any:
    """Emit the conversion of an int64 address to a pointer."""
    return builder.inttoptr(address, ir.PointerType())


def memory_at(address: int, dtype: Any, n: int) -> Any:
    """Return a writable NumPy view (n,) of memory at an address."""
    return np.frombuffer((ctypes.c_char * (n * np.dtype(dtype).itemsize)).from_address(int(address)), dtype)


def _emit_load(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return builder.load(pointer(builder, values[1]), align=row.real.bitwidth // 8, typ=row.ir)


def loader(kind: Callable[[Any], Vector]) -> Callable[[Spec, int], Any]:
    """Make a block (spec, address) → vector that loads from memory; `kind` maps the Spec's type to the vector's."""

    @block(lambda spec, address: kind(spec), _emit_load)
    def read(spec: Spec, address: int) -> Any:
        row = kind(spec.type)
        return memory_at(address, str(row.real), row.n).copy()

    return read


load = loader(lambda spec: spec.row)
"""Loads the row at an address: the Spec's dtype and lanes."""
load_wide = loader(lambda spec: Vector(types.float64, spec.n))
"""Loads as many float64 as a row has lanes, whatever the Spec's dtype."""
load4 = loader(lambda spec: Vector(spec.real, 4))
"""Loads four numbers of the Spec's dtype."""


def _emit_store(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    builder.store(values[1], pointer(builder, values[0]), align=kinds[1].real.bitwidth // 8)


@block(lambda address, x: types.none, _emit_store)
def store(address: int, x: Any) -> None:
    """Store a vector at an address."""
    memory_at(address, x.dtype, len(x))[:] = x


def _emit_splat(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return as_row(builder, values[1], kinds[1], row)


@block(lambda spec, x: spec.row, _emit_splat)
def splat(spec: Spec, x: float) -> Any:
    """Broadcast a number to every lane of a row of the Spec's dtype."""
    return np.full(spec.n, x, spec.dtype)


def place(builder: Any, address: Any, index: Any, size: int) -> Any:
    """Emit the pointer to element `index` of an array at an address, whose elements have `size` bytes each."""
    return pointer(builder, builder.add(address, builder.mul(index, ir.Constant(I64, size))))


def _emit_real_at(builder: Any, real: Any, kinds: Any, values: Any) -> Any:
    size = real.bitwidth // 8
    return builder.load(place(builder, values[1], values[2], size), align=size, typ=ELEMENTS[real])


@block(lambda spec, address, k: spec.real, _emit_real_at)
def real_at(spec: Spec, address: int, k: int) -> Any:
    """Load element k of the array at an address, of the Spec's dtype."""
    return memory_at(address + k * spec.dtype.itemsize, spec.dtype, 1)[0]


def _emit_numbers(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return ir.Constant(row.ir, [float(k) for k in range(row.n)])


@block(lambda spec: spec.row, _emit_numbers)
def numbers(spec: Spec) -> Any:
    """Return the lane indices as a row: 0, 1, 2, …"""
    return np.arange(spec.n, dtype=spec.dtype)


def _emit_real_of(builder: Any, real: Any, kinds: Any, values: Any) -> Any:
    given, x = kinds[1], values[1]
    if given.bitwidth == real.bitwidth:
        return x
    return (builder.fptrunc if given.bitwidth > real.bitwidth else builder.fpext)(x, ELEMENTS[real])


@block(lambda spec, x: spec.real if isinstance(x, types.Float) else None, _emit_real_of)
def real_of(spec: Spec, x: float) -> Any:
    """Convert a float to the Spec's dtype."""
    return spec.dtype.type(x)


def _emit_put_real(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    real = kinds[0].real
    x = _emit_real_of(builder, real, (kinds[0], kinds[3]), (values[0], values[3]))
    builder.store(x, place(builder, values[1], values[2], real.bitwidth // 8), align=real.bitwidth // 8)


@block(lambda spec, address, k, x: types.none if isinstance(x, types.Float) else None, _emit_put_real)
def put_real(spec: Spec, address: int, k: int, x: float) -> None:
    """Store x as element k of the array at an address, converted to the Spec's dtype."""
    memory_at(address + k * spec.dtype.itemsize, spec.dtype, 1)[0] = x


def _emit_put_word(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    word = kinds[0].row.words.element
    x = values[3] if values[3].type == word else builder.trunc(values[3], word)
    builder.store(x, place(builder, values[1], values[2], word.width // 8), align=word.width // 8)


@block(lambda spec, address, k, x: types.none, _emit_put_word)
def put_word(spec: Spec, address: int, k: int, x: int) -> None:
    """Store x as element k of the array at an address, of integers as wide as the Spec's dtype (int32 or int64)."""
    memory_at(address + k * spec.dtype.itemsize, f"i{spec.dtype.itemsize}", 1)[0] = x


@block(lambda spec: SpecType(spec.char, spec.n, ()), lambda b, r, k, v: None)
def plain(spec: Spec) -> Spec:
    """Return the Spec without its functions; callees that take it are compiled once per dtype and number of lanes."""
    return Spec(spec.dtype, spec.n)


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].real.bitwidth // 8))
def bytes_of(spec: Spec) -> int:
    """Return the size of one number of the Spec's dtype in bytes."""
    return spec.dtype.itemsize


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].n))
def lanes_of(spec: Spec) -> int:
    """Return the number of lanes of a row."""
    return spec.n


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].n * k[0].real.bitwidth // 8))
def size_of(spec: Spec) -> int:
    """Return the size of a row in bytes."""
    return spec.size
