"""A vector type for Numba: rows of lanes, one sample a lane, as values of kernels.

LLVM cuts a vector into the registers that the machine has (AVX2, AVX-512, NEON), so that a kernel is written once for
all of them.
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
    """The one vector type among these, None where there are none, several, or what is no number."""
    rows = {k for k in kinds if isinstance(k, Vector)}
    return rows.pop() if len(rows) == 1 and all(isinstance(k, Vector) or is_number(k) for k in kinds) else None


def of_rows(emit: Callable[..., Any], result: Callable[..., Any] = _alike) -> Callable[[Twin], Twin]:
    """A block of vectors of one type; numbers among them stand for vectors. `emit` gets builder and vectors."""

    def rows(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
        row = _alike(*kinds)
        return emit(builder, *(as_row(builder, v, k, row) for v, k in zip(values, kinds, strict=True)))

    return block(result, rows)


def _intrinsic(name: str) -> Callable[..., Any]:
    """The emitter of an intrinsic of LLVM."""

    def emit(builder: Any, *rows: Any) -> Any:
        return call(builder, name_of(name, rows[0].type), rows[0].type, *rows)

    return emit


def name_of(intrinsic: str, kind: Any) -> str:
    """LLVM's, of an intrinsic for a vector type."""
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
    """x·y + z, rounded once where the machine can."""
    return x * y + z


@of_rows(_intrinsic("fabs"))
def absolute(x: Any) -> Any:
    """|x|"""
    return np.abs(x)


@of_rows(_intrinsic("sqrt"))
def root(x: Any) -> Any:
    """√x"""
    return np.sqrt(x)


@of_rows(_intrinsic("copysign"))
def with_sign(x: Any, y: Any) -> Any:
    """|x| with the sign of y."""
    return np.copysign(x, y)


