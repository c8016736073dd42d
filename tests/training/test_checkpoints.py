"""Checkpoints: a training that was cut off goes on, and ends with the bits of the one that was not."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import CheckpointWarning, ConfigError, FileError
from flowgrad.fitting import checkpoint

if sys.platform != "win32":
    import fcntl

OPTIONS: dict[str, Any] = {"epochs": 6, "schedule": "cosine", "dropout": 0.2, "batch_size": 8}


@pytest.fixture
def train(program_of: Any, data_of: Any) -> Any:
    """train(**options): the program, and its History."""

    def made(**options: Any) -> tuple[fg.Program, fg.History]:
        program = program_of("python")
        return program, fg.fit(program, *data_of(), **(OPTIONS | options))

    return made


def rows(history: fg.History) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.rows]


def at(epoch: int, error: BaseException) -> Any:
    def raises(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise error

    return raises


@pytest.mark.skipif(sys.platform == "win32", reason="Windows neither forks nor has these signals")
@pytest.mark.parametrize("door", [(), ("train",)], ids=["fit", "train"])
def test_cuts_at_any_moment_change_no_bit(tmp_path: Path, request: pytest.FixtureRequest, door: tuple[str]) -> None:
    if door:
        pytest.importorskip("typer", reason="the command line is not installed: pip install 'flowgrad[cli]'")
    cuts = 200 if request.config.getoption("--soak") else 3
    command = [sys.executable, str(Path(__file__).with_name("cuts.py")), str(cuts), str(tmp_path), *door]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{cuts} cuts" in done.stdout.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_a_write_that_the_system_refuses_is_one_warning_and_changes_no_bit(tmp_path: Path, train: Any) -> None:
    script = f"""
import resource, signal, warnings
from pathlib import Path
import numpy as np
import flowgrad as fg
from flowgrad.fitting import checkpoint
checkpoint.LEAST = 0.0
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails, as on a full disk
file = Path({str(tmp_path / "fit.ckpt")!r})
X = np.random.default_rng(0).normal(size=(40, 3))
def trained(**options):
    program = fg.compile(fg.topologies.layered([3, 4, 2], seed=3), executor="python", loss="squared_error")
    return program, fg.fit(program, X, X[:, :2], epochs=9, seed=1, **options)
def narrow(row):
    if row["epoch"] == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size // 2, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    program, history = trained(checkpoint=file, on_epoch=narrow)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert program.theta.tobytes() == trained()[0].theta.tobytes()
assert len(history) == 9 and history.reason == "finished"
assert checkpoint.Checkpoint(file).load()["epoch"] == 3
print([str(each.message) for each in said])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (message,) = eval(done.stdout)
    assert message.endswith("the last whole one is of epoch 3; training goes on")
    assert [path.name for path in tmp_path.iterdir()] == ["fit.ckpt"], "what was half written is gone"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks: nothing counts as left behind")
def test_what_a_killed_writer_left_goes_and_a_living_ones_stays(tmp_path: Path, train: Any) -> None:
    names = [f".flowgrad-{k:016x}.tmp" for k in range(3)]
    dead, living, young = (tmp_path / name for name in names)
    other = tmp_path / ".flowgrad-mine.tmp"
    for path in (dead, living, young, other):
        path.write_bytes(b"half")
    for path in (dead, living, other):
        os.utime(path, (1, 1))
    with living.open("rb") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        train(checkpoint=tmp_path / "fit.ckpt")
    assert {path.name for path in tmp_path.iterdir()} == {living.name, young.name, other.name, "fit.ckpt"}


