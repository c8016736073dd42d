"""Blocks: functions with two implementations, one in Python and NumPy, one that emits LLVM IR into a kernel.

The Python function, on numbers and NumPy arrays of one row (a number per lane), is the definition; the emitter is used
where Numba compiles a call of the block. A function without loops over data or branches on it needs no emitter
(`symbolic`): it is executed once, during compilation, on `Row`s, which stand for registers, and the blocks that it
calls emit IR. What depends on dtype, lanes or activation is then plain Python that runs while a kernel is compiled.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import wraps
from types import BuiltinFunctionType
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature
from numba.extending import lower_builtin

from flowgrad.executors._numba.spec import SpecType, Truth, Vector

Function = Callable[..., Any]
Twin = TypeVar("Twin", bound=Function)
I32, I64 = ir.IntType(32), ir.IntType(64)


class Row:
    """A symbolic value, passed to a function that is executed to emit IR: an LLVM value and its Numba type."""

    def __init__(self, builder: Any, kind: Any, value: Any) -> None:
        self.builder, self.kind, self.value = builder, kind, value

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.kind.real))

    def __neg__(self) -> Any:
        return OPERATORS[operator.neg](self)

    def __array_ufunc__(self, ufunc: Any, method: str, *arguments: Any) -> Any:
        return _of_numpy(ufunc)(*arguments) if method == "__call__" else NotImplemented

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, named: Any) -> Any:
        return NotImplemented if named else _of_numpy(function)(*arguments)


OPERATORS: dict[Any, Function] = {}
"""Function of the `operator` module → the block that emits it for rows; filled by `block`."""
NUMPY: dict[Any, Function] = {}
"""NumPy function → the function that replaces it where an argument is a `Row`; filled in `primitives`."""


def _of_numpy(function: Any) -> Function:
    try:
        return NUMPY[function]
    except KeyError:
        raise TypeError(f"{function} is not known of rows") from None


def _method(name: str, swapped: bool = False) -> Function:
    function = getattr(operator, name)

    def method(self: Row, other: Any) -> Any:
        if isinstance(self.kind, types.Integer):
            other = _value(self.builder, other).value
            write = {"add": self.builder.add, "mul": self.builder.mul}[name]
            return Row(self.builder, self.kind, write(self.value, other))
        pair = (other, self) if swapped else (self, other)
        return OPERATORS[function](*(_numbers(pair) if name in ARITHMETIC else pair))

    return method


ARITHMETIC = ("add", "sub", "mul", "truediv")
for _name in (*ARITHMETIC, "lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Row, f"__{_name}__", _method(_name))
for _name in ARITHMETIC:
    setattr(Row, f"__r{_name}__", _method(_name, swapped=True))


def _numbers(pair: tuple[Any, ...]) -> tuple[Any, ...]:
    """Convert results of comparisons to rows of 1.0 and 0.0, as NumPy does, if the other operand is a vector."""
    like = next((a for a in pair if isinstance(a, Row) and isinstance(a.kind, Vector)), None)
    if like is None:
        return pair
    truths = [isinstance(a, Row) and isinstance(a.kind, Truth) for a in pair]
    one, none = filled(like, 1.0), filled(like, 0.0)
    return tuple(
        Row(like.builder, like.kind, like.builder.select(a.value, one.value, none.value)) if t else a
        for a, t in zip(pair, truths, strict=True)
    )


def filled(like: Any, x: float) -> Any:
    """Return a row with x in every lane, of the type of `like`: a `Row`, or a NumPy array."""
    if not isinstance(like, Row):
        return np.full_like(like, x)
    return Row(like.builder, like.kind, constant(like.kind.ir, float(x)))


def _value(builder: Any, a: Any) -> Row:
    """Wrap an argument as a `Row`: a Python number becomes a constant; a Spec's type has no value (None)."""
    if isinstance(a, Row):
        return a
    if isinstance(a, types.Type):
        return Row(builder, a, None)
    if isinstance(a, int):
        return Row(builder, types.int64, ir.Constant(I64, int(a)))
    return Row(builder, types.float64, ir.Constant(ir.DoubleType(), float(a)))


