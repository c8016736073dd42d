"""Memory by address, as building blocks: numbers, records, atomics, calls. Addresses are int64, sizes in bytes."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from flowgrad.executors._numba.blocks import I32, I64, Site, block

# ---- numbers ------------------------------------------------------------------------------------------------


def _number(ctype: Any, kind: Any) -> tuple[Callable[[int, int], Any], Callable[[int, int, Any], None]]:
    size = ctypes.sizeof(ctype)

    def emit_get(s: Site) -> Any:
        address, k = s.integers()
        return s.builder.load(s.element(address, k, size, s.result), align=size)

    def emit_put(s: Site) -> None:
        address, k = s.cast(0, types.int64), s.cast(1, types.int64)
        value = s.cast(2, kind)
        s.builder.store(value, s.element(address, k, size, value.type), align=size)

    @block(lambda address, k: kind, emit_get)
    def get(address: int, k: int) -> Any:
        """Element k of the array at address."""
        return ctype.from_address(address + k * size).value

    @block(lambda address, k, value: types.none, emit_put)
    def put(address: int, k: int, value: Any) -> None:
        """Set element k of the array at address."""
        ctype.from_address(address + k * size).value = value

    return get, put


i32_at, put_i32 = _number(ctypes.c_int32, types.int32)
i64_at, put_i64 = _number(ctypes.c_int64, types.int64)
f32_at, put_f32 = _number(ctypes.c_float, types.float32)
f64_at, put_f64 = _number(ctypes.c_double, types.float64)


@block(
    lambda address, n: types.CPointer(types.float64),
    lambda s: s.pointer(s.cast(0, types.int64), ir.DoubleType()),
)
def _doubles(address: int, n: int) -> Any:
    return ctypes.cast(address, ctypes.POINTER(ctypes.c_double))


def f64_array(address: int, n: int) -> Any:
    """(n,) float64: the memory at address as an array."""
    return numba.carray(_doubles(address, n), (n,))


def record_type(dtype: np.dtype[Any]) -> Callable[[int], Any]:
    """A block that takes the memory at an address for a record of this dtype, its fields read and set by name."""
    kind = numba.from_dtype(dtype)

    @block(lambda address: kind, lambda s: s.builder.inttoptr(s.cast(0, types.int64), s.result))
    def at(address: int) -> Any:
        memory = (ctypes.c_char * dtype.itemsize).from_address(address)
        return np.frombuffer(memory, dtype).view(np.recarray)[0]

    return at


# ---- calls --------------------------------------------------------------------------------------------------


def _emit_call(s: Site) -> None:
    function, *values = s.integers()
    kind = ir.FunctionType(ir.VoidType(), [I64] * len(values))
    s.builder.call(s.builder.inttoptr(function, kind.as_pointer()), values)


@block(lambda function: types.none, _emit_call)
def call0(function: int) -> None:
    """Call the function at an address."""
    ctypes.CFUNCTYPE(None)(function)()


@block(lambda function, a, b, c: types.none, _emit_call)
def call3(function: int, a: int, b: int, c: int) -> None:
    """Call the function at an address with three integers."""
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(function)(a, b, c)


@block(lambda function, a, b, c, d: types.none, _emit_call)
def call4(function: int, a: int, b: int, c: int, d: int) -> None:
    """Call the function at an address with four integers."""
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(function)(a, b, c, d)


# ---- between threads ----------------------------------------------------------------------------------------


def _word(s: Site) -> Any:
    return s.pointer(s.cast(0, types.int64), I64)


@block(
    lambda address, n: types.int64,
    lambda s: s.builder.atomic_rmw("add", _word(s), s.cast(1, types.int64), "seq_cst"),
)
def fetch_add(address: int, n: int) -> int:
    """Add n to the word at address; gives what it was."""
    word = ctypes.c_int64.from_address(address)
    old = word.value
    word.value = old + n
    return old


@block(lambda address: types.int64, lambda s: s.builder.load_atomic(_word(s), "seq_cst", 8))
def atomic_get(address: int) -> int:
    """The word at address, as the other threads left it."""
    return ctypes.c_int64.from_address(address).value


def _emit_atomic_put(s: Site) -> None:
    s.builder.store_atomic(s.cast(1, types.int64), _word(s), "seq_cst", 8)


@block(lambda address, value: types.none, _emit_atomic_put)
def atomic_put(address: int, value: int) -> None:
    """Set the word at address, for the other threads to see."""
    ctypes.c_int64.from_address(address).value = value


def _emit_pause(s: Site) -> None:
    if platform.machine().lower() in ("x86_64", "amd64"):
        s.call("llvm.x86.sse2.pause", ir.VoidType())
    elif platform.machine().lower() in ("aarch64", "arm64"):
        s.call("llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))


@block(lambda: types.none, _emit_pause)
def pause() -> None:
    """Tell the core that this is a loop that waits."""


def _emit_prefetch(s: Site) -> None:
    one, three = ir.Constant(I32, 1), ir.Constant(I32, 3)
    address = s.pointer(s.cast(0, types.int64), ir.IntType(8))
    s.call("llvm.prefetch.p0", ir.VoidType(), address, ir.Constant(I32, 0), three, one)


@block(lambda address: types.none, _emit_prefetch)
def prefetch(address: int) -> None:
    """Start to fetch the cache line at address."""
