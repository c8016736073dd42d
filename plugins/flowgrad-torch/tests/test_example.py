"""The example runs and learns."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_the_example_learns():
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "graph_layer.py"))
    assert example["main"]() > 0.9
