"""Draws of dropout: by seed, step, neuron and sample alone, as often as p says, and refused out of range."""

from __future__ import annotations

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, ExecutorError
from flowgrad.executor import ExecutorInfo
from flowgrad.executors import python
from flowgrad.executors.numba import NumbaExecutor


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_as_many_are_dropped_as_p_says(p: float) -> None:
    """Of neurons, of samples and of both, within five standard errors, and the factor makes up for them."""
    m = fg.Dropout(p, seed=7, step=11).factors(range(400), 500)
    near = 5 * np.sqrt(p * (1 - p))
    assert abs((m == 0).mean() - p) <= near / np.sqrt(m.size)
    for axis in (0, 1):
        assert np.abs((m == 0).mean(axis) - p).max() <= near / np.sqrt(m.shape[axis])
    assert np.unique(m[m > 0]) == pytest.approx(1 / (1 - p))


def test_draws_share_nothing() -> None:
    """Other seeds, steps, neurons and samples draw as if by another coin."""
    m = [fg.Dropout(0.5, seed=s, step=t).factors(range(300), 300) > 0 for s in (0, 1, 2) for t in (0, 1, 2)]
    for k, one in enumerate(m):
        pairs = [*m[:k], one.T, np.roll(one, 1, 0), np.roll(one, 1, 1)]
        assert all(abs((one == other).mean() - 0.5) < 5 * 0.5 / 300 for other in pairs)


def test_parts_of_a_batch_draw_as_the_whole() -> None:
    whole = fg.Dropout(0.3, seed=4, step=9).factors(range(5), 20)
    parts = [fg.Dropout(0.3, seed=4, step=9, first=k).factors(range(5), 10) for k in (0, 10)]
    assert (np.hstack(parts) == whole).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_tiles_draw_the_same(threads: int) -> None:
    """Bit for bit, where a batch is cut among threads; outputs, which feed others here, and inputs stay."""
    G = fg.topologies.random_dag(6, 300, fan_in=6, seed=2).graph.copy()
    for k, v in enumerate(list(G)[6:]):
        G.nodes[v]["bias"] = 0.1 + 0.001 * k  # so that no a is 0 of itself
    net = fg.Network.from_networkx(G, outputs=[*list(G)[-3:], list(G)[100]])
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((3000, 6)), rng.standard_normal((3000, 4))
    draw = fg.Dropout(0.25, seed=1, step=1, inputs=0.5)
    program = fg.compile(net, executor="numba", loss="squared_error", threads=threads)
    acts = program.forward(X, dropout=draw)
    hidden = np.setdiff1d(np.arange(program.plan.n_nodes), [*program.plan.inputs, *program.plan.outputs])
    assert ((acts.a.array[hidden] == 0) == (draw.factors(hidden, 3000) == 0)).all()
    assert (acts.a.array[program.plan.outputs] != 0).all()
    entering = program.plan.inputs
    assert ((acts.a.array[entering] == 0) == (draw.factors(entering, 3000, inputs=True) == 0)).all()
    assert (acts.z.array[entering] == X.T).all()
    alone = fg.compile(net, executor="numba", loss="squared_error", threads=1)
    one, other = (p.value_and_grad(p.theta, X, T, dropout=draw)[1].tobytes() for p in (alone, program))
    assert one == other


def test_where_a_is_inf_or_nan_the_definition_is_followed() -> None:
    """0 · inf is NaN, by forward and backward and at once."""
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1.0}, activation="exp")
    net.add_neuron("y", {"h": 1.0}, activation="identity")
    net.set_outputs(["y"])
    X, C = np.array([[800.0], [1.0], [2.0], [3.0], [4.0], [5.0]]), np.ones((6, 1))
    found = [fg.compile(net, executor=e, loss="squared_error") for e in (python.entry, NumbaExecutor())]
    for step in range(4):
        draw = fg.Dropout(0.5, step=step)
        one, other = (p.value_and_grad(p.theta, X, C, dropout=draw)[1] for p in found)
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_what_is_out_of_range_or_not_declared_is_refused() -> None:
    for wrong in ({"p": 1.0}, {"p": -0.1}, {"p": True}, {"inputs": 2}, {"p": 0.5, "seed": -1}, {"p": 0.5, "step": 1.5}):
        with pytest.raises(ConfigError, match=r"dropout|seed|step"):
            fg.Dropout(**wrong)
    net = fg.Network.from_arrays([0, 1], [1, 2])
    program = fg.compile(net, executor="python", loss="squared_error")
    with pytest.raises(ConfigError, match="dropout= wants a Dropout"):
        program.forward([[1.0]], dropout=0.5)  # type: ignore[arg-type]  # of a wrong type on purpose
    acts = program.forward([[1.0], [2.0]], dropout=fg.Dropout(0.5))
    with pytest.raises(DataError, match="weight 0 under dropout"):
        program.backward(acts, [[1.0], [1.0]], sample_weight=[0, 1])

    class Plain(python.PythonExecutor):
        info = ExecutorInfo("plain", "declares nothing")

    with pytest.raises(ExecutorError, match="'plain' drops no neurons"):
        fg.compile(net, executor=Plain(), loss="squared_error").forward([[1.0]], dropout=fg.Dropout(0.5))
