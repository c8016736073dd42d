"""The wheel, in an environment of its own, is what an installed package has to be."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flowgrad.testing import installed

HERE = Path(__file__).parents[1]
CODE = """
import pathlib, sys
import flowgrad as fg
assert fg.executors()["jax"] is True
assert "jax" not in sys.modules
net = fg.topologies.layered([3, 5, 2], seed=1)
found = [fg.compile(net, executor=e, loss="squared_error") for e in ("jax", "python")]
X, T = [[0.5, -1.0, 2.0]], [[1.0, 0.0]]
(a, g), (b, h) = (p.value_and_grad(p.theta, X, T) for p in found)
import flowgrad_jax
for package in (fg, flowgrad_jax):
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
print(abs(a - b) < 1e-12, abs(g - h).max() < 1e-12)
"""


def test_it_runs_from_its_wheel(tmp_path: Path) -> None:
    python = installed(tmp_path, HERE, HERE.parents[1])
    found = subprocess.run([python, "-W", "error", "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.split() == ["True", "True"], found.stderr
