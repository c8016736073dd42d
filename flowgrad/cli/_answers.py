"""Print the columns that a command answers: a CSV on stdout or in a file, a table on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.cli._console import console, say, table
from flowgrad.tables.table import write, write_rows

SHOWN = 20  # rows of a table on a terminal


def is_data(out: Path | None) -> bool:
    """Return whether the answer goes to stdout as a CSV, so that nothing else may be printed there."""
    return out is None and not console().is_terminal


def show(columns: Mapping[str, Any], out: Path | None, top: int | None = None) -> None:
    """Write the columns to a file, or to stdout as CSV; on a terminal show a table of the first rows.

    Args:
        top: rows to show; None is `SHOWN` on a terminal and all elsewhere. A file has all.
    """
    rows = len(next(iter(columns.values())))
    if out is not None:
        write(out, columns)
        say(f"{rows:,} rows: {out}")
        return
    shown = top if top is not None else SHOWN if console().is_terminal else rows
    first = {name: list(islice(c.tolist() if isinstance(c, np.ndarray) else c, shown)) for name, c in columns.items()}
    if is_data(out):
        write_rows(sys.stdout, first)
        return
    table(tuple(first), zip(*first.values(), strict=True))
    if rows > shown:
        say(f"{rows - shown:,} more rows: --out FILE writes them all")
