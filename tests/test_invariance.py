"""Names and orders that carry no meaning change nothing; the order of in-edges does, and is kept."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.testing import oracle
from flowgrad.testing.strategies import Case, Opaque, cases

seeds = st.integers(0, 2**32 - 1)


def lowered(graph: nx.DiGraph, inputs: Any, outputs: Any) -> fg.Network:
    return fg.Network.from_networkx(graph, inputs=inputs, outputs=outputs)


def setting(case: Case, seed: int) -> tuple[oracle.Net, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X, T = rng.standard_normal((3, len(case.inputs))), rng.standard_normal((3, len(case.outputs)))
    return oracle.of_case(case, X), X, T


@given(case=cases(), seed=seeds, kind=st.sampled_from(["str", "int", "tuple", "object"]))
def test_new_names_change_no_gradient(executor: str, case: Case, seed: int, kind: str) -> None:
    net, X, T = setting(case, seed)
    rng = np.random.default_rng(seed)
    number = dict(zip(net.graph, rng.permutation(len(net.graph)).tolist(), strict=True))
    make = {"str": "v{}".format, "int": int, "tuple": lambda k: (k, "é"), "object": Opaque}[kind]
    name = {v: make(k) for v, k in number.items()}
    other = nx.DiGraph()
    other.add_nodes_from((name[v], d) for v, d in net.graph.nodes(data=True))
    for v in net.graph:  # the order of in-edges has a meaning, that of all edges has none
        other.add_edges_from((name[u], name[v], d) for u, d in net.graph.pred[v].items())
    one = fg.compile(lowered(net.graph, net.inputs, net.outputs), executor=executor, loss="squared_error")
    two = fg.compile(
        lowered(other, [name[v] for v in net.inputs], [name[v] for v in net.outputs]),
        executor=executor,
        loss="squared_error",
    )
    acts_1, acts_2 = one.forward(X), two.forward(X)
    np.testing.assert_array_equal(acts_1.output, acts_2.output)
    g1, g2 = one.backward(acts_1, T), two.backward(acts_2, T)
    assert g1.loss == g2.loss
    near = 1e-13 * max(np.abs(g1.da.array).max(), 1e-300)
    for v in net.graph:
        np.testing.assert_array_equal(acts_1.z[v], acts_2.z[name[v]])
        assert np.abs(g1.dz[v] - g2.dz[name[v]]).max() <= near  # out-edges may be added in another order
    for u, v in net.graph.edges:
        assert abs(g1.weight[u, v] - g2.weight[name[u], name[v]]) <= 10 * near * max(1, np.abs(acts_1.a[u]).max())
    assert len(one.theta) == len(two.theta)


@given(case=cases(aggregations=["sum", "mean", "product"]), seed=seeds)
def test_the_order_of_edges_does_not_matter_where_no_tie_is_broken(executor: str, case: Case, seed: int) -> None:
    net, X, T = setting(case, seed)
    edges = list(net.graph.edges(data=True))
    np.random.default_rng(seed).shuffle(edges)
    other = nx.DiGraph()
    other.add_nodes_from(list(net.graph.nodes(data=True))[::-1])
    other.add_edges_from(edges)
    programs = [
        fg.compile(lowered(G, net.inputs, net.outputs), executor=executor, loss="squared_error")
        for G in (net.graph, other)
    ]
    acts = [p.forward(X) for p in programs]
    g1, g2 = (p.backward(a, T) for p, a in zip(programs, acts, strict=True))
    scale = max(1.0, np.abs(acts[0].z.array).max())
    np.testing.assert_allclose(acts[1].output, acts[0].output, rtol=1e-11, atol=1e-12 * scale)
    near = 1e-11 * scale * max(np.abs(g1.da.array).max(), 1e-300)
    for v in net.graph:
        assert np.abs(g1.da[v] - g2.da[v]).max() <= near
    for e in net.graph.edges:
        assert abs(g1.weight[e] - g2.weight[e]) <= scale * near


@pytest.mark.parametrize("aggregation", ["max", "min", "max_abs"])
def test_the_first_in_edge_of_equals_wins(executor: str, aggregation: str) -> None:
    for order in (["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]):
        G = nx.DiGraph()
        G.add_nodes_from("abc")
        G.add_node("y", aggregation=aggregation)
        G.add_edges_from((v, "y", {"weight": 1.0}) for v in order)
        net = fg.Network.from_networkx(G)
        assert net.inputs == ("a", "b", "c")
        grads = _ones(net, executor)
        assert {v: grads.input[v][0] for v in "abc"} == {v: float(v == order[0]) for v in "abc"}


def test_the_median_breaks_ties_in_edge_order(executor: str) -> None:
    for order in (["a", "b", "c", "d"], ["d", "b", "a", "c"]):
        G = nx.DiGraph()
        G.add_nodes_from("abcd")
        G.add_node("y", aggregation="median")
        G.add_edges_from((v, "y", {"weight": 1.0}) for v in order)
        grads = _ones(fg.Network.from_networkx(G), executor)
        assert {v: grads.input[v][0] for v in "abcd"} == {v: 0.5 * (v in order[1:3]) for v in "abcd"}


def _ones(net: fg.Network, executor: str) -> fg.Gradients:
    program = fg.compile(net, executor=executor)
    return program.backward(program.forward(np.ones((1, len(net.inputs)))), cotangent=[[1.0]])


def test_edge_order_survives_the_graph_view_and_the_written_network(executor: str) -> None:
    G = nx.DiGraph()
    G.add_nodes_from("abc")
    G.add_edges_from([("c", "y", {"weight": 1.0}), ("a", "y", {"weight": 1.0}), ("b", "y", {"weight": 1.0})])
    G.nodes["y"]["aggregation"] = "max"
    net = fg.Network.from_networkx(G)
    again = fg.Network.from_networkx(net.graph, inputs=net.inputs, outputs=net.outputs)
    written = fg.compile(net, executor=executor).network()
    for other in (net, again, written):
        assert list(other.graph.pred["y"]) == ["c", "a", "b"]
        assert _ones(other, executor).input["c"][0] == 1.0
