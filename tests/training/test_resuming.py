"""Going on: whatever decides θ is refused by its name where it is another, and what may change changes no bit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import schedules
from flowgrad.errors import ConfigError, FileError
from flowgrad.fitting.checkpoint import MAY_CHANGE, Checkpoint

X = np.random.default_rng(0).normal(size=(40, 3))
CLASSES = (X[:, 0] > 0).astype(int)
FIRST = {"epochs": 3, "batch_size": 8, "learning_rate": 0.02}


def made(seed: int = 3, **options: Any) -> fg.Program:
    net = fg.topologies.layered([3, 4, 2], seed=seed)
    return fg.compile(net, **{"executor": "python", "loss": "cross_entropy", **options})


def trained(program: fg.Program | None = None, **options: Any) -> tuple[fg.Program, fg.History]:
    program = made() if program is None else program
    given = {"X": X, "T": CLASSES, **FIRST, **options}
    return program, fg.fit(program, given.pop("X"), given.pop("T"), **given)


OTHERS: dict[str, list[tuple[Any, str]]] = {
    "program": [
        (made(4), "its θ at the start"),
        (made(reduction="sum"), "reduction='mean' there"),
        (made(dtype="float32"), "dtype='float64' there"),
    ],
    "X": [(X + 1e-9, "its X is"), (X[::-1], "its X is")],
    "T": [(1 - CLASSES, "its T is")],
    "optimizer": [("sgd", "optimizer='Adam' there"), (fg.optimizers.Adam(beta2=0.9), "optimizer.beta2=0.999 there")],
    "learning_rate": [(0.03, "learning_rate=0.02 there"), (None, "learning_rate=0.02 there, 0.01 here")],
    "batch_size": [(7, "batch_size=8 there")],
    "seed": [(1, "seed=0 there")],
    "shuffle": [(False, "shuffle=True there"), (16, "shuffle=True there")],
    "sample_weight": [(np.arange(1.0, 41.0), "its sample_weight is")],
    "validation": [(0.25, "validation=None there, 0.25 here"), ((X, CLASSES), "validation=None there, 'data' here")],
    "patience": [(2, "patience=None there, 2 here")],
    "metrics": [(["accuracy"], "metrics=")],
    "l1": [(0.1, "its l1 is"), ({"biases": 0.1}, "its l1 is")],
    "l2": [(0.1, "its l2 is"), ([(0, 0.1)], "its l2 is")],
    "schedule": [
        ("constant", "schedule=None there"),
        (lambda epoch: 1.0, "schedule=None there"),
        ("step", "schedule="),
    ],
    "clip": [(1.0, "clip=None there")],
    "clip_value": [(1.0, "clip_value=None there")],
    "constraints": [({"weights": (-9, 9)}, "its constraints is")],
    "dropout": [(0.1, "dropout=0.0 there")],
    "input_dropout": [(0.1, "input_dropout=0.0 there")],
    "class_weight": [("balanced", "class_weight=None there"), ({0: 1.0}, "class_weight=None there")],
    "label_smoothing": [(0.1, "label_smoothing=0.0 there")],
}


def test_every_argument_is_refused_by_name_or_may_change_on_purpose() -> None:
    assert set(inspect.signature(fg.fit).parameters) == {*OTHERS, *MAY_CHANGE}
    assert not set(OTHERS) & set(MAY_CHANGE)


@pytest.mark.parametrize("name", OTHERS)
def test_what_decides_theta_is_refused_where_it_is_another(tmp_path: Path, name: str) -> None:
    file = tmp_path / "fit.ckpt"
    trained(checkpoint=file)
    before = file.read_bytes()
    for value, said in OTHERS[name]:
        more = {"validation": 0.25} if name == "patience" else {}
        if more:
            trained(checkpoint=file, **more)
        with pytest.raises(ConfigError) as caught:
            trained(**{"checkpoint": file, "resume": True, "epochs": 5, **more, name: value})
        assert f"is of another training: {said}" in str(caught.value)
        assert more or file.read_bytes() == before, "a refused file stays as it is"


def test_a_schedule_of_functions_is_told_by_what_it_encloses(tmp_path: Path) -> None:
    file = tmp_path / "fit.ckpt"
    trained(checkpoint=file, schedule=schedules.step(30))  # three epochs, whose rates are those of step(31)
    with pytest.raises(ConfigError, match=r"schedule\.every=30 there, 31 here"):
        trained(checkpoint=file, schedule=schedules.step(31), resume=True, epochs=40)
    assert len(trained(checkpoint=file, schedule=schedules.step(30), resume=True, epochs=4)[1]) == 4


def test_the_other_parts_of_validation_are_named(tmp_path: Path) -> None:
    file, s = tmp_path / "fit.ckpt", np.ones(40)
    trained(checkpoint=file, validation=(X, CLASSES, s))
    for held, said in (
        ((X + 1, CLASSES, s), "X"),
        ((X, 1 - CLASSES, s), "T"),
        ((X, CLASSES, s + np.arange(40)), "sample_weight"),
    ):
        with pytest.raises(ConfigError, match=f"its validation {said} is"):
            trained(checkpoint=file, validation=held, resume=True)


def test_what_may_change_changes_no_bit(tmp_path: Path) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'flowgrad[safetensors]'")
    file, heard = tmp_path / "fit.ckpt", list[Any]()
    trained(checkpoint=file)
    moved = tmp_path / "moved.ckpt"
    file.rename(moved)
    other = {"on_epoch": heard.append, "checkpoint": moved, "resume": True, "run_folder": tmp_path / "run"}
    program, _ = trained(made(threads=1), **(other | {"epochs": 5, "callbacks": ()}))
    assert len(heard) == 2
    assert program.theta.tobytes() == trained(epochs=5)[0].theta.tobytes()


@pytest.mark.parametrize(
    "options",
    [{}, {"validation": 0.25, "patience": 1, "learning_rate": 0.5}, {"constraints": {"weights": "sign"}}],
    ids=["plain", "best", "sign"],
)
def test_the_program_that_was_trained_goes_on_itself(tmp_path: Path, options: Any) -> None:
    # as in a notebook: its θ is that of the end, and signs are still those of the start
    file, options = tmp_path / "fit.ckpt", {"learning_rate": 0.2, **options}
    program, _ = trained(checkpoint=file, epochs=6, **options)
    program, _ = trained(program, checkpoint=file, resume=True, epochs=12, **options)
    whole, _ = trained(epochs=12, **options)
    assert program.theta.tobytes() == whole.theta.tobytes()
    program.theta = program.theta + 1e-12
    with pytest.raises(ConfigError, match=r"its (θ at the start|constraints) is another one"):
        trained(program, checkpoint=file, resume=True, epochs=14, **options)


def test_what_else_a_checkpoint_is_told_must_be_the_same(tmp_path: Path) -> None:
    file = tmp_path / "fit.ckpt"
    trained(checkpoint=Checkpoint(file, {"test data": "a"}))
    trained(checkpoint=Checkpoint(file, {"test data": "a"}), resume=True)
    for other in (Checkpoint(file, {"test data": "b"}, "say so"), file):
        with pytest.raises(ConfigError, match="its test data is another one"):
            trained(checkpoint=other, resume=True)


# ---- in a run folder -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, "fit.ckpt", "mine.ckpt", "below/mine.ckpt"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_checkpoint_lies_in_its_run_folder(tmp_path: Path, inside: Any, resume: bool) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'flowgrad[safetensors]'")
    folder = tmp_path / "runs" / "mine"
    given = {"run_folder": folder, "checkpoint": True if inside is True else folder / inside}
    first, _ = trained(resume=resume, **given)
    assert (folder / ("fit.ckpt" if inside is True else inside)).exists()
    assert fg.load_model(folder).network.columns.weights.tolist() == first.network().columns.weights.tolist()
    with pytest.raises(FileError, match="mine exists: name another folder") as caught:
        trained(**given)
    assert "--" not in str(caught.value), "Python has arguments, not options"
    program, history = trained(**given, resume=True, epochs=5)
    assert len(history) == 5
    assert program.theta.tobytes() == trained(epochs=5)[0].theta.tobytes()
    assert len((folder / "metrics.csv").read_text().splitlines()) == 6


def test_a_folder_that_was_cut_off_before_its_checkpoint_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'flowgrad[safetensors]'")
    folder = tmp_path / "mine"
    trained(run_folder=folder, checkpoint=True)
    (folder / "fit.ckpt").unlink()
    (folder / "summary.json").unlink()
    program, history = trained(run_folder=folder, checkpoint=True, resume=True)
    assert len(history) == 3
    assert (folder / "fit.ckpt").exists()
    assert program.theta.tobytes() == trained()[0].theta.tobytes()
    (folder / "fit.ckpt").unlink()
    with pytest.raises(FileError, match="mine exists"):  # a training that ended is not replaced
        trained(run_folder=folder, checkpoint=True, resume=True)


def test_a_refused_run_folder_leaves_an_older_checkpoint_alone(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("mine")
    trained(checkpoint=tmp_path / "fit.ckpt")
    before = (tmp_path / "fit.ckpt").read_bytes()
    with pytest.raises(FileError, match="taken exists"):
        trained(checkpoint=tmp_path / "fit.ckpt", run_folder=tmp_path / "taken", epochs=9)
    assert (tmp_path / "fit.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"checkpoint": True}, "checkpoint=True: needs run_folder"),
        ({"checkpoint": 3}, "checkpoint=3: give a path"),
        ({"checkpoint": ""}, "checkpoint='': give a path"),
        ({"run_folder": 3}, "run_folder=3: give a path"),
        ({"run_folder": ""}, "run_folder='': give a path"),
        ({"run_folder": True}, "run_folder=True: give a path"),
        ({"resume": True}, "resume=True: needs checkpoint"),
        ({"resume": True, "checkpoint": False}, "resume=True: needs checkpoint"),
    ],
)
def test_places_that_are_none_are_named(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trained(**given)
    assert str(caught.value).startswith(said)
