"""Calls of programs that are shared among threads: when, with what results, and in processes that fork and end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.executors._numba import jobs, threads
from flowgrad.executors._numba.update import ALONE, Updater
from flowgrad.maths.updates import Update

pytestmark = pytest.mark.usefixtures("empty_pool")


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.001)


# ---- when ---------------------------------------------------------------------------------------------------


def test_calls_are_shared_as_long_as_that_is_faster() -> None:
    """By the means of both durations; the first call, which may compile, and single stalls decide nothing for long."""

    def share(shared: float, alone: float, calls: int, stall: int = -1) -> int:
        """The number of calls that are shared of so many, which take so long; call `stall` takes a thousandfold."""
        found = 0
        for k in range(calls):
            slots = pace.slots(4)
            assert slots in (1, 4)
            pace.took((shared if slots > 1 else alone) * (1000 if k == stall else 1), slots - 1)
            found += slots > 1
        return found

    pace = jobs.Pace()
    pace.slots(4)
    pace.took(5.0, 3)
    assert share(shared=80e-6, alone=120e-6, calls=1000) > 950
    assert share(shared=80e-6, alone=120e-6, calls=4000, stall=10) > 2500
    assert share(shared=300e-6, alone=120e-6, calls=2000) < 60  # another process has come
    assert share(shared=80e-6, alone=120e-6, calls=10_000) > 6000  # and gone


NET = fg.topologies.layered([8, 60, 60, 3], seed=1)


def call_often(batch: int, enough: Callable[[], object], calls: int = 3000) -> None:
    program = fg.compile(NET, loss="squared_error", executor="numba", threads=2)
    X, T = np.ones((batch, 8)), np.ones((batch, 3))
    for _ in range(calls):
        program.value_and_grad(program.theta, X, T)
        if enough():
            return


def test_short_calls_in_a_loop_wake_a_helper_and_the_shortest_do_not() -> None:
    call_often(60, lambda: threads._helpers)
    assert not threads._helpers
    until(lambda: call_often(200, lambda: threads._helpers) or threads._helpers)


def test_a_pass_over_many_parameters_is_shared() -> None:
    updates, update = Updater(np.dtype(np.float64), 2), Update("plain")
    for slots in (ALONE // 2, ALONE):
        n = updates.room(slots)
        ones, rows = np.ones(n), np.zeros((update.rows, n))
        assert updates.advance(update, ones, ones, np.zeros(n), rows, (1.0,) * update.constants)
        if slots < ALONE:
            assert not threads._helpers
    until(lambda: threads._helpers)


# ---- processes -----------------------------------------------------------------------------------------------


BEGIN = """
    import atexit, multiprocessing, os, sys, threading, time, warnings
    import numpy as np, flowgrad as fg
    from flowgrad.executors._numba import threads
    net = fg.topologies.layered([8, 60, 60, 3], seed=1)
    program = fg.compile(net, loss="squared_error", executor="numba", threads=3)
    X, T = np.ones((600, 8)), np.ones((600, 3))
    def work(_=0):
        return program.value_and_grad(program.theta, X, T)[0]
"""


def succeeds(script: str, tmp_path: Any) -> str:
    """Run a script in a process of its own; what it prints."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_every_way_of_multiprocessing(tmp_path: Any) -> None:
    script = """
    if __name__ == "__main__":
        warnings.simplefilter("ignore")
        want = work()
        while set(threads._helpers) != {1, 2}:
            time.sleep(0.001)
        for method in multiprocessing.get_all_start_methods():
            with multiprocessing.get_context(method).Pool(2) as pool:
                assert pool.map(work, range(4)) == [want] * 4, method
    """
    assert succeeds(BEGIN + script, tmp_path) == ""


def test_a_process_ends_while_jobs_run_and_helpers_look_for_more(tmp_path: Any) -> None:
    """And what is called by handlers at exit is computed."""
    script = """
    want = work()
    def often():
        while True:
            work()
    for _ in range(3):
        threading.Thread(target=often, daemon=True).start()
    atexit.register(lambda: os.write(1, b"handler %d\\n" % (work() == want)))
    time.sleep(0.2)
    """
    assert succeeds(BEGIN + script, tmp_path) == "handler 1\n"


# ---- results ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [40, 200, 600])
def test_helpers_that_come_and_go_change_no_bit(batch: int) -> None:
    """Batches of calls that only a polling helper joins, and of one that wakes helpers."""
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((batch, 8)), rng.standard_normal((batch, 3))
    alone, together = (fg.compile(NET, loss="squared_error", executor="numba", threads=n) for n in (1, 3))
    loss, gradient = alone.value_and_grad(alone.theta, X, T)
    for _ in range(100):
        again, other = together.value_and_grad(alone.theta, X, T)
        assert again == loss
        assert np.array_equal(np.asarray(other), np.asarray(gradient))
