"""Importance: gradients of outputs by activations, against moving the activation itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, UnknownNameError
from flowgrad.inspection import node_importance


def network() -> fg.Network:
    """Skip edges, and two outputs, one of them feeding the other."""
    net = fg.Network()
    for name in ("x1", "x2"):
        net.add_input(name)
    edges: dict[str, dict[str, float]] = {
        "h": {"x1": 0.5, "x2": -0.8},
        "k": {"h": 1.1, "x1": 0.4},
        "y1": {"h": 0.3, "k": -0.9},
        "y2": {"k": 0.7, "y1": 0.6},
    }
    for name, into in edges.items():
        net.add_neuron(name, into, activation="tanh", bias=0.1)
    net.set_outputs(["y1", "y2"])
    return net


def by_moving(name: str, output: int, X: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """(B,) ∂y/∂a of a neuron, by central differences of its activation, computed by hand."""

    def outputs(shift: float) -> np.ndarray:
        a = {"x1": X[:, 0], "x2": X[:, 1]}
        a = {k: v + shift * (k == name) for k, v in a.items()}
        for v, into in (
            ("h", {"x1": 0.5, "x2": -0.8}),
            ("k", {"h": 1.1, "x1": 0.4}),
            ("y1", {"h": 0.3, "k": -0.9}),
            ("y2", {"k": 0.7, "y1": 0.6}),
        ):
            a[v] = np.tanh(0.1 + sum(w * a[u] for u, w in into.items())) + shift * (v == name)
        return np.array([a["y1"], a["y2"]])[output]

    return (outputs(h) - outputs(-h)) / (2 * h)


def test_gradients_are_what_moving_a_neuron_does(executor: str) -> None:
    X = np.random.default_rng(0).normal(size=(5, 2))
    program = fg.compile(network(), executor=executor)
    found = node_importance(program, X, each=True)
    a = program.forward(X).a
    assert found.outputs == ("y1", "y2")
    assert found.nodes == ("x1", "x2", "h", "k", "y1", "y2")
    assert found.kind == ("input", "input", "hidden", "hidden", "output", "output")
    assert found.each_gradient is not None
    assert found.each_gradient.shape == (2, 6, 5)
    for n in range(2):
        for k, name in enumerate(found.nodes):
            g = by_moving(str(name), n, X)
            np.testing.assert_allclose(found.each_gradient[n, k], g, atol=1e-9)
            assert found.gradient[n, k] == pytest.approx(g.mean(), abs=1e-9)
            assert found.activation[n, k] == pytest.approx((g * a[name]).mean(), abs=1e-9)
            assert found.strength[n, k] == pytest.approx(np.abs(g * a[name]).mean(), abs=1e-9)


def test_one_pass_an_output_and_only_those_asked_for(monkeypatch: Any) -> None:
    program = fg.compile(network(), executor="python")
    plain, calls = program.backward, []
    monkeypatch.setattr(program, "backward", lambda *a, **k: (calls.append(1), plain(*a, **k))[1])
    X = np.ones((2, 2))
    both = node_importance(program, X)
    assert len(calls) == 2
    one = node_importance(program, X, ["y2"])
    assert len(calls) == 3
    assert (one.gradient[0] == both.gradient[1]).all()
    assert one.each_gradient is None


def test_records_top_and_frame() -> None:
    program = fg.compile(network(), executor="python")
    found = node_importance(program, np.random.default_rng(1).normal(size=(9, 2)))
    records = found.records()
    assert len(records) == 12
    strengths = [r["strength"] for r in records if r["output"] == "y2"]
    assert strengths == sorted(strengths, reverse=True)
    hidden = found.top(1, kind="hidden", output="y2")
    assert len(hidden) == 1
    assert hidden[0]["node"] in ("h", "k")
    assert {r["node"] for r in found.top(9, kind="input")} == {"x1", "x2"}
    pandas = pytest.importorskip("pandas")
    table = found.to_frame()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == ["output", "node", "kind", "gradient", "gradient_x_activation", "strength"]
    assert repr(found).splitlines()[0] == "Importance for output y1, 6 of 6 nodes"


def test_another_theta_and_a_mapping() -> None:
    program = fg.compile(network(), executor="python")
    X = {"x1": [1.0], "x2": [2.0]}
    still = node_importance(program, X, theta=np.zeros(len(program.theta)))
    assert still.gradient[0].tolist() == [0, 0, 0, 0, 1, 0]


def test_bad_arguments() -> None:
    program = fg.compile(network(), executor="python")
    X = np.ones((1, 2))
    with pytest.raises(UnknownNameError, match="'k' is no output"):
        node_importance(program, X, ["k"])
    with pytest.raises(ConfigError, match="give a list"):
        node_importance(program, X, "y1")
    with pytest.raises(ConfigError, match="one output at least"):
        node_importance(program, X, [])
    found = node_importance(program, X, ["y1"])
    with pytest.raises(UnknownNameError, match="'y2' is no output asked for"):
        found.top(output="y2")
    with pytest.raises(UnknownNameError, match="did you mean 'hidden'"):
        found.top(kind="hiden")
