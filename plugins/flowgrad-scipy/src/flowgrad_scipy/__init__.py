"""Declare an executor based on scipy.sparse. Importing this module does not import SciPy."""

from __future__ import annotations

from flowgrad.executor import ExecutorInfo


def info() -> ExecutorInfo:
    """Return the capabilities of the executor "scipy"; listing executors calls this without importing SciPy."""
    return ExecutorInfo(
        "scipy",
        "level by level on scipy.sparse: the worked example for authors",
        needs=("scipy",),
        install="pip install flowgrad-scipy",
        aggregations=frozenset({"sum", "mean"}),
        dropout=True,
        protocol=2,
    )
