"""From Python functions to machine code."""

from __future__ import annotations

from typing import Any

from numba import njit


def kernel(f: Any) -> Any:
    return njit(nogil=True, error_model="numpy")(f)


def inline(f: Any) -> Any:
    return njit(nogil=True, error_model="numpy", forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(f)


def address(dispatcher: Any, *kinds: Any) -> int:
    dispatcher.compile(kinds)
    made = dispatcher.overloads[kinds]
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name))


def entry(dispatcher: Any, *kinds: Any) -> Any:
    dispatcher.compile(kinds)
    return dispatcher.overloads[kinds].entry_point


def uncompiled(function: int) -> Any:
    raise NotImplementedError
