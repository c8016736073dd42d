"""What the processor that this process runs on has."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from llvmlite import binding as llvm


@cache
def features() -> Any:
    """By LLVM's names."""
    return llvm.get_host_cpu_features()


def registers() -> int:
    """How many vector registers."""
    return 16 if llvm.get_process_triple().startswith("x86_64") and not features().get("avx512f") else 32


def register_lanes(size: int) -> int:
    """Numbers of that many bytes in a vector register."""
    return (64 if features().get("avx512f") else 32) // size


@cache
def own_cache() -> int:
    """Bytes of a core's second-level cache, as Linux says it, else 1 MB."""
    for place in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        with suppress(OSError, ValueError):
            if (place / "level").read_text() == "2\n":
                return max(int((place / "size").read_text().removesuffix("K\n")), 1) << 10
    return 1 << 20
