"""Scaling folded into a network: the same function of raw columns, on every kind of network there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import DataError, GraphError, ShapeError
from flowgrad.scaling import Scaling, folded
from flowgrad.testing.strategies import networks

SMOOTH = ["identity", "tanh", "sigmoid", "softplus", "elu", "gaussian"]
CONTINUOUS = ["sum", "mean", "product", "max", "min", "median", "max_abs"]


def scalings(seed: int, n: int) -> Scaling:
    """Means up to 3 and scales from 1/8 to 8; some columns are not scaled, some are only moved or only stretched."""
    rng = np.random.default_rng(seed)
    mean, scale = rng.uniform(-3, 3, n), 2.0 ** rng.uniform(-3, 3, n)
    return Scaling(np.where(rng.random(n) < 0.25, 0.0, mean), np.where(rng.random(n) < 0.25, 1.0, scale))


def outputs(net: fg.Network, X: Any) -> Any:
    return fg.compile(net, executor="python").predict(X)


@given(networks(activations=SMOOTH, aggregations=CONTINUOUS), st.integers(0, 2**32), st.booleans())
def test_folded_on_raw_columns_is_the_network_on_scaled_ones(net: fg.Network, seed: int, regression: bool) -> None:
    x = scalings(seed, len(net.inputs))
    y = scalings(seed + 1, len(net.outputs)) if regression else None
    raw = folded(net, x, y)
    X = np.random.default_rng(seed).standard_normal((7, len(net.inputs))) * x.scale + x.mean
    wanted, found = outputs(net, x(X)), outputs(raw, X)
    wanted = wanted if y is None else y.back(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * max(1.0, float(np.abs(wanted).max(initial=0))))
    keeps_its_parameters(net, raw)


def keeps_its_parameters(net: fg.Network, raw: fg.Network) -> None:
    """Ends by name, frozen values, what is trainable and what is shared are as they were."""
    assert raw.inputs == net.inputs
    both = set(net.inputs)
    for old, new in zip(net.outputs, raw.outputs, strict=True):
        assert new == old or old in both
    assert fg.compile(raw, executor="python").plan.n_parameters == fg.compile(net, executor="python").plan.n_parameters
    a, b = net.columns, raw.columns
    V, E = a.n_nodes, a.n_edges
    assert b.edge_trainable[:E].tolist() == a.edge_trainable.tolist()
    assert b.trainable[:V].tolist() == a.trainable.tolist()
    assert not b.edge_trainable[E:].any()
    assert not b.trainable[V:].any()
    assert b.param[:E].tolist() == a.param.tolist()
    held = ~a.edge_trainable | (a.param >= 0)
    assert b.weight[:E][held].tolist() == a.weights[held].tolist()
    assert b.bias[:V][~a.trainable].tolist() == a.bias[~a.trainable].tolist()


@given(networks(activations=SMOOTH, aggregations=CONTINUOUS), st.integers(0, 2**32))
def test_the_inverse_leads_back(net: fg.Network, seed: int) -> None:
    x = scalings(seed, len(net.inputs))
    X = np.random.default_rng(seed).standard_normal((5, len(net.inputs)))
    back = folded(folded(net, x), x.inverse())
    np.testing.assert_allclose(outputs(back, X), outputs(net, X), rtol=1e-8, atol=1e-8)


@given(
    st.lists(networks(activations=SMOOTH, aggregations=CONTINUOUS, max_neurons=5), min_size=2, max_size=3), st.data()
)
def test_a_union_stays_one(nets: list[fg.Network], data: Any) -> None:
    try:
        net = fg.union(nets, share_inputs=data.draw(st.booleans()))
    except GraphError:  # a shared input that is an output of two networks
        return
    x = scalings(data.draw(st.integers(0, 99)), len(net.inputs))
    raw = folded(net, x)
    X = np.random.default_rng(0).standard_normal((5, len(net.inputs)))
    wanted = outputs(net, x(X))
    np.testing.assert_allclose(outputs(raw, X), wanted, rtol=1e-9, atol=1e-9 * (1 + float(np.abs(wanted).max())))
    before, after = (fg.compile(each, executor="python").theta_slices for each in (net, raw))
    assert [len(slots) for slots in after] == [len(slots) for slots in before]
    c = raw.columns
    assert c.part is not None
    assert c.place is not None
    inner = ~c.is_input[c.source]
    assert (c.place[c.target[inner]] > c.place[c.source[inner]]).all()
    assert (np.diff(c.part[c.order[len(c.inputs) :]]) >= 0).all()
    assert (c.part[~c.is_input] >= 0).all()


def graph(**attributes: Any) -> nx.DiGraph[Any]:
    G = nx.DiGraph()
    G.add_edge("x", "h", weight=3.0)
    G.add_edge("h", "y", weight=2.0)
    G.nodes["h"].update({"bias": 1.0, "activation": "tanh"} | attributes)
    return G


def test_a_plain_network_gets_no_neuron_and_keeps_its_nodes() -> None:
    net = fg.Network.from_networkx(graph(response=2.0))
    raw = folded(net, Scaling([10.0], [4.0]), Scaling([100.0], [5.0]))
    assert raw.nodes == net.nodes
    assert raw.graph.edges["x", "h"]["weight"] == 0.75
    assert raw.graph.nodes["h"]["bias"] == 1.0 - 2.0 * 7.5
    assert raw.graph.edges["h", "y"]["weight"] == 10.0
    assert raw.graph.nodes["y"]["bias"] == 100.0


@pytest.mark.parametrize(
    ("node", "edge"),
    [({"aggregation": "max"}, {}), ({"trainable": False}, {}), ({}, {"trainable": False}), ({}, {"param": "w"})],
)
def test_what_cannot_take_the_scaling_reads_a_frozen_identity_neuron(node: Any, edge: Any) -> None:
    G = graph(**node)
    G.edges["x", "h"].update(edge)
    raw = folded(fg.Network.from_networkx(G), Scaling([10.0], [4.0]))
    assert set(raw.nodes) == {"x", "x standardised", "h", "y"}
    assert raw.graph.edges["x standardised", "h"]["weight"] == 3.0
    assert raw.graph.nodes["h"]["bias"] == 1.0
    assert raw.graph.edges["x", "x standardised"] == {"weight": 0.25, "trainable": False}
    assert raw.graph.nodes["x standardised"]["bias"] == -2.5


def test_an_input_feeds_what_takes_it_raw_and_what_does_not() -> None:
    G = graph()
    G.add_edge("x", "g", weight=1.0)
    G.add_edge("g", "y", weight=1.0)
    G.nodes["g"]["aggregation"] = "product"
    raw = folded(fg.Network.from_networkx(G), Scaling([10.0], [4.0]))
    assert set(raw.graph.succ["x"]) == {"h", "x standardised"}
    assert set(raw.graph.succ["x standardised"]) == {"g"}


def test_the_place_of_an_edge_decides_ties_and_stays() -> None:
    G = nx.DiGraph([("a", "m", {"weight": 1.0}), ("b", "m", {"weight": 1.0})])
    G.nodes["m"].update(aggregation="max", activation="identity")
    raw = folded(fg.Network.from_networkx(G, inputs=["a", "b"]), Scaling([1.0, 1.0], [2.0, 2.0]))
    program = fg.compile(raw, executor="python")
    grads = program.backward(program.forward([[3.0, 3.0]]), cotangent=[[1.0]])
    assert (grads.input["a"].tolist(), grads.input["b"].tolist()) == ([0.5], [0.0])


def test_names_that_are_taken_are_not_given_again() -> None:
    G = graph(aggregation="max")
    G.add_edge("x standardised", "y", weight=1.0)
    net = fg.Network.from_networkx(G, inputs=["x", "x standardised"])
    assert "x standardised'" in folded(net, Scaling([1.0, 0.0], [2.0, 1.0])).nodes
    numbered = fg.Network.from_arrays([0, 1], [2, 2], weight=[1.0, 2.0])
    assert folded(frozen(numbered), Scaling([1.0, 2.0], [2.0, 2.0])).nodes == (0, 1, 3, 4, 2)
    G = nx.relabel_nodes(graph(aggregation="max"), {"x": 7, "h": 9, "y": 3})
    assert set(folded(fg.Network.from_networkx(G), Scaling([1.0], [2.0])).nodes) == {7, 9, 3, 10}


def frozen(net: fg.Network) -> fg.Network:
    c = net.columns
    return fg.Network.from_columns(replace(c, edge_trainable=np.zeros(c.n_edges, bool)))


def test_an_output_that_is_an_input_or_feeds_others() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0}, activation="identity")
    net.add_neuron("z", {"y": 1.0}, activation="tanh")
    net.set_outputs(["x", "y", "z"])
    raw = folded(net, Scaling([1.0], [2.0]), Scaling([0.0, 5.0, 6.0], [1.0, 2.0, 3.0]))
    assert raw.inputs == ("x",)
    assert raw.outputs == ("x standardised", "y", "z")
    assert raw.graph.nodes["x standardised"]["label"] == "x"
    X = np.array([[1.0], [4.0]])
    wanted = np.column_stack([(X - 1) / 2, 2 * (X - 1) / 2 + 5, 3 * np.tanh((X - 1) / 2) + 6])
    np.testing.assert_allclose(outputs(raw, X), wanted, rtol=1e-15)


def test_a_label_goes_with_the_output_that_has_the_id() -> None:
    G = graph()
    G.nodes["y"].update(label="a score", activation="tanh")
    raw = folded(fg.Network.from_networkx(G), targets=Scaling([100.0], [5.0]))
    assert raw.outputs == ("y",)
    assert raw.graph.nodes["y"]["label"] == "a score"
    assert "label" not in raw.graph.nodes["y standardised"]


def test_a_column_without_variance_keeps_its_scale() -> None:
    X = np.array([[0.1, 1e-9], [0.1, 2e-9], [0.1, 3e-9]])
    x = Scaling.of(X)
    assert x.scale[0] == 1.0
    net = fg.Network.from_arrays([0, 1], [2, 2], weight=[3.0, 4.0], activation="identity")
    np.testing.assert_allclose(outputs(folded(net, x), X), outputs(net, x(X)), atol=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200, 1e300])
def test_columns_of_any_size_are_scaled(size: float) -> None:
    X = np.random.default_rng(0).standard_normal((50, 2)) * size
    scaled = Scaling.of(X)(X)
    assert scaled.std(axis=0) == pytest.approx([1, 1])
    assert scaled.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    np.testing.assert_allclose(Scaling.of(X).back(scaled), X, rtol=1e-12)


@given(st.integers(0, 2**32), st.sampled_from([1e-250, 1.0, 1e250]))
def test_a_weight_is_the_sample_given_so_many_times(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    X, times = rng.normal(3.0, 1.0, (12, 3)) * size, rng.integers(0, 4, 12)
    times[0] = 1
    X[:, 2] = 7.0 * size  # constant
    weighted, repeated = Scaling.of(X, times), Scaling.of(X.repeat(times, axis=0))
    np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(weighted.scale, repeated.scale, rtol=1e-12)
    np.testing.assert_allclose(Scaling.of(X, times * 1e-300).mean, repeated.mean, rtol=1e-12)


def test_a_network_that_is_not_scaled_is_the_same_one() -> None:
    net = fg.topologies.layered([2, 3, 1])
    assert folded(net) is net
    assert folded(net, Scaling([0.0, 0.0], [1.0, 1.0])) is net


def test_what_does_not_fit_is_refused() -> None:
    net = fg.topologies.layered([2, 3, 1])
    with pytest.raises(ShapeError, match="a scaling of 1 inputs: the network has 2"):
        folded(net, Scaling([0.0], [1.0]))
    with pytest.raises(ShapeError, match="a scaling of 2 targets: the network has 1"):
        folded(net, targets=Scaling([0.0, 0.0], [1.0, 1.0]))
    with pytest.raises(DataError, match=r"column 1 has mean 0.0 and scale 0.0"):
        Scaling([0.0, 0.0], [1.0, 0.0])
    with pytest.raises(ShapeError):
        Scaling([0.0, 0.0], [1.0])
    huge = fg.Network.from_arrays([0], [1], weight=[1e300])
    with pytest.raises(GraphError, match="edge 0 → 1 overflows"):
        folded(huge, Scaling([0.0], [1e-20]))


BAD: list[tuple[Any, str]] = [
    ([["a"]], "text"),
    ("x", "text"),
    ([[1j]], "complex"),
    ({"a": [1]}, "object"),
    ([[{1.5}]], "object"),
    ([["1.5"]], "text"),
    ([[1, 2], [3]], "unequal lengths"),
]


@pytest.mark.parametrize(("bad", "said"), BAD, ids=repr)
def test_values_that_are_no_numbers_are_named_wherever_they_are_given(bad: Any, said: str) -> None:
    scaling = Scaling([0.0], [1.0])
    calls = {
        "values": (lambda: Scaling.of(bad), lambda: scaling(bad)),
        "scaled": (lambda: scaling.back(bad),),
        "a part": (lambda: Scaling.over([bad]),),
        "mean": (lambda: Scaling(bad, bad),),
        "weights": (lambda: Scaling.of([[1.0], [2.0]], bad),),
    }
    for name, each in calls.items():
        for call in each:
            with pytest.raises((DataError, ShapeError), match=rf"{name}.*{said}"):
                call()


@pytest.mark.parametrize("bad", [[], 3, None, [1.0, 2.0], [[[1.0]]], np.zeros((0, 2))], ids=repr)
def test_values_of_another_shape_are_named(bad: Any) -> None:
    for call in (lambda: Scaling.of(bad), lambda: Scaling.over([bad])):
        with pytest.raises((DataError, ShapeError), match=r"values|part"):
            call()
    for call in (Scaling([0.0] * 3, [1.0] * 3), Scaling([0.0] * 3, [1.0] * 3).back):
        with pytest.raises(ShapeError, match=r"has shape .*must be \(…, 3\)"):
            call(bad)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0], r"shape \(1,\): must be \(2,\)"),
        (3.0, r"shape \(\)"),
        ([0.0, 0.0], "0 for every sample"),
        ([-1.0, 1.0], "-1.0 at sample 0"),
        ([1.0, np.nan], "nan at sample 1"),
        ([1.0, np.inf], "inf at sample 1"),
    ],
)
def test_weights_that_are_none_are_named(weights: Any, said: str) -> None:
    with pytest.raises((DataError, ShapeError), match=f"weights .*{said}"):
        Scaling.of([[1.0], [2.0]], weights)


@pytest.mark.parametrize("bad", [3, None, [], ()], ids=repr)
def test_parts_that_are_none_are_named(bad: Any) -> None:
    with pytest.raises(DataError, match=r"parts=|no values"):
        Scaling.over(bad)
