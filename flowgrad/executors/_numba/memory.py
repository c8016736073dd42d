"""Blocks for access by address (int64; sizes in bytes): numbers, records, calls, atomics; the floating-point mode."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import default_manager
from numba.np.numpy_support import from_dtype

from flowgrad.executors._numba.blocks import I32, I64, block, call
from flowgrad.executors._numba.simd import memory_at, place, pointer

LINE = 64
"""Size of a cache line in bytes."""
DATA = 4
"""Index of the data pointer in Numba's struct of an array."""
_MACHINE = platform.machine().lower()
X86, ARM = _MACHINE in ("x86_64", "amd64"), _MACHINE in ("aarch64", "arm64")


# ---- numbers ------------------------------------------------------------------------------------------------


def _emit_i32_at(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
    return builder.sext(builder.load(place(builder, values[0], values[1], 4), align=4, typ=I32), I64)


@block(lambda address, k: types.int64, _emit_i32_at)
def i32_at(address: int, k: int) -> int:
    """Load element k of the int32 array at an address, as int64."""
    return int(memory_at(address + 4 * k, np.int32, 1)[0])


@block(lambda address, k: types.int64, lambda b, r, k, v: b.load(place(b, v[0], v[1], 8), align=8, typ=I64))
def i64_at(address: int, k: int) -> int:
    """Load element k of the int64 array at an address."""
    return int(memory_at(address + 8 * k, np.int64, 1)[0])


@block(
    lambda address, k: types.float64, lambda b, r, k, v: b.load(place(b, v[0], v[1], 8), align=8, typ=ir.DoubleType())
)
def f64_at(address: int, k: int) -> float:
    """Load element k of the float64 array at an address."""
    return float(memory_at(address + 8 * k, np.float64, 1)[0])


@block(lambda address, k, x: types.none, lambda b, r, k, v: b.store(v[2], place(b, v[0], v[1], 8), align=8) and None)
def put_f64(address: int, k: int, x: float) -> None:
    """Store x as element k of the float64 array at an address."""
    memory_at(address + 8 * k, np.float64, 1)[0] = x


def record_at(dtype: np.dtype[Any]) -> Callable[[int], Any]:
    """Return a block: address → the record of this dtype there, whose fields are read and written by name."""
    kind = from_dtype(dtype)
    seen = default_manager.lookup(kind).get_value_type()

    @block(lambda address: kind, lambda b, r, k, v: b.inttoptr(v[0], seen))
    def at(address: int) -> Any:
        return memory_at(address, dtype, 1).view(np.recarray)[0]

    return at


def _emit_data_of(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
    return builder.ptrtoint(builder.extract_value(values[0], DATA), I64)


@block(lambda array: types.int64 if isinstance(array, types.Array) else None, _emit_data_of)
def data_of(array: Any) -> int:
    """Return the address of an array's first element."""
    return int(array.ctypes.data)


# ---- calls --------------------------------------------------------------------------------------------------


class _Callee(ir.instructions.CastInstr):  # type: ignore[misc]  # llvmlite has no types
    """An opaque pointer with a `function_type`, which llvmlite needs to call it."""

    function_type: Any = None


def _emit_call(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    function = pointer(builder, values[0])
    function.__class__ = _Callee
    arguments = [ir.Constant(ir.PointerType(), None), *values[1:]]
    function.function_type = ir.FunctionType(ir.VoidType(), [v.type for v in arguments])
    builder.call(function, arguments)


@block(lambda function, *arguments: types.none, _emit_call)
def call_address(function: int, *arguments: float) -> None:
    """Call a kernel by its address with int64 and float64 arguments, after a null pointer in place of its Spec."""
    from flowgrad.executors._numba.compiled import uncompiled

    uncompiled(function)(*arguments)


# ---- between threads ----------------------------------------------------------------------------------------


def _word(builder: Any, values: Any) -> Any:
    return pointer(builder, values[0])


@block(
    lambda address, n: types.int64,
    lambda b, r, k, v: b.atomic_rmw("add", _word(b, v), v[1], "seq_cst"),
)
def fetch_add(address: int, n: int) -> int:
    """Add n atomically to the int64 at an address and return its previous value (sequentially consistent)."""
    word = memory_at(address, np.int64, 1)
    old = int(word[0])
    word[0] = old + n
    return old


@block(lambda address: types.int64, lambda b, r, k, v: b.load_atomic(_word(b, v), "seq_cst", 8, typ=I64))
def atomic_get(address: int) -> int:
    """Load the int64 at an address atomically (sequentially consistent)."""
    return int(memory_at(address, np.int64, 1)[0])


def _emit_swap(builder: Any, _: Any, kinds: Any, values: Any) -> Any:
    found = builder.cmpxchg(_word(builder, values), values[1], values[2], "seq_cst", "seq_cst")
    return builder.zext(builder.extract_value(found, 1), I64)


@block(lambda address, old, new: types.int64, _emit_swap)
def swap(address: int, old: int, new: int) -> int:
    """Compare and swap: set the int64 at an address to `new` if it equals `old`; return 1 if so, else 0."""
    word = memory_at(address, np.int64, 1)
    was = int(word[0]) == old
    if was:
        word[0] = new
    return int(was)


def _emit_pause(builder: Any, *_: Any) -> None:
    if X86:
        call(builder, "llvm.x86.sse2.pause", ir.VoidType())
    elif ARM:
        call(builder, "llvm.aarch64.hint", ir.VoidType(), ir.Constant(I32, 1))


@block(lambda: types.none, _emit_pause)
def pause() -> None:
    """Hint to the processor that this is a spin-wait loop; no effect on processors other than x86 and ARM64."""


def _emit_give_way(builder: Any, *_: Any) -> None:
    call(builder, "SwitchToThread" if sys.platform == "win32" else "sched_yield", I32)


@block(lambda: types.none, _emit_give_way)
def give_way() -> None:
    """Yield the core to another runnable thread, if there is one."""
    time.sleep(0)


def _emit_prefetch(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    how = [ir.Constant(I32, n) for n in (0, 3, 1)]  # for reading, into all levels of cache, data
    call(builder, "llvm.prefetch.p0", ir.VoidType(), pointer(builder, values[0]), *how)


@block(lambda address: types.none, _emit_prefetch)
def prefetch(address: int) -> None:
    """Prefetch the cache line of an address, which may be invalid, into all levels of cache."""


# ---- the floating-point mode of a thread -----------------------------------------------------------------------

IEEE = 0x1F80 if X86 else 0
"""Control word of IEEE 754 arithmetic: round to nearest, keep subnormals, mask exceptions (x86: MXCSR, ARM64: FPCR)."""
FLUSH = IEEE | (0x8040 if X86 else 1 << 24 if ARM else 0)
"""IEEE with subnormal operands and results flushed to zero (MXCSR bits FTZ and DAZ, FPCR bit FZ; elsewhere as IEEE)."""


def _mode_word(builder: Any) -> Any:
    """Allocate 4 bytes of stack in the function's entry block; an allocation in a loop would grow the stack."""
    with builder.goto_entry_block():
        return builder.alloca(I32)


def _emit_get(builder: Any, *_: Any) -> Any:
    if X86:
        word = _mode_word(builder)
        call(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), builder.bitcast(word, ir.PointerType()))
        return builder.zext(builder.load(word), I64)
    return call(builder, "llvm.aarch64.get.fpcr", I64) if ARM else ir.Constant(I64, IEEE)


def _emit_set(builder: Any, _: Any, kinds: Any, values: Any) -> None:
    if X86:
        word = _mode_word(builder)
        builder.store(builder.trunc(values[0], I32), word)
        call(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), builder.bitcast(word, ir.PointerType()))
    elif ARM:
        call(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), values[0])


@block(lambda: types.int64, _emit_get)
def float_mode() -> int:
    """Read this thread's floating-point control word; libraries built with fast-math may change it when loaded."""
    return IEEE


@block(lambda mode: types.none, _emit_set)
def set_float_mode(mode: int) -> None:
    """Set this thread's floating-point control word, which stays until it is set again."""
