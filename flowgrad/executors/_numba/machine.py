"""Features of the processor that kernels are compiled for."""

from __future__ import annotations

from functools import cache

from llvmlite import binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features


@cache
def features() -> frozenset[str]:
    """Return LLVM's names of the features Numba compiles for; NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX limit them."""
    said = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(name[1:] for name in said.split(",") if name.startswith("+"))


def registers() -> int:
    """Return the number of vector registers: 16 on x86-64 without AVX-512, else 32."""
    return 16 if llvm.get_process_triple().startswith("x86_64") and "avx512f" not in features() else 32


def register_lanes(size: int) -> int:
    """Return the numbers of `size` bytes in a vector register of 64 bytes with AVX-512, of 32 with AVX, else of 16."""
    return (64 if "avx512f" in features() else 32 if "avx" in features() else 16) // size
