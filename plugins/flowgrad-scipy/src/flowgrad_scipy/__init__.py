"""An executor on scipy.sparse. This module is light: what it declares, without importing SciPy."""

from __future__ import annotations

from flowgrad.executor import ExecutorInfo


def info() -> ExecutorInfo:
    """What the executor declares; listing executors calls this and imports no backend."""
    return ExecutorInfo(
        "scipy",
        "level by level on scipy.sparse: the worked example for authors",
        needs=("scipy",),
        install="pip install flowgrad-scipy",
        aggregations=frozenset({"sum", "mean"}),
        dropout=True,
        protocol=2,
    )
