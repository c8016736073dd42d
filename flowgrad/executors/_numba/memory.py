"""Memory by address, as building blocks: numbers, records, atomics, calls. Addresses are int64, sizes in bytes."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir

from flowgrad.executors._numba.blocks import F32, F64, I8, I32, I64, Site, block
from flowgrad.executors._numba.values import Record

LINE = 64
"""Bytes of a cache line."""


# ---- numbers ------------------------------------------------------------------------------------------------


def _number(ctype: Any, kind: Any) -> tuple[Callable[[int, int], Any], Callable[[int, int, Any], None]]:
    size = ctypes.sizeof(ctype)

    def emit_get(s: Site) -> Any:
        value = s.builder.load(s.element(s.values[0], s.values[1], size, kind), align=size)
        return s.builder.sext(value, I64) if kind == I32 else value

    def emit_put(s: Site) -> None:
        value = s.as_(2, I64 if kind == I32 else kind)
        value = s.builder.trunc(value, kind) if kind == I32 else value
        s.builder.store(value, s.element(s.values[0], s.values[1], size, kind), align=size)

    @block(emit_get)
    def get(address: int, k: int) -> Any:
        """Element k of the array at address."""
        return ctype.from_address(int(address + k * size)).value

    @block(emit_put)
    def put(address: int, k: int, value: Any) -> None:
        """Set element k of the array at address."""
        ctype.from_address(int(address + k * size)).value = value

    return get, put


i32_at, put_i32 = _number(ctypes.c_int32, I32)
i64_at, put_i64 = _number(ctypes.c_int64, I64)
f32_at, put_f32 = _number(ctypes.c_float, F32)
f64_at, put_f64 = _number(ctypes.c_double, F64)


def record_type(dtype: np.dtype[Any], fixed: bool = False) -> Callable[[int], Any]:
    """A block that takes the memory at an address for a record of this dtype, its fields read and set by name."""

    @block(lambda s: Record(s.as_(0, I64), dtype, fixed))
    def at(address: int) -> Any:
        memory: Any = (ctypes.c_char * dtype.itemsize).from_address(int(address))
        return np.frombuffer(memory, dtype).view(np.recarray)[0]

    return at


# ---- calls --------------------------------------------------------------------------------------------------


def _emit_call(s: Site) -> None:
    function, *values = s.integers()
    kind = ir.FunctionType(ir.VoidType(), [I64] * len(values))
    s.builder.call(s.builder.inttoptr(function, kind.as_pointer()), values)


@block(_emit_call)
def call_address(function: int, *arguments: int) -> None:
    """Call the function at an address with integers."""
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(arguments))(int(function))(*map(int, arguments))


class Foreign:
    """A compiled function of numbers or addresses that another compiler made; a block, and callable from Python."""

    def __init__(self, address: int, result: Any, arguments: tuple[Any, ...], owner: Any) -> None:
        self.address, self.result, self.arguments, self.owner = address, result, arguments, owner

    def __emit__(self, s: Site) -> Any:
        kind = ir.FunctionType(self.result, self.arguments)
        function = s.builder.inttoptr(ir.Constant(I64, self.address), kind.as_pointer())
        value = s.builder.call(function, [s.as_(k, kind) for k, kind in enumerate(self.arguments)])
        return value if self.result in (F64, I64) else None

    def __call__(self, *values: Any) -> Any:
        ctype: Any = {F64: ctypes.c_double, I64: ctypes.c_int64}
        kinds = [ctype[kind] for kind in self.arguments]
        return ctypes.CFUNCTYPE(ctype.get(self.result), *kinds)(self.address)(*values)


# ---- between threads ----------------------------------------------------------------------------------------


def _word(s: Site) -> Any:
    return s.pointer(s.values[0], I64)


@block(lambda s: s.builder.atomic_rmw("add", _word(s), s.as_(1, I64), "seq_cst"))
def fetch_add(address: int, n: int) -> int:
    """Add n to the word at address; gives what it was."""
    word = ctypes.c_int64.from_address(int(address))
    old = word.value
    word.value = old + n
    return old


@block(lambda s: s.builder.load_atomic(_word(s), "seq_cst", 8))
def atomic_get(address: int) -> int:
    """The word at address, as the other threads left it."""
    return ctypes.c_int64.from_address(int(address)).value


@block(lambda s: s.builder.store_atomic(s.as_(1, I64), _word(s), "seq_cst", 8))
def atomic_put(address: int, value: int) -> None:
    """Set the word at address, for the other threads to see."""
    ctypes.c_int64.from_address(int(address)).value = value


@block(lambda s: s.builder.store_atomic(s.as_(1, I64), _word(s), "release", 8))
def publish(address: int, value: int) -> None:
    """The same at less cost: who sees it sees what was written before it, but it may be seen late."""
    ctypes.c_int64.from_address(int(address)).value = value


def _emit_pause(s: Site) -> None:
    if platform.machine().lower() in ("x86_64", "amd64"):
        s.call("llvm.x86.sse2.pause", ir.VoidType())
    elif platform.machine().lower() in ("aarch64", "arm64"):
        s.call("llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))


@block(_emit_pause)
def pause() -> None:
    """Tell the core that this is a loop that waits."""


def _emit_prefetch(s: Site) -> None:
    kinds = [ir.Constant(I32, n) for n in (0, 3, 1)]  # to read, into every cache, data
    s.call("llvm.prefetch.p0", ir.VoidType(), s.pointer(s.values[0], I8), *kinds)


@block(_emit_prefetch)
def prefetch(address: int) -> None:
    """Start to fetch the cache line at address."""
