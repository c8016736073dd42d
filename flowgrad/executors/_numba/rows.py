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
from numba.core import types

from flowgrad.executors._numba import simd
from flowgrad.executors._numba.simd import (
    BLOCKS,
    I64,
    Truth,
    Twin,
    Vector,
    block,
    call,
    constant,
    name_of,
    of_rows,
)

_DTYPES = {types.float32: np.dtype(np.float32), types.float64: np.dtype(np.float64)}
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


def _method(function: Function, swapped: bool = False) -> Function:
    def method(self: Row, other: Any) -> Any:
        return _written(function, (other, self) if swapped else (self, other))

    return method


for _name in ("add", "sub", "mul", "truediv", "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Row, f"__{_name}__", _method(getattr(operator, _name)))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(Row, f"__r{_name}__", _method(getattr(operator, _name), swapped=True))
Row.__neg__ = lambda self: _written(operator.neg, (self,))  # type: ignore[attr-defined]


def _written(function: Function, arguments: tuple[Any, ...]) -> Row:
    """The row that a block gives, whose IR is written where its first row was."""
    result, emit = BLOCKS[function]
    builder = next(a.builder for a in arguments if isinstance(a, Row))
    rows = [a if isinstance(a, Row) else _number(builder, a) for a in arguments]
    kinds = [row.kind for row in rows]
    kind = result(*kinds)
    assert kind is not None, (function, kinds)
    return Row(builder, kind, emit(builder, kind, kinds, [row.value for row in rows]))


def _number(builder: Any, x: Any) -> Row:
    kind, of = _NUMBERS[type(x)]
    return Row(builder, kind, ir.Constant(of, x))


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
