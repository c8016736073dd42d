"""Rare structures of graphs and parameters, on which programs often fail; also reuse of gradients, order and depth."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from time import perf_counter
from typing import Any

import networkx as nx
import numpy as np

from flowgrad.network import Network
from flowgrad.testing import oracle
from flowgrad.testing.battery import Subject, check
from flowgrad.testing.checks.gradients import held_to_the_oracle, same_as_python
from flowgrad.topologies import layered, union

Edge = tuple[Hashable, Hashable, dict[str, Any]]
DEPTH = 100_000
PATIENCE = 1.0  # a ladder that takes these seconds plus thirty times the first one's counts as exponential


def w(u: Hashable, v: Hashable, weight: float, **given: Any) -> Edge:
    """Return an edge with a weight and other attributes."""
    return u, v, {"weight": weight, **given}


# name → edges, attributes of neurons, inputs, outputs; neurons are tanh unless another activation is given
Shape = tuple[list[Edge], dict[Hashable, dict[str, Any]], tuple[Hashable, ...], tuple[Hashable, ...]]
SHAPES: dict[str, Shape] = {
    "skip_edges": (
        [w("x", "h", 0.7), w("h", "g", -1.1), w("g", "y", 0.4), w("x", "y", 1.3), w("h", "y", 0.9), w("x", "g", 0.2)],
        {"h": {"bias": 0.1}, "g": {"bias": -0.3}, "y": {"bias": 0.2}},
        ("x",),
        ("y",),
    ),
    "dead_neuron": ([w("x", "y", 0.7), w("x", "dead", 0.5)], {"dead": {"bias": 0.3}, "y": {}}, ("x",), ("y",)),
    "isolated_neuron": ([w("x", "y", 0.7)], {"alone": {"bias": 0.3}, "y": {}}, ("x",), ("y",)),
    "isolated_input": ([w("x", "y", 0.7)], {"y": {}}, ("x", "unused"), ("y",)),
    "bias_only_neuron": ([w("x", "y", 0.7), w("b", "y", -1.2)], {"b": {"bias": 0.4}, "y": {}}, ("x",), ("y",)),
    "output_that_no_input_reaches": (
        [w("x", "y", 0.7), w("b", "q", 1.2)],
        {"b": {"bias": 0.4}, "y": {}, "q": {"bias": 0.1}},
        ("x",),
        ("y", "q"),
    ),
    "output_that_feeds_another": (
        [w("x", "y", 0.7), w("y", "q", 1.2), w("x", "q", -0.4)],
        {"y": {"bias": 0.2}, "q": {}},
        ("x",),
        ("q", "y"),
    ),
    "input_that_is_an_output": ([w("x", "y", 0.7)], {"y": {}}, ("x",), ("y", "x")),
    "inputs_in_another_order": (
        [w("p", "y", 0.7), w("q", "y", -1.2), w("r", "q2", 0.3)],
        {"y": {}, "q2": {}},
        ("r", "p", "q"),
        ("q2", "y"),
    ),
    "neurons_that_share_all_predecessors": (
        [w(u, v, 0.1 * (1 + 3 * i + j)) for i, u in enumerate("pqr") for j, v in enumerate("abc")]
        + [w(u, "y", 0.5 - 0.4 * k) for k, u in enumerate("abc")],
        {"a": {"bias": 0.1}, "b": {"bias": -0.2}, "c": {}, "y": {}},
        ("p", "q", "r"),
        ("y", "b"),
    ),
    "responses": (
        [w("x", "h", 0.7), w("h", "y", -1.1), w("x", "y", 0.3)],
        {"h": {"response": -2.5, "bias": 0.1}, "y": {"response": 0.25}},
        ("x",),
        ("y",),
    ),
    "no_edge": ([], {"y": {"bias": 0.4}}, ("x",), ("y", "x")),
    "no_neuron": ([], {}, ("x", "z"), ("z",)),
    "zero_weights": ([w("x", "h", 0.0), w("h", "y", 0.0), w("x", "y", 1.0)], {"h": {}, "y": {}}, ("x",), ("y",)),
}
PARAMETERS: dict[str, Shape] = {
    "shared_weights": (
        [w(f"x{k + j}", f"h{k}", 0.5 - 0.8 * j, param=("kernel", j)) for k in range(3) for j in range(2)]
        + [w(f"h{k}", "y", 1.0 - k) for k in range(3)],
        {"h0": {"bias": 0.1}, "h1": {}, "h2": {}, "y": {}},
        ("x0", "x1", "x2", "x3"),
        ("y",),
    ),
    "weights_shared_along_a_path": (
        [w("x", "h", 0.6, param="w"), w("h", "g", 0.6, param="w"), w("g", "y", 0.6, param="w"), w("x", "y", 0.1)],
        {"h": {}, "g": {}, "y": {}},
        ("x",),
        ("y",),
    ),
    "frozen_weights_and_biases": (
        [w("x", "h", 0.7, trainable=False), w("h", "y", -1.1), w("x", "y", 0.3, trainable=False)],
        {"h": {"bias": 0.5}, "y": {"bias": -0.5, "trainable": False}},
        ("x",),
        ("y",),
    ),
    "nothing_to_train": (
        [w("x", "y", 0.7, trainable=False)],
        {"y": {"bias": -0.5, "trainable": False}},
        ("x",),
        ("y",),
    ),
    "shared_and_frozen_weights": (
        [w("x", "h", 0.7, param="f", trainable=False), w("h", "y", 0.7, param="f", trainable=False), w("x", "y", 0.3)],
        {"h": {}, "y": {}},
        ("x",),
        ("y",),
    ),
}


@check("graphs", least=40, over=tuple(SHAPES), name="graph")
def graph(subject: Subject, name: str) -> None:
    """Every gradient of a small graph of a rare structure equals the oracle's and the Python executor's."""
    _small(subject, SHAPES[name])


@check("parameters", least=40, over=tuple(PARAMETERS), name="parameters")
def parameters(subject: Subject, name: str) -> None:
    """Every gradient with shared and frozen parameters equals the oracle's and the Python executor's."""
    _small(subject, PARAMETERS[name])


def _small(subject: Subject, shape: Shape) -> None:
    edges, neurons, inputs, outputs = shape
    sigma = subject.functions("activations", ("tanh", "sigmoid", "identity"))[0]
    G: nx.DiGraph[Any] = nx.DiGraph()
    G.add_nodes_from(inputs)
    G.add_nodes_from((v, {"activation": sigma, **given}) for v, given in neurons.items())
    G.add_edges_from(edges)
    net, network = oracle.Net(G, inputs, outputs), Network.from_networkx(G, inputs=inputs, outputs=outputs)
    rng = np.random.default_rng(len(edges))
    X, T = rng.standard_normal((3, len(inputs))), rng.standard_normal((3, len(outputs)))
    held_to_the_oracle(subject, net, network, X, T, "squared_error")
    for dtype in subject.info.dtypes:
        same_as_python(subject, network, X, T, "squared_error", dtype)
        same_as_python(subject, network, X[:1], T[:1], "huber", dtype)
    program = subject.compile(network)
    grads = program.backward(program.forward(X), cotangent=T)
    for v in {"dead", "alone"} & set(neurons):
        subject.each(f"∂L/∂z of {v}, which no output sees", grads.dz[v], np.zeros(3), 0, 0)


@check("parameters", least=12)
def absent_weights(subject: Subject) -> None:
    """Absent weights are drawn from the network's seed: θ equals the Python executor's, and depends on the seed."""
    sigma = subject.functions("activations", ("tanh", "identity"))[0]
    thetas = []
    for seed in (0, 1):
        network = layered([3, 4, 2], activation=sigma, seed=seed)
        rng = np.random.default_rng(seed)
        same_as_python(
            subject, network, rng.standard_normal((2, 3)), rng.standard_normal((2, 2)), "squared_error", "float64"
        )
        thetas.append(subject.compile(network).theta)
    subject.true((thetas[0] != thetas[1]).any(), "seeds 0 and 1 draw the same weights")


@check("parameters", least=4)
def parameters_of_a_union(subject: Subject) -> None:
    """The slots of each network in a union hold the same θ and gradients as for that network alone."""
    sigma = subject.functions("activations", ("tanh", "identity"))[0]
    networks = [layered([2, 3, 1], activation=sigma, seed=1), layered([2, 2, 2], activation=sigma, seed=2)]
    joined = subject.compile(union(networks), loss="squared_error", reduction="sum")
    rng = np.random.default_rng(5)
    X, T = rng.standard_normal((4, 2)), rng.standard_normal((4, 3))
    _, g = joined.value_and_grad(joined.theta, X, T)
    for network, slots, t in zip(networks, joined.theta_slices, (T[:, :1], T[:, 1:]), strict=True):
        alone = subject.compile(network, loss="squared_error", reduction="sum")
        subject.bits("θ", joined.theta[slots], alone.theta)
        subject.same("∂L/∂θ", g[slots], alone.value_and_grad(alone.theta, X, t)[1], 1e-12)


# ---- reuse --------------------------------------------------------------------------------------------------


def ladder(rungs: int) -> Network:
    """Return a diamond ladder of 2^rungs paths and 4·rungs edges; the value of a node is x or x/2, every ∂L/∂a is 1."""
    top = 3 * np.arange(rungs)  # k-th rung: 3k → 3k+1, 3k+2 → 3k+3
    source = np.concatenate([top, top, top + 1, top + 2])
    target = np.concatenate([top + 1, top + 2, top + 3, top + 3])
    weight = np.concatenate([np.full(2 * rungs, 0.5), np.ones(2 * rungs)])
    return Network.from_arrays(source, target, weight, activation="identity")


@check("reuse", least=90)
def each_edge_is_visited_once(subject: Subject) -> None:
    """On ladders with up to 2^60 paths, time grows with the edges, because each ∂L/∂z is computed once and reused."""
    subject.declares("activations", "identity")
    first = 0.0
    for rungs in (2, 8, 18, 24, 60) if subject.quick else (*range(2, 26, 2), 60):
        net = ladder(rungs)
        program = subject.compile(net)
        seconds = []
        for _ in range(2):  # the first may compile
            start = perf_counter()
            acts = program.forward([[3.0]])
            grads = program.backward(acts, cotangent=[[1.0]])
            seconds.append(perf_counter() - start)
        first = first or min(seconds)
        subject.true(
            min(seconds) < PATIENCE + 30 * first,
            f"{rungs} rungs took {min(seconds):.2f} s, and 2 rungs {first:.3g} s: it walks every path",
        )
        half = np.isin(np.arange(3 * rungs + 1) % 3, (1, 2))
        subject.each(f"a, {rungs} rungs", acts.a.array[:, 0], _by_node(net, np.where(half, 1.5, 3.0)), 0, 0)
        da = grads.da.array[subject.given(program), 0]
        subject.each(f"∂L/∂a, {rungs} rungs", da, np.ones(len(da)), 0, 0)
        for u, v in ((0, 1), (1, 3), (3 * rungs - 3, 3 * rungs - 1), (3 * rungs - 1, 3 * rungs)):
            subject.each(f"∂L/∂w of {u} → {v}, {rungs} rungs", grads.weight[u, v], 3.0 if u % 3 == 0 else 1.5, 0, 0)
        if grads.counts is not None:
            subject.true(grads.counts["edge_visits"] == 4 * rungs, f"{grads.counts} for {4 * rungs} edges")
            subject.true(grads.counts["cache_writes"] == 3 * rungs + 1, f"{grads.counts} for {3 * rungs + 1} nodes")


def _by_node(net: Network, values: Any) -> Any:
    """Return values (V,), given by number of the node, in the order of net.nodes."""
    return values[np.array(net.nodes)]


@check("reuse", least=8, over=("1", "64"), name="fan_out_10000")
def fan_out(subject: Subject, rows: str) -> None:
    """A neuron with 10,000 successors sums the gradients of all of them, each once."""
    subject.declares("activations", "identity")
    K, B = subject.size(10_000), int(rows)
    k = np.arange(K)
    weight = np.concatenate([[2.0], (k % 7 - 3) / 4, (k % 5 + 1) / 8])  # x → h → K neurons → y
    net = Network.from_arrays(
        np.concatenate([[0], np.ones(K), k + 2]).astype(int),
        np.concatenate([[1], k + 2, np.full(K, K + 2)]).astype(int),
        weight,
        activation="identity",
    )
    program = subject.compile(net)
    x = np.linspace(-1, 1, B)[:, None] if B > 1 else np.ones((1, 1))
    acts = program.forward(x)
    grads = program.backward(acts, cotangent=np.ones((B, 1)))
    through = float((weight[1 : K + 1] * weight[K + 1 :]).sum())
    subject.same("y", acts.output, 2 * x * through, 1e-12)
    subject.same("∂L/∂a of the neuron", grads.da[1], np.full(B, through), 1e-12)
    if subject.info.input_gradients:
        subject.same("∂L/∂x", grads.input.array, np.full((B, 1), 2 * through), 1e-12)
    subject.same("∂L/∂w of its in-edge", grads.weight[0, 1], x.sum() * through, 1e-12, abs(through))
    for v in (2, 3, 17, K + 1):
        out = weight[K + 1 + v - 2]
        subject.same(f"∂L/∂a of successor {v}", grads.da[v], np.full(B, out))
        subject.same(f"∂L/∂w to successor {v}", grads.weight[1, v], 2 * x.sum() * out, 1e-12, 1.0)


# ---- order --------------------------------------------------------------------------------------------------


@check("order", least=60)
def relabelling_changes_nothing(subject: Subject) -> None:
    """Other node ids, also tuples or unsortable ones, and another insertion order do not change the results."""
    rename: list[Callable[[int], Hashable]] = [lambda k: -k, lambda k: ("n", k % 3, k), lambda k: object()]
    rng = np.random.default_rng(101)
    for net, network, X in subject.random(6, 2, seed=100, ids=("int",)):
        C = rng.standard_normal((2, len(net.outputs)))
        for new in rename:
            name = {v: new(k) for k, v in enumerate(net.graph)}
            G: nx.DiGraph[Any] = nx.DiGraph()
            order = list(net.graph.nodes(data=True))
            G.add_nodes_from((name[order[k][0]], order[k][1]) for k in rng.permutation(len(order)))
            G.add_edges_from((name[u], name[v], d) for v in net.graph for u, d in net.graph.pred[v].items())
            renamed = Network.from_networkx(G, [name[v] for v in net.inputs], [name[v] for v in net.outputs])
            _same_under_names(subject, network, renamed, name, X, C)


@check("order", least=20)
def edge_order_changes_nothing_but_ties(subject: Subject) -> None:
    """Another order of in-edges does not change the results, unless terms are tied."""
    rng = np.random.default_rng(111)
    for net, network, X in subject.random(8, 2, seed=110, smooth=True):
        C = rng.standard_normal((2, len(net.outputs)))
        G: nx.DiGraph[Any] = nx.DiGraph()
        G.add_nodes_from(net.graph.nodes(data=True))
        edges = list(net.graph.edges(data=True))
        G.add_edges_from(edges[k] for k in rng.permutation(len(edges)))
        other = Network.from_networkx(G, net.inputs, net.outputs)
        _same_under_names(subject, network, other, {v: v for v in G}, X, C)


def _same_under_names(
    subject: Subject, one: Network, other: Network, name: dict[Hashable, Hashable], X: Any, C: Any
) -> None:
    p, q = subject.compile(one), subject.compile(other)
    acts_p, acts_q = p.forward(X), q.forward(X)
    grads_p, grads_q = p.backward(acts_p, cotangent=C), q.backward(acts_q, cotangent=C)
    given = subject.given(p)
    scale = float(np.abs(grads_p.da.array[given]).max(initial=1e-30))
    for v, new in name.items():
        subject.same(f"a of {v!r}", acts_q.a[new], acts_p.a[v], 1e-12, 1.0)
        if subject.info.input_gradients or v not in one.inputs:
            subject.same(f"∂L/∂a of {v!r}", grads_q.da[new], grads_p.da[v], 1e-12, scale)
    for u, v in one.graph.edges:
        subject.same(
            f"∂L/∂w of {u!r} → {v!r}", grads_q.weight[name[u], name[v]], grads_p.weight[u, v], 1e-12, 3 * scale
        )


# ---- depth --------------------------------------------------------------------------------------------------


@check("depth", least=5)
def chain_100000(subject: Subject) -> None:
    """Values and gradients of a chain of 100,000 neurons are exact, computed without recursion or quadratic time."""
    subject.declares("activations", "identity")
    k = np.arange(subject.size(DEPTH))
    weight = np.array([2.0, 0.5, -1.0, 1.0, -0.5, 2.0, 1.0])[k % 7]
    program = subject.compile(Network.from_arrays(k, k + 1, weight, activation="identity"))
    acts = program.forward([[1.0], [-4.0]])
    grads = program.backward(acts, cotangent=[[1.0], [0.5]])
    a = np.concatenate([[1.0], np.cumprod(weight)])
    da = np.concatenate([np.cumprod(weight[::-1])[::-1], [1.0]])
    nodes, given = np.array(program.plan.nodes), subject.given(program)  # in canonical order, a chain's own
    subject.each("a", acts.a.array, np.outer(a[nodes], [1.0, -4.0]), 0, 0)
    subject.each("∂L/∂a", grads.da.array[given], np.outer(da[nodes[given]], [1.0, 0.5]), 0, 0)
    subject.each("∂L/∂z", grads.dz.array[given], np.outer(da[nodes[given]], [1.0, 0.5]), 0, 0)
    # the samples contribute x · dy: 1 · 1 and −4 · ½
    subject.each("∂L/∂w", grads.weight.array, -(a[:-1] * da[1:])[program.plan.edges], 0, 0)
    subject.each("y", program.predict([[1.0]]), [[a[-1]]], 0, 0)
