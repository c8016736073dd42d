"""The wheel, in an environment of its own, is what an installed package has to be."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flowgrad.testing import installed

HERE = Path(__file__).parents[1]
CODE = """
import pathlib, sys
import flowgrad as fg

def main():
    assert fg.executors()["dask"] is True
    assert "distributed" not in sys.modules
    net = fg.topologies.layered([3, 5, 2], seed=1)
    import flowgrad_dask
    for package in (fg, flowgrad_dask):
        assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
        assert (pathlib.Path(package.__file__).parent / "py.typed").exists()
    with flowgrad_dask.DaskExecutor(workers=1) as one:
        found = [fg.compile(net, executor=e, loss="squared_error") for e in (one, "python")]
        X, T = [[0.5, -1.0, 2.0], [0.0, 1.0, 0.5]], [[1.0, 0.0], [0.5, 0.5]]
        (a, g), (b, h) = (p.value_and_grad(p.theta, X, T) for p in found)
        print(abs(a - b) < 1e-12, abs(g - h).max() < 1e-12, flowgrad_dask.map_jobs(pow, [2, 3], (2,), one))

if __name__ == "__main__":
    main()
"""


def test_it_runs_from_its_wheel(tmp_path: Path) -> None:
    python = installed(tmp_path, HERE, HERE.parents[1])
    (tmp_path / "main.py").write_text(CODE, "utf-8")  # worker processes import the program
    found = subprocess.run([python, "main.py"], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.split("\n")[0] == "True True [4, 9]", found.stderr
    assert "error" not in found.stderr.lower(), found.stderr
