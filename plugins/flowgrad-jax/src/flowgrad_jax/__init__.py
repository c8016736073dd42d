"""Connect flowgrad to JAX: the executor "jax", and `as_jax`, which converts any program to a JAX function.

Importing this package does not import JAX.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executor import ExecutorInfo

__all__ = ["as_jax", "info"]


def info() -> ExecutorInfo:
    """Return the capabilities of the executor "jax"; listing executors calls this without importing JAX."""
    return ExecutorInfo(
        "jax",
        "compiled by XLA once for all graphs of a size; gradients and batches inside other JAX functions",
        needs=("jax",),
        install="pip install flowgrad-jax",
        devices=("cpu", "gpu", "tpu"),
        aggregations=frozenset({"sum", "mean"}),
        custom_functions=False,
        dropout=True,
        deterministic=False,  # XLA promises no bits
        protocol=2,
    )


def __getattr__(name: str) -> Any:
    if name == "as_jax":
        from flowgrad_jax.bridge import as_jax

        return as_jax
    raise AttributeError(f"module 'flowgrad_jax' has no attribute {name!r}")
