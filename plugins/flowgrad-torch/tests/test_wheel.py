"""The wheel, in an environment of its own, is what an installed package has to be."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flowgrad.testing import installed

HERE = Path(__file__).parents[1]
CODE = """
import pathlib, sys
import flowgrad as fg
assert fg.executors()["torch"] is True
assert "torch" not in sys.modules
net = fg.topologies.layered([3, 5, 2], seed=1)
found = [fg.compile(net, executor=e, loss="squared_error") for e in ("torch", "python")]
X, T = [[0.5, -1.0, 2.0]], [[1.0, 0.0]]
(a, g), (b, h) = (p.value_and_grad(p.theta, X, T) for p in found)
import flowgrad_torch
for package in (fg, flowgrad_torch):
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    assert (pathlib.Path(package.__file__).parent / "py.typed").exists()
layer = flowgrad_torch.GraphModule(net)
import torch
layer(torch.ones(4, 3)).sum().backward()
print(abs(a - b) < 1e-12, abs(g - h).max() < 1e-12, bool(layer.theta.grad.any()))
"""


def test_it_runs_from_its_wheel(tmp_path: Path) -> None:
    python = installed(tmp_path, HERE, HERE.parents[1])
    found = subprocess.run([python, "-W", "error", "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.split() == ["True", "True", "True"], found.stderr
