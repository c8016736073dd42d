"""A run standardises its inputs: what leaves it takes raw columns, what goes on with it scales once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.cli._followed import Followed
from flowgrad.registry import find, names
from flowgrad.runs.models import TRAINED


@pytest.fixture
def model(run: Any, job: Path) -> Path:
    """A run of the job whose columns are far from mean 0 and variance 1."""
    table = samples(job)
    table[:, :3] = table[:, :3] * [0.01, 5.0, 300.0] + [1.0, -20.0, 900.0]
    lines = [",".join(map(repr, row)) for row in table.tolist()]
    (job / "samples.csv").write_text("\n".join(["x1,x2,x3,y", *lines]) + "\n")
    assert run("train", "config.toml", "--out", "model").code == 0
    return job / "model"


def samples(job: Path) -> Any:
    return np.loadtxt(job / "samples.csv", delimiter=",", skiprows=1)


def predicted(run: Any, *words: object) -> Any:
    result = run("predict", *words, "--data", "samples.csv", "--executor", "python")
    assert result.code == 0, result.err
    return np.array(result.out.splitlines()[1:], float)


def outputs(network: fg.Network, X: Any) -> Any:
    return fg.compile(network, executor="python").predict(X)[:, 0]


def test_network_json_takes_the_raw_columns(run: Any, model: Path, job: Path) -> None:
    wanted = predicted(run, "model")
    np.testing.assert_allclose(outputs(fg.load(model / "network.json"), samples(job)[:, :3]), wanted, rtol=1e-10)
    np.testing.assert_allclose(predicted(run, "model/network.json"), wanted, rtol=1e-10)
    assert np.corrcoef(wanted, samples(job)[:, 3])[0, 1] > 0.5


WHOLE = [
    n for n in names("formats") if find("formats", n).write and find("formats", n).keeps in ("everything", "network")
]


@pytest.mark.parametrize("name", WHOLE)
def test_every_export_takes_the_raw_columns(run: Any, model: Path, job: Path, name: str) -> None:
    result = run("export", "model", "--to", "net", "--format", name)
    assert result.code == 0, result.err
    assert "it takes the columns as they were measured" in result.out
    net = fg.load("net", format=name)
    assert net.inputs == ("x1", "x2", "x3")
    np.testing.assert_allclose(outputs(net, samples(job)[:, :3]), predicted(run, "model"), rtol=1e-9)


def test_an_exported_onnx_takes_the_raw_columns(run: Any, model: Path, job: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert run("export", "model", "--to", "net.onnx").code == 0
    session = onnxruntime.InferenceSession("net.onnx")
    found = session.run(None, {session.get_inputs()[0].name: samples(job)[:, :3].astype(np.float32)})[0][:, 0]
    np.testing.assert_allclose(found, predicted(run, "model"), atol=1e-3)


def test_exported_values_are_those_of_the_exported_network(run: Any, model: Path, job: Path) -> None:
    assert run("export", "model", "--to", "net.nodelink.json", "--data", "samples.csv").code == 0
    net = fg.load("net.nodelink.json")
    table = samples(job)
    program = fg.compile(fg.load(model / "network.json"), executor="python", loss="squared_error")
    acts = program.forward(table[:, :3])
    grads = program.backward(acts, table[:, 3:])
    assert net.graph.nodes["x3"]["a"] == pytest.approx(table[:, 2].mean())
    assert net.graph.nodes["h2"]["z"] == pytest.approx(acts.z["h2"].mean())
    assert net.graph.edges["x1", "y"]["gradient"] == pytest.approx(grads.weight["x1", "y"])


def test_no_command_scales_twice(run: Any, model: Path, job: Path) -> None:
    given = json.loads((model / "model.json").read_text())["standardised"]
    trained = fg.compile(fg.load(model / given["network"]), executor="python", loss="squared_error")
    table = samples(job)
    X = (table[:, :3] - given["mean"]) / given["scale"]
    acts = trained.forward(X)
    grads = trained.backward(acts, table[:, 3:])
    data = ("--data", "samples.csv", "--executor", "python")

    def column(words: tuple[object, ...], name: str) -> Any:
        result = run(*words, *data, "--out", "out.csv")
        assert result.code == 0, result.err
        with open("out.csv", encoding="utf-8") as file:
            head, *lines = file.read().splitlines()
        return np.array([line.split(",")[head.split(",").index(name)] for line in lines], float)

    assert column(("predict", "model"), "y") == pytest.approx(acts.output[:, 0])
    assert column(("grad", "model", "--of", "inputs"), "x1") == pytest.approx(grads.input["x1"])
    found = fg.inspection.node_importance(trained, X)
    assert sorted(column(("importance", "model"), "strength")) == pytest.approx(sorted(found.strength[0]))
    assert run("trace", "model", *data, "--sample", 3, "--out", "steps.jsonl").code == 0
    assert repr(float(acts.a["x1"][3])) in Path("steps.jsonl").read_text()
    assert f"x1: {acts.a['x1'][3]:.6g} · " in run("explain", "model", "h1", *data, "--sample", 3).out
    assert run("paths", "model", "x1", "y", *data).code == 0
    assert run("check", "model", "--data", "samples.csv").code == 0
    assert run("stability", "model", "--seeds", 7, "--epochs", 1, "--workers", 1, "--control", "none").code == 0


def test_a_run_goes_on_where_it_ended(run: Any, model: Path, job: Path, rows: Any) -> None:
    text = (job / "config.toml").read_text()
    began = {}
    for name, file, more in (
        ("folder", "model", ""),
        ("json", "model/network.json", ""),
        ("raw", "model", "standardize = false"),
    ):
        config = text.replace('edges = "edges.csv"\nseed = 3', f'file = "{file}"').replace(
            "[train]", f"{more}\n[train]"
        )
        config = config.replace("learning_rate = 0.05", "learning_rate = 1e-12")
        (job / "more.toml").write_text(config)
        result = run("train", "more.toml", "--out", name, "--epochs", 1)
        assert result.code == 0, result.err
        began[name] = float(rows(job / name / "metrics.csv")[0]["loss"])
        assert "inputs are standardised before" not in result.out
        np.testing.assert_allclose(predicted(run, name), predicted(run, "model"), rtol=1e-4)
    assert began["json"] == began["folder"]
    assert began["raw"] == pytest.approx(began["folder"], rel=1e-6)
    assert not (job / "raw" / TRAINED).exists()
    config = text.replace('edges = "edges.csv"\nseed = 3', 'file = "raw"').replace(
        "learning_rate = 0.05", "learning_rate = 1e-9"
    )
    (job / "more.toml").write_text(config)
    assert run("train", "more.toml", "--out", "again", "--epochs", 1).code == 0
    assert (job / "again" / TRAINED).exists()
    np.testing.assert_allclose(predicted(run, "again"), predicted(run, "raw"), rtol=1e-4)


def test_the_page_says_that_its_inputs_are_standardised(model: Path) -> None:
    followed = Followed(lambda: fg.load_model(model), model, None, 0, "python")
    assert followed.record()["title"] == "model, inputs standardised"


def test_weights_of_another_file_are_said_to_meet_standardised_inputs(run: Any, model: Path, job: Path) -> None:
    shutil.copy(model / "network.json", job / "net.json")
    for path in model.glob("network.*.safetensors"):
        shutil.copy(path, job)
    (job / "more.toml").write_text(
        (job / "config.toml").read_text().replace('edges = "edges.csv"', 'file = "net.json"')
    )
    assert "data.standardize = false" in run("train", "more.toml", "--epochs", 1).out


def test_a_run_that_was_not_standardised_has_one_network(run: Any, job: Path) -> None:
    (job / "config.toml").write_text(
        (job / "config.toml").read_text().replace("[train]", "standardize = false\n[train]")
    )
    assert run("train", "config.toml", "--out", "model").code == 0
    assert not (job / "model" / TRAINED).exists()
    assert json.loads((job / "model/model.json").read_text())["standardised"] is None
    found = outputs(fg.load(job / "model/network.json"), samples(job)[:, :3])
    assert predicted(run, "model").tolist() == found.tolist()


def test_a_folder_of_the_first_version_is_read_as_it_was_meant(run: Any, model: Path, job: Path) -> None:
    wanted = predicted(run, "model")
    old = job / "old"
    old.mkdir()
    fg.save(fg.load_model(model).network, old / "network.json")
    about = json.loads((model / "model.json").read_text())
    given = about.pop("standardised")
    about["scaling"] = {"mean": given["mean"], "scale": given["scale"]}
    (old / "model.json").write_text(json.dumps(about))
    assert predicted(run, "old").tolist() == wanted.tolist()
    assert run("export", "old", "--to", "net.json").code == 0
    np.testing.assert_allclose(outputs(fg.load("net.json"), samples(job)[:, :3]), wanted, rtol=1e-10)


@pytest.mark.parametrize("damage", ["missing", "another"])
def test_a_run_without_its_trained_network_is_refused(run: Any, model: Path, damage: str) -> None:
    (model / TRAINED).unlink()
    if damage == "another":
        fg.save(fg.topologies.layered([2, 1]), model / TRAINED)
    result = run("predict", "model", "--data", "samples.csv")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert (TRAINED if damage == "missing" else "does not fit") in result.err


def test_what_reads_an_input_in_another_way_gets_a_neuron_in_front(run: Any, job: Path) -> None:
    G = fg.load(job / "edges.csv").graph.copy()
    G.nodes["h1"]["aggregation"] = "max"
    G.edges["x1", "y"]["trainable"] = False
    fg.save(fg.Network.from_networkx(G, inputs=["x1", "x2", "x3"]), job / "net.json")
    (job / "config.toml").write_text(
        (job / "config.toml").read_text().replace('edges = "edges.csv"', 'file = "net.json"')
    )
    assert run("train", "config.toml", "--out", "model").code == 0
    net = fg.load(job / "model/network.json")
    assert {"x1 standardised", "x2 standardised"} < set(net.nodes)
    assert "x3 standardised" not in net.nodes
    np.testing.assert_allclose(outputs(net, samples(job)[:, :3]), predicted(run, "model"), rtol=1e-9, atol=1e-12)
