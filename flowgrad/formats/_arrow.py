"""Import pyarrow, here alone: Parquet needs it, and delimited text is read faster with it."""

from __future__ import annotations

from typing import Any

from flowgrad.errors import MissingDependencyError


def arrow() -> Any:
    """Return pyarrow, or None where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ModuleNotFoundError:
        return None
    return pyarrow


def needed(purpose: str, extra: str = "parquet") -> Any:
    """Return pyarrow, or raise MissingDependencyError, whose message begins with the purpose and names the extra."""
    found = arrow()
    if found is None:
        raise MissingDependencyError("pyarrow", extra, purpose)
    return found
