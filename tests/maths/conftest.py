"""Every formula is tested twice: as the plain Python function and as Numba compiles that same object."""

from __future__ import annotations

import dis
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
import pytest

Function = Callable[..., Any]


@cache
def jit(function: FunctionType) -> Function:
    """The function compiled, and the plain functions that it calls with it.

    Under Numba's own error model a division by zero raises, so these tests also hold the formulas to do none.
    """
    numba = pytest.importorskip("numba")
    scope = dict(function.__globals__)
    for i in dis.get_instructions(function):
        if i.opname == "LOAD_GLOBAL" and isinstance(scope.get(i.argval), FunctionType):
            scope[i.argval] = jit(scope[i.argval])
    compiled: Function = numba.njit(FunctionType(function.__code__, scope, function.__name__))
    return compiled


def plain(function: FunctionType) -> Function:
    """The function as the Python executor calls it: NumPy's warnings off."""

    def call(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments)

    return call


# compiled at night: any run has kernels of each function in the battery of executors
@pytest.fixture(params=["python", pytest.param("numba", marks=pytest.mark.soak)], scope="session")
def run(request: pytest.FixtureRequest) -> Callable[[Any], Function]:
    """run(f) is f, ready to be called."""
    return plain if request.param == "python" else jit