# ---- blocks -------------------------------------------------------------------------------------------------


def block(result: Function, emit: Function) -> Callable[[Twin], Twin]:
    """Make the decorated function a block, with `emit` as its compiled form.

    Args:
        result: maps the arguments' Numba types to the result's; None if the block does not accept these types.
        emit: (builder, result type, argument types, LLVM values) → LLVM value, or None if the block returns nothing.
    """

    def decorate(twin: Twin) -> Twin:
        @wraps(twin, assigned=("__name__", "__qualname__", "__doc__"))  # `__module__` stays this one, for operators too
        def run(*arguments: Any) -> Any:
            builder = next((a.builder for a in arguments if isinstance(a, Row)), None)
            if builder is None:
                return twin(*arguments)
            rows = [_value(builder, a) for a in arguments]
            kinds = [row.kind for row in rows]
            kind = result(*kinds)
            assert kind is not None, (twin, kinds)
            return Row(builder, kind, emit(builder, kind, kinds, [row.value for row in rows]))

        called = twin if isinstance(twin, BuiltinFunctionType) else run

        class Template(AbstractTemplate):  # type: ignore[misc]  # numba has no types
            key = called

            def generic(self, args: Any, kws: Any) -> Any:
                kind = result(*args)
                return None if kind is None else signature(kind, *args)

        def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
            made = emit(builder, sig.return_type, sig.args, values)
            return context.get_dummy_value() if made is None else made

        builtin_registry.register(Template)
        builtin_registry.register_global(called, types.Function(Template))
        lower_builtin(called, types.VarArg(types.Any))(lower)
        if called is twin:
            OPERATORS[twin] = run
        return run  # type: ignore[return-value]  # called as the twin is

    return decorate


def symbolic(result: Function) -> Callable[[Twin], Twin]:
    """Make the decorated function a block whose IR results from executing it once, on `Row`s and the Spec's type.

    Args:
        result: as of `block`. A Python number or truth value that the function returns fills every lane.
    """

    def decorate(function: Twin) -> Twin:
        def emit(builder: Any, kind: Any, kinds: Any, values: Any) -> Any:
            given = zip(kinds, values, strict=True)
            made = function(*(k if isinstance(k, SpecType) else Row(builder, k, v) for k, v in given))
            return made.value if isinstance(made, Row) else constant(kind.ir, made)

        return block(result, emit)(function)

    return decorate


def same_row(*kinds: Any) -> Any:
    """Return the first argument's type, if it is a vector: for blocks whose arguments and result have one type."""
    return kinds[0] if isinstance(kinds[0], Vector) else None


# ---- values ---------------------------------------------------------------------------------------------------


def call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    """Emit a call of a function by name, an LLVM intrinsic or a C library function; it is declared if necessary."""
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [v.type for v in values]), name)
    return builder.call(function, values)


def splatted(builder: Any, value: Any, kind: Any) -> Any:
    """Emit the broadcast of a number to every lane; `kind` is the LLVM type of the vector."""
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count))


def constant(kind: Any, value: Any) -> Any:
    """Return the LLVM constant with one value in every lane; `kind` is the LLVM type of the vector."""
    return ir.Constant(kind, [value] * kind.count)


def is_number(kind: Any) -> bool:
    """Return whether a Numba type is the type of a single number."""
    return isinstance(kind, types.Number)


def as_row(builder: Any, value: Any, given: Any, row: Vector) -> Any:
    """Emit cast and broadcast of a number of Numba type `given` to the type `row`; return a vector unchanged."""
    if isinstance(given, Vector):
        return value
    element = row.ir.element
    if isinstance(given, types.Integer):
        value = builder.sitofp(value, element)
    elif given.bitwidth > row.real.bitwidth:
        value = builder.fptrunc(value, element)
    elif given.bitwidth < row.real.bitwidth:
        value = builder.fpext(value, element)
    return splatted(builder, value, row.ir)
