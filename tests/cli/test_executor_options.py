"""Options of an executor: [train.executor], --set train.executor.KEY=VALUE, and what is said of wrong ones."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowgrad.choice import with_options
from flowgrad.errors import ConfigError, UnknownNameError

CODE = """
import os
from dataclasses import replace
from flowgrad.errors import ConfigError
from flowgrad.executors.python import PythonExecutor

class Executor:
    "Writes down what it is given; computes as the definition does."
    info = replace(PythonExecutor.info, name="pieces")

    def __init__(self, shards=1, scheduler=None):
        if isinstance(shards, bool) or not isinstance(shards, int) or shards < 1:
            raise ConfigError(f"shards={shards!r}: must be an integer, 1 or more")
        self.given = shards, scheduler

    def __repr__(self):
        return f"Executor{self.given}"

    def can_run(self, network, request):
        return True

    def compile(self, network, request):
        with open(os.environ["PIECES"], "a") as log:
            print(*self.given, file=log)
        return PythonExecutor().compile(network, request)

pieces = Executor()
"""


@pytest.fixture
def given(package: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """An executor with options is installed; the call gives what it was compiled with."""
    monkeypatch.setenv("PIECES", str(tmp_path / "pieces.log"))
    package(CODE, executors="pieces")
    return lambda: set((tmp_path / "pieces.log").read_text("utf-8").splitlines())


def with_table(job: Path, table: str) -> None:
    """The configuration ends in [train], whose executor becomes a table of its own."""
    config = job / "config.toml"
    said = config.read_text("utf-8").replace('executor = "python"\n', "")
    config.write_text(f"{said}\n[train.executor]\n{table}\n", "utf-8")


def test_train_takes_them_from_the_table_and_keeps_them(given: Any, run: Any, job: Path) -> None:
    with_table(job, 'name = "pieces"\nshards = 4\nscheduler = "tcp://host:8786"')
    result = run("train", "config.toml", "--out", "a")
    assert (result.code, result.err) == (0, "")
    assert given() == {"4 tcp://host:8786"}
    assert "on the pieces executor" in result.out
    kept = tomllib.loads((job / "a/config.toml").read_text("utf-8"))
    assert kept["train"]["executor"] == {"name": "pieces", "shards": 4, "scheduler": "tcp://host:8786"}
    assert json.loads((job / "a/summary.json").read_text("utf-8"))["executor"] == "pieces"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--set", "train.executor=pieces", "--set", "train.executor.shards=3"], "3 None"),
        (["--executor", "pieces", "--set", "train.executor.scheduler=tcp://a:1"], "1 tcp://a:1"),
        (["--set", 'train.executor={name="pieces", shards=2}', "--set", "train.executor.scheduler=x"], "2 x"),
        (["--executor", "pieces"], "1 None"),
    ],
)
def test_train_takes_them_from_the_command_line(given: Any, run: Any, job: Path, words: Any, found: str) -> None:
    assert run("train", "config.toml", "--epochs", 1, *words).code == 0
    assert given() == {found}


def test_a_name_on_the_command_line_is_instead_of_the_whole_table(given: Any, run: Any, job: Path) -> None:
    with_table(job, 'name = "pieces"\nshards = 4')
    assert run("train", "config.toml", "--executor", "python", "--epochs", 1).code == 0
    assert not (job / "pieces.log").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_cv_takes_them_in_every_process(given: Any, run: Any, job: Path, workers: int) -> None:
    with_table(job, 'name = "pieces"\nshards = 4')
    words = ("cv", "config.toml", "--folds", 2, "--epochs", 1)
    result = run(*words, "--workers", workers, "--set", "train.executor.scheduler=s", "--out", "kept")
    assert (result.code, result.err) == (0, "")
    assert given() == {"4 s"}
    assert run(*words, "--workers", 1, "--out", "kept").code == 2  # folds of another scheduler stand there


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            'name = "pieces"\nshard = 2',
            "train.executor: executor 'pieces' has no option 'shard': did you mean 'shards'?",
        ),
        ('name = "pieces"\nxyz = 2', "train.executor: executor 'pieces' has no option 'xyz'"),
        ('name = "pieces"\nshards = 0', "train.executor: shards=0: must be an integer, 1 or more"),
        ('name = "python"\nshards = 2', "train.executor: executor 'python' takes no options, and 'shards' is given"),
        ('name = "piece"', "train.executor: unknown executor 'piece': did you mean 'pieces'?"),
        ("shards = 2", "train.executor.name is missing; see flowgrad list executors"),
        ("name = 3", "train.executor.name = 3: must be a text"),
        ('name = "auto"\nshards = 2', "train.executor: executor 'auto' takes no options, and 'shards' is given"),
    ],
)
def test_wrong_ones_are_named_in_one_line(given: Any, run: Any, job: Path, table: str, said: str) -> None:
    with_table(job, table)
    for command in ("train", "cv"):
        result = run(command, "config.toml")
        assert result.code == 2
        assert said in result.err.replace("\n", " ")
        assert not (job / "runs").exists()


def test_a_table_of_a_name_alone_is_that_name(given: Any, run: Any, job: Path) -> None:
    with_table(job, 'name = "auto"')
    assert run("train", "config.toml", "--epochs", 1).code == 0
    assert not (job / "pieces.log").exists()


def test_in_python_too(given: Any) -> None:
    assert repr(with_options("pieces", shards=2)) == "Executor(2, None)"
    assert with_options("python") == "python"
    with pytest.raises(ConfigError, match="has no option 'workers'; known: shards, scheduler"):
        with_options("pieces", workers=2)
    with pytest.raises(UnknownNameError, match="did you mean 'pieces'"):
        with_options("piecs", shards=2)
