"""Functions that are no kernels, made compilable by Numba with every plain function that they call.

A user's formula, or an aggregation of maths/, is compiled as it is written: a copy of it whose globals name
compiled functions where the original's name plain ones. Numba is imported when the first of them comes.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from flowgrad.errors import ExecutorError, brief
from flowgrad.executors._numba.blocks import F64, I64
from flowgrad.executors._numba.machine import lock
from flowgrad.executors._numba.memory import Foreign

Function = Callable[..., Any]


def number_function(function: Function, arguments: int, what: str) -> Foreign:
    """A function of so many float64 that gives one.

    Raises:
        ExecutorError: Numba cannot compile it; the message has `what` and Numba's reason.
    """
    return _foreign(function, f"float64({', '.join(['float64'] * arguments)})", (F64,) * arguments, F64, what)


def array_function(function: Function, arrays: int, what: str) -> Foreign:
    """A function of so many (n,) float64, as the block f(address, …, n); a single array's gives a float64.

    Raises:
        ExecutorError: as `number_function`.
    """
    pointers = ", ".join(["CPointer(float64)"] * arrays)
    result, kind = ("float64", F64) if arrays == 1 else ("void", None)
    return _foreign(function, f"{result}({pointers}, int64)", (I64,) * (arrays + 1), kind, what, arrays)


@cache
def _foreign(function: Function, signature: str, kinds: Any, result: Any, what: str, arrays: int = 0) -> Foreign:
    import numba
    from llvmlite import ir

    scope = {name: getattr(numba.types, name) for name in ("float64", "int64", "CPointer", "void")}
    try:
        with lock:
            inside = _compiled(function)
            entry = _of_memory(inside, arrays) if arrays else _of_numbers(inside, len(kinds))
            made = numba.cfunc(eval(signature, scope), error_model="numpy")(entry)
    except (numba.core.errors.NumbaError, ExecutorError) as error:
        raise ExecutorError(f"{what} cannot be compiled by Numba: {_reason(error)}") from error
    return Foreign(made.address, result or ir.VoidType(), kinds, made)


def _of_numbers(f: Any, arguments: int) -> Function:
    match arguments:
        case 1:
            return lambda x: float(f(x))
        case 2:
            return lambda x, y: float(f(x, y))
        case 3:
            return lambda x, y, z: float(f(x, y, z))
    return lambda x, y, z, u: float(f(x, y, z, u))


def _of_memory(f: Any, arrays: int) -> Function:
    from numba import carray

    def one(t: Any, n: Any) -> Any:
        return f(carray(t, (n,)))

    def two(t: Any, d: Any, n: Any) -> None:
        f(carray(t, (n,)), carray(d, (n,)))

    return one if arrays == 1 else two


def _reason(error: Exception) -> str:
    """The lines of a Numba error that say what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("Failed in", "During:", "File ", "<source", "This error", "\x1b", "def ", "lambda", "^")
    return " ".join([line for line in lines if not line.startswith(noise)][:3]) or type(error).__name__


@cache
def _compiled(function: Function) -> Any:
    """The function as Numba's dispatcher; the functions it calls are compiled with it."""
    import numba

    if isinstance(function, numba.core.dispatcher.Dispatcher):
        return function
    if function is np.where:
        return numba.njit(error_model="numpy")(_choose)
    if not isinstance(function, types.FunctionType):
        raise ExecutorError(f"{brief(function)} is no plain Python function")
    return numba.njit(error_model="numpy")(_copy(function))


def _choose(c: Any, x: Any, y: Any) -> Any:
    """`numpy.where` of single numbers."""
    return x if c else y


def _copy(function: types.FunctionType) -> Function:
    names = _names(function.__code__)
    scope = {"__builtins__": __builtins__, "__name__": function.__module__}
    for name, value in function.__globals__.items():
        if name in names and value is not function:
            scope[name] = _resolve(value)
    cells = tuple(types.CellType(_resolve(c.cell_contents)) for c in function.__closure__ or ())
    return types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)


def _names(code: types.CodeType) -> set[str]:
    """Globals that a function, or one written inside it, may read."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inner)


def _resolve(value: Any) -> Any:
    return _compiled(value) if isinstance(value, types.FunctionType) or value is np.where else value
