"""pyarrow: Parquet by it alone, text in columns faster by it. It is imported here and nowhere else."""

from __future__ import annotations

from typing import Any

from flowgrad.errors import MissingDependencyError


def arrow() -> Any:
    """The library, or None where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError:
        return None
    return pyarrow


def needed(purpose: str, extra: str = "parquet") -> Any:
    """The library, or MissingDependencyError, whose message begins with the purpose and names the extra."""
    found = arrow()
    if found is None:
        raise MissingDependencyError("pyarrow", extra, purpose)
    return found
