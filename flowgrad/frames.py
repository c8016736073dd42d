"""Data frames by the library that is installed, pandas or polars."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from flowgrad.errors import MissingDependencyError


def frame(columns: Mapping[str, Any]) -> Any:
    """Make a pandas DataFrame, or a polars one without pandas; ids of mixed types stay objects.

    Raises:
        MissingDependencyError: neither library is installed.
    """
    if find_spec("pandas"):
        return import_module("pandas").DataFrame(dict(columns))
    if find_spec("polars"):
        return import_module("polars").DataFrame(dict(columns), strict=False)
    raise MissingDependencyError("pandas or polars", "pandas", "a data frame")