def _emit_choose(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    x, y = (as_row(builder, v, k, row) for v, k in zip(values[1:], kinds[1:], strict=True))
    return builder.select(values[0], x, y)


@block(lambda c, x, y: _alike(x, y) if isinstance(c, Truth) else None, _emit_choose)
def choose(c: Any, x: Any, y: Any) -> Any:
    """x where c, else y; one of the two is a vector."""
    return np.where(c, x, y).astype(np.result_type(x, y) if isinstance(x, np.ndarray) else y.dtype)


@block(
    lambda c: types.boolean,
    lambda b, r, k, v: b.icmp_unsigned("!=", b.bitcast(v[0], bits := ir.IntType(k[0].n)), ir.Constant(bits, 0)),
)
def any_lane(c: Any) -> Any:
    """Whether a comparison holds in any lane."""
    return bool(np.any(c))


@block(lambda c, d: c, lambda b, r, k, v: b.and_(*v))
def both(c: Any, d: Any) -> Any:
    """Where both comparisons hold."""
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
"""x + ROUND holds x, rounded to an integer, in the low bits of its mantissa."""


@block(lambda x, more: x, _emit_power_of_two)
def power_of_two(x: Any, more: int) -> Any:
    """2^(n + more) where x = n + ROUND; n + more within the exponents of normal numbers."""
    ints, shift, bias = (np.uint32, 23, 127) if x.dtype == np.float32 else (np.uint64, 52, 1023)
    return ((x.view(ints) + ints(bias + more)) << ints(shift)).view(x.dtype)


def _emit_keep(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    both = builder.and_(*(builder.bitcast(v, row.words) for v in values))
    return builder.bitcast(both, row.ir)


@block(lambda x, mask: x, _emit_keep)
def keep(x: Any, mask: Any) -> Any:
    """x where the mask's lane is all ones, +0 where it is all zeros."""
    ints = np.uint32 if x.dtype == np.float32 else np.uint64
    return (x.view(ints) & mask.view(ints)).view(x.dtype)


# ---- memory -------------------------------------------------------------------------------------------------


def pointer(builder: Any, address: Any) -> Any:
    """An address as a pointer."""
    return builder.inttoptr(address, ir.PointerType())


def memory_at(address: int, dtype: Any, n: int) -> Any:
    """n numbers in memory, to read and to write."""
    return np.frombuffer((ctypes.c_char * (n * np.dtype(dtype).itemsize)).from_address(int(address)), dtype)


def _emit_load(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return builder.load(pointer(builder, values[1]), align=row.real.bitwidth // 8, typ=row.ir)


def loader(kind: Callable[[Any], Vector]) -> Callable[[Spec, int], Any]:
    """A block that reads a vector at an address, of the type that a spec's type says."""

    @block(lambda spec, address: kind(spec), _emit_load)
    def read(spec: Spec, address: int) -> Any:
        row = kind(spec.type)
        return memory_at(address, str(row.real), row.n).copy()

    return read


load = loader(lambda spec: spec.row)
"""The row at an address."""
load_wide = loader(lambda spec: Vector(types.float64, spec.n))
"""The row of float64 at an address."""
load4 = loader(lambda spec: Vector(spec.real, 4))
"""The four numbers at an address."""


def _emit_store(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    builder.store(values[1], pointer(builder, values[0]), align=kinds[1].real.bitwidth // 8)


@block(lambda address, x: types.none, _emit_store)
def store(address: int, x: Any) -> None:
    """Write a vector to memory."""
    memory_at(address, x.dtype, len(x))[:] = x


def _emit_splat(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return as_row(builder, values[1], kinds[1], row)


@block(lambda spec, x: spec.row, _emit_splat)
def splat(spec: Spec, x: float) -> Any:
    """A number in every lane."""
    return np.full(spec.n, x, spec.dtype)


def place(builder: Any, address: Any, index: Any, size: int) -> Any:
    """Where number `index` of an array stands, of numbers of so many bytes."""
    return pointer(builder, builder.add(address, builder.mul(index, ir.Constant(I64, size))))


def _emit_real_at(builder: Any, real: Any, kinds: Any, values: Any) -> Any:
    size = real.bitwidth // 8
    return builder.load(place(builder, values[1], values[2], size), align=size, typ=ELEMENTS[real])


@block(lambda spec, address, k: spec.real, _emit_real_at)
def real_at(spec: Spec, address: int, k: int) -> Any:
    """Number k of the array at an address, in the kernel's dtype."""
    return memory_at(address + k * spec.dtype.itemsize, spec.dtype, 1)[0]


def _emit_numbers(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    return ir.Constant(row.ir, [float(k) for k in range(row.n)])


@block(lambda spec: spec.row, _emit_numbers)
def numbers(spec: Spec) -> Any:
    """0, 1, 2, …: the number of every lane."""
    return np.arange(spec.n, dtype=spec.dtype)


def _emit_real_of(builder: Any, real: Any, kinds: Any, values: Any) -> Any:
    given, x = kinds[1], values[1]
    if given.bitwidth == real.bitwidth:
        return x
    return (builder.fptrunc if given.bitwidth > real.bitwidth else builder.fpext)(x, ELEMENTS[real])


@block(lambda spec, x: spec.real if isinstance(x, types.Float) else None, _emit_real_of)
def real_of(spec: Spec, x: float) -> Any:
    """A number in the kernel's dtype."""
    return spec.dtype.type(x)


def _emit_put_real(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    real = kinds[0].real
    x = _emit_real_of(builder, real, (kinds[0], kinds[3]), (values[0], values[3]))
    builder.store(x, place(builder, values[1], values[2], real.bitwidth // 8), align=real.bitwidth // 8)


@block(lambda spec, address, k, x: types.none if isinstance(x, types.Float) else None, _emit_put_real)
def put_real(spec: Spec, address: int, k: int, x: float) -> None:
    """Set number k of the array at an address."""
    memory_at(address + k * spec.dtype.itemsize, spec.dtype, 1)[0] = x


def _emit_put_word(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    word = kinds[0].row.words.element
    x = values[3] if values[3].type == word else builder.trunc(values[3], word)
    builder.store(x, place(builder, values[1], values[2], word.width // 8), align=word.width // 8)


@block(lambda spec, address, k, x: types.none, _emit_put_word)
def put_word(spec: Spec, address: int, k: int, x: int) -> None:
    """Set integer k, as wide as a number, of the array at an address."""
    memory_at(address + k * spec.dtype.itemsize, f"i{spec.dtype.itemsize}", 1)[0] = x


@block(lambda spec: SpecType(spec.char, spec.n, ()), lambda b, r, k, v: None)
def plain(spec: Spec) -> Spec:
    """The spec without functions: what is called with it is compiled once for all kernels of a dtype and lanes."""
    return Spec(spec.dtype, spec.n)


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].real.bitwidth // 8))
def bytes_of(spec: Spec) -> int:
    """Bytes of a number."""
    return spec.dtype.itemsize


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].n))
def lanes_of(spec: Spec) -> int:
    """Lanes of a row."""
    return spec.n


@block(lambda spec: types.int64, lambda b, r, k, v: ir.Constant(I64, k[0].n * k[0].real.bitwidth // 8))
def size_of(spec: Spec) -> int:
    """Bytes of a row."""
    return spec.size
