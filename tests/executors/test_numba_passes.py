"""Work cut into pieces that threads take in turn: always all of it, and the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ExecutorError

pytest.importorskip("numba")

from flowgrad.executors._numba import engine, jobs, layout


def network(blocks: bool) -> fg.Network:
    """Four hundred neurons that reach back as far as they like, some of them dead; a dense block among them or none."""
    rng, n = np.random.default_rng(0), 420
    target = np.repeat(np.arange(20, n), 7)
    source = (rng.random(len(target)) * np.where(rng.random(len(target)) < 0.5, target, 20)).astype(np.int64)
    edges = np.unique(np.stack([target, source]), axis=1)
    if blocks:
        block = np.stack(np.meshgrid(np.arange(n, n + 30), np.arange(200, 240), indexing="ij")).reshape(2, -1)
        edges, n = np.concatenate([edges, block], axis=1), n + 30
    outputs = np.arange(n - 30, n)
    weight = 0.4 * rng.standard_normal(edges.shape[1])
    return fg.Network.from_arrays(
        edges[1], edges[0], weight=weight, inputs=np.arange(20), outputs=outputs, n_nodes=n, activation="tanh"
    )


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many of them, and other threads for every call."""
    monkeypatch.setattr(engine, "PIECE", 32)
    monkeypatch.setattr(engine, "LITTLE", 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.covering(blocks=[False, True], rows=[1, 30, 64, 300], dtype=["float32", "float64"], strength=2)
def test_whoever_takes_a_piece_the_bits_are_the_same(blocks: bool, rows: int, dtype: str) -> None:
    net, rng = network(blocks), np.random.default_rng(1)
    x, t = rng.standard_normal((rows, 20)), rng.standard_normal((rows, 30))
    alone = fg.compile(net, executor="numba", loss="squared_error", threads=1, dtype=dtype)
    want = alone.value_and_grad(alone.theta, x, t)
    python = fg.compile(net, executor="python", loss="squared_error")
    close = (2e-5 if dtype == "float32" else 1e-12) * np.abs(want[1]).max()
    np.testing.assert_allclose(want[1], python.value_and_grad(python.theta, x, t)[1], rtol=0, atol=close)
    for count in (2, 3, 5):
        program: Any = fg.compile(net, executor="numba", loss="squared_error", threads=count, dtype=dtype)
        for _ in range(20):
            loss, g = program.value_and_grad(program.theta, x, t)
            assert (loss, g.tobytes()) == (want[0], want[1].tobytes())


def test_a_large_batch_has_work_for_sixty_four_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of tiles are what threads take, and how many there are follows from graph and batch alone."""
    net = network(False)
    x, t = np.ones((4096, 20), np.float32), np.ones((4096, 30), np.float32)
    many: Any = fg.compile(net, executor="numba", loss="squared_error", dtype="float32", threads=64)
    monkeypatch.setattr(engine, "LITTLE", 0)
    asked = []
    monkeypatch.setattr(jobs, "wake", asked.append)
    want = many.value_and_grad(many.theta, x, t)
    (w,) = many.kernel._live._idle[32, False]
    assert asked == [63]
    assert w.record["slots"] == w.record["chunks"] == 64
    one: Any = fg.compile(net, executor="numba", loss="squared_error", dtype="float32", threads=1)
    assert one.value_and_grad(one.theta, x, t)[1].tobytes() == want[1].tobytes()


def test_more_nodes_than_edges_can_say_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_ROWS", 100)
    with pytest.raises(ExecutorError, match=r"^\d+ nodes and messages: executor 'numba' numbers 100$"):
        fg.compile(network(False), executor="numba")
