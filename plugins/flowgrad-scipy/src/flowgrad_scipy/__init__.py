"""Declare an executor on scipy.sparse. Importing this module imports no SciPy."""

from __future__ import annotations

from flowgrad.executor import ExecutorInfo


def info() -> ExecutorInfo:
    """Return what the executor declares; listing executors calls this without importing a backend."""
    return ExecutorInfo(
        "scipy",
        "level by level on scipy.sparse: the worked example for authors",
        needs=("scipy",),
        install="pip install flowgrad-scipy",
        aggregations=frozenset({"sum", "mean"}),
        dropout=True,
        protocol=2,
    )
