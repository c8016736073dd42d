"""Outputs that leave what a following vjp goes on from: the same bits as without, whatever happens to the memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import DataError

pytest.importorskip("numba")

from flowgrad.executors._numba import keeping


def mixed(seed: int = 0) -> fg.Network:
    """Fused sums, sums of other activations, multiples of sums, other aggregations, a shared weight, a frozen one."""
    rng = np.random.default_rng(seed)
    net = fg.Network(seed=seed)
    names = [f"x{k}" for k in range(4)]
    for name in names:
        net.add_input(name)
    for k in range(40):
        sources = {names[i]: float(rng.normal()) for i in rng.choice(len(names), 3, replace=False)}
        aggregation = ("sum", "sum", "mean", "max")[k % 4]
        activation = ("tanh", "tanh", "tanh", "relu", "sigmoid")[k % 5]
        net.add_neuron(f"h{k}", sources, bias=float(rng.normal()), activation=activation, aggregation=aggregation)
        names.append(f"h{k}")
    net.set_outputs(["h39", "h38", "h20"])
    return net


def saturated() -> fg.Network:
    """Neurons near saturation, whose σ' is found from what forward piles up."""
    return fg.topologies.random_dag(6, 80, fan_in=4, activation="tanh", seed=2)


NETS = {
    "mixed": mixed(),
    "saturated": saturated(),
    "dense": fg.topologies.layered([20, 16, 12, 3], activation="tanh", seed=1),
}


@pytest.mark.covering(name=NETS.keys(), dtype=["float32", "float64"], batch=[1, 8, 9, 100])
def test_vjp_goes_on_from_what_was_kept_with_the_same_bits(name: str, dtype: str, batch: int) -> None:
    net, rng = NETS[name], np.random.default_rng(batch)
    program = fg.compile(net, executor="numba", dtype=dtype)
    X = 6.0 * rng.standard_normal((batch, len(net.inputs)))
    C = rng.standard_normal((batch, len(net.outputs)))
    want = program.vjp(X, C)
    Y, kept = program.predict_keeping(X)
    assert Y.tobytes() == program.predict(X).tobytes()
    assert len(kept)
    for _ in range(2):  # the second time from the beginning
        for found, wanted in zip(program.vjp(X, C, kept=kept), want, strict=True):
            assert np.asarray(found).tobytes() == np.asarray(wanted).tobytes()


def test_forward_is_not_run_again() -> None:
    """With the kept rows overwritten by zeros the gradient is another, and the second one is right again."""
    program = fg.compile(NETS["dense"], executor="numba")
    X, C = np.ones((5, 20)), np.ones((5, 3))
    want, _ = program.vjp(X, C)
    _, kept = program.predict_keeping(X)
    kept[keeping.HEAD + keeping.LINE :] = 0
    assert not np.array_equal(program.vjp(X, C, kept=kept)[0], want)
    assert np.array_equal(program.vjp(X, C, kept=kept)[0], want)


