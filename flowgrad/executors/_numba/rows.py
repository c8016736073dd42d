"""Functions of rows as blocks of kernels, compiled by running them once on rows that stand for registers.

A function of rows that neither loops over data nor branches on it is a block whatever it is made of: called with a
`Row`, every operation in it writes its LLVM IR and gives the `Row` of its result. What depends on dtype, lanes or an
activation's formula is then plain Python, which runs while a kernel is compiled. Called with NumPy arrays of one row,
the same function is its own definition.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types

from flowgrad.executors._numba import simd
from flowgrad.executors._numba.simd import BLOCKS, I64, Twin, block, call, constant, pointer
from flowgrad.executors._numba.spec import SpecType, Truth, Vector

_DTYPES: dict[Any, np.dtype[Any]] = {types.float32: np.dtype(np.float32), types.float64: np.dtype(np.float64)}
_NUMBERS: dict[type, tuple[Any, Any]] = {float: (types.float64, ir.DoubleType()), int: (types.int64, I64)}
Function = Callable[..., Any]


class Row:
    """What a vector, a comparison or a truth is while its function is written down: a value of LLVM, and its type."""

    def __init__(self, builder: Any, kind: Any, value: Any) -> None:
        self.builder, self.kind, self.value = builder, kind, value

    @property
    def dtype(self) -> np.dtype[Any]:
        return _DTYPES[self.kind.real]

    @property
    def lanes(self) -> int:
        return int(self.kind.n)

    def __neg__(self) -> Row:
        return _written(operator.neg, (self,))

    def __array_ufunc__(self, ufunc: Any, method: str, *arguments: Any) -> Any:
        return _of_numpy(ufunc)(*arguments) if method == "__call__" else NotImplemented

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, named: Any) -> Any:
        return NotImplemented if named else _of_numpy(function)(*arguments)


def _method(function: Function, swapped: bool = False) -> Function:
    def method(self: Row, other: Any) -> Any:
        return _written(function, (other, self) if swapped else (self, other))

    return method


NUMPY: dict[Any, Function] = {}
"""What functions of NumPy are for rows."""


def _of_numpy(function: Any) -> Function:
    try:
        return NUMPY[function]
    except KeyError:
        raise TypeError(f"{function} is not known of rows") from None


for _name in ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Row, f"__{_name}__", _method(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Row, f"__r{_name}__", _method(getattr(operator, _name), swapped=True))


def _written(function: Function, arguments: tuple[Any, ...]) -> Row:
    """The row that a block gives, whose IR is written where its first row was."""
    result, emit = BLOCKS[function]
    builder = next(a.builder for a in arguments if isinstance(a, Row))
    if function in ARITHMETIC:
        arguments = _numbers(arguments)
    rows = [a if isinstance(a, Row) else _number(builder, a) for a in arguments]
    kinds = [row.kind for row in rows]
    kind = result(*kinds)
    assert kind is not None, (function, kinds)
    return Row(builder, kind, emit(builder, kind, kinds, [row.value for row in rows]))


def _number(builder: Any, x: Any) -> Row:
    kind, of = _NUMBERS[int if isinstance(x, int) else float]
    return Row(builder, kind, ir.Constant(of, int(x) if isinstance(x, int) else float(x)))


ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv)


def _numbers(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same where comparisons are 1 and 0, as NumPy has it."""
    like = next((a for a in arguments if isinstance(a, Row) and isinstance(a.kind, Vector)), None)
    if like is None:
        return arguments
    truths = [isinstance(a, Row) and isinstance(a.kind, Truth) for a in arguments]
    return tuple(choose(a, 1.0, filled(like, 0.0)) if t else a for a, t in zip(arguments, truths, strict=True))


def filled(like: Any, x: float) -> Any:
    """x in every lane of a row like another."""
    if not isinstance(like, Row):
        return np.full_like(like, x)
    return Row(like.builder, like.kind, constant(like.kind.ir, float(x)))


