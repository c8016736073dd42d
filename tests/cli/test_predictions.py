"""What commands print and write speaks of what the loss predicts: probabilities, rates, classes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.metrics import entries as metrics


def counted(job: Path, loss: str, targets: Any) -> None:
    """The job with other targets, and this loss."""
    table = np.loadtxt(job / "samples.csv", delimiter=",", skiprows=1)
    lines = [",".join(map(repr, row)) for row in np.column_stack([table[:, :3], targets(table[:, 3])]).tolist()]
    (job / "samples.csv").write_text("\n".join(["x1,x2,x3,y", *lines]) + "\n")
    text = (job / "config.toml").read_text().replace("epochs = 6", f'epochs = 6\nloss = "{loss}"')
    (job / "config.toml").write_text(text)


LOSSES = [
    ("poisson", lambda t: np.random.default_rng(0).poisson(np.exp(t)).astype(float), "rate(y)", np.exp),
    ("binary_cross_entropy", lambda t: (t > 0).astype(float), "p(y)", lambda y: 1 / (1 + np.exp(-y))),
    ("squared_error", lambda t: t, "y", lambda y: y),
]


@pytest.mark.parametrize(("loss", "targets", "name", "link"), LOSSES)
def test_predict_and_its_figures_speak_of_the_link(
    run: Any, job: Path, rows: Any, loss: str, targets: Any, name: str, link: Any
) -> None:
    counted(job, loss, targets)
    assert run("train", "config.toml", "--out", "model").code == 0
    result = run("predict", "model", "--data", "samples.csv", "--out", "p.csv")
    assert result.code == 0, result.err
    assert run("predict", "model", "--data", "samples.csv", "--out", "raw.csv", "--raw").code == 0
    found, raw = rows(job / "p.csv"), rows(job / "raw.csv")
    assert (list(found[0]), list(raw[0])) == ([name], ["y"])
    p, y = (np.array([float(v) for row in table for v in row.values()]) for table in (found, raw))
    np.testing.assert_allclose(p, link(y), rtol=1e-12)
    t = np.array([float(row["y"]) for row in rows(job / "samples.csv")])
    shown = {line.split()[0]: float(line.split()[1]) for line in result.out.splitlines()[3:]}
    assert shown["rmse"] == pytest.approx(np.sqrt(np.mean((p - t) ** 2)), rel=1e-3)
    assert shown["pearson"] == pytest.approx(np.corrcoef(p, t)[0, 1], rel=1e-3)
    held = np.sort(np.random.default_rng(0).permutation(40)[:8])
    summary = json.loads((job / "model/summary.json").read_text())
    assert summary["test"]["rmse"] == pytest.approx(np.sqrt(np.mean((p[held] - t[held]) ** 2)), rel=1e-9)


def test_auc_of_classes_is_that_of_the_probabilities_that_are_written(run: Any, classes: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--out", "model", "--epochs", 3).code == 0
    result = run("predict", "model", "--data", "samples.csv", "--out", "p.csv")
    names = ("ann", "bob", "cleo")
    p = np.array([[float(row[f"p({name})"]) for name in names] for row in rows(classes / "p.csv")])
    t = np.array([[float(row["who"] == name) for name in names] for row in rows(classes / "samples.csv")])
    shown = {line.split()[0]: float(line.split()[1]) for line in result.out.splitlines()[3:]}
    assert shown["auc"] == pytest.approx(metrics["auc"].f(p, t, "squared_error"), rel=1e-3)


def test_small_probabilities_keep_their_digits(run: Any, classes: Path, rows: Any) -> None:
    from flowgrad.model import probabilities
    from flowgrad.registry import find

    p = probabilities(find("losses", "binary_cross_entropy"), np.array([[40.0], [-40.0]]))
    np.testing.assert_allclose(p, [[np.exp(-40), 1], [1, np.exp(-40)]], rtol=1e-12)


def test_a_network_by_itself_is_written_as_it_is(run: Any, job: Path) -> None:
    assert run("predict", "edges.csv", "--data", "samples.csv").out.splitlines()[0] == "y"


SQUASHED = '[network]\nedges = "edges.csv"\noutput_activation = "sigmoid"\n'


def test_a_squashed_output_under_a_loss_of_logits_is_one_line_and_no_crash(run: Any, job: Path) -> None:
    counted(job, "binary_cross_entropy", lambda t: (t > 0).astype(float))
    text = (job / "config.toml").read_text().replace('[network]\nedges = "edges.csv"\n', SQUASHED)
    (job / "config.toml").write_text(text)
    result = run("train", "config.toml", "--out", "model")
    assert result.code == 0
    assert result.err.startswith("warning: output y ends in sigmoid")
    assert result.err.count("\n") == 1
    assert "identity" in result.err
    result = run("check", "model")
    assert (result.code, result.err.count("\n")) == (0, 1), "every executor compiles it, and it is said once"
    words = [sys.executable, "-W", "error", "-m", "flowgrad", "predict", "model", "--data", "samples.csv"]
    done = subprocess.run(words, cwd=job, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stdout.startswith("p(y)\n")


def test_a_loss_of_logits_over_a_plain_output_says_nothing(run: Any, job: Path) -> None:
    counted(job, "binary_cross_entropy", lambda t: (t > 0).astype(float))
    assert run("train", "config.toml").err == ""


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "poisson", "huber"])
def test_drawn_samples_suit_the_loss(loss: str) -> None:
    from flowgrad.cli.check import _drawn

    model = fg.Model(fg.topologies.layered([3, 2]))
    X, T = _drawn(model, 50, loss, 0)
    program = fg.compile(model.network, executor="python", loss=loss)
    assert np.isfinite(program.value_and_grad(program.theta, X, T)[0])
