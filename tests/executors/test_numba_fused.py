"""Runs whose activation is compiled into their kernel: what is stored of σ' comes back to the neuron it is of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba.forms import FORMS


def network(activation: str, spread: float) -> fg.Network:
    """Sixty neurons, of which some saturate in some samples; every fourth has another activation than most."""
    rng, n = np.random.default_rng(0), 70
    target = np.repeat(np.arange(10, n), 4)
    source = (rng.random(len(target)) * target).astype(np.int64)
    edges = np.unique(np.stack([target, source]), axis=1)
    names = ["sin" if v % 4 == 0 else activation for v in range(n)]
    weight = spread * rng.standard_normal(edges.shape[1])
    return fg.Network.from_arrays(edges[1], edges[0], weight=weight, inputs=np.arange(10), n_nodes=n, activation=names)


@pytest.mark.covering(activation=sorted(FORMS.keys() - {"exp"}), rows=[1, 3, 16, 21, 70])
def test_gradients_where_some_lanes_saturate(activation: str, rows: int) -> None:
    """Partial tiles too, whose lanes without a sample must not decide what is taken off the stack."""
    net, rng = (
        network(activation, 1.5 if activation in ("tanh", "sigmoid", "gaussian") else 0.6),
        np.random.default_rng(1),
    )
    python, numba = (fg.compile(net, executor=e, loss="squared_error") for e in ("python", "numba"))
    x: Any = rng.standard_normal((rows, 10))
    t = rng.standard_normal((rows, len(python.outputs)))
    a = python.forward(x).a.array
    if activation in ("tanh", "sigmoid"):
        assert 0.01 < (np.abs(a) > 0.97).mean() < 0.9
    want, found = python.value_and_grad(python.theta, x, t), numba.value_and_grad(numba.theta, x, t)
    assert found[0] == pytest.approx(want[0], rel=1e-12)
    np.testing.assert_allclose(found[1], want[1], rtol=0, atol=1e-12 * np.abs(want[1]).max())
    np.testing.assert_allclose(numba.predict(x), python.predict(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 33, 200])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_doors_give_the_same_bits(dtype: str, rows: int) -> None:
    """`value_and_grad` of what an output depends on, with its activation compiled in; `backward` of kept z, of all."""
    for activation in ("tanh", "sigmoid", "relu", "softplus"):
        net, rng = network(activation, 1.5 if activation in ("tanh", "sigmoid") else 0.6), np.random.default_rng(3)
        program = fg.compile(net, executor="numba", dtype=dtype, loss="squared_error", threads=2)
        x = rng.standard_normal((rows, 10)).astype(dtype)
        t = rng.standard_normal((rows, len(program.outputs))).astype(dtype)
        grads = program.backward(program.forward(x), t)
        loss, gradient = program.value_and_grad(program.theta, x, t)
        assert loss == pytest.approx(grads.loss, rel=1e-15)
        assert gradient.tobytes() == grads.theta.tobytes()
