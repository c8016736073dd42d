"""The wheel, built and installed elsewhere, is what an installed package has to be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys, pathlib
import flowgrad as fg
print(fg.executors()["scipy"], "scipy" in sys.modules)
net = fg.topologies.layered([3, 5, 2], seed=1)
found = [fg.compile(net, executor=e, loss="squared_error") for e in ("scipy", "python")]
X, T = [[0.5, -1.0, 2.0]], [[1.0, 0.0]]
(a, g), (b, h) = (p.value_and_grad(p.theta, X, T) for p in found)
import flowgrad_scipy
print(pathlib.Path(flowgrad_scipy.__file__).is_relative_to(sys.argv[1]), abs(a - b) < 1e-12, abs(g - h).max() < 1e-12)
"""


def test_it_runs_from_its_wheel(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    here = Path(__file__).parents[1]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(tmp_path / "dist"), str(here)], check=True)
    (wheel,) = (tmp_path / "dist").glob("flowgrad_scipy-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "-q", "--no-deps", "--target", str(site), str(wheel)], check=True)
    out = subprocess.run(
        [sys.executable, "-c", CODE, str(site)],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert out == ["True", "False", "True", "True", "True"]