def either(function: Twin) -> Twin:
    """A block that is also written down, where one of its arguments is a Row."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        if any(isinstance(a, Row) for a in arguments):
            return _written(function, arguments)
        return function(*arguments)

    return run  # type: ignore[return-value]


def written(chosen: Callable[[Any], Function], result: Callable[..., Any]) -> Callable[[Twin], Twin]:
    """Give a function of (spec, row, …) the compiled form of a function of the rows.

    Args:
        chosen: the spec, or its type, → the function.
        result: types of the arguments → type of the result, None where it does not take such.
    """

    def emit(builder: Any, kind: Any, kinds: Any, values: Any) -> Any:
        rows = [Row(builder, k, v) for k, v in zip(kinds[1:], values[1:], strict=True)]
        made = chosen(kinds[0])(*rows)
        if isinstance(made, Row):
            return made.value
        return constant(kind.ir if isinstance(kind, Vector) else ir.VectorType(ir.IntType(1), kind.n), made)

    return block(result, emit)


def of_rows_alone(function: Twin) -> Twin:
    """Make a function of rows of one type that gives such a row a block of kernels."""

    def emit(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
        return function(*(Row(builder, k, v) for k, v in zip(kinds, values, strict=True))).value

    return block(lambda *kinds: kinds[0] if isinstance(kinds[0], Vector) else None, emit)(function)


# ---- the blocks that functions of rows are made of ------------------------------------------------------------

fma = either(simd.fma)
absolute = either(simd.absolute)
root = either(simd.root)
with_sign = either(simd.with_sign)
choose = either(simd.choose)
any_lane = either(simd.any_lane)
both = either(simd.both)
power_of_two = either(simd.power_of_two)


def _wide(kind: Any) -> Any:
    return Vector(types.float64, kind.n) if isinstance(kind, Vector) and kind.real == types.float32 else None


def _narrow(kind: Any) -> Any:
    return Vector(types.float32, kind.n) if isinstance(kind, Vector) and kind.real == types.float64 else None


@either
@block(_wide, lambda b, row, kinds, values: b.fpext(values[0], row.ir))
def widened(x: Any) -> Any:
    """float32 as float64"""
    return x.astype(np.float64)


@either
@block(_narrow, lambda b, row, kinds, values: b.fptrunc(values[0], row.ir))
def narrowed(x: Any) -> Any:
    """float64 rounded to float32"""
    with np.errstate(all="ignore"):
        return x.astype(np.float32)


def dtype_of(spec: Any) -> np.dtype[Any]:
    """That of a spec, or of its type."""
    return np.dtype(spec.char) if isinstance(spec, SpecType) else np.dtype(spec.dtype)


def _as_wide(spec: Any, x: Any) -> Any:
    return Vector(types.float64, x.n) if isinstance(x, Vector) else None


@written(lambda spec: lambda x: x if x.dtype == np.float64 else widened(x), _as_wide)
def wide(spec: Any, x: Any) -> Any:
    """A row of the kernel's dtype as float64."""
    return x.astype(np.float64)


@written(lambda spec: lambda x: x if dtype_of(spec) == np.float64 else narrowed(x), lambda spec, x: spec.row)
def real(spec: Any, x: Any) -> Any:
    """A row of float64, rounded to the kernel's dtype."""
    with np.errstate(all="ignore"):
        return x.astype(spec.dtype)


@block(
    lambda spec, address: Vector(types.float64, spec.n),
    lambda b, row, kinds, values: b.load(pointer(b, values[1]), align=8, typ=row.ir),
)
def load_wide(spec: Any, address: int) -> Any:
    """The row of float64 at an address."""
    return simd.memory_at(address, np.float64, spec.n).copy()


# ---- bits ------------------------------------------------------------------------------------------------------

_ROOT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
_MANTISSA = {32: 23, 64: 52}
_INTS = {4: np.int32, 8: np.int64}


def _row(x: Any) -> Any:
    return x if isinstance(x, Vector) else None


def _emit_scale(builder: Any, row: Any, x: Any) -> tuple[Any, Any]:
    """(bits of x, k) with x = 2^k · m, √½ ≤ m < √2."""
    bits, words = row.real.bitwidth, row.words
    word = builder.bitcast(x, words)
    above = builder.sub(word, constant(words, _ROOT_HALF[bits]))
    return word, builder.ashr(above, constant(words, _MANTISSA[bits]))


def _emit_exponent(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    _, k = _emit_scale(builder, row, values[0])
    onto = constant(row.ir, simd.ROUND[row.real])
    near = builder.bitcast(builder.add(k, builder.bitcast(onto, row.words)), row.ir)
    return builder.fsub(near, onto)


@either
@block(_row, _emit_exponent)
def exponent(x: Any) -> Any:
    """k of normal x > 0 with x = 2^k · m, √½ ≤ m < √2, as numbers."""
    bits = 8 * x.itemsize
    word = x.view(_INTS[x.itemsize])
    return ((word - word.dtype.type(_ROOT_HALF[bits])) >> _MANTISSA[bits]).astype(x.dtype)


def _emit_mantissa(builder: Any, row: Any, kinds: Any, values: Any) -> Any:
    word, k = _emit_scale(builder, row, values[0])
    of_k = builder.shl(k, constant(row.words, _MANTISSA[row.real.bitwidth]))
    return builder.bitcast(builder.sub(word, of_k), row.ir)


@either
@block(_row, _emit_mantissa)
def mantissa(x: Any) -> Any:
    """The m of `exponent`."""
    bits = 8 * x.itemsize
    word = x.view(_INTS[x.itemsize])
    k = (word - word.dtype.type(_ROOT_HALF[bits])) >> _MANTISSA[bits]
    return (word - (k << _MANTISSA[bits])).view(x.dtype)


def _emit_bit(builder: Any, truth: Any, kinds: Any, values: Any) -> Any:
    words = kinds[0].words
    which = builder.shl(constant(words, 1), constant(words, values[1].constant))
    found = builder.and_(builder.bitcast(values[0], words), which)
    return builder.icmp_signed("!=", found, constant(words, 0))


@either
@block(lambda x, k: Truth(x.n) if isinstance(x, Vector) else None, _emit_bit)
def bit(x: Any, k: int) -> Any:
    """Whether bit k of each number is set."""
    return (x.view(_INTS[x.itemsize]) >> k) & 1 != 0


# ---- numbers that are rare -----------------------------------------------------------------------------------


def rarely(name: str, function: Function) -> Function:
    """A block of (row, rare, otherwise): where `rare` holds a function of the C library, elsewhere `otherwise`.

    Args:
        name: the C library's, of a function of float64; rows are of those.
        function: NumPy's, the same.
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

    @either
    @block(lambda x, rare, otherwise: _row(x), emit)
    def number(x: Any, rare: Any, otherwise: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.where(rare, function(x), otherwise)

    return number
