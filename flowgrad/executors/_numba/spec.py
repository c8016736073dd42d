"""`Spec`, the parameters that a kernel is compiled for, and the Numba types of rows.

A kernel's first argument is a Spec. It has no content at run time: its Numba type has dtype, lanes and functions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

REALS = {np.dtype(np.float32): types.float32, np.dtype(np.float64): types.float64}
ELEMENTS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Vector(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba type of a row: n numbers (lanes) of one dtype; `real` is types.float32 or types.float64."""

    def __init__(self, real: Any, n: int) -> None:
        self.real, self.n = real, n
        super().__init__(name=f"Vector({real}, {n})")

    @property
    def ir(self) -> Any:
        """LLVM's vector type of it."""
        return ir.VectorType(ELEMENTS[self.real], self.n)

    @property
    def words(self) -> Any:
        """LLVM's type of n integers as wide as its numbers, for operations on their bits."""
        return ir.VectorType(ir.IntType(self.real.bitwidth), self.n)


class Truth(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba type of the result of comparing two vectors: n booleans, one per lane."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(name=f"Truth({n})")

    @property
    def ir(self) -> Any:
        """LLVM's vector type of it."""
        return ir.VectorType(ir.IntType(1), self.n)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]  # numba has no types
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.ir)


@register_model(Truth)
class _TruthModel(models.PrimitiveModel):  # type: ignore[misc]  # numba has no types
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.ir)


class Spec:
    """Parameters that a kernel is compiled for: dtype, n lanes of a row of `size` bytes, and functions by role."""

    def __init__(self, dtype: np.dtype[Any], n: int, **functions: Any) -> None:
        self.dtype, self.n, self.functions = np.dtype(dtype), n, functions
        self.size = n * self.dtype.itemsize
        self.type = SpecType(self.dtype.char, n, tuple(functions.items()))


class SpecType(types.Type):  # type: ignore[misc]  # numba has no types
    """Numba type of a `Spec`; its name, which decides equality, has each function's name, formulas or digest."""

    def __init__(self, char: str, n: int, functions: tuple[tuple[str, Any], ...]) -> None:
        self.char, self.n, self.functions = char, n, functions
        said = "".join(f", {role}={getattr(f, 'digest', f)}" for role, f in functions)
        super().__init__(name=f"Spec({char}, {n}{said})")

    def spec(self) -> Spec:
        """Return a Spec of this type."""
        return Spec(np.dtype(self.char), self.n, **dict(self.functions))

    @property
    def real(self) -> Any:
        return REALS[np.dtype(self.char)]

    @property
    def row(self) -> Vector:
        return Vector(self.real, self.n)


@register_model(SpecType)
class _SpecModel(models.OpaqueModel):  # type: ignore[misc]  # numba has no types
    pass


def _type_of_spec(spec: Spec, _: Any) -> SpecType:
    return spec.type


def _unbox_spec(kind: Any, value: Any, c: Any) -> Any:
    return NativeValue(c.context.get_dummy_value())


typeof_impl.register(Spec)(_type_of_spec)
unbox(SpecType)(_unbox_spec)
