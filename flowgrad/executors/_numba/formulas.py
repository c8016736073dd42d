"""Plain scalar functions made compilable, with every plain function that they call.

A formula of maths/, or a user's, is compiled as it is written: a copy of it whose globals name compiled
functions where the original's name plain ones.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from flowgrad.errors import ExecutorError

Function = Callable[..., Any]

_compiled: dict[Function, Any] = {}


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _choose(c: Any, x: Any, y: Any) -> Any:
    """`numpy.where` of single numbers."""
    return x if c else y


def compiled(function: Function) -> Any:
    """The function as Numba's dispatcher; the functions it calls are compiled with it.

    Raises:
        ExecutorError: not a plain Python function.
    """
    if function is np.where:
        return _choose
    if isinstance(function, numba.core.dispatcher.Dispatcher):
        return function
    found = _compiled.get(function)
    if found is None:
        if not isinstance(function, types.FunctionType):
            raise ExecutorError(f"{function!r} is no plain Python function, which the numba executor can compile")
        found = _compiled[function] = _copy(function)
    return found


def _copy(function: types.FunctionType) -> Any:
    names = _names(function.__code__)
    scope = {
        name: _resolve(value) for name, value in function.__globals__.items() if name in names and value is not function
    }
    cells = tuple(types.CellType(_resolve(c.cell_contents)) for c in function.__closure__ or ())
    copy = types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)
    scope["__builtins__"] = __builtins__
    scope["__name__"] = function.__module__
    result = numba.njit(error_model="numpy")(copy)
    if function.__name__ in names:  # it calls itself
        scope[function.__name__] = result
    return result


def _names(code: types.CodeType) -> set[str]:
    """Globals that a function, or one written inside it, may read."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inner)


def _resolve(value: Any) -> Any:
    return compiled(value) if isinstance(value, types.FunctionType) or value is np.where else value
