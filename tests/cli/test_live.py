"""The run folder while its training runs: there from the start, current, whole when killed, put back when it fails."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.cli import _followed
from flowgrad.cli._followed import Followed
from flowgrad.errors import FileError
from flowgrad.runs import folder as folders
from flowgrad.runs import live
from flowgrad.runs.models import save_networks, save_run
from flowgrad.scaling import Scaling
from flowgrad.viewer.record import columns_of


def network(seed: int = 0) -> fg.Network:
    return fg.topologies.layered([2, 3, 1], seed=seed)


def training(folder: Path | None, overwrite: bool = False, clock: Any = None, seed: int = 0) -> live.Training:
    more = {"clock": clock} if clock else {}
    return live.Training(folder, "a", overwrite, fg.Model(network(seed)), lambda folder, place: None, **more)


def row(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 1 / epoch, "seconds": 0.1 * epoch}


def weights(folder: Path) -> Any:
    return np.array(fg.load(folder / "network.json").columns.weights)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_folder_is_there_from_the_start_and_current_after_each_epoch(tmp_path: Path) -> None:
    times = iter(np.arange(1000) * 0.2)
    program = fg.compile(network(), executor="python")
    with training(None, clock=lambda: next(times)) as run:
        run.start(program)
        assert run.folder == Path("runs/a")
        assert (weights(run.folder) == weights_of(program)).all()
        assert not (run.folder / "summary.json").exists()
        for epoch in (1, 2, 3, 4, 5, 6):
            program.theta = program.theta + 1.0
            run.epoch(row(epoch))
            lines = list(csv.DictReader((run.folder / "metrics.csv").read_text().splitlines()))
            assert [int(line["epoch"]) for line in lines] == list(range(1, epoch + 1))
            assert float(lines[-1]["loss"]) == 1 / epoch
            if epoch == 1:
                assert (weights(run.folder) == weights_of(program)).all()
        behind = weights_of(program) - weights(run.folder)
        assert (behind < 6).all()
        assert behind.max() > 0, "writing takes 0.2 s here: not every epoch is worth it"


def weights_of(program: fg.Program) -> Any:
    return np.array(program.network().columns.weights)


def test_what_was_trained_stays_when_something_breaks_after_an_epoch() -> None:
    program = fg.compile(network(), executor="python")

    def breaks() -> None:
        with training(Path("a")) as run:
            run.start(program)
            run.epoch(row(1))
            program.theta = program.theta + 1.0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        breaks()
    assert (weights(Path("a")) == weights_of(program)).all()


@pytest.mark.parametrize("older", [False, True])
def test_before_an_epoch_nothing_has_happened(tmp_path: Path, older: bool) -> None:
    if older:
        folders.write(Path("a"), "a", lambda folder: save_run(folder, fg.Model(network(7))))

    def interrupted() -> None:
        with training(Path("a"), overwrite=True) as run:
            run.start(fg.compile(network(), executor="python"))
            assert Path("a").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == (["a"] if older else [])
    if older:
        assert (weights(Path("a")) == network(7).columns.weights).all()


def test_an_older_run_goes_when_the_new_one_has_something(tmp_path: Path) -> None:
    folders.write(Path("a"), "a", lambda folder: save_run(folder, fg.Model(network(7))))
    with training(Path("a"), overwrite=True) as run:
        run.start(fg.compile(network(), executor="python"))
        assert len(list(tmp_path.iterdir())) == 2
        run.epoch(row(1))
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with pytest.raises(FileError, match="a exists"):
        training(Path("a")).start(fg.compile(network(), executor="python"))


def test_a_folder_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    with training(Path("a")) as run:
        run.start(fg.compile(network(), executor="python"))
        run.epoch(row(1))
        shutil.rmtree("a")
        folders.write(Path("a"), "a", lambda folder: save_run(folder, fg.Model(network(7))))
        run.epoch(row(2))
        assert run.finish(lambda folder: save_run(folder, fg.Model(network()))) == Path("a-2")
    assert (weights(Path("a")) == network(7).columns.weights).all()
    assert (weights(Path("a-2")) == network().columns.weights).all()


def test_a_full_disk_does_not_end_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise FileError("no space left on device")

    program = fg.compile(network(), executor="python")
    with training(Path("a")) as run:
        run.start(program)
        with monkeypatch.context() as patch:
            patch.setattr("flowgrad.runs.models.save", full)
            run.epoch(row(1))
            run.epoch(row(2))
        program.theta = program.theta + 1.0
        final = fg.Model(program.network())
        run.finish(lambda folder: save_run(folder, final))
    assert (weights(Path("a")) == weights_of(program)).all()
    assert len(list(Path("a").glob("*.safetensors"))) == 1, "weights that nothing names any more are gone"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_that_was_killed_is_a_run(job: Path, run: Any) -> None:
    (job / "config.toml").write_text((job / "config.toml").read_text().replace("patience = 6", "patience = 100000"))
    command = [sys.executable, "-m", "flowgrad", "train", "config.toml", "--epochs", "100000", "--out", "model"]
    process = subprocess.Popen(command, cwd=job, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("follow it: flowgrad view model"):
            assert process.poll() is None
        while len((job / "model/metrics.csv").read_text().splitlines()) < 4:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert not (job / "model/summary.json").exists()
    assert np.isfinite(weights(job / "model")).all()
    state = Followed(lambda: fg.load_model(job / "model"), job / "model", None, 0).state()
    assert state["state"]["reason"] is None
    assert state["state"]["epochs"] == 100000
    assert len(state["history"]["loss"]) >= 3
    said = run("predict", "model", "--data", "samples.csv")
    assert said.code == 0
    note, epoch = said.err.strip().rsplit(" ", 1)
    assert note == "note: the training in model has not ended: its weights are from epoch"
    assert 1 <= int(epoch) <= len((job / "model/metrics.csv").read_text().splitlines())
    assert ["weights", "of", "epoch", epoch] in [line.split() for line in run("info", "model").out.splitlines()]


def test_of_a_run_that_has_ended_nothing_more_is_said(run: Any, job: Path) -> None:
    assert run("train", "config.toml", "--out", "model").code == 0
    assert run("predict", "model", "--data", "samples.csv").err == ""
    summary = json.loads(Path("model/summary.json").read_text())
    assert summary["weights_of"] == f"epoch {summary['best_epoch']}"
    assert json.loads(run("info", "model", "--json").out)["weights_of"] == summary["weights_of"]


def test_who_follows_a_training_is_not_told_that_it_runs(run: Any, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reads:
        """A server whose page asks for the values three times."""

        url = "http://127.0.0.1"

        def __init__(self, page: Any, answers: Any, port: int) -> None:
            self.values = answers["values"]

        def __enter__(self) -> Reads:
            return self

        def __exit__(self, *error: object) -> None: ...

        def serve_forever(self) -> None:
            for time in (1, 2, 3):
                os.utime("model/network.json", (time, time))
                assert self.values()["values"] is not None

    assert run("train", "config.toml", "--out", "model").code == 0
    Path("model/summary.json").unlink()
    monkeypatch.setattr("flowgrad.cli.view.Server", Reads)
    told = run("view", "model", "--no-browser")
    assert (told.code, told.err) == (0, "")


def test_the_values_of_a_run_are_read_again_when_they_change(run: Any, job: Path) -> None:
    assert run("train", "config.toml", "--out", "model").code == 0
    followed = Followed(lambda: fg.load_model(Path("model")), Path("model"), None, 2, "python")
    first = followed.record()
    assert first["loss"] == "squared_error", "the run's own samples have targets"
    assert first["samples"][0]["row"] == 2
    assert first["state"]["reason"] in ("finished", "early stopping")
    assert followed.state()["version"] == first["version"]
    assert followed.values()["values"] == {name: first[name] for name in followed.values()["values"]}
    model = fg.load_model(Path("model"))
    program = fg.compile(model.network)
    program.theta = program.theta * 2
    save_networks(Path("model"), replace(model, network=program.network()))
    assert followed.state()["version"] != first["version"]
    assert followed.values()["values"]["weight"] != first["weight"]
    save_networks(Path("model"), fg.Model(network(), scaling=Scaling.of(np.eye(2))))
    assert followed.values()["values"] is None, "it does not fit the model beside it"
    shutil.rmtree("model")
    assert followed.values() == {"version": "", "other": False, "values": None}
    assert json.dumps(followed.state(), allow_nan=False)


def test_another_network_in_its_place_is_said_to_be_another() -> None:
    path = Path("net.json")
    fg.save(network(), path)
    followed = Followed(lambda: fg.load_model(path), path, None, 0)
    assert followed.record()["state"] is None
    assert followed.values()["other"] is False
    fg.save(fg.topologies.layered([2, 4, 1]), path)
    assert (followed.values()["other"], followed.values()["values"]) == (True, None)


def test_a_line_without_an_end_is_not_read() -> None:
    Path("metrics.csv").write_text("epoch,loss\n1,0.5\n2,nan\n3,0.12")
    assert _followed.losses(Path()) == {"epoch": [1.0, 2.0], "loss": [0.5, None]}
    Path("metrics.csv").write_text("")
    assert _followed.losses(Path()) == {}


def test_metrics_are_read_on_from_where_they_were_read_last() -> None:
    metrics, path = _followed.Metrics(Path()), Path("metrics.csv")
    assert metrics.columns() is None
    path.write_text("epoch,loss\n1,0.5\n2,0.2")
    assert metrics.columns() == {"epoch": [1.0], "loss": [0.5]}
    with path.open("a") as file:
        file.write("5\n3,0.125\n")
    assert metrics.columns() == {"epoch": [1.0, 2.0, 3.0], "loss": [0.5, 0.25, 0.125]}
    Path("other").write_text("epoch,loss,val_loss\n1,4,5\n")
    Path("other").replace(path)
    assert metrics.columns() == {"epoch": [1.0], "loss": [4.0], "val_loss": [5.0]}


def test_a_long_history_is_thinned_and_keeps_its_best_and_its_last() -> None:
    loss = np.linspace(2.0, 1.0, 123_457)
    loss[77_777] = 0.5
    found = columns_of({"loss": loss.tolist()})
    assert found is not None
    assert len(found["loss"]) <= 1001
    assert (found["epoch"][0], found["epoch"][-1], min(found["loss"])) == (1.0, 123_457.0, 0.5)
    assert found["loss"] == [loss[int(epoch) - 1] for epoch in found["epoch"]]


def test_nothing_is_read_where_nothing_is() -> None:
    assert _followed.losses(Path("nowhere")) is None


def test_the_page_of_a_run_shows_its_samples_and_its_training(run: Any, job: Path) -> None:
    assert run("train", "config.toml", "--out", "model").code == 0
    assert run("export", "model", "--to", "net.html", "--sample", 3).code == 0
    text = Path("net.html").read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert len(data["history"]["val_loss"]) == len((job / "model/metrics.csv").read_text().splitlines()) - 1
    assert (data["loss"], data["drawn"], data["samples"][0]["row"]) == ("squared_error", False, 3)


def test_a_port_that_is_taken_is_said(run: Any, job: Path) -> None:
    fg.save(network(), "net.json")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("view", "net.json", "--no-browser", "--port", port)
    assert result.code == 2
    assert f"port {port} of 127.0.0.1" in result.err
    assert result.err.count("\n") == 1
