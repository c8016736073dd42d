"""`fit(run_folder=)`: a training in Python is followed, opened and gone on with as that of `flowgrad train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileError
from flowgrad.runs.models import cut_short, weights_of

pytest.importorskip("safetensors", reason="safetensors is not installed: pip install 'flowgrad[safetensors]'")
OPTIONS: dict[str, Any] = {"epochs": 6, "batch_size": 8}


@pytest.fixture
def train(program_of: Any, data_of: Any) -> Any:
    def made(**options: Any) -> tuple[fg.Program, fg.History]:
        program = program_of("python")
        return program, fg.fit(program, *data_of(), **(OPTIONS | options))

    return made


def at(epoch: int, call: Any) -> Any:
    return lambda row: call() if row["epoch"] == epoch else None


def interrupt() -> None:
    raise KeyboardInterrupt


def test_the_page_follows_it_while_it_runs_and_after(tmp_path: Path, train: Any) -> None:
    followed = pytest.importorskip("flowgrad.cli._followed", reason="the command line is not installed")
    folder, seen = tmp_path / "mine", []

    def look() -> None:
        page = followed.Followed(lambda: fg.load_model(folder), folder, None, 0)
        record = page.record()
        seen.append((record["state"]["reason"], record["history"]["epoch"], cut_short(folder)))

    program, history = train(run_folder=folder, callbacks=[_Calls(at(3, look))])
    look()
    (reason, epochs, early), (after, all_epochs, late) = seen
    assert (reason, epochs[:2], after, all_epochs) == (None, [1.0, 2.0], "finished", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert early == f"the training in {folder} has not ended: its weights are from epoch 1"
    assert late is None
    assert weights_of(folder) == history.weights_of == "epoch 6"
    np.testing.assert_array_equal(fg.load_model(folder).network.columns.weights, program.network().columns.weights)
    assert json.loads((folder / "summary.json").read_text())["weights_of"] == "epoch 6"
    with pytest.raises(FileError, match="mine exists"):
        train(run_folder=folder)


class _Calls:
    """A callback that is heard before the run folder's own."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def begin(self, settings: Any) -> None: ...

    def epoch(self, row: Any) -> None:
        self._call(row)

    def end(self, history: Any, error: Any) -> None: ...


def test_what_was_cut_off_is_gone_on_with_in_its_folder(tmp_path: Path, train: Any) -> None:
    folder, whole = tmp_path / "mine", tmp_path / "whole"
    options = {"checkpoint": tmp_path / "fit.ckpt", "resume": True}
    _, first = train(run_folder=folder, on_epoch=at(4, interrupt), **options)
    assert (first.reason, len(first)) == ("interrupted", 3)
    assert cut_short(folder) == f"the training in {folder} was interrupted: its weights are from epoch 3"
    program, _ = train(run_folder=folder, **options)
    uninterrupted, _ = train(run_folder=whole)
    assert program.theta.tobytes() == uninterrupted.theta.tobytes()
    lines = [
        [line.rsplit(",", 1)[0] for line in (place / "metrics.csv").read_text().splitlines()]
        for place in (folder, whole)
    ]
    assert lines[0] == lines[1]
    assert cut_short(folder) is None
    assert weights_of(folder) == "epoch 6"


def test_a_number_that_is_not_finite_is_kept_with_its_place(tmp_path: Path, train: Any) -> None:
    folder = tmp_path / "mine"
    with pytest.raises(fg.FlowgradError, match="epoch 1"):
        train(run_folder=folder, optimizer="sgd", learning_rate=1e300)
    assert weights_of(folder) == "within epoch 1"
    assert cut_short(folder) == f"the training in {folder} was stopped: its weights are from within epoch 1"
