"""`flowgrad cv`: killed for real and gone on with, groups, and what its files hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAST = ("--folds", 3, "--repeats", 2, "--workers", 1, "--epochs", 2)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(run: Any, job: Path) -> None:
    assert run("cv", "config.toml", *FAST, "--out", "whole").code == 0
    words = [str(word) for word in ("cv", "config.toml", *FAST, "--out", "part")]
    code = "import os, sys; from flowgrad.crossval.result import Fold; from flowgrad.inspection import jobs\n"
    code += "keep = jobs._Folder.keep; n = []\n"
    code += "def killed(self, done):\n    keep(self, done); n.append(1); len(n) == 2 and os._exit(9)\n"
    code += "jobs._Folder.keep = killed; from flowgrad.cli import main; main(sys.argv[1:])"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=job, capture_output=True, text=True, timeout=120)
    assert done.returncode == 9, done.stderr
    assert sorted(path.name for path in (job / "part").glob("*.npz")) == ["fold-1-1.npz", "fold-1-2.npz"]
    result = run("cv", "config.toml", *FAST, "--out", "part")
    assert (result.code, result.err) == (0, "")
    assert result.out.count(": 2 epochs, loss ") == 4
    whole, part = bytes_of(job / "whole"), bytes_of(job / "part")
    assert {"figures.csv", "folds.csv", "predictions.csv", "folds.png", "summary.json", "config.toml"} < set(whole)
    assert whole == part


def test_what_the_files_hold(run: Any, classes: Path, rows: Any, drawn: None) -> None:
    result = run("cv", "config.toml", "--folds", 3, "--workers", 1)
    assert (result.code, result.err) == (0, "")
    folder = classes / "runs/config-cv"
    figures = {row["metric"]: row for row in rows(folder / "figures.csv")}
    assert list(figures) == ["accuracy", "auc"]
    assert 0.8 < float(figures["accuracy"]["low"]) <= float(figures["accuracy"]["mean"]) <= 1.0
    folds = rows(folder / "folds.csv")
    assert [(row["repeat"], row["fold"], row["test"]) for row in folds] == [("1", str(k), "30") for k in (1, 2, 3)]
    answers = rows(folder / "predictions.csv")
    assert [row["sample"] for row in answers] == [str(k) for k in range(1, 91)]
    right = sum(row["true"] == row["who"] for row in answers) / 90
    assert right == pytest.approx(float(figures["accuracy"]["pooled"]))
    assert {"p(ann)", "p(bob)", "p(cleo)"} < set(answers[0])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test"]["accuracy"] == float(figures["accuracy"]["mean"])
    assert (folder / "folds.png").read_bytes().startswith(b"\x89PNG")


def test_a_group_stands_in_one_fold(run: Any, classes: Path, rows: Any) -> None:
    text = (classes / "samples.csv").read_text().splitlines()
    lines = [f"{text[0]},patient", *(f"{line},{k // 4}" for k, line in enumerate(text[1:]))]
    (classes / "samples.csv").write_text("\n".join(lines) + "\n")
    result = run("cv", "config.toml", "--folds", 3, "--workers", 1, "--group", "patient", "--epochs", 1)
    assert (result.code, result.err) == (0, "")
    assert "2 inputs → 3 outputs" in result.out
    answers = rows(classes / "runs/config-cv/predictions.csv")
    fold = [row["fold"] for row in answers]
    assert all(len(set(fold[k : k + 4])) == 1 for k in range(0, 90, 4))
    again = run("cv", "config.toml", "--folds", 3, "--workers", 1, "--group", "id", "--epochs", 1, "--out", "other")
    assert (again.code, again.err) == (0, "")  # a column that is ignored already
    wrong = run("cv", "config.toml", "--group", "patiant")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "did you mean 'patient'" in wrong.err


def test_targets_on_their_own_scale_and_a_share_to_stop_by(run: Any, job: Path, rows: Any) -> None:
    assert run("cv", "config.toml", *FAST, "--set", "data.standardize_targets=true").code == 0
    answers = rows(job / "runs/config-cv/predictions.csv")
    assert set(answers[0]) == {"sample", "repeat", "fold", "true y", "y"}
    assert len(answers) == 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--folds", 1), "--folds 1: must be an integer, 2 or more"),
        (("--repeats", 0), "--repeats 0"),
        (("--folds", 41), "40 samples are too few for 41 folds"),
        (("--stratify",), "no classes to stratify by"),
        (("--out", "."), "a folder of other things"),
    ],
)
def test_what_is_refused(run: Any, job: Path, words: tuple[Any, ...], said: str) -> None:
    result = run("cv", "config.toml", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


def test_runs_are_listed_and_compared(run: Any, job: Path) -> None:
    for name, words in (("a", ()), ("b", ("--set", "train.l2=0.5", "--set", "network.seed=4"))):
        assert run("train", "config.toml", "--out", f"runs/{name}", *words).code == 0
        os.utime(job / "runs" / name / "summary.json", (1e9 + 86400 * ord(name),) * 2)
    assert run("cv", "config.toml", *FAST, "--out", "runs/c").code == 0
    (job / "runs/d").mkdir()
    for name in ("config.toml", "edges.csv"):
        (job / "runs/d" / name).write_bytes((job / "runs/b" / name).read_bytes())
    (job / "runs/d/metrics.csv").write_text("epoch,loss\n1,0.5\n2,0.")
    result = run("runs")
    assert (result.code, result.err) == (0, "")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines[0] == ["run", "date", "network", "epochs", "rmse", "pearson"]
    assert [line[0] for line in lines[1:3]] == ["a", "b"]
    assert {"6 nodes, 8 edges, 11 parameters" in line for line in result.out.splitlines()[1:3]} == {True}
    assert any(line.startswith("d ") and "1, no end" in line for line in result.out.splitlines())
    assert any(line.startswith("c ") and "2, 3 folds" in line for line in result.out.splitlines())
    assert "network.edges" not in result.out  # the same contents
    alone = run("runs", "runs/a", "runs/b", "--sort", "rmse").out
    head = next(line for line in alone.splitlines() if line.startswith("run") and "train.l2" in line)
    assert head.split() == ["run", "network.seed", "train.l2"]
    first = alone.splitlines()[1:3]
    assert float(first[0].split()[-2]) >= float(first[1].split()[-2])
    assert run("runs", "runs/a", "runs/a").out.count("\n") == 2  # each once


@pytest.mark.parametrize(
    ("words", "said"),
    [(("nix",), "there is no folder nix"), ((".",), "is no run folder"), (("runs", "--sort", "aux"), "no run has")],
)
def test_runs_that_are_none(run: Any, job: Path, words: tuple[str, ...], said: str) -> None:
    (job / "runs/a").mkdir(parents=True)
    (job / "runs/a/summary.json").write_text('{"test": {"auc": 0.5}}')
    (job / "config.toml").unlink()
    result = run("runs", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err
    (job / "runs/a/summary.json").write_text("[1]")
    assert "is damaged" in run("runs").err
