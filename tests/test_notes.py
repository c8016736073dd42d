"""The notes' two claims: backward is a forward pass over the reversed network, and the example worked by hand."""

from __future__ import annotations

import math
from collections.abc import Hashable

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.registry import find
from flowgrad.testing import oracle
from flowgrad.testing.strategies import Case, cases, suited


def reversed_network(net: fg.Network, acts: fg.Activations, b: int) -> fg.Network:
    """Linear neurons with response σ'(z_v) of sample b, every arrow turned round, base cases as inputs.

    The reversed edge s → v carries ∂z_s/∂a_v = r_s·w_vs. The outputs are all nodes of `net`.
    """
    R = nx.DiGraph()
    for v, d in net.reverse().nodes(data=True):
        sigma = d.get("activation")
        sigma = find("activations", sigma) if isinstance(sigma, str) else sigma
        with np.errstate(all="ignore"):
            slope = 1.0 if sigma is None else float(sigma.df(acts.z[v][b]))
        R.add_node(v, activation="identity", response=slope, bias=0.0)
    for s, v, w in net.reverse().edges(data="weight"):
        R.add_edge(s, v, weight=net.graph.nodes[s].get("response", 1.0) * w)
    for n in net.outputs:
        R.add_edge(("base case", n), n, weight=1.0)
    return fg.Network.from_networkx(R, inputs=[("base case", n) for n in net.outputs], outputs=net.nodes)


@pytest.mark.filterwarnings("ignore::flowgrad.errors.BoundedOutputWarning")
@given(case=cases(aggregations=["sum"]), loss=st.sampled_from(["squared_error", "cross_entropy"]), seed=st.integers(0))
def test_the_reversed_network_run_forward_gives_every_gradient(executor: str, case: Case, loss: str, seed: int) -> None:
    rng, loss = np.random.default_rng(seed), suited(loss, len(case.outputs))
    X, T = rng.standard_normal((2, len(case.inputs))), oracle.targets(loss, rng, (2, len(case.outputs)))
    tame = oracle.of_case(case, X)
    net = fg.Network.from_networkx(tame.graph, inputs=tame.inputs, outputs=tame.outputs)
    program = fg.compile(net, executor=executor, loss=loss)
    acts = program.forward(X)
    grads = program.backward(acts, T)
    base = [oracle.base_cases(loss, y, t) for y, t in zip(acts.output.tolist(), T.tolist(), strict=True)]
    for b in range(len(X)):
        turned = reversed_network(net, acts, b)
        found = fg.compile(turned, executor=executor).forward([base[b]])
        near = 1e-13 * max(np.abs(grads.da.array).max(), np.abs(base).max(), 1e-300)
        for v in net.nodes:
            assert abs(found.a[v][0] - grads.dz[v][b]) <= near
            if v not in net.inputs:  # z = response · Σ, and ∂L/∂a is that sum
                slope = turned.graph.nodes[v].get("response", 1.0)
                assert found.z[v][0] == pytest.approx(slope * grads.da[v][b], abs=10 * near)


def example(numbers: dict[str, float]) -> fg.Network:
    n = numbers
    net = fg.Network()
    net.add_input("x1")
    net.add_input("x2")
    net.add_neuron("h", {"x1": n["w1"], "x2": n["w2"]}, bias=n["b"], activation="sigmoid")
    net.add_neuron("y1", {"h": n["w3"]}, activation="identity")
    net.add_neuron("y2", {"h": n["w4"]}, activation="identity")
    net.set_outputs(["y1", "y2"])
    return net


def by_hand(n: dict[str, float]) -> dict[Hashable, float]:
    """The notes' lines, one after the other, for two linear outputs and squared errors."""
    z = n["w1"] * n["x1"] + n["w2"] * n["x2"] + n["b"]
    a = 1 / (1 + math.exp(-z))
    y1, y2 = n["w3"] * a, n["w4"] * a
    dz1, dz2 = y1 - n["t1"], y2 - n["t2"]
    da = n["w3"] * dz1 + n["w4"] * dz2
    dz = a * (1 - a) * da
    return {
        "loss": 0.5 * dz1**2 + 0.5 * dz2**2,
        "da": da,
        "dz": dz,
        "w1": n["x1"] * dz,
        "w2": n["x2"] * dz,
        "b": dz,
        "w3": a * dz1,
        "w4": a * dz2,
        "w1 of y1": n["x1"] * a * (1 - a) * n["w3"] * dz1,
        "w1 of y2": n["x1"] * a * (1 - a) * n["w4"] * dz2,
    }


ROUND = {"x1": 1.0, "x2": 2.0, "w1": 0.5, "w2": -0.5, "b": 0.5, "w3": 2.0, "w4": -3.0, "t1": 0.0, "t2": 0.0}
PLAIN = {"x1": 0.3, "x2": -1.7, "w1": 0.9, "w2": 0.4, "b": -0.2, "w3": 1.1, "w4": 0.6, "t1": 1.0, "t2": -0.5}


@pytest.mark.parametrize("numbers", [ROUND, PLAIN], ids=["round", "plain"])
def test_the_example_of_the_notes_worked_by_hand(executor: str, numbers: dict[str, float]) -> None:
    program = fg.compile(example(numbers), executor=executor, loss="squared_error")
    acts = program.forward([[numbers["x1"], numbers["x2"]]])
    grads = program.backward(acts, [[numbers["t1"], numbers["t2"]]], per_output=True)
    slot = program.theta_index.weight["x1", "h"]
    found = {
        "loss": grads.loss,
        "da": grads.da["h"][0],
        "dz": grads.dz["h"][0],
        "w1": grads.weight["x1", "h"],
        "w2": grads.weight["x2", "h"],
        "b": grads.bias["h"],
        "w3": grads.weight["h", "y1"],
        "w4": grads.weight["h", "y2"],
        "w1 of y1": grads.per_output["y1"][slot],
        "w1 of y2": grads.per_output["y2"][slot],
    }
    assert found == pytest.approx(by_hand(numbers), rel=1e-14)
    assert found["w1"] == pytest.approx(found["w1 of y1"] + found["w1 of y2"], rel=1e-14)  # (12)


def test_the_round_numbers_are_those_of_the_page() -> None:
    """docs/worked_example.md: exact in binary, so equal and not nearly."""
    assert by_hand(ROUND) == {
        "loss": 1.625,
        "da": 6.5,
        "dz": 1.625,
        "w1": 1.625,
        "w2": 3.25,
        "b": 1.625,
        "w3": 0.5,
        "w4": -0.75,
        "w1 of y1": 0.5,
        "w1 of y2": 1.125,
    }
