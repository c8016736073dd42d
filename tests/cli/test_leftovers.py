"""What killed runs leave behind: later runs of the same name clear it, and nothing that is alive."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.runs import claims, live
from flowgrad.runs import folder as folders
from flowgrad.runs.models import save_run

pytest.importorskip("fcntl", reason="this system has no locks that end with their process")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def network(seed: int) -> fg.Network:
    return fg.topologies.layered([2, 3, 1], seed=seed)


def write(name: str, seed: int, *, epochs: bool = True) -> Path:
    """A run folder; without epochs as it is before its first one has ended."""

    def fill(part: Path) -> None:
        save_run(part, fg.Model(network(seed)))
        live.save_metrics(part, [{"epoch": 1, "loss": 0.5}] if epochs else [])

    return folders.write(Path(name), name, fill)


def is_of(seed: int, folder: Path = Path("a")) -> bool:
    found = fg.load(folder / "network.json").columns.weights
    return bool(np.array_equal(found, network(seed).columns.weights))


def names() -> set[str]:
    return {path.name for path in Path().iterdir()}


KILLED = """
import sys, time
from pathlib import Path
import flowgrad as fg
from flowgrad.runs import folder as folders
from flowgrad.runs import live
model = fg.Model(fg.topologies.layered([2, 3, 1], seed=5))
if sys.argv[1] == "writing":
    def fill(part):
        (part / "network.json").write_text("{")
        print("there", flush=True)
        time.sleep(600)
    folders.write(Path("a"), "a", fill)
with live.Training(Path("a"), "a", True, model, lambda folder, place: None) as run:
    run.start(fg.compile(model.network, executor="python"))
    if sys.argv[1] == "epoch":
        run._place.drop_old = lambda: None  # killed on the way from the first epoch to there
        run.epoch({"epoch": 1, "loss": 0.5, "seconds": 0.1})
    print("there", flush=True)
    time.sleep(600)
"""


@contextmanager
def process(what: str) -> Iterator[Any]:
    """A process that holds a run called a, at some point of its life; killed at the end of the block."""
    started = subprocess.Popen([sys.executable, "-c", KILLED, what], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "there\n"
        yield started
    finally:
        started.send_signal(signal.SIGKILL)
        started.communicate()


def test_a_half_written_folder_goes_with_the_next_run_of_that_name_only() -> None:
    with process("writing"):
        (part,) = names()
        assert part.startswith(".a.")
        write("a", 1)
        assert names() == {"a", part}, "it belongs to a living process"
    write("b", 1)
    write("a.b", 1)
    assert part in names()
    with pytest.raises(fg.FlowgradError, match="a exists"):
        write("a", 2)
    assert names() == {"a", "b", "a.b"}
    assert is_of(1)


def test_an_older_run_comes_back_where_its_successor_was_killed_before_an_epoch() -> None:
    write("a", 1)
    with process("start"):
        assert is_of(5)
        folders.clear(Path("a"))
        assert len(names()) == 2, "both belong to a living process"
        assert is_of(5)
    folders.clear(Path("a"))
    assert names() == {"a"}
    assert is_of(1)


def test_an_older_run_goes_where_its_successor_has_an_epoch() -> None:
    write("a", 1)
    with process("epoch"):
        pass
    assert len(names()) == 2
    folders.check_target(Path("a"), overwrite=True)
    assert names() == {"a"}
    assert is_of(5)


def test_an_older_run_comes_back_where_nothing_took_its_place() -> None:
    write("a", 1)
    Path("a").rename(claims.hidden(Path("a"), "old"))
    with pytest.raises(fg.FlowgradError, match="a exists"):
        write("a", 2)
    assert is_of(1)


def test_a_run_without_a_folder_clears_what_it_passes() -> None:
    for name in ("a", "a-2", "a-3"):
        path = Path("runs") / name
        path.parent.mkdir(exist_ok=True)
        claims.hidden(path, "part").mkdir()
    write("runs/a", 1)
    assert folders.write(None, "a", lambda part: None) == Path("runs/a-2")
    assert len(list(Path("runs").glob(".a-3.*.part"))) == 1
    assert len(list(Path("runs").iterdir())) == 3


def test_what_is_no_run_is_never_removed_for_an_older_one() -> None:
    write("a", 1)
    Path("a").rename(claims.hidden(Path("a"), "old"))
    Path("a").mkdir()
    Path("a/notes.txt").write_text("mine")
    folders.clear(Path("a"))
    assert Path("a/notes.txt").read_text() == "mine"
    assert len(names()) == 2


def test_a_run_that_replaces_one_that_trains_leaves_it_alone() -> None:
    program = fg.compile(network(1), executor="python")
    with live.Training(Path("a"), "a", True, fg.Model(network(1)), lambda folder, place: None) as first:
        first.start(program)
        with live.Training(Path("a"), "a", True, fg.Model(network(2)), lambda folder, place: None) as second:
            second.start(fg.compile(network(2), executor="python"))
            folders.clear(Path("a"))
            assert len(names()) == 2
            second.epoch({"epoch": 1, "loss": 0.5, "seconds": 0.1})
        first.epoch({"epoch": 1, "loss": 0.5, "seconds": 0.1})
    assert names() == {"a"}
    assert is_of(2)


def test_locks_end_with_their_run() -> None:
    with live.Training(Path("a"), "a", True, fg.Model(network(1)), lambda folder, place: None) as run:
        run.start(fg.compile(network(1), executor="python"))
        run.epoch({"epoch": 1, "loss": 0.5, "seconds": 0.1})
        with pytest.raises(BlockingIOError):
            claims.lock(Path("a"))
    claims.release(claims.lock(Path("a")))


def test_what_cannot_be_locked_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    left = claims.hidden(Path("a"), "part")
    left.mkdir()
    monkeypatch.setattr(claims, "fcntl", None)
    write("a", 1)
    assert names() == {"a", left.name}


def test_a_folder_that_was_cleared_before_it_was_locked_is_made_again() -> None:
    made = []

    def make(path: Path) -> None:
        path.mkdir()
        made.append(path)
        if len(made) == 1:
            folders.clear(Path("a"))

    path, lock = claims.claim(Path("a"), make)
    assert (path, len(made)) == (made[1], 2)
    assert names() == {path.name}
    claims.release(lock)
