"""A helper that a stranger has put off its core finishes on that of its caller, which waits; the bits stay the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import cores, engine, operands, pool, running
from flowgrad.executors._numba.code import function

pytestmark = pytest.mark.skipif(
    not cores.System().complete, reason="where the system cannot move threads between cores they stay where they are"
)


def never(system: int, said: int, thread: int) -> Any:
    """By this clock no thread ever has a core."""
    return 1


def program(rows: int) -> tuple[fg.Program, Any, Any]:
    """A chain of 80 layers of ten."""
    rng, layers = np.random.default_rng(0), 80
    target = np.repeat(np.arange(10, 10 * layers), 6)
    source = (target // 10 - 1) * 10 + np.tile(np.array([0, 2, 3, 5, 7, 8]), len(target) // 6)
    names = ["tanh" if v // 10 % 3 else "sigmoid" for v in range(10 * layers)]
    net = fg.Network.from_arrays(source, target, inputs=np.arange(10), n_nodes=10 * layers, activation=names)
    p = fg.compile(net, executor="numba", loss="squared_error", threads=2)
    return p, rng.standard_normal((rows, len(p.inputs))), rng.standard_normal((rows, len(p.outputs)))


def calls() -> int:
    """How often a caller of this process has given its core to a helper."""
    return int(pool.pool(running.addresses)._words[pool.GIFTS // pool.WORD])


def helper_cores() -> set[int]:
    """Where the first helper may run."""
    return os.sched_getaffinity(pool.pool(running.addresses)._helpers[0][0].native_id or 0)


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers that give their core to any helper they have to wait for."""
    monkeypatch.setattr(pool, "core_time", never)
    monkeypatch.setattr(pool, "GLANCE", 8)
    monkeypatch.setattr(engine, "ALONE", 0)
    conduct = pool.native(function("a generous conduct", pool.conduct))
    monkeypatch.setattr(running, "conductor", lambda: conduct)
    monkeypatch.setattr(operands, "readable", lambda: False)  # whose calls have a conduct of their own


@pytest.mark.usefixtures("generous")
@pytest.mark.parametrize("rows", [48, 300])
def test_a_helper_finishes_on_the_core_of_its_caller(rows: int) -> None:
    p, x, t = program(rows)
    loss, want = fg.compile(p.network(), executor="numba", loss="squared_error", threads=1).value_and_grad(
        p.theta, x, t
    )
    before = calls()
    for _ in range(3000):
        found = p.value_and_grad(p.theta, x, t)
        assert found[0] == loss
        np.testing.assert_array_equal(found[1], want)
        if calls() - before >= 20:
            break
    assert calls() - before >= 20
    mine = os.sched_getaffinity(0)
    assert helper_cores() == mine or len(helper_cores()) == len(mine) - 1


@pytest.fixture
def strangers() -> Iterator[None]:
    """Two processes a core that keep every core but one busy."""
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("needs two cores")
    rest = sorted(mine)[1:]
    code = f"import os; os.sched_setaffinity(0, {rest})\nwhile True: pass"
    spinning = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2 * len(rest))]
    try:
        os.sched_setaffinity(0, {min(mine)})
        time.sleep(0.5)
        os.sched_setaffinity(0, mine)
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("strangers")
def test_beside_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers hold the helper's core for milliseconds: a step shorter than that calls the helper over."""
    monkeypatch.setattr(engine, "ALONE", 0)
    p, x, t = program(3000)
    loss, want = p.value_and_grad(p.theta, x, t)
    before = calls()
    for _ in range(2000):
        found = p.value_and_grad(p.theta, x, t)
        assert found[0] == loss
        np.testing.assert_array_equal(found[1], want)
        if calls() - before >= 3:
            break
    assert calls() - before >= 3


def test_a_caller_sleeps_only_on_what_it_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper may be done between two looks: on that nobody wakes who falls asleep."""
    words = np.zeros(pool.END // 8 + 8, np.int64)
    board = words.ctypes.data
    busy, states, slept = board + pool.BUSY + pool.WORD, iter([pool.AT_WORK, pool.IDLE, pool.AWAY]), []
    monkeypatch.setattr(pool, "atomic_get", lambda word: next(states) if word == busy else pool.i64_at(word, 0))
    monkeypatch.setattr(pool, "sleep_while", lambda system, word, value: slept.append((word, value)))
    monkeypatch.setattr(pool, "this_core", lambda system: 0)
    for name in ("bring_to", "step_aside", "send_away", "wake"):
        monkeypatch.setattr(pool, name, lambda *_: None)
    pool.give_core(board, 1)
    assert slept == [(busy, pool.AT_WORK), (busy, pool.IDLE)]
