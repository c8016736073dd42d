"""What the tests of the command line share: running a command in this process, in an empty folder."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgrad import figures
from flowgrad.cli import _main, main
from flowgrad.displays import _curves

pytest.importorskip("typer")


@dataclass(frozen=True)
class Result:
    """What a command gave back."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


APP = _main._app


@cache
def _made(chosen: str, entry: Callable[..., Any]) -> Any:
    """A command as typer makes it of a function, which takes longer than most commands of tests do."""
    import typer

    return typer.main.get_command(APP(chosen))


@pytest.fixture(autouse=True)
def _commands_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(chosen: str | None) -> Any:
        return APP(None) if chosen is None else _made(chosen, _main.find("cli", chosen))

    monkeypatch.setattr(_main, "_app", app)


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of figures are from the fewest draws: to draw a thousand takes longer than to train these networks."""
    monkeypatch.setattr(figures, "DRAWS", 20)
    monkeypatch.setattr(figures, "LEAST", 20)


@pytest.fixture
def drawn() -> None:
    """Taken by a test that wants real pictures of its commands."""


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> Run:
    """run("list", "losses") runs a command in an empty folder, which is also the current one.

    The loss curve of a training is an empty file, unless the test takes `drawn`: to draw one takes ten times as long
    as to train these networks.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)  # which GNU readline sets where a module loads it
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(_curves, "loss_curve", lambda path, *_: path.touch())

    def command(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return command


EDGES = "source,target\nx1,h1\nx2,h1\nx2,h2\nx3,h2\nh1,h2\nh1,y\nh2,y\nx1,y\n"
CONFIG = """\
[network]
edges = "edges.csv"
seed = 3
[data]
file = "samples.csv"
validation = 0.25
[train]
epochs = 6
batch_size = 8
learning_rate = 0.05
patience = 6
executor = "python"
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with edges.csv, samples.csv (columns x1, x2, x3, y) and config.toml, all of them good."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((40, 3))
    y = np.tanh(X[:, 0] - X[:, 1]) + 0.5 * X[:, 2]
    rows = [",".join(map(repr, row)) for row in np.column_stack([X, y]).tolist()]
    (tmp_path / "samples.csv").write_text("\n".join(["x1,x2,x3,y", *rows]) + "\n")
    (tmp_path / "edges.csv").write_text(EDGES)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def rows() -> Callable[[Path], list[dict[str, str]]]:
    """rows(path) is a CSV, a dict a row."""

    def read(path: Path) -> list[dict[str, str]]:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture
def classes(job: Path) -> Path:
    """The job with a label of three classes instead of the target, for a layered network."""
    rng = np.random.default_rng(8)
    kind = rng.integers(0, 3, 90)
    X = rng.standard_normal((90, 2)) * 0.3 + np.array([[0, 2], [2, 0], [-2, -2]])[kind]
    who = [("ann", "bob", "cleo")[k] for k in kind]
    lines = [f"{a!r},{b!r},{name},{n}" for n, ((a, b), name) in enumerate(zip(X.tolist(), who, strict=True))]
    (job / "samples.csv").write_text("\n".join(["u,v,who,id", *lines]) + "\n")
    (job / "config.toml").write_text(
        '[network]\ntopology = "layered"\nhidden = [5]\n[data]\nfile = "samples.csv"\nlabel = "who"\nignore = ["id"]\n'
        '[train]\nlearning_rate = 0.05\nepochs = 30\nmetrics = ["accuracy"]\nexecutor = "python"\n'
    )
    return job
