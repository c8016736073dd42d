"""`flowgrad bench`: it measures what it says, names who is absent, and its rivals compute the same."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.benchmarks import rivals, workloads
from flowgrad.benchmarks.measure import OURS, Result, interleave

pytest.importorskip("numba", reason="the benchmarks are the Numba executor's")
needs_c = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="there is no C compiler")


def test_ways_are_called_in_turn_and_their_medians_given() -> None:
    calls: list[str] = []
    found = interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3, warm=1)
    assert calls == ["a", "b"] * 4
    assert set(found) == {"a", "b"}
    assert Result("w", "", {OURS: 1.0, "C": 4.0}).ratio("C") == 0.25


@needs_c
@pytest.mark.parametrize("batch", [1, 16, 40, 64])
def test_the_c_computes_our_gradients(batch: int) -> None:
    net = fg.topologies.random_dag(9, 60, fan_in=5, activation="tanh", output_activation="tanh", seed=2)
    X, T = workloads._data(net, batch)
    try:
        rival = rivals.CStep(fg.compile(net).plan, X, T, threads=2)
    except rivals.Absent as reason:
        pytest.skip(str(reason))
    loss = rival()
    if batch % rivals.TILE == 0 or batch == 1:  # else some samples count twice in it
        program = fg.compile(net, executor="python", loss="squared_error")
        wanted, g = program.value_and_grad(program.theta, X, T)
        assert loss == pytest.approx(wanted, rel=1e-5)
        ours = np.concatenate([rival.dw, rival.db[len(net.inputs) :]])
        np.testing.assert_allclose(ours, g, rtol=0, atol=2e-5 * np.abs(g).max())
    else:
        assert np.isfinite(loss)


@needs_c
def test_the_c_leaves_the_arithmetic_of_the_process_alone() -> None:
    net = fg.topologies.random_dag(9, 60, fan_in=5, activation="tanh", output_activation="tanh", seed=2)
    X, T = workloads._data(net, 16)
    rivals.CStep(fg.compile(net).plan, X, T, threads=1)()
    assert np.float64(5e-324) * 1.0 > 0  # not flushed to 0


def test_the_perceptron_by_hand_is_ours() -> None:
    net = fg.topologies.layered([5, 4, 3], activation="sigmoid", seed=1)
    rng = np.random.default_rng(0)
    X, classes = rng.standard_normal((7, 5)).astype(np.float32), rng.integers(0, 3, 7)
    w = net.columns.weights.astype(np.float32)
    weights = [w[:20].reshape(4, 5).T.copy(), w[20:].reshape(3, 4).T.copy()]
    program = fg.compile(net, dtype="float32", loss="cross_entropy")
    wanted = program.value_and_grad(program.theta, X, classes)[0]
    assert rivals.numpy_perceptron(weights, X, classes)() == pytest.approx(wanted, rel=1e-5)


@needs_c
def test_a_run_writes_its_table_and_its_picture(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")

    def tiny(n: int, window: int, seed: int = 0) -> fg.Network:
        return fg.topologies.random_dag(8, 40, 4, output_activation="tanh", seed=seed)

    monkeypatch.setattr(workloads, "_tanh_dag", tiny)
    result = run("bench", "w2b", "w4", "--rounds", 2, "--threads", 1, "--csv", "m.csv", "--png", "r.png")
    assert result.code == 0
    assert "W2b 64" in result.out
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert {row["workload"] for row in rows} == {"W2b 1", "W2b 64", "W4"}
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_what_bench_refuses(run) -> None:
    for words, said in [
        (("w9",), "unknown workload 'w9'"),
        (("w4", "--rounds", "0"), "--rounds 0"),
        (("w4", "--threads", "-1"), "--threads -1"),
    ]:
        result = run("bench", *words)
        assert result.code == 2
        assert said in result.err
        assert result.err.count("\n") == 1


def test_every_executor_is_timed_on_one_network(run, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(n: int, window: int, seed: int = 0) -> fg.Network:
        return fg.topologies.random_dag(8, 40, 4, output_activation="tanh", seed=seed)

    monkeypatch.setattr(workloads, "_tanh_dag", tiny)
    monkeypatch.setattr(workloads, "executors", lambda: {"python": True, "numba": True, "mine": "not installed"})
    out = run("bench", "executors", "--rounds", 2).out
    for word in ("flowgrad", "python", "mine", "not installed"):
        assert word in out
    assert set(workloads.each_executor(1, 1)[0].seconds) == {OURS, "python"}
