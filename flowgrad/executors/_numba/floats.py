"""The floating-point mode of a thread, as building blocks: what becomes of numbers below the smallest normal one.

Libraries compiled for speed at any price switch a thread to their own mode when they are loaded, and it stays. So
kernels set theirs, and no thread's past changes a bit: forward as IEEE has it; backward with what is so small that
the processor would do it in microcode, a hundred times slower, taken for 0 where the machine can.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir

from flowgrad.executors._numba.blocks import I8, I32, I64, Site, block

_MACHINE = platform.machine().lower()
_X86, _ARM = _MACHINE in ("x86_64", "amd64"), _MACHINE in ("aarch64", "arm64")

IEEE = 0x1F80 if _X86 else 0
"""Round to nearest, keep small numbers, raise nothing."""
FLUSH = IEEE | (0x8040 if _X86 else 1 << 24 if _ARM else 0)
"""The same, with numbers below the smallest normal one taken for 0, operands and results."""


def _word(s: Site) -> Any:
    """Room for the mode, once a function: where a block stands in a loop, it would take more of the stack each time."""
    with s.builder.goto_entry_block():
        return s.builder.alloca(I32)


def _emit_get(s: Site) -> Any:
    if _X86:
        word = _word(s)
        s.call("llvm.x86.sse.stmxcsr", ir.VoidType(), s.builder.bitcast(word, I8.as_pointer()))
        return s.builder.zext(s.builder.load(word), I64)
    return s.call("llvm.aarch64.get.fpcr", I64) if _ARM else ir.Constant(I64, IEEE)


def _emit_set(s: Site) -> None:
    if _X86:
        word = _word(s)
        s.builder.store(s.builder.trunc(s.as_(0, I64), I32), word)
        s.call("llvm.x86.sse.ldmxcsr", ir.VoidType(), s.builder.bitcast(word, I8.as_pointer()))
    elif _ARM:
        s.call("llvm.aarch64.set.fpcr", ir.VoidType(), s.as_(0, I64))


@block(_emit_get)
def float_mode() -> int:
    """This thread's."""
    return IEEE


@block(_emit_set)
def set_float_mode(mode: int) -> None:
    """Of this thread, until it is set again."""