def test_a_history_says_of_which_epoch_its_weights_are(
    tmp_path: Path, train: Any, program_of: Any, data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train()[1].weights_of == "epoch 6"
    stopped = train(validation=0.3, patience=6)[1]
    assert stopped.weights_of == f"epoch {stopped.best_epoch}"
    program, history = train(on_epoch=at(3, KeyboardInterrupt()))
    assert history.weights_of == "epoch 3"
    assert program.theta.tobytes() == train(epochs=6, on_epoch=at(3, fg.StopTraining()))[0].theta.tobytes()

    def interrupts(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return own(*arguments)

    calls: list[int] = []
    program = program_of("python")
    own = program._differentiate
    monkeypatch.setattr(program, "_differentiate", interrupts)
    history = fg.fit(program, *data_of(), **OPTIONS)
    assert (history.reason, history.weights_of) == ("interrupted", f"within epoch {len(history) + 1}")
    file = tmp_path / "fit.ckpt"
    assert train(checkpoint=file, on_epoch=at(3, KeyboardInterrupt()))[1].weights_of == "epoch 2"
    assert train(checkpoint=file, resume=True)[1].weights_of == "epoch 6"
    assert train(checkpoint=file, resume=True)[1].weights_of == "epoch 6", "a finished one"


def test_an_interrupt_goes_back_to_the_last_epoch_which_the_file_has(tmp_path: Path, train: Any) -> None:
    file = tmp_path / "fit.ckpt"
    whole, all_of_it = train()
    program, history = train(checkpoint=file, on_epoch=at(4, KeyboardInterrupt()))
    assert (history.reason, len(history)) == ("interrupted", 3)
    saved = checkpoint.Checkpoint(file).load()
    assert saved is not None
    assert (saved["theta"] == program.theta).all()
    program, history = train(checkpoint=file, resume=True)
    assert (program.theta == whole.theta).all()
    assert rows(history) == rows(all_of_it)


def test_a_finished_training_is_there_at_once(tmp_path: Path, train: Any) -> None:
    file, heard = tmp_path / "fit.ckpt", list[Any]()
    whole, all_of_it = train(checkpoint=file)
    program, history = train(checkpoint=file, resume=True, on_epoch=heard.append)
    assert (history.rows, heard) == (all_of_it.rows, [])
    assert (program.theta == whole.theta).all()


def test_more_epochs_are_the_longer_training_where_its_rates_are_the_same(tmp_path: Path, train: Any) -> None:
    file, constant = tmp_path / "fit.ckpt", {"schedule": None}
    train(checkpoint=file, **constant)
    program, history = train(checkpoint=file, resume=True, epochs=9, **constant)
    whole, all_of_it = train(epochs=9, **constant)
    assert (program.theta == whole.theta).all()
    assert rows(history) == rows(all_of_it)
    with pytest.raises(ConfigError, match=r"epochs=5.*holds 9"):
        train(checkpoint=file, resume=True, epochs=5, **constant)
    train(checkpoint=file)
    with pytest.raises(ConfigError, match=r"of another schedule: rate 0.00.* in epoch 2"):
        train(checkpoint=file, resume=True, epochs=9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"batch_size": 7}, "batch_size=8 there, 7 here"),
        ({"seed": 1}, "seed=0 there, 1 here"),
        ({"dropout": 0.1}, "dropout=0.2 there, 0.1 here"),
        ({"optimizer": fg.optimizers.Adam(beta1=0.8)}, "optimizer.beta1=0.9 there, 0.8 here"),
        ({"l2": 0.1}, "its l2 is another one"),
        ({"metrics": ["rmse"]}, "metrics=.* there, .*'rmse'.* here"),
        ({"validation": 0.25}, "validation=None there, 0.25 here"),
    ],
)
def test_another_setting_is_refused_by_its_name(tmp_path: Path, train: Any, changed: Any, said: str) -> None:
    train(checkpoint=tmp_path / "fit.ckpt", epochs=1)
    with pytest.raises(ConfigError, match=said):
        train(checkpoint=tmp_path / "fit.ckpt", epochs=1, resume=True, **changed)


