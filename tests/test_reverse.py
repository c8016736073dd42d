"""Laws of plans and of reverse(), and what net.graph promises."""

from __future__ import annotations

import pickle
from collections.abc import Hashable
from dataclasses import fields
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import assume, given

import flowgrad as fg
from flowgrad.errors import GraphError
from flowgrad.plan import Plan, lower
from flowgrad.testing.strategies import Case, cases, networks


def names(net: fg.Network, plan: Plan) -> list[Hashable]:
    """Ids by position."""
    return [net.columns.ids[k] for k in plan.nodes.tolist()]


def edges_of(net: fg.Network, plan: Plan) -> dict[tuple[Hashable, Hashable], float]:
    ids = names(net, plan)
    pairs = [(ids[u], ids[v]) for u, v in zip(plan.in_source.tolist(), plan.in_target.tolist(), strict=True)]
    return dict(zip(pairs, plan.weight.tolist(), strict=True))


@given(networks())
def test_reversing_twice_gives_the_plan(net: fg.Network) -> None:
    plan = lower(net)
    assert plan.reverse().reverse() == plan
    if plan.n_edges:
        assert plan.reverse() != plan
    assert plan == pickle.loads(pickle.dumps(plan))
    assert lower(pickle.loads(pickle.dumps(net))).theta.tolist() == plan.theta.tolist()


@given(networks())
def test_a_plan_holds_what_its_docstring_says(net: fg.Network) -> None:
    plan = lower(net)
    for p in (plan, plan.reverse()):
        V, E = p.n_nodes, p.n_edges
        targets = np.repeat(np.arange(V), np.diff(p.in_ptr))
        np.testing.assert_array_equal(p.in_target, targets)
        assert sorted(p.nodes.tolist()) == list(range(V))
        assert sorted(p.edges.tolist()) == list(range(E))
        assert p.in_ptr[0] == p.out_ptr[0] == 0
        assert p.in_ptr[-1] == p.out_ptr[-1] == E
        assert (p.in_source < targets).all()  # a topological order
        np.testing.assert_array_equal(p.in_source[p.out_edge], np.repeat(np.arange(V), np.diff(p.out_ptr)))
        np.testing.assert_array_equal(targets[p.out_edge], p.out_target)
        longest = np.zeros(V, int)
        for u, v in zip(p.in_source.tolist(), targets.tolist(), strict=True):
            longest[v] = max(longest[v], longest[u] + 1)
        np.testing.assert_array_equal(p.level, longest)
        assert not any(getattr(p, f.name).flags.writeable for f in fields(p) if hasattr(getattr(p, f.name), "flags"))
    I = len(net.inputs)
    assert plan.inputs.tolist() == list(range(I))
    assert (np.diff(plan.level[I:]) >= 0).all()
    assert (plan.activation[:I] == -1).all()
    assert (plan.activation[I:] >= 0).all()
    assert tuple(names(net, plan)) == net.nodes
    assert [names(net, plan)[k] for k in plan.outputs] == list(net.outputs)
    for v in net.nodes:  # edge order is the graph's
        first, last = (plan.in_ptr[net.nodes.index(v) + k] for k in (0, 1))
        assert [net.nodes[u] for u in plan.in_source[first:last]] == list(net.graph.pred[v])


@given(networks())
def test_the_reversed_network_lowers_to_the_reversed_plan_up_to_the_order_of_nodes(net: fg.Network) -> None:
    assume(all(not net.graph.succ[v] for v in net.outputs))  # an input has no in-edges
    turned = fg.Network.from_networkx(net.reverse(), inputs=net.outputs, outputs=net.inputs)
    plan, other = lower(net).reverse(), lower(turned)
    assert sorted(names(net, plan), key=repr) == sorted(names(turned, other), key=repr)
    assert edges_of(net, plan) == edges_of(turned, other)
    ids = names(net, plan)
    assert [ids[k] for k in plan.inputs] == list(turned.inputs)
    assert [ids[k] for k in plan.outputs] == list(turned.outputs)
    assert dict(zip(ids, plan.level.tolist(), strict=True)) == dict(
        zip(names(turned, other), other.level.tolist(), strict=True)
    )
    place = {v: k for k, v in enumerate(names(turned, other))}
    for k, v in enumerate(ids):
        if v not in net.inputs and v not in net.outputs:
            q = place[v]
            assert plan.activations[plan.activation[k]] == other.activations[other.activation[q]]
            assert plan.aggregations[plan.aggregation[k]] == other.aggregations[other.aggregation[q]]
            assert (plan.bias[k], plan.response[k]) == (other.bias[q], other.response[q])
            assert (plan.bias_slot[k] < 0) == (other.bias_slot[q] < 0)
    slots = {e: int(s) for e, s in zip(edges_of(net, plan), plan.weight_slot, strict=True)}
    others = {e: int(s) for e, s in zip(edges_of(turned, other), other.weight_slot, strict=True)}
    assert {e for e in slots if slots[e] < 0} == {e for e in others if others[e] < 0}
    assert _groups(slots) == _groups(others)  # the same edges share


def _groups(slots: dict[Any, int]) -> set[frozenset[Any]]:
    return {frozenset(e for e in slots if slots[e] == s) for s in set(slots.values()) - {-1}}


