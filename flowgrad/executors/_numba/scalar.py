"""Calls of the scalar formulas that a spec holds, built-in or a user's own, in kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature
from numba.extending import lower_builtin

from flowgrad.executors._numba.simd import SpecType


def called(role: str) -> Callable[..., Any]:
    """The function that calls a spec's formula of a role: g(spec, …) is what the formula gives for the others."""

    def run(spec: Any, *arguments: Any) -> Any:
        return spec.functions[role].f(*arguments)

    class Template(AbstractTemplate):  # type: ignore[misc]  # numba has no types
        key = run

        def generic(self, args: Any, kws: Any) -> Any:
            if not isinstance(args[0], SpecType):
                return None
            dispatcher = _dispatcher(args[0], role)
            _, _, kinds, _ = dispatcher.get_call_template(args[1:], kws)
            return signature(dispatcher.overloads[kinds].signature.return_type, args[0], *kinds)

    def lower(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        made = _dispatcher(sig.args[0], role).overloads[sig.args[1:]]
        context.add_linking_libs([made.library])
        return context.call_internal(builder, made.fndesc, made.signature, values[1:])

    builtin_registry.register(Template)
    builtin_registry.register_global(run, types.Function(Template))
    lower_builtin(run, types.VarArg(types.Any))(lower)
    return run


def _dispatcher(spec: SpecType, role: str) -> Any:
    return dict(spec.functions)[role].compiled
