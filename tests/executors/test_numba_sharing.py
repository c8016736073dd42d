"""A helper that has lost its core leaves what it has begun to a caller that waits; the bits stay the same."""

from __future__ import annotations

import ctypes
import random
import threading
import time
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import kernel, phases, pool
from flowgrad.executors._numba.code import code

pytestmark = pytest.mark.skipif(
    not pool.posix("clock_gettime"), reason="without such a clock helpers leave no work to anybody"
)

Clock = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)


@Clock
def lost(clock: int, said: int) -> None:
    """A clock by which no thread ever has a core: only the wall's goes on."""
    words = (ctypes.c_int64 * 2).from_address(said)
    words[0], words[1] = (int(time.monotonic_ns()), 0) if clock == time.CLOCK_MONOTONIC else (0, 0)


ADDRESS = ctypes.cast(lost, ctypes.c_void_p).value or 0


def program(rows: int) -> tuple[fg.Program, Any, Any]:
    """A chain of 80 layers of ten, each of its own activation or its neighbours', so that it has many runs."""
    rng, layers = np.random.default_rng(0), 80
    target = np.repeat(np.arange(10, 10 * layers), 6)
    source = (target // 10 - 1) * 10 + np.tile(np.array([0, 2, 3, 5, 7, 8]), len(target) // 6)
    names = ["tanh" if v // 10 % 3 else "sigmoid" for v in range(10 * layers)]
    net = fg.Network.from_arrays(source, target, inputs=np.arange(10), n_nodes=10 * layers, activation=names)
    p = fg.compile(net, executor="numba", loss="squared_error", threads=2)
    return p, rng.standard_normal((rows, len(p.inputs))), rng.standard_normal((rows, len(p.outputs)))


@pytest.mark.parametrize("rows", [16, 300])
def test_backward_goes_on_from_any_run(rows: int) -> None:
    """One thread plays both: the word that asks for the work is set while the sweep runs."""
    p, x, t = program(rows)
    found = np.empty_like(p.theta)
    loss, want = p.value_and_grad(p.theta, x, t)
    p.value_and_grad(p.theta, x, t, out=found)
    k: Any = p.kernel
    (w,) = (w for ws in k._idle.values() for w in ws)
    asked = np.zeros(1, np.int64)
    w.set(wanted=asked.ctypes.data, clock=ADDRESS)
    step = pool.native(code(k.dtype, 16).kernel(phases.step))
    functions, items = (row.tolist() for row in w._phases[:, : w.get("phases")])
    runs = w.get("runs")
    stopped: set[int] = set()
    for _ in range(3000):
        found[:] = np.nan
        for function, count in zip(functions, items, strict=True):
            for item in range(count):
                if function != code(k.dtype, 16).kernel(phases.step):
                    pool.native(function)(w.address, item, 0)
                    continue
                asked[0] = 0
                threading.Timer(random.uniform(0, 3e-4), asked.fill, (1,)).start()
                step(w.address, item, 1)
                if w.works["given"][1]:
                    stopped.add(int(w.works["run"][1]))
                    w.works["given"][1] = 0
                    step(w.address, -1, 1)
                assert w.works["run"][1] == -1
        np.testing.assert_array_equal(found, want)
        if len(stopped) >= 3:
            break
    assert len(stopped) >= 3
    assert max(stopped) < runs
    assert loss > 0


def test_a_caller_that_waits_finishes_its_helpers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three chunks on two threads: whoever is last is waited for."""
    p, x, t = program(48)
    loss, want = p.value_and_grad(p.theta, x, t)
    monkeypatch.setattr(pool, "posix", lambda name: ADDRESS)
    monkeypatch.setattr(kernel, "ALONE", 0)
    monkeypatch.setattr(kernel, "SHARED", 0)
    words = pool.pool(kernel._serve())._words
    before = words[pool.GIVEN // pool.WORD]
    for _ in range(5000):
        found = p.value_and_grad(p.theta, x, t)
        assert found[0] == loss
        np.testing.assert_array_equal(found[1], want)
        if words[pool.GIVEN // pool.WORD] - before >= 5:
            break
    assert words[pool.GIVEN // pool.WORD] - before >= 5
    assert words[pool.WANTED // pool.WORD] == 0