def test_another_network_or_other_data_are_refused(tmp_path: Path, train: Any, data_of: Any) -> None:
    file, (X, T) = tmp_path / "fit.ckpt", data_of()
    train(checkpoint=file, epochs=1)

    def again(X: Any, hidden: int, activation: str = "tanh") -> None:
        net = fg.topologies.layered([3, hidden, 2], activation=activation, seed=3)
        fg.fit(fg.compile(net, executor="python", loss="squared_error"), X, T, **OPTIONS, checkpoint=file, resume=True)

    for said, given in (("nodes=9 there, 10", (X, 5)), ("its network", (X, 4, "relu")), ("its X is", (X + 1.0, 4))):
        with pytest.raises(ConfigError, match=said):
            again(*given)


def test_a_file_that_is_damaged_or_no_checkpoint_is_refused_and_stays(tmp_path: Path, train: Any) -> None:
    file = tmp_path / "fit.ckpt"
    train(checkpoint=file, epochs=1)
    good = file.read_bytes()
    for bad in (good[:-1], good[:40], b"", good[:99] + bytes([good[99] ^ 1]) + good[100:]):
        file.write_bytes(bad)
        with pytest.raises(FileError, match=r"fit.ckpt is truncated or altered"):
            train(checkpoint=file, resume=True)
    file.write_text("a letter, and no checkpoint of a training")
    with pytest.raises(FileError, match="is no checkpoint"):
        train(checkpoint=file)
    assert file.read_text().startswith("a letter")
    with pytest.raises(ConfigError, match="resume=True: needs checkpoint"):
        train(resume=True)


def test_a_full_disk_is_one_warning_that_names_the_last_whole_one(
    tmp_path: Path, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "LEAST", 0.0)
    file, put, whole = tmp_path / "fit.ckpt", checkpoint.put, train()[0]

    def full(path: Path, parts: Any) -> None:
        if file.exists() and (checkpoint.Checkpoint(file).load() or {})["epoch"] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(path, parts)

    monkeypatch.setattr(checkpoint, "put", full)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        program, history = train(checkpoint=file)
    assert [str(each.message) for each in said if each.category is CheckpointWarning] == [
        f"checkpoint {file} cannot be written: no space left on device; the last whole one is of epoch 2; "
        "training goes on"
    ]
    assert history.reason == "finished"
    assert (program.theta == whole.theta).all()


def test_handlers_are_set_for_a_checkpoint_alone_and_put_back(tmp_path: Path, train: Any) -> None:
    seen = list[Any]()
    for options in ({}, {"checkpoint": tmp_path / "fit.ckpt"}):
        before = signal.getsignal(signal.SIGTERM)
        train(on_epoch=lambda row: seen.append(signal.getsignal(signal.SIGTERM)), epochs=1, **options)
        assert signal.getsignal(signal.SIGTERM) is before
    assert seen[0] is signal.SIG_DFL
    assert seen[1] is not signal.SIG_DFL


def test_a_callback_ends_training(tmp_path: Path, train: Any) -> None:
    file = tmp_path / "fit.ckpt"
    program, history = train(checkpoint=file, on_epoch=at(2, fg.StopTraining()))
    assert (history.reason, len(history)) == ("stopped", 2)
    again, same = train(checkpoint=file, resume=True)
    assert (same.reason, same.rows) == ("stopped", history.rows)
    assert (again.theta == program.theta).all()


def test_a_theta_that_a_callback_assigns_is_gone_on_from(program_of: Any, data_of: Any) -> None:
    moved, plain = program_of("python"), program_of("python")

    def zero(row: dict[str, float]) -> None:
        if row["epoch"] == 1:
            moved.theta = np.zeros_like(moved.theta)

    one: dict[str, Any] = {"epochs": 2, "optimizer": "sgd", "shuffle": False}
    fg.fit(moved, *data_of(), **one, on_epoch=zero)
    plain.theta = np.zeros_like(plain.theta)
    fg.fit(plain, *data_of(), **(one | {"epochs": 1}))
    assert (moved.theta == plain.theta).all()
