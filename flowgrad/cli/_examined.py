"""Print what is wrong with a network on some data, for the command `health` and an older use of `doctor`."""

from __future__ import annotations

import numpy as np

from flowgrad.cli._console import bar, say, table
from flowgrad.cli._opened import Opened
from flowgrad.inspection import health


def examined(opened: Opened, top: int = 12) -> int:
    """Print the gradients by depth, of `top` levels at most, and what is wrong; returns 1 if anything is, else 0."""
    found = health(opened.program, opened.X, opened.T)
    most = float(np.nan_to_num(found.gradient, posinf=0.0).max()) or 1.0
    levels = list(zip(found.nodes.tolist(), found.gradient.tolist(), strict=True))
    rows = [(k, n, g, bar(g / most if np.isfinite(g) else 1.0)) for k, (n, g) in enumerate(levels)]
    if len(rows) > top:
        half = max(1, top // 2)
        rows = [*rows[:half], *rows[-half:]]
        say(f"the first and last {half} of {len(levels)} levels:")
    table(("level", "nodes", "∂L/∂a, rms", ""), rows)
    for line in found.lines():
        say(line)
    return 0 if found.well else 1
