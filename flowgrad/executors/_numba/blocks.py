"""Building blocks: plain functions with a second form in LLVM IR.

`@block(emit)` leaves the decorated function as it is, for code that runs uncompiled and as the definition in
tests; where `translate` compiles a call of it, `emit` writes the instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir

Twin = TypeVar("Twin", bound=Callable[..., Any])
Emit = Callable[["Site"], Any]

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()


def block(emit: Emit) -> Callable[[Twin], Twin]:
    """Give the decorated function a compiled form; `emit` gives the result's value, or None."""

    def decorate(twin: Twin) -> Twin:
        twin.__emit__ = emit  # type: ignore[attr-defined]  # functions take attributes
        return twin

    return decorate


def inline(builder: Any, function: Callable[..., Any], *values: Any) -> Any:
    """The instructions of a block at the builder's place."""
    return function.__emit__(Site(builder, values))  # type: ignore[attr-defined]  # see `block`


class Site:
    """Where a block is emitted: the builder, and the values of its arguments, Python numbers among them."""

    def __init__(self, builder: Any, values: tuple[Any, ...]) -> None:
        self.builder, self.values = builder, values

    def integers(self) -> list[Any]:
        """All arguments as int64."""
        return [convert(self.builder, v, I64) for v in self.values]

    def as_(self, k: int, kind: Any) -> Any:
        """Argument k converted to an LLVM type."""
        return convert(self.builder, self.values[k], kind)

    def pointer(self, address: Any, kind: Any) -> Any:
        """An address as a pointer to an LLVM type."""
        return self.builder.inttoptr(convert(self.builder, address, I64), kind.as_pointer())

    def element(self, address: Any, index: Any, size: int, kind: Any) -> Any:
        """A pointer to element `index` of the array at `address`."""
        offset = self.builder.mul(convert(self.builder, index, I64), ir.Constant(I64, size))
        return self.pointer(self.builder.add(convert(self.builder, address, I64), offset), kind)

    def call(self, name: str, result: Any, *values: Any) -> Any:
        """A call of a function by name: an LLVM intrinsic, or one of the C library."""
        return call(self.builder, name, result, *values)


def call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    """A call of a function by name."""
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [v.type for v in values]), name)
    return builder.call(function, values)


def convert(builder: Any, value: Any, kind: Any) -> Any:
    """A value, or a Python number, as an LLVM type."""
    if isinstance(kind, ir.VectorType):
        return value if isinstance(getattr(value, "type", None), ir.VectorType) else splat(builder, value, kind)
    if isinstance(value, (bool, int, float)):
        return ir.Constant(kind, value if kind in (F32, F64) else int(value))
    given = value.type
    if given == kind:
        return value
    if kind in (F32, F64):
        if isinstance(given, ir.IntType):
            return builder.uitofp(value, kind) if given == I1 else builder.sitofp(value, kind)
        return builder.fpext(value, kind) if kind == F64 else builder.fptrunc(value, kind)
    if isinstance(given, ir.IntType) and isinstance(kind, ir.IntType) and given.width < kind.width:
        return builder.zext(value, kind) if given == I1 else builder.sext(value, kind)
    raise TypeError(f"no {kind} from {given}")


def splat(builder: Any, value: Any, kind: Any) -> Any:
    """A number in every lane of a vector type."""
    if isinstance(value, (int, float)):
        return ir.Constant(kind, [ir.Constant(kind.element, float(value))] * kind.count)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, convert(builder, value, kind.element), ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, kind.count), [0] * kind.count))
