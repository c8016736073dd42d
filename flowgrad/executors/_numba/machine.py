"""What the processor that kernels are compiled for has."""

from __future__ import annotations

from functools import cache

from llvmlite import binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features


@cache
def features() -> frozenset[str]:
    """What code may use, by LLVM's names: as Numba has it, which NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX limit."""
    said = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(name[1:] for name in said.split(",") if name.startswith("+"))


def registers() -> int:
    """How many vector registers."""
    return 16 if llvm.get_process_triple().startswith("x86_64") and "avx512f" not in features() else 32


def register_lanes(size: int) -> int:
    """Numbers of that many bytes in a vector register."""
    return (64 if "avx512f" in features() else 32) // size
