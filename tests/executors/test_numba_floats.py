"""Numbers below the smallest normal one: kept forward, 0 backward, whatever mode the caller's thread is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import engine, memory
from flowgrad.executors._numba.compiled import kernel

RAISED = 0x3F
"""What has happened so far, which the same register of an x86 says."""


def chain(*weights: float) -> fg.Network:
    n = len(weights)
    return fg.Network.from_arrays(np.arange(n), np.arange(1, n + 1), weight=weights, activation="identity", inputs=[0])


@pytest.fixture(scope="module")
def mode() -> Callable[[int], int]:
    """Sets this thread's mode, and gives what it was."""

    @kernel
    def exchange(new: int) -> int:
        before = memory.float_mode()
        memory.set_float_mode(new)
        return before

    found: Callable[[int], int] = exchange
    return found


@pytest.fixture
def flushing(mode: Callable[[int], int]) -> Iterator[None]:
    """A thread as a library that was compiled for speed at any price leaves it."""
    before = mode(memory.FLUSH)
    yield
    mode(before)


def test_a_result_may_be_smaller_than_the_smallest_normal_number() -> None:
    p = fg.compile(chain(1e-20, 1e-20), executor="numba", dtype="float32")
    assert p.predict(np.ones((3, 1)))[0, 0] == np.float32(1e-20) * np.float32(1e-20) != 0


@pytest.mark.skipif(memory.FLUSH == memory.IEEE, reason="this machine has no mode that takes them for 0")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_below_the_smallest_normal_number_are_0(dtype: str) -> None:
    tiny = float(np.finfo(dtype).tiny) ** 0.5
    p = fg.compile(chain(1.0, tiny / 8, tiny / 8), executor="numba", dtype=dtype, loss="squared_error")
    _, g = p.value_and_grad(p.theta, np.ones((3, 1)), -np.ones((3, 1)))
    first, rest = p.theta_index.weight[0, 1], p.theta_index.weight[1, 2]
    assert g[first] == 0
    assert g[rest] == pytest.approx(tiny / 8, rel=1e-6)


@pytest.mark.usefixtures("flushing")
def test_the_mode_of_the_callers_thread_changes_no_bit(
    mode: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LITTLE", 0)
    x = np.linspace(0.5, 2.0, 200, dtype=np.float32)[:, None]
    for threads in (1, 2, 5):
        p = fg.compile(chain(1e-20, 1e-20), executor="numba", dtype="float32", threads=threads)
        for _ in range(20):
            y = p.predict(x)
        before = mode(memory.IEEE)
        assert before | RAISED == memory.FLUSH | RAISED  # given back
        np.testing.assert_array_equal(y, np.float32(1e-20) * (np.float32(1e-20) * x))
        assert (y > 0).all()
        mode(before)
