"""What may be done with a run folder, or a network and its data: predict, grad, check."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.executors.numba import NumbaExecutor


def test_predict_is_the_program_on_scaled_inputs(run: Any, job: Path, executor: str, rows: Any) -> None:
    run("train", "config.toml", "--out", "model")
    out = run("predict", "model", "--data", "samples.csv", "--executor", executor).out
    given = json.loads((job / "model/model.json").read_text())["standardised"]
    X = np.array([[float(v) for v in row.values()] for row in rows(job / "samples.csv")])[:, :3]
    program = fg.compile(fg.load(job / "model" / given["network"]), executor=executor)
    wanted = program.predict((X - given["mean"]) / given["scale"])[:, 0]
    assert out.splitlines()[0] == "y"
    assert np.array(out.splitlines()[1:], float).tolist() == wanted.tolist()
    raw = fg.compile(fg.load(job / "model/network.json"), executor=executor).predict(X)[:, 0]
    np.testing.assert_allclose(raw, wanted, rtol=1e-12, atol=1e-13)


def test_grad_names_every_parameter_once_and_is_the_gradient(run: Any, job: Path, executor: str, rows: Any) -> None:
    result = run("grad", "edges.csv", "--data", "samples.csv", "--out", "g.csv", "--executor", executor)
    assert result.code == 0, result.err
    table = np.array([[float(v) for v in row.values()] for row in rows(job / "samples.csv")])
    program = fg.compile(fg.load(job / "edges.csv"), executor=executor, loss="squared_error")
    grads = program.backward(program.forward(table[:, :3]), table[:, 3])
    found = rows(job / "g.csv")
    assert len(found) == 8 + 3
    for row in found:
        at = (row["source"], row["target"]) if row["kind"] == "weight" else row["target"]
        wanted = grads.weight[at] if row["kind"] == "weight" else grads.bias[at]
        assert float(row["gradient"]) == wanted
    sizes = [abs(float(row["gradient"])) for row in found]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("of", "columns"), [("neurons", ["x1", "x2", "x3", "h1", "h2", "y"]), ("inputs", ["x1", "x2", "x3"])]
)
def test_grad_by_neuron_and_by_input_has_a_row_a_sample(
    run: Any, job: Path, of: str, columns: list[str], rows: Any
) -> None:
    run("grad", "edges.csv", "--data", "samples.csv", "--of", of, "--out", "g.csv", "--executor", "python")
    found = rows(job / "g.csv")
    assert list(found[0]) == columns
    assert len(found) == 40
    table = np.array([[float(v) for v in row.values()] for row in rows(job / "samples.csv")])
    program = fg.compile(fg.load(job / "edges.csv"), executor="python", loss="squared_error")
    grads = program.backward(program.forward(table[:, :3]), table[:, 3])
    assert [float(row["x2"]) for row in found] == grads.input["x2"].tolist()


@pytest.mark.parametrize(
    "loss", ["squared_error", "binary_cross_entropy", "cross_entropy", "poisson", "absolute_error"]
)
def test_check_passes_on_every_loss(run: Any, job: Path, loss: str) -> None:
    (job / "edges.csv").write_text("source,target\nx1,h\nx2,h\nh,y1\nh,y2\nx1,y2\n")
    result = run("check", "edges.csv", "--loss", loss)
    assert result.code == 0, result.out
    assert "passed" in result.out
    for name, answer in fg.executors().items():
        if answer is True:
            assert any(line.split()[:1] == [name] and line.endswith("agrees") for line in result.out.splitlines())


def test_check_of_a_run_takes_its_loss_and_its_data(run: Any, classes: Path) -> None:
    run("train", "config.toml", "--out", "model", "--epochs", "2")
    result = run("check", "model", "--data", "samples.csv", "--samples", "5")
    assert result.code == 0, result.err
    assert "FAILED" not in result.out


def test_check_fails_where_a_gradient_is_wrong(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = fg.Network()
    network.add_input("x")
    network.add_neuron("h", {"x": 0.5}, activation=fg.Activation("mine", lambda z: z * z, lambda z: 3.0 * z))
    network.add_neuron("y", {"h": 2.0})
    monkeypatch.setattr("flowgrad.cli.check.open_network", lambda *_, **__: fg.Model(network))
    monkeypatch.setattr(fg, "executors", lambda: {"python": True, "numba": "left out"})
    monkeypatch.setattr(NumbaExecutor, "info", replace(NumbaExecutor.info, auto=0))
    result = run("check", "any")
    assert result.code == 1
    assert "FAILED" in result.out
    assert "differs" in result.out
    assert "numba was not checked: left out" in result.out


@pytest.mark.parametrize("damage", ["{", "{}", '{"roles": {"inputs": ["x1"]}}', "[1]"])
def test_a_damaged_model_is_refused(run: Any, job: Path, damage: str) -> None:
    run("train", "config.toml", "--out", "model", "--epochs", "1")
    (job / "model/model.json").write_text(damage)
    result = run("predict", "model", "--data", "samples.csv")
    assert result.code == 2
    assert "model.json is damaged" in result.err
    assert result.err.count("\n") == 1


def test_a_model_of_another_network_is_refused(run: Any, job: Path) -> None:
    run("train", "config.toml", "--out", "model", "--epochs", "1")
    about = json.loads((job / "model/model.json").read_text())
    about["roles"]["inputs"].pop()
    (job / "model/model.json").write_text(json.dumps(about))
    assert "does not fit" in run("predict", "model", "--data", "samples.csv").err