@given(networks())
def test_a_network_comes_back_from_its_own_graph(net: fg.Network) -> None:
    again = fg.Network.from_networkx(net.graph, inputs=net.inputs, outputs=net.outputs)
    one, other = lower(net), lower(again)
    for f in fields(Plan):
        if f.name == "edges":  # rows of columns, and those may be grouped anew
            continue
        a, b = getattr(one, f.name), getattr(other, f.name)
        if f.name in ("activation", "aggregation"):  # codes, and the tables may be in another order
            tables = getattr(one, f.name + "s"), getattr(other, f.name + "s")
            a, b = ([t[k] if k >= 0 else None for k in c] for t, c in zip(tables, (a, b), strict=True))
            assert a == b
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=f.name)


@given(cases())
def test_made_by_hand_and_from_networkx_are_one_network(case: Case) -> None:
    G = nx.DiGraph()
    G.add_nodes_from(case.inputs)
    G.add_nodes_from(case.nodes)
    G.add_edges_from(case.edges)
    net, hand = fg.Network.from_networkx(G, inputs=case.inputs, outputs=case.outputs), case.network()
    assert (net.nodes, net.inputs, net.outputs) == (hand.nodes, hand.inputs, hand.outputs)
    np.testing.assert_array_equal(lower(net).theta, lower(hand).theta)
    assert dict(net.graph.nodes(data=True)) == dict(hand.graph.nodes(data=True))
    assert {e: net.graph.edges[e] for e in net.graph.edges} == {e: hand.graph.edges[e] for e in hand.graph.edges}


# ---- net.graph and net.reverse() ----------------------------------------------------------------------------


def small() -> fg.Network:
    G = nx.DiGraph(title="hand-made", year=1)
    G.add_node("x", unit="mm")
    G.add_node("h", activation="tanh", bias=0.5, note={"free": ["form"]})
    G.add_edge("x", "h", weight=2.0, source_file="a.csv")
    G.add_edge("h", "y", weight=-1.0)
    return fg.Network.from_networkx(G)


def test_the_graph_keeps_every_attribute_of_the_user() -> None:
    g = small().graph
    assert g.graph == {"title": "hand-made", "year": 1}
    assert g.nodes["x"] == {"unit": "mm"}
    assert g.nodes["h"] == {"activation": "tanh", "bias": 0.5, "note": {"free": ["form"]}}
    assert g.edges["x", "h"] == {"weight": 2.0, "source_file": "a.csv"}
    assert g.edges["h", "y"] == {"weight": -1.0}
    assert isinstance(g, nx.DiGraph)


@pytest.mark.parametrize("view", [lambda net: net.graph, lambda net: net.reverse()], ids=["graph", "reverse"])
def test_the_views_are_read_only(view: Any) -> None:
    g = view(small())
    edge = next(iter(g.edges))
    for change in (
        lambda: g.add_node("new"),
        lambda: g.add_edge("x", "y"),
        lambda: g.remove_node("x"),
        lambda: g.remove_edge(*edge),
        lambda: g.clear(),
    ):
        with pytest.raises(nx.NetworkXError, match=r"[Ff]rozen"):
            change()
    for change in (
        lambda: g.nodes["h"].update(bias=9.0),
        lambda: g.nodes["h"].__setitem__("bias", 9.0),
        lambda: g.edges[edge].pop("weight"),
        lambda: g.edges[edge].__setitem__("weight", 9.0),
        lambda: nx.set_node_attributes(g, 1.0, "bias"),
    ):
        with pytest.raises(GraphError, match="read-only view"):
            change()
    assert g.nodes["h"]["bias"] == 0.5


def test_a_copy_of_the_graph_can_be_changed() -> None:
    net = small()
    copies = [net.graph.copy(), nx.DiGraph(net.graph), pickle.loads(pickle.dumps(nx.DiGraph(net.graph)))]
    for copy in copies:
        copy.add_edge("x", "y", weight=1.0)
        copy.nodes["h"]["bias"] = 9.0
        assert fg.Network.from_networkx(copy).graph.nodes["h"]["bias"] == 9.0
    assert net.graph.nodes["h"]["bias"] == 0.5
    assert not net.graph.has_edge("x", "y")


def test_reverse_is_a_view_that_shares_attributes() -> None:
    net = small()
    turned = net.reverse()
    assert list(turned.edges) == [("h", "x"), ("y", "h")]
    assert turned.edges["y", "h"] is net.graph.edges["h", "y"]
    assert turned.nodes["h"] is net.graph.nodes["h"]
    assert net.graph is net.graph


def test_the_graph_of_the_user_is_read_and_left_alone() -> None:
    G = nx.DiGraph()
    G.add_edge("x", "y")
    before = nx.to_dict_of_dicts(G)
    net = fg.Network.from_networkx(G)
    weight = net.graph.edges["x", "y"]["weight"]
    assert nx.to_dict_of_dicts(G) == before == {"x": {"y": {}}, "y": {}}
    G.edges["x", "y"]["weight"] = 99.0
    G.add_edge("y", "z")
    assert net.graph.edges["x", "y"]["weight"] == weight
    assert net.nodes == ("x", "y")


@given(networks())
def test_any_networkx_algorithm_works_on_the_graph(net: fg.Network) -> None:
    assert nx.dag_longest_path_length(net.graph, weight=None) == net.depth
    assert list(nx.topological_sort(net.reverse())) is not None
    assert nx.ancestors(net.graph, net.outputs[0]) == nx.descendants(net.reverse(), net.outputs[0])
    assert set(net.graph) == set(net.nodes)
    assert net.graph.number_of_edges() == net.columns.n_edges


def test_the_graph_follows_the_network_s_own_methods() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0})
    before = net.graph
    net.add_neuron("z", {"y": 1.0})
    assert "z" in net.graph
    assert "z" not in before
    assert "connect" in dir(net)
