"""Calls of the scalar formulas that a spec holds, built-in or a user's own, in kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.typing.templates import AbstractTemplate, builtin_registry
from numba.extending import lower_builtin

from flowgrad.executors._numba.formula import Formula, lowered, typed
from flowgrad.executors._numba.spec import SpecType


def called(role: str) -> Callable[..., Any]:
    """The function that calls a spec's formula of a role: g(spec, …) is what the formula gives for the others."""

    def run(spec: Any, *arguments: Any) -> Any:
        return spec.functions[role].f(*arguments)

    class Template(AbstractTemplate):  # type: ignore[misc]  # numba has no types
        key = run

        def generic(self, args: Any, kws: Any) -> Any:
            return typed(_formula(args[0], role), args, kws) if isinstance(args[0], SpecType) else None

    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return lowered(_formula(sig.args[0], role), context, builder, sig, values)

    builtin_registry.register(Template)
    builtin_registry.register_global(run, types.Function(Template))
    lower_builtin(run, types.VarArg(types.Any))(lower)
    return run


def _formula(spec: SpecType, role: str) -> Formula:
    found: Formula = dict(spec.functions)[role]
    return found
