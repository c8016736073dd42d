"""Building blocks: plain functions with a second form in LLVM IR.

`@block(typer, emit)` leaves the decorated function as it is, for code that runs uncompiled and as the definition
in tests; in code that Numba compiles, a call of it becomes what `emit` writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

Twin = TypeVar("Twin", bound=Callable[..., Any])

I32, I64 = ir.IntType(32), ir.IntType(64)


class Site:
    """Where a block is emitted: the builder, the values and types of its arguments, the type of its result."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.context, self.builder, self.signature = context, builder, signature
        self.values, self.types = values, signature.args

    @property
    def result(self) -> Any:
        """The LLVM type of the result."""
        return self.context.get_value_type(self.signature.return_type)

    def cast(self, k: int, to: Any) -> Any:
        """Argument k converted to the Numba type `to`."""
        return self.context.cast(self.builder, self.values[k], self.types[k], to)

    def integers(self) -> list[Any]:
        """All arguments as int64."""
        return [self.cast(k, types.int64) for k in range(len(self.values))]

    def pointer(self, address: Any, to: Any) -> Any:
        """An address as a pointer to LLVM type `to`."""
        return self.builder.inttoptr(address, to.as_pointer())

    def element(self, address: Any, index: Any, size: int, to: Any) -> Any:
        """A pointer to element `index` of the array at `address`."""
        offset = self.builder.mul(index, ir.Constant(I64, size))
        return self.pointer(self.builder.add(address, offset), to)

    def call(self, name: str, result: Any, *values: Any) -> Any:
        """A call of a function of the module, an LLVM intrinsic mostly."""
        module = self.builder.module
        function = module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [v.type for v in values])
            function = ir.Function(module, kind, name)
        return self.builder.call(function, values)


def block(typer: Callable[..., Any], emit: Callable[[Site], Any]) -> Callable[[Twin], Twin]:
    """Give the decorated function a compiled form.

    Args:
        typer: Numba types of the arguments → type of the result, or None where it does not apply.
        emit: writes the IR at a site and gives the result's value; None for a block without result.
    """

    def decorate(twin: Twin) -> Twin:
        register(twin, typer, emit)
        return twin

    return decorate


def register(function: Callable[..., Any], typer: Callable[..., Any], emit: Callable[[Site], Any]) -> None:
    """Give any function, an operator say, a compiled form for some types of arguments."""

    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        value = emit(Site(context, builder, signature, values))
        return context.get_dummy_value() if value is None else value

    type_callable(function)(lambda context: typer)
    lower_builtin(function, types.VarArg(types.Any))(lower)
