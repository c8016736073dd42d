"""From LLVM IR to addresses of machine code, for the processor that this process runs on; what that can and has."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir

from flowgrad.locks import reentrant_lock

lock = reentrant_lock(awaited=True)
"""Whoever compiles holds it."""


class _Machine:
    """LLVM's engine; what it compiled stays as long as the process."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features().flatten(), opt=3, jit=True
        )
        empty = llvm.parse_assembly("")
        self.engine = llvm.create_mcjit_compiler(empty, self.target)
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        tuning.slp_vectorization = tuning.loop_vectorization = True
        self.builder = llvm.create_pass_builder(self.target, tuning)

    def compile(self, module: ir.Module) -> int:
        """The address of the function that has the module's name."""
        module.triple = llvm.get_process_triple()
        module.data_layout = str(self.target.target_data)
        parsed = llvm.parse_assembly(str(module))
        self.builder.getModulePassManager().run(parsed, self.builder)
        self.engine.add_module(parsed)
        self.engine.finalize_object()
        return int(self.engine.get_function_address(module.name))


@cache
def _machine() -> _Machine:
    return _Machine()


def compile(module: ir.Module) -> int:
    """Compile a module with one function of the module's name; gives its address."""
    with lock:
        return _machine().compile(module)


def check(module: ir.Module) -> None:
    """Raise RuntimeError, LLVM's, where a module is no valid code."""
    with lock:
        llvm.parse_assembly(str(module)).verify()


def registers() -> int:
    """How many vector registers the machine has."""
    return 16 if llvm.get_process_triple().startswith("x86_64") and not features().get("avx512f") else 32


def register_lanes(dtype: np.dtype[Any]) -> int:
    """Lanes of the machine's vector registers."""
    return (64 if features().get("avx512f") else 32) // dtype.itemsize


@cache
def features() -> Any:
    """What this processor has, by LLVM's names."""
    return llvm.get_host_cpu_features()


def can_estimate() -> bool:
    """Whether the machine has reciprocals to 14 bits that are quicker than a division."""
    return bool(features().get("avx512vl"))


def can_pick() -> bool:
    """Whether the machine looks up in a table of 32 numbers at once."""
    return bool(features().get("avx512f"))


def can_gather() -> bool:
    """Whether the machine reads numbers from anywhere by one instruction, and is quicker so.

    Those with AVX-512 and without bfloat16 have that instruction, but most were slowed down for their safety (GDS).
    """
    return bool(features().get("avx512bf16"))


@cache
def own_cache() -> int:
    """Bytes of a core's second-level cache, as Linux says it, else 1 MB."""
    for place in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        with suppress(OSError, ValueError):
            if (place / "level").read_text() == "2\n":
                return max(int((place / "size").read_text().removesuffix("K\n")), 1) << 10
    return 1 << 20


def assembly(module: ir.Module) -> str:
    """What a module becomes, to read."""
    m: Any = _machine()
    module.triple, module.data_layout = llvm.get_process_triple(), str(m.target.target_data)
    parsed = llvm.parse_assembly(str(module))
    m.builder.getModulePassManager().run(parsed, m.builder)
    return str(m.target.emit_assembly(parsed))