def test_a_batch_that_takes_too_much_is_kept_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, C = rng.standard_normal((70, 4)), rng.standard_normal((70, 3))
    plain = fg.compile(NETS["mixed"], executor="numba")
    want, outputs, whole = plain.vjp(X, C), plain.predict(X), len(plain.predict_keeping(X)[1])
    for most in (0, whole // 3, whole // 2):
        monkeypatch.setattr(keeping, "MOST", most)
        program = fg.compile(NETS["mixed"], executor="numba")
        Y, kept = program.predict_keeping(X)
        assert len(kept) <= most + 256
        assert Y.tobytes() == outputs.tobytes()
        for found, wanted in zip(program.vjp(X, C, kept=kept), want, strict=True):
            assert np.asarray(found).tobytes() == np.asarray(wanted).tobytes()


def test_where_no_memory_is_to_be_had_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    program = fg.compile(NETS["dense"], executor="numba")
    X, C = np.ones((5, 20)), np.ones((5, 3))
    want, size = program.vjp(X, C), len(program.predict_keeping(X)[1])
    give = keeping.Recycler.empty

    def short(self: Any, shape: Any, dtype: Any) -> Any:
        if shape == size:
            raise MemoryError
        return give(self, shape, dtype)

    monkeypatch.setattr(keeping.Recycler, "empty", short)
    Y, kept = program.predict_keeping(X)
    assert not len(kept)
    np.testing.assert_array_equal(Y, program.predict(X))
    np.testing.assert_array_equal(program.vjp(X, C, kept=kept)[0], want[0])


@pytest.mark.parametrize(
    "what", ["copied", "another batch", "another program", "random", "another x", "another θ", "x written over"]
)
def test_memory_of_others_is_left_aside(what: str) -> None:
    """A copy has its rows elsewhere, and one of another program, θ or x has other rows: forward is run instead."""
    program, other = (fg.compile(NETS["mixed"], executor="numba") for _ in range(2))
    rng = np.random.default_rng(1)
    X, C = rng.standard_normal((9, 4)), rng.standard_normal((9, 3))
    theta = program.theta + 1e-9 if what == "another θ" else program.theta
    before = {"another batch": X[:8], "another x": X + 1e-9}.get(what, X)
    kept = (other if what == "another program" else program).predict_keeping(before, theta)[1]
    if what == "x written over":
        X += 1e-9
    want = program.vjp(X, C)[0].tobytes()
    if what == "copied":
        moved = np.empty(len(kept) + 1, np.uint8)[1:]
        moved[:] = kept
        kept = moved
    if what == "random":
        kept = rng.integers(0, 256, len(kept), np.uint8)
    assert program.vjp(X, C, kept=kept)[0].tobytes() == want


def test_two_threads_that_take_the_same_memory() -> None:
    program = fg.compile(NETS["mixed"], executor="numba", threads=1)
    rng = np.random.default_rng(2)
    X, C = rng.standard_normal((64, 4)), rng.standard_normal((64, 3))
    want, found = program.vjp(X, C)[0].tobytes(), []

    def pull(kept: Any) -> None:
        found.append(program.vjp(X, C, kept=kept)[0].tobytes())

    for _ in range(20):
        _, kept = program.predict_keeping(X)
        pulling = [threading.Thread(target=pull, args=(kept,)) for _ in range(2)]
        for thread in pulling:
            thread.start()
        for thread in pulling:
            thread.join()
    assert set(found) == {want}
    assert len(found) == 40


def test_other_executors_keep_nothing_and_agree(executor: str) -> None:
    program = fg.compile(NETS["mixed"], executor=executor)
    rng = np.random.default_rng(3)
    X, C = rng.standard_normal((5, 4)), rng.standard_normal((5, 3))
    Y, kept = program.predict_keeping(X)
    np.testing.assert_array_equal(Y, program.predict(X))
    np.testing.assert_array_equal(program.vjp(X, C, kept=kept)[0], program.vjp(X, C)[0])
    with pytest.raises(DataError, match="kept is"):
        program.vjp(X, C, kept=np.zeros(3))
    with pytest.raises(DataError, match="second array that predict_keeping"):
        program.vjp(X, C, kept="all")  # type: ignore[arg-type]  # of a wrong type on purpose


def test_nan_and_a_column_of_zeros_go_on_from_it_as_from_the_beginning() -> None:
    """Where a part that no wanted output depends on is not finite, that part is left out, with and without."""
    program = fg.compile(NETS["mixed"], executor="numba")
    X, C = np.full((3, 4), np.nan), np.ones((3, 3))
    C[:, 1:] = 0
    with np.errstate(all="ignore"):
        want = program.vjp(X, C)
        found = program.vjp(X, C, kept=program.predict_keeping(X)[1])
    np.testing.assert_array_equal(found[0], want[0])
    np.testing.assert_array_equal(np.asarray(found[1]), np.asarray(want[1]))


def test_its_memory_is_used_again() -> None:
    program = fg.compile(NETS["mixed"], executor="numba", dtype="float32")
    X = np.zeros((300, 4), np.float32)
    _, kept = program.predict_keeping(X)
    at = kept.ctypes.data
    del kept
    assert program.predict_keeping(X)[1].ctypes.data == at
