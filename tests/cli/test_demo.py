"""The main job: `flowgrad demo` as a user sees it, its figures over five seeds, and the network it is about."""

from __future__ import annotations

import csv
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad import choice, figures
from flowgrad.cli import demo, main
from flowgrad.runs.models import TRAINED
from flowgrad.scaling import folded

AUTOMATIC = choice._automatic
pytestmark = [
    pytest.mark.skipif(find_spec("sklearn") is None, reason="the data of the demo are scikit-learn's"),
    pytest.mark.usefixtures("as_users"),  # it trains
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which `flowgrad demo` ran once, as users have it, and what it said."""
    folder, out, err = tmp_path_factory.mktemp("demo"), StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(choice, "_automatic", AUTOMATIC)
        for name in ("DRAWS", "LEAST"):
            patch.setattr(figures, name, 20)
        patch.chdir(folder)
        assert (main(["demo"]), err.getvalue()) == (0, "")
    return folder, out.getvalue()


def test_the_demo_says_what_it_did_and_ends_with_its_figure(shown: tuple[Path, str]) -> None:
    folder, said = shown
    lines = said.splitlines()
    assert re.fullmatch(r"test accuracy: 0\.9\d|test accuracy: 1\.00", lines[-1])
    assert "run folder: runs/demo" in said
    assert "pleomorphism" in said
    assert "flowgrad predict runs/demo --data runs/demo/test.csv" in said
    verified = re.search(r"gradients verified .* worst difference (\S+) of", said)
    assert verified is not None
    assert float(verified[1]) < 1e-12
    assert {path.name for path in (folder / "runs/demo").iterdir()} >= {
        "network.json", "model.json", "metrics.csv", "summary.json", "config.toml", "loss.png", "concepts.png",
        "edges.csv", "train.csv", "test.csv", "importance.csv",
    }  # fmt: skip
    for picture in ("loss.png", "concepts.png"):
        assert (folder / "runs/demo" / picture).read_bytes().startswith(b"\x89PNG")


def test_what_the_demo_says_to_try_next_works(run: Any, tmp_path: Path, shown: tuple[Path, str]) -> None:
    folder, said = shown
    shutil.copytree(folder / "runs", tmp_path / "runs")
    figure = said.splitlines()[-1].removeprefix("test accuracy: ")
    words = [line.split()[1:] for line in said.splitlines() if line.startswith("  flowgrad ")]
    assert [w[0] for w in words] == ["predict", "train", "check"]
    for command in words:
        result = run(*command)
        assert result.code == 0, result.err
    assert run("train", "runs/demo/config.toml", "--out", "twin").code == 0
    a, b = (fg.load(tmp_path / name / "network.json").columns.weights for name in ("runs/demo", "twin"))
    assert a.tolist() == b.tolist()
    result = run("predict", "twin", "--data", "runs/demo/test.csv", "--out", "answers.csv")
    accuracy = re.search(r"accuracy\s+(\S+)", result.out)
    assert accuracy is not None
    assert f"{float(accuracy[1]):.2f}" == figure


def test_test_accuracy_over_five_seeds() -> None:
    found = []
    for seed in range(5):
        settings = demo.configuration(seed)
        job = demo.Job.of(settings)
        outcome = job.experiment.train()
        raw = folded(outcome.program.network(), job.experiment.model.scaling)  # counted here, not by the command
        y = fg.compile(raw).predict(job.test.X)[:, 0]
        found.append(float(np.mean((y > 0) == (job.test.T == 1))))
        assert found[-1] == outcome.figures["accuracy"]
    assert np.mean(found) >= 0.95, found


def test_no_sample_serves_two_purposes_and_none_is_lost() -> None:
    for seed in (0, 1):
        job = demo.Job.of(demo.configuration(seed))
        assert job.experiment.parts.validation is not None
        parts = [job.experiment.parts.train, job.experiment.parts.validation, job.experiment.parts.test]
        assert job.experiment.model.scaling is not None
        raw = [job.experiment.model.scaling.back(part.X) for part in parts]
        rows = {tuple(row) for part in raw for row in part.round(9).tolist()}
        assert sum(map(len, parts)) == 569
        assert len(rows) == 569
        assert sum(int(part.T.sum()) for part in parts) == 212  # malignant ones
        assert job.experiment.parts.train.X.mean(axis=0) == pytest.approx(np.zeros(30), abs=1e-12)
        assert job.experiment.parts.train.X.std(axis=0) == pytest.approx(np.ones(30))
        assert abs(job.experiment.parts.test.T.mean() - 212 / 569) < 0.01
    assert not np.array_equal(demo.Job.of(demo.configuration(0)).test.X, demo.Job.of(demo.configuration(1)).test.X)


def test_the_written_edges_are_named_concepts_wired_irregularly() -> None:
    net = demo.Job.of(demo.configuration(0)).experiment.model.network
    from sklearn.datasets import load_breast_cancer

    assert set(net.inputs) == set(map(str, load_breast_cancer().feature_names))
    assert net.outputs == ("malignant",)
    level = {v: k for k, nodes in enumerate(nx.topological_generations(net.graph)) for v in nodes}
    skips = [(u, v) for u, v in net.graph.edges if level[v] - level[u] > 1]
    assert len(skips) >= 10
    assert net.depth >= 5
    for concept in ("size", "texture", "shape", "regularity"):
        assert {f"{concept} ({part})" for part in ("mean", "error", "worst")} <= set(net.graph.pred[concept])


def test_importance_is_the_mean_of_gradient_times_activation(shown: tuple[Path, str]) -> None:
    folder = shown[0] / "runs/demo"
    with (folder / "importance.csv").open(encoding="utf-8") as file:
        found = {row["concept"]: float(row["importance"]) for row in csv.DictReader(file)}
    net = fg.load(folder / TRAINED)  # which takes the samples as they are scaled
    assert set(found) == set(net.nodes) - set(net.inputs) - set(net.outputs)
    job = demo.Job.of(demo.configuration(0))
    program = fg.compile(net, executor="python")
    acts = program.forward(job.experiment.parts.train.X)
    step, v = 1e-5, "size"
    moved = net.graph.nodes[v]["bias"]  # ∂y/∂a_v by moving a: a differs by σ′(z)·step when the bias does
    up, down = ({**program_bias(net), v: moved + s} for s in (step, -step))
    dy = predict_with(net, up, job.experiment.parts.train.X) - predict_with(net, down, job.experiment.parts.train.X)
    da = np.tanh(acts.z[v] + step) - np.tanh(acts.z[v] - step)
    assert found[v] == pytest.approx(float(np.mean(np.abs(acts.a[v] * dy / da))), rel=1e-5)


def program_bias(net: fg.Network) -> dict[Any, float]:
    """Biases by neuron."""
    return {v: d["bias"] for v, d in net.graph.nodes(data=True) if "bias" in d}


def predict_with(net: fg.Network, bias: dict[Any, float], X: Any) -> Any:
    """(B,) the output under other biases."""
    graph = nx.DiGraph(net.graph)
    for v, b in bias.items():
        graph.nodes[v]["bias"] = b
    other = fg.Network.from_networkx(graph, inputs=net.inputs, outputs=net.outputs)
    return fg.compile(other, executor="python").predict(X)[:, 0]


def test_without_scikit_learn_the_demo_says_what_to_install(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    result = run("demo")
    assert result.code == 2
    assert result.err == "error: the demo's data needs scikit-learn: pip install 'flowgrad[demo]'\n"


def test_without_matplotlib_there_is_a_run_folder_without_pictures(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowgrad.cli._experiment.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("demo", "--out", "d")
    assert result.code == 0, result.err
    assert "flowgrad[plot]" in result.out
    assert not list((tmp_path / "d").glob("*.png"))
