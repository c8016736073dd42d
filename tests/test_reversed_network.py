"""fg.reversed_network: the linear network whose forward pass, on any executor, is the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, GraphError
from flowgrad.plan import lower
from flowgrad.registry import names
from flowgrad.testing import oracle
from flowgrad.testing.strategies import Case, cases, networks, suited

TOPOLOGIES: dict[str, Callable[[], fg.Network]] = {
    "layered": lambda: fg.topologies.layered([3, 5, 4, 2], skips=1, seed=1),
    "random_dag": lambda: fg.topologies.random_dag(4, 30, fan_in=3, window=9, seed=1),
    "watts_strogatz": lambda: fg.topologies.watts_strogatz(12, 4, 0.5, n_inputs=3, n_outputs=2, seed=1),
    "erdos_renyi": lambda: fg.topologies.erdos_renyi(12, 0.3, n_inputs=2, n_outputs=3, seed=1),
    "barabasi_albert": lambda: fg.topologies.barabasi_albert(12, 3, n_inputs=2, n_outputs=2, seed=1),
    "from_edge_list": lambda: fg.topologies.from_edge_list(
        [("x", "h"), ("u", "h"), ("h", "y"), ("x", "y"), ("h", "z")]
    ),
    "union": lambda: fg.union([fg.topologies.layered([2, 3, 1], seed=k) for k in range(3)]),
}


def base_of(program: fg.Program, acts: fg.Activations, T: Any) -> np.ndarray:
    assert program.loss is not None
    return program.loss.evaluate(acts.output.astype(float), np.asarray(T, float))[1]


def assert_forward_is_backward(program: fg.Program, X: Any, T: Any, executor: str, **how: Any) -> None:
    """At every sample: a of every neuron of the reversed network is ∂L/∂z, and at inputs ∂L/∂x."""
    acts = program.forward(X, **how)
    grads = program.backward(acts, T)
    base = base_of(program, acts, T)
    for b in range(len(base)):
        turned = fg.reversed_network(program, acts, sample=b)
        found = fg.compile(turned, executor=executor).forward(base[b : b + 1])
        near = 1e-12 * max(np.abs(grads.da.array).max(), np.abs(base).max(), 1e-300)
        for v in program.labels.nodes:
            assert abs(found.a[v][0] - grads.dz[v][b]) <= near, v
        assert turned.outputs == program.inputs
        np.testing.assert_allclose(found.output[0], grads.input.array[b], atol=near, rtol=0)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_forward_of_it_is_backward_on_every_topology(executor: str, name: str) -> None:
    program = fg.compile(TOPOLOGIES[name](), executor=executor, loss="squared_error")
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(3, len(program.inputs))), rng.normal(size=(3, len(program.outputs)))
    assert_forward_is_backward(program, X, T, executor)


def test_a_draw_of_dropout_counts(executor: str) -> None:
    program = fg.compile(TOPOLOGIES["layered"](), executor=executor, loss="squared_error")
    X, T = np.random.default_rng(0).normal(size=(2, 6, 3))
    draw = fg.Dropout(0.4, seed=1, inputs=0.4)
    assert (program.forward(X, dropout=draw).a.array == 0).any()
    assert_forward_is_backward(program, X, T[:, :2], executor, dropout=draw)


def test_every_topology_of_the_registry_is_tried() -> None:
    assert set(names("topologies")) <= set(TOPOLOGIES)


@pytest.mark.filterwarnings("ignore::flowgrad.errors.BoundedOutputWarning")
@given(case=cases(), loss=st.sampled_from(["squared_error", "cross_entropy"]), seed=st.integers(0))
def test_every_aggregation_is_linear_once_a_is_known(executor: str, case: Case, loss: str, seed: int) -> None:
    rng, loss = np.random.default_rng(seed), suited(loss, len(case.outputs))
    X, T = rng.standard_normal((2, len(case.inputs))), oracle.targets(loss, rng, (2, len(case.outputs)))
    tame = oracle.of_case(case, X)
    net = fg.Network.from_networkx(tame.graph, inputs=tame.inputs, outputs=tame.outputs)
    assert_forward_is_backward(fg.compile(net, executor=executor, loss=loss), X, T, executor)


@pytest.mark.parametrize("aggregation", names("aggregations"))
def test_each_aggregation_by_name(executor: str, aggregation: str) -> None:
    net = fg.Network()
    for k in range(4):
        net.add_input(k)
    net.add_neuron("h", {0: 0.5, 1: -1.5, 2: 2.0, 3: 0.25}, bias=0.1, response=1.5, aggregation=aggregation)
    net.add_neuron("k", {"h": -0.5, 0: 1.0, 1: 0.75}, activation="sigmoid", aggregation=aggregation)
    net.add_neuron("y", {"k": 2.0, "h": 1.0}, aggregation=aggregation)
    program = fg.compile(net, executor=executor, loss="squared_error")
    X = np.array([[0.3, -0.2, 0.9, 1.1], [1.0, 2.0, 0.0, -3.0]])
    assert_forward_is_backward(program, X, [[0.5], [-1.0]], executor)


@pytest.mark.parametrize("executor", ["python", pytest.param("numba", marks=pytest.mark.soak)], indirect=True)
def test_an_aggregation_of_one_s_own(executor: str) -> None:
    def f(t: Any) -> float:
        return float((t * t).sum())

    def df(t: Any, d: Any) -> None:
        d[:] = 2.0 * t

    squares = fg.Aggregation("squares", f, df)
    net = fg.Network()
    net.add_input("x")
    net.add_input("u")
    net.add_neuron("h", {"x": 0.5, "u": -1.0}, aggregation=squares)
    net.add_neuron("y", {"h": 2.0, "x": 1.0}, aggregation=squares)
    program = fg.compile(net, executor=executor, loss="squared_error")
    assert_forward_is_backward(program, [[0.7, -0.4]], [[0.5]], executor)


def test_the_worked_example_number_by_number(executor: str) -> None:
    """docs/worked_example.md: exact in binary, so equal and not nearly."""
    net = fg.Network()
    net.add_input("x1")
    net.add_input("x2")
    net.add_neuron("h", {"x1": 0.5, "x2": -0.5}, bias=0.5, activation="sigmoid")
    net.add_neuron("y1", {"h": 2.0}, activation="identity")
    net.add_neuron("y2", {"h": -3.0}, activation="identity")
    program = fg.compile(net, executor=executor, loss="squared_error")
    acts = program.forward([[1.0, 2.0]])
    turned = fg.reversed_network(program, acts)
    assert turned.inputs == (("base", "y1"), ("base", "y2"))
    assert turned.outputs == ("x1", "x2")
    edges = {(u, v): w for u, v, w in turned.graph.edges(data="weight")}
    assert edges == {
        (("base", "y1"), "y1"): 1.0,
        (("base", "y2"), "y2"): 1.0,
        ("y1", "h"): 2.0,
        ("y2", "h"): -3.0,
        ("h", "x1"): 0.5,
        ("h", "x2"): -0.5,
    }
    assert turned.graph.nodes["h"]["response"] == 0.25  # σ′(0)
    found = fg.compile(turned, executor=executor).forward([[1.0, -1.5]])
    values = {v: found.a[v].item() for v in ("y1", "y2", "h", "x1", "x2")}
    assert values == {"y1": 1.0, "y2": -1.5, "h": 1.625, "x1": 0.8125, "x2": -0.8125}
    grads = program.backward(acts, [[0.0, 0.0]])
    assert {v: grads.dz[v].item() for v in values} == values
    assert grads.loss_by_output is not None
    assert dict(grads.loss_by_output) == {"y1": 0.5, "y2": 1.125}
    assert grads.loss == 1.625


def test_nothing_in_it_is_trained_and_labels_stay() -> None:
    G = nx.DiGraph([("x", "y")])
    G.nodes["y"]["label"] = "the answer"
    program = fg.compile(fg.Network.from_networkx(G), executor="python", loss="squared_error")
    turned = fg.reversed_network(program, program.forward([[1.0]]))
    assert lower(turned).n_parameters == 0
    assert turned.graph.nodes["y"]["label"] == "the answer"
    assert "label" not in turned.graph.nodes["x"]


def test_outputs_that_feed_others_and_inputs_that_are_outputs(executor: str) -> None:
    G = nx.DiGraph([("x", "h"), ("h", "k"), ("x", "k")])
    net = fg.Network.from_networkx(G, outputs=["h", "x", "k"], output_activation="tanh")
    program = fg.compile(net, executor=executor, loss="squared_error")
    assert_forward_is_backward(program, [[0.4], [-1.0]], [[0.1, 0.2, 0.3], [0.0, 0.0, 0.0]], executor)


def test_what_leads_to_no_output_takes_no_part(executor: str) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("dead", {"x": 1.0}, activation="log")  # σ′(0) is infinite
    net.add_neuron("after", {"dead": 1.0}, activation="exp")
    net.add_neuron("y", {"x": 2.0})
    net.set_outputs(["y"])
    program = fg.compile(net, executor=executor, loss="squared_error")
    acts = program.forward([[0.0]])
    found = fg.compile(fg.reversed_network(program, acts), executor=executor).forward([[1.0]])
    assert [found.a[v].item() for v in ("y", "after", "dead", "x")] == [1.0, 0.0, 0.0, 2.0]


def test_a_batch_is_a_union_of_its_samples(executor: str) -> None:
    program = fg.compile(TOPOLOGIES["layered"](), executor=executor, loss="squared_error")
    rng = np.random.default_rng(0)
    X, T = rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    acts = program.forward(X)
    parts = [fg.reversed_network(program, acts, sample=b) for b in range(3)]
    whole = fg.compile(fg.union(parts, share_inputs=False), executor=executor)
    dx = whole.predict(base_of(program, acts, T).reshape(1, -1)).reshape(3, -1)
    np.testing.assert_allclose(dx, program.backward(acts, T).input.array, rtol=1e-12)


def test_the_acts_theta_counts_and_not_the_program_s(executor: str) -> None:
    program = fg.compile(TOPOLOGIES["layered"](), executor=executor, loss="squared_error")
    acts = program.forward(np.ones((1, 3)), theta=program.theta * 0.5)
    program.theta = program.theta * 3.0
    found = fg.compile(fg.reversed_network(program, acts), executor=executor).predict([[1.0, 2.0]])
    np.testing.assert_allclose(found, program.backward(acts, cotangent=[[1.0, 2.0]]).input.array, rtol=1e-12)


def test_ids_that_are_taken_get_a_prime() -> None:
    G = nx.DiGraph([(("base", "y"), "y")])
    program = fg.compile(fg.Network.from_networkx(G), executor="python", loss="squared_error")
    turned = fg.reversed_network(program, program.forward([[1.0]]))
    assert turned.inputs == (("base'", "y"),)
    assert turned.outputs == (("base", "y"),)


def test_what_it_cannot_be_made_of_is_named() -> None:
    net = fg.Network.from_arrays([0, 1], [1, 2], weight=[1.0, 1.0], activation=["", "log", "identity"])
    program = fg.compile(net, executor="python", loss="squared_error")
    acts = program.forward([[0.0], [1.0]])
    assert fg.reversed_network(program, acts, sample=1)
    with pytest.raises(GraphError, match=r"σ'\(z\) of neuron 1 is inf at sample 0"):
        fg.reversed_network(program, acts)
    with pytest.raises(DataError, match="sample=2"):
        fg.reversed_network(program, acts, sample=2)
    other = fg.compile(net, executor="python")
    with pytest.raises(DataError, match="belong to another program: reversed_network takes"):
        fg.reversed_network(other, acts)
    with pytest.raises(DataError, match="reversed_network wants an Activations, not a list"):
        fg.reversed_network(program, [[1.0]])  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="reversed_network wants a Program, not a Network"):
        fg.reversed_network(net, acts)  # type: ignore[arg-type]  # wrong on purpose
    product = fg.Network()
    for k in range(3):
        product.add_input(k)
    product.add_neuron("y", dict.fromkeys(range(3), 1e200), aggregation="product")
    program = fg.compile(product, executor="python", loss="squared_error")
    with pytest.raises(GraphError, match=r"∂z/∂a of edge 0 → 'y' is inf at sample 0"):
        fg.reversed_network(program, program.forward([[1.0, 1.0, 1.0]]))


# ---- the reversed graph -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_the_reversed_view_is_a_network(name: str) -> None:
    net = TOPOLOGIES[name]()
    turned = fg.Network.from_networkx(net.reverse())
    assert turned.inputs == net.outputs
    assert turned.outputs == net.inputs
    assert set(turned.nodes) == set(net.nodes)
    assert set(turned.graph.edges) == {(v, u) for u, v in net.graph.edges}
    again = fg.Network.from_networkx(turned.reverse())
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)
    assert fg.compile(turned, executor="python").predict(np.ones((1, len(net.outputs)))).shape == (1, len(net.inputs))


@given(networks())
def test_the_reversed_view_of_any_network_is_one_where_an_output_feeds_nobody(net: fg.Network) -> None:
    last = tuple(v for v in net.outputs if not net.graph.succ[v])
    turned = net.reverse()
    assert turned.inputs == last
    if last:
        assert fg.Network.from_networkx(turned).inputs == last
    plain = turned.copy()
    assert type(plain) is nx.DiGraph
    assert {(u, v): w for u, v, w in plain.edges(data="weight")} == {
        (v, u): w for u, v, w in net.graph.edges(data="weight")
    }


def test_inputs_and_outputs_that_are_given_count() -> None:
    net = fg.topologies.from_edge_list([("x", "h"), ("u", "h"), ("h", "y")])
    assert fg.Network.from_networkx(net.reverse(), outputs=["u"]).outputs == ("u",)
    with pytest.raises(fg.FlowgradError, match="'z' is no node"):
        fg.Network.from_networkx(net.reverse(), inputs=["z"])


# ---- L = Σ l_n --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", names("losses"))
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_losses_of_outputs_add_up(executor: str, loss: str, reduction: Any) -> None:
    rng = np.random.default_rng(0)
    net = fg.topologies.layered([3, 4, 3], seed=2)
    program = fg.compile(net, executor=executor, loss=loss, reduction=reduction)
    X, T = rng.normal(size=(5, 3)), oracle.targets(loss, rng, (5, 3))
    acts, s = program.forward(X), np.array([1.0, 0.0, 2.0, 0.5, 1.0])
    t = np.asarray(T, float)
    for weights in (None, s):
        grads = program.backward(acts, T, sample_weight=weights)
        w = np.ones(5) if weights is None else weights
        kept = w > 0
        l = program.loss.evaluate(acts.output[kept], t[kept], w[kept])[0]  # type: ignore[union-attr]  # it has one
        expected = l.sum(axis=0) / (w.sum() if reduction == "mean" else 1.0)
        assert grads.loss_by_output is not None
        assert list(grads.loss_by_output) == list(net.outputs)
        np.testing.assert_allclose(grads.loss_by_output.array, expected, rtol=1e-12)
        assert grads.loss == pytest.approx(sum(grads.loss_by_output.values()), rel=1e-12)
    assert program.backward(acts, cotangent=np.ones((5, 3))).loss_by_output is None


def test_losses_that_are_not_finite_flow() -> None:
    program = fg.compile(fg.topologies.layered([1, 2]), executor="python", loss="squared_error")
    grads = program.backward(program.forward([[np.inf], [1.0]]), [[0.0, np.nan], [0.0, 0.0]])
    assert grads.loss_by_output is not None
    assert grads.loss_by_output[1] == np.inf
    assert np.isnan(grads.loss_by_output[2])


# ---- numbers by name in reprs -----------------------------------------------------------------------------------


def test_results_show_their_numbers_by_name(executor: str) -> None:
    net = fg.topologies.from_edge_list([("x", "h", 0.5), ("h", "y", 2.0), ("h", "the other one", -3.0)])
    program = fg.compile(net, executor=executor, loss="squared_error")
    acts = program.forward([[0.0]])
    grads = program.backward(acts, [[1.0, 2.0]], per_output=True)
    rows = [line.split() for line in repr(acts).splitlines()]
    assert rows[1:4] == [["z", "a"], ["x", "0", "0"], ["h", "0", "0"]]
    assert repr(acts).startswith("Activations(4 nodes, 1 sample, float64)")
    said = repr(grads)
    assert "loss 2.5" in said
    assert "'the other one'  -2" in said or "'the other one'  -1" in said
    assert "y: 0.5" in said
    assert "'the other one': 2" in said
    assert "h → y: 0" in said
    assert f"x → h: {program.theta_index['x', 'h']}" in repr(program.theta_index)
    assert f"y: {program.theta_index['y']}" in repr(program.theta_index)
    assert repr(grads.loss_by_output).startswith("ByOutput(")
    assert repr(grads.per_output).count("…") == len(net.outputs)  # more than three parameters each
    assert repr(net.reverse()).startswith("ReversedView(4 nodes, 3 edges, ")
    assert "h → x: 0.5" in repr(net.reverse())
    assert "x: " in repr(grads.input)
    assert "x → h: " in repr(grads.weight)


def test_reprs_are_cut_at_ten() -> None:
    ends = [(f"n{k}", f"n{k + 1}") for k in range(30)]
    program = fg.compile(fg.Network.from_networkx(nx.DiGraph(ends)), executor="python", loss="squared_error")
    acts = program.forward(np.ones((5, 1)))
    grads = program.backward(acts, np.ones((5, 1)))
    assert "[1, 1, 1 … (2 more)]" in repr(acts)
    assert len(repr(acts).splitlines()) == 1 + 1 + 10 + 1
    assert repr(acts).endswith("… (21 more)")
    for shown, more in (
        (grads.weight, 20),
        (grads.dz, 21),
        (program.theta_index.weight, 20),
        (program.theta_index.bias, 20),
    ):
        assert repr(shown).endswith(f" … ({more} more))")
        assert repr(shown).count(": ") == 10
    assert len(repr(grads)) < 3000
    assert "(20 more)" in repr(program.theta_index)
    assert repr(program.network().reverse()).endswith(" … (20 more))")
    assert all(u != v for u, v in pairwise(repr(grads).splitlines()))
