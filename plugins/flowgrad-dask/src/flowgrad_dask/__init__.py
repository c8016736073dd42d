"""Run flowgrad on a Dask cluster: the executor "dask", and `map_jobs` for whole jobs.

Importing this package does not import Dask; using its names does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["ClusterError", "DaskExecutor", "Machines", "VersionWarning", "map_jobs", "sharded_value_and_grad"]

_HOME = {
    "ClusterError": "cluster",
    "DaskExecutor": "executor",
    "Machines": "cost",
    "VersionWarning": "versions",
    "map_jobs": "jobs",
    "sharded_value_and_grad": "shards",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flowgrad_dask' has no attribute {name!r}")
    return getattr(import_module(f"flowgrad_dask.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
