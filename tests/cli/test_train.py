"""`flowgrad train`: its run folder, from the first epoch to the last, and what trains into one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileError
from flowgrad.runs import folder as folders
from flowgrad.runs import live
from flowgrad.runs.models import TRAINED


def test_a_run_folder_holds_everything(run: Any, job: Path, executor: str, rows: Any, drawn: None) -> None:
    result = run("train", "config.toml", "--executor", executor)
    assert result.code == 0, result.err
    folder = job / "runs" / job.name  # a file called config.toml gives the name of its folder
    assert f"run folder: runs/{job.name}\n" in result.out
    assert {path.name for path in folder.iterdir()} - {f"network.{w}" for w in ("json",)} >= {
        "model.json", "metrics.csv", "summary.json", "loss.png", "config.toml",
    }  # fmt: skip
    network = fg.load(folder / "network.json")
    assert network.inputs == ("x1", "x2", "x3")
    metrics = rows(folder / "metrics.csv")
    assert [row["epoch"] for row in metrics] == ["1", "2", "3", "4", "5", "6"]
    assert float(metrics[-1]["loss"]) < float(metrics[0]["loss"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["samples"] == {"train": 24, "validation": 8, "test": 8}
    assert summary["executor"] == executor
    assert set(summary["test"]) == {"rmse", "pearson"}
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    config = tomllib.loads((folder / "config.toml").read_text())
    assert config["data"]["file"] == "../../samples.csv"
    assert config["train"]["loss"] == "squared_error"
    assert config["train"]["epochs"] == 6
    assert not [path for path in (job / "runs").iterdir() if path != folder]


def test_the_figures_are_those_of_the_network_in_the_folder(run: Any, job: Path, rows: Any) -> None:
    run("train", "config.toml", "--out", "model")
    given = json.loads((job / "model/model.json").read_text())
    summary = json.loads((job / "model/summary.json").read_text())
    table = np.array([[float(v) for v in row.values()] for row in rows(job / "samples.csv")])
    held = np.sort(np.random.default_rng(0).permutation(40)[:8])
    y = fg.compile(fg.load(job / "model/network.json"), executor="python").predict(table[held, :3])[:, 0]
    assert np.sqrt(np.mean((y - table[held, 3]) ** 2)) == pytest.approx(summary["test"]["rmse"], rel=1e-12)
    rest = np.setdiff1d(np.arange(40), held)
    drawn = np.random.default_rng(1).permutation(32)[8:]
    kept = rest[np.sort(drawn)]  # scaled by what is trained on: neither test nor validation samples
    assert table[kept, :3].mean(axis=0) == pytest.approx(given["standardised"]["mean"], rel=1e-12)


def test_a_run_repeats_from_its_own_configuration_bit_for_bit(run: Any, job: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--out", "first").code == 0
    assert run("train", "first/config.toml", "--out", "second").code == 0
    weights = [np.sort(fg.load(job / name / "network.json").columns.weights) for name in ("first", "second")]
    assert weights[0].tolist() == weights[1].tolist()
    a, b = (rows(job / name / "metrics.csv") for name in ("first", "second"))
    assert [r["val_loss"] for r in a] == [r["val_loss"] for r in b]


def test_training_moves_the_weights_and_goes_on_from_a_run(run: Any, job: Path, rows: Any) -> None:
    run("train", "config.toml", "--out", "first")
    text = (job / "config.toml").read_text().replace('edges = "edges.csv"\nseed = 3', 'file = "first"')
    (job / "more.toml").write_text(text)
    assert run("train", "more.toml", "--out", "more").code == 0
    first, more = (rows(job / name / "metrics.csv") for name in ("first", "more"))
    assert float(more[0]["loss"]) < 0.5 * float(first[0]["loss"])


def test_an_older_run_is_replaced_only_when_told_so(run: Any, job: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--out", "model", "--epochs", "2").code == 0
    assert run("train", "config.toml", "--out", "model").code == 2
    assert len(rows(job / "model/metrics.csv")) == 2
    assert run("train", "config.toml", "--out", "model", "--overwrite").code == 0
    assert len(rows(job / "model/metrics.csv")) == 6
    assert run("train", "config.toml").code == 0
    assert run("train", "config.toml").code == 0
    assert {path.name for path in (job / "runs").iterdir()} == {job.name, f"{job.name}-2"}


def test_overwrite_means_the_folder_that_resume_means(run: Any, job: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--epochs", "2").code == 0
    assert run("train", "config.toml", "--overwrite").code == 0
    assert [path.name for path in (job / "runs").iterdir()] == [job.name]
    assert len(rows(job / "runs" / job.name / "metrics.csv")) == 6
    assert run("train", f"runs/{job.name}", "--overwrite", "--epochs", "3").code == 0  # a run folder is its own
    assert [path.name for path in (job / "runs").iterdir()] == [job.name]
    assert len(rows(job / "runs" / job.name / "metrics.csv")) == 3


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def fails(folder: Path) -> None:
        (folder / "network.json").write_text("{")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="cannot write model: no space left on device"):
        folders.write(Path("model"), "model", fails)
    assert not list(tmp_path.iterdir())
    done = folders.write(Path("model"), "model", lambda folder: (folder / "network.json").write_text("{}") and None)
    with pytest.raises(FileError):
        folders.write(Path("model"), "model", fails, overwrite=True)
    assert (done / "network.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_two_runs_at_once_get_a_folder_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def slow(folder: Path) -> None:
        if not (tmp_path / "runs/a").exists():
            folders.write(None, "a", lambda other: (other / "mark").write_text("other") and None)
        (folder / "mark").write_text("mine")

    assert folders.write(None, "a", slow) == Path("runs/a-2")
    assert (tmp_path / "runs/a/mark").read_text() == "other"
    assert (tmp_path / "runs/a-2/mark").read_text() == "mine"


def test_a_number_that_is_not_finite_stops_training_and_keeps_what_was_good(run: Any, job: Path) -> None:
    text = (job / "config.toml").read_text().replace("learning_rate = 0.05", 'learning_rate = 1e200\noptimizer = "sgd"')
    (job / "config.toml").write_text(text)
    result = run("train", "config.toml", "--out", "model")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "epoch" in result.err
    assert "step" in result.err
    assert result.err.endswith("kept in model\n")
    assert np.isfinite(fg.load(job / "model/network.json").columns.weights).all()
    assert json.loads((job / "model/summary.json").read_text())["reason"] == "stopped"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_what_was_reached(job: Path, rows: Any) -> None:
    # a shell's background job, as CI may be, starts its children deaf to Ctrl-C
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from flowgrad.displays import _curves; _curves.loss_curve = lambda path, *_: path.touch(); "
    code += "from flowgrad.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "train", "config.toml", "--epochs", "10000", "--out", "model"]
    text = (job / "config.toml").read_text().replace("patience = 6", "patience = 10000")
    (job / "config.toml").write_text(text)
    process = subprocess.Popen(command, cwd=job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch 1:"):
            assert process.poll() is None
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert err == ""
    assert "interrupted" in out
    assert "run folder: model" in out
    done = len(rows(job / "model/metrics.csv"))
    assert 1 <= done < 10000
    assert fg.load(job / "model/network.json").outputs == ("y",)


CLASSES = ("ann", "bob", "cleo")


def test_classes_are_told_apart_and_named(run: Any, classes: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--out", "model").code == 0
    summary = json.loads((classes / "model/summary.json").read_text())
    assert summary["test"]["accuracy"] > 0.9
    assert fg.load(classes / "model/network.json").outputs == CLASSES
    result = run("predict", "model", "--data", "samples.csv", "--out", "answers.csv")
    assert "accuracy" in result.out
    answers, known = rows(classes / "answers.csv"), rows(classes / "samples.csv")
    assert list(answers[0]) == ["who", "p(ann)", "p(bob)", "p(cleo)"]
    assert np.mean([a["who"] == b["who"] for a, b in zip(answers, known, strict=True)]) > 0.9
    for row in answers:
        p = [float(row[f"p({name})"]) for name in CLASSES]
        assert sum(p) == pytest.approx(1, rel=1e-12)
        assert CLASSES[int(np.argmax(p))] == row["who"]
    run("predict", "model", "--data", "samples.csv", "--raw", "--out", "raw.csv")
    assert list(rows(classes / "raw.csv")[0]) == list(CLASSES)


@pytest.mark.parametrize(("positive", "speaks_for"), [("", "cleo"), ('positive = "ann"', "ann")])
def test_two_classes_share_one_output(run: Any, classes: Path, positive: str, speaks_for: str) -> None:
    text = (classes / "samples.csv").read_text()
    kept = [line for line in text.splitlines() if ",bob," not in line]
    (classes / "samples.csv").write_text("\n".join(kept) + "\n")
    (classes / "edges.csv").write_text("source,target\nu,h\nv,h\nh,y\nu,y\n")
    config = (classes / "config.toml").read_text().replace('topology = "layered"\nhidden = [5]', 'edges = "edges.csv"')
    (classes / "config.toml").write_text(config.replace("[train]", f"{positive}\n[train]"))
    result = run("train", "config.toml", "--out", "model")
    assert f"the output speaks for who = {speaks_for}" in result.out
    (classes / "new.csv").write_text("u,v\n0,2\n-2,-2\n")
    lines = run("predict", "model", "--data", "new.csv").out.splitlines()
    other = "ann" if speaks_for == "cleo" else "cleo"
    assert lines[0] == f"who,p({other}),p({speaks_for})"
    assert [line.split(",")[0] for line in lines[1:]] == ["ann", "cleo"]
    p = np.array([line.split(",")[1:] for line in lines[1:]], float)
    assert p.sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "network",
    [
        'topology = "layered"',
        'topology = "layered"\nhidden = [4, 3]\nskips = 1',
        'topology = "watts_strogatz"\nn = 8\nk = 4\np = 0.5',
        'topology = "erdos_renyi"\nn = 8\np = 0.5',
        'topology = "barabasi_albert"\nn = 8\nm = 2',
    ],
)
def test_topologies_take_their_ends_from_the_columns(run: Any, job: Path, network: str) -> None:
    config = (job / "config.toml").read_text().replace('edges = "edges.csv"\nseed = 3', network)
    (job / "config.toml").write_text(config.replace("[train]", 'targets = ["y"]\n[train]'))
    assert run("train", "config.toml", "--out", "model").code == 0
    loaded = fg.load(job / "model/network.json")
    assert (loaded.inputs, loaded.outputs) == (("x1", "x2", "x3"), ("y",))


def test_arrays_of_an_npz_train_and_predict_like_the_columns_of_a_csv(run: Any, job: Path, rows: Any) -> None:
    values = np.array([[float(v) for v in row.values()] for row in rows(job / "samples.csv")])
    np.savez(job / "samples.npz", X=values[:, :3], y=values[:, 3])
    config = (job / "config.toml").read_text()
    (job / "npz.toml").write_text(config.replace('"samples.csv"', '"samples.npz"\ninputs = "X"'))
    assert run("train", "config.toml", "--out", "a").code == 0
    assert run("train", "npz.toml", "--out", "b").code == 0
    a = run("predict", "a", "--data", "samples.csv").out
    assert a == run("predict", "b", "--data", "samples.npz").out
    assert len(a.splitlines()) == 41


def test_files_of_their_own_for_test_and_validation(run: Any, job: Path) -> None:
    lines = (job / "samples.csv").read_text().splitlines(keepends=True)
    for name, part in (("train", lines[1:21]), ("val", lines[21:31]), ("test", lines[31:])):
        (job / f"{name}.csv").write_text(lines[0] + "".join(part))
    config = (job / "config.toml").read_text().replace('"samples.csv"', '"train.csv"\ntest = "test.csv"')
    (job / "config.toml").write_text(config.replace("validation = 0.25", 'validation = "val.csv"'))
    assert run("train", "config.toml", "--out", "model").code == 0
    summary = json.loads((job / "model/summary.json").read_text())
    assert summary["samples"] == {"train": 20, "validation": 10, "test": 10}


def test_a_penalty_on_input_weights_spares_the_others(run: Any, job: Path) -> None:
    config = (
        (job / "config.toml").read_text().replace("epochs = 6", 'epochs = 40\nl1 = 10.0\npenalize = "input weights"')
    )
    (job / "config.toml").write_text(config.replace("patience = 6", "").replace("validation = 0.25", ""))
    assert run("train", "config.toml", "--out", "model").code == 0
    net = fg.load(job / "model" / TRAINED)
    weight = {(u, v): abs(d["weight"]) for u, v, d in net.graph.edges(data=True)}
    assert max(w for (u, _), w in weight.items() if u in net.inputs) < 0.15
    assert max(w for (u, _), w in weight.items() if u not in net.inputs) > 0.3


@pytest.mark.usefixtures("as_users")
def test_a_slower_executor_is_never_taken_in_silence(run: Any, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (job / "config.toml").read_text().replace('executor = "python"', "")
    (job / "config.toml").write_text(text)
    monkeypatch.setattr("flowgrad.executor.find_spec", lambda name: None)
    out = run("train", "config.toml").out
    assert "on the python executor" in out
    assert "not numba: numba is not installed" in out


def test_values_are_logged_beside_the_run(run: Any, job: Path, rows: Any) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed: pip install 'flowgrad[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = run("train", "config.toml", "--out", "model", "--log", "tensorboard")
    assert result.code == 0
    assert "follow it: tensorboard --logdir" in result.out
    read = EventAccumulator(str(job / "model" / "tensorboard"))
    read.Reload()
    logged = [event.tensor_proto.float_val[0] for event in read.Tensors("val_loss")]
    np.testing.assert_allclose(logged, [float(row["val_loss"]) for row in rows(job / "model/metrics.csv")], rtol=1e-6)
    assert 'log = ["tensorboard"]' in (job / "model/config.toml").read_text()
    result = run("train", "config.toml", "--log", "tensorbord")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "did you mean 'tensorboard'" in result.err


def test_the_figures_have_intervals_and_are_those_that_train_metrics_names_too(run: Any, job: Path) -> None:
    result = run("train", "config.toml", "--out", "model", "--set", "train.metrics=['rmse', 'mae']")
    assert (result.code, result.err) == (0, "")
    summary = json.loads((job / "model/summary.json").read_text())
    assert {"rmse", "mae"} <= set(summary["test"]) == set(summary["intervals"])
    for name, (low, high) in summary["intervals"].items():
        assert low < summary["test"][name] < high
        assert f"{low:.4g} – {high:.4g}" in result.out


def test_a_run_that_was_cut_off_goes_on(run: Any, job: Path, rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train", "config.toml", "--out", "whole").code == 0
    epoch = live.Training.epoch

    def ends(self: live.Training, row: dict[str, float]) -> None:
        epoch(self, row)
        if row["epoch"] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(live.Training, "epoch", ends)
        assert run("train", "config.toml", "--out", "model", "--resume").code == 130
    refused = run("train", "model", "--resume", "--set", "train.batch_size=4")
    assert (refused.code, "batch_size=8 there, 4 here" in refused.err) == (2, True)
    assert (job / "model/summary.json").exists(), "what is refused changes nothing"
    result = run("train", "model", "--resume")
    assert (result.code, "goes on after epoch 3" in result.out) == (0, True)
    kept, whole = (fg.load(job / name / TRAINED).columns.weights for name in ("model", "whole"))
    assert (kept == whole).all()
    found, wanted = (rows(job / name / "metrics.csv") for name in ("model", "whole"))
    assert [(r["epoch"], r["val_loss"]) for r in found] == [(r["epoch"], r["val_loss"]) for r in wanted]


@pytest.mark.parametrize("command", ["train", "cv"])
def test_targets_of_classes_have_no_scale(run: Any, classes: Path, command: str) -> None:
    result = run(command, "config.toml", "--set", "data.standardize_targets=true")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "data.standardize_targets = true: 'who' holds classes" in result.err


def test_a_seed_that_draws_nothing_is_said_in_one_line(run: Any, job: Path) -> None:
    said = "network.seed = 3 draws nothing: network."
    assert said not in run("train", "config.toml", "--out", "first", "--epochs", 1).out, "it draws the first weights"
    text = (job / "config.toml").read_text().replace('edges = "edges.csv"', 'file = "first"')
    (job / "more.toml").write_text(text)
    assert f"{said}file gives every weight" in run("train", "more.toml", "--epochs", 1).out
    assert "draws nothing" not in run("train", "more.toml", "--epochs", 1, "--set", "network.seed=0").out
    rows = "source,target,weight\nx1,h1,1\nx2,h1,1\nx3,h1,1\nh1,y,1\n"
    (job / "edges.csv").write_text(rows)
    assert f"{said}edges gives every weight" in run("train", "config.toml", "--epochs", 1).out
