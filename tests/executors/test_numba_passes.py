"""Weights turned and gradients added up by whoever has time, piece by piece: always all of it, and the same bits."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ExecutorError

pytest.importorskip("numba")

from flowgrad.executors._numba import engine, layout, passes, pool
from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.memory import put_i64
from flowgrad.executors._numba.vectors import lanes


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
    """Sixteen of them, and other threads for every call."""
    monkeypatch.setattr(layout, "PIECE", 32)
    monkeypatch.setattr(engine, "ALONE", 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 30, 64, 300])
@pytest.mark.parametrize("blocks", [False, True])
def test_whoever_takes_a_piece_the_bits_are_the_same(blocks: bool, rows: int, dtype: str) -> None:
    net, rng = network(blocks), np.random.default_rng(1)
    x, t = rng.standard_normal((rows, 20)), rng.standard_normal((rows, 30))
    alone = fg.compile(net, executor="numba", loss="squared_error", threads=1, dtype=dtype)
    want = alone.value_and_grad(alone.theta, x, t)
    python = fg.compile(net, executor="python", loss="squared_error")
    close = (2e-5 if dtype == "float32" else 1e-12) * np.abs(want[1]).max()
    np.testing.assert_allclose(want[1], python.value_and_grad(python.theta, x, t)[1], rtol=0, atol=close)
    for threads in (2, 3, 5):
        program: Any = fg.compile(net, executor="numba", loss="squared_error", threads=threads, dtype=dtype)
        assert program.kernel._live._layout.lowest.shape == (16,)
        for _ in range(20):
            loss, g = program.value_and_grad(program.theta, x, t)
            assert (loss, g.tobytes()) == (want[0], want[1].tobytes())


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("rows", [5, 64, 300])
def test_a_backward_from_kept_z_says_how_far_it_has_come(rows: int) -> None:
    net, rng = network(False), np.random.default_rng(2)
    x, dy = rng.standard_normal((rows, 20)), rng.standard_normal((rows, 30))
    want = None
    for threads in (1, 2, 3):
        program: Any = fg.compile(net, executor="numba", threads=threads)
        found = program.backward(program.forward(x), cotangent=dy).theta
        want = found if want is None else want
        assert found.tobytes() == want.tobytes()
        (w,) = (w for idle in program.kernel._whole()._idle.values() for w in idle)
        passed = (ctypes.c_int64 * (8 * w.get("chunks"))).from_address(w.get("passed"))
        assert passed[::8] == [w.get("nodes")] * w.get("chunks")


@pytest.mark.usefixtures("small_pieces")
def test_weights_are_turned_though_others_have_begun_and_never_end() -> None:
    program: Any = fg.compile(network(False), executor="numba", loss="squared_error", threads=1)
    program.value_and_grad(program.theta, np.ones((16, 20)), np.ones((16, 30)))
    (w,) = program.kernel._live._idle[16]
    places = int(w.frame[engine.PLACE["places"]])
    found = room(w, "turned", places).copy()
    assert np.count_nonzero(found) > 1000
    room(w, "turned", places)[:] = np.nan
    for piece in range(16):
        put_i64(w.get("turned_pieces"), piece, 1)
    turned = passes.weights_turned(lanes(np.dtype(np.float64), 16))

    def kernel(frame: int, _: int, __: int) -> None:
        turned(frame)

    pool.native(function("turned, for a test", kernel))(w.address, 0, 0)
    assert room(w, "turned", places).tobytes() == found.tobytes()


@pytest.mark.usefixtures("small_pieces")
def test_nothing_is_turned_back_before_all_have_passed_it() -> None:
    """Neurons in a dense run at the end have no place that would say so."""
    source, target = np.divmod(np.arange(20 * 30), 30)
    chain = np.arange(20)
    net = fg.Network.from_arrays(
        np.concatenate([chain, source + 20]), np.concatenate([chain + 20, target + 40]), inputs=chain, n_nodes=70
    )
    program: Any = fg.compile(net, executor="numba", loss="squared_error", threads=1)
    written = program.value_and_grad(program.theta, np.ones((16, 20)), np.ones((16, 30)))  # by the kernel below, too
    live = program.kernel._live
    (w,) = live._idle[16]
    pieces, nodes = w.get("pieces"), w.get("nodes")
    words = (ctypes.c_int64 * (3 * pieces + 1)).from_address(w.get("turned_pieces"))
    kernel = pool.native(function("meanwhile, for a test", passes.meanwhile(lanes(np.dtype(np.float64), 16))))
    assert pieces > 4
    taken = []
    for passed in (0, 1, 30, 31, 50, 51, nodes):
        words[:] = [0] * len(words)
        words[3 * pieces] = passed
        for _ in range(3 * pieces):
            kernel(w.address, 0, 0)
        back = [k for k in range(pieces) if words[2 * pieces + k]]
        assert all(live._layout.lowest[k] >= nodes - passed for k in back)
        taken.append(len(back))
    assert taken[0] == 0
    assert taken[-1] == pieces
    assert taken == sorted(taken)
    assert len(written[1]) == program.plan.n_parameters


def room(w: Any, name: str, n: int) -> Any:
    """n doubles of a workspace."""
    return np.ctypeslib.as_array((ctypes.c_double * n).from_address(w.get(name)))


def test_more_nodes_than_edges_can_say_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MOST_ROWS", 100)
    with pytest.raises(ExecutorError, match=r"^\d+ nodes and messages: executor 'numba' numbers 100$"):
        fg.compile(network(False), executor="numba")
