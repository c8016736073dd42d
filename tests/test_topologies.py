"""Networks by shape, and many as one."""

from __future__ import annotations

import tracemalloc
from itertools import count, repeat
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad import sizes, topologies
from flowgrad.columns import ABSENT
from flowgrad.errors import ConfigError, GraphError


def test_layered_is_a_multi_layer_perceptron(executor: str) -> None:
    net = topologies.layered([3, 5, 4, 2], activation="tanh", seed=3)
    program = fg.compile(net, executor=executor)
    rng = np.random.default_rng(0)
    program.theta = rng.standard_normal(len(program.theta))
    x = rng.standard_normal((7, 3))
    a, start = x, 0
    for before, width in [(3, 5), (5, 4), (4, 2)]:
        first = start + before
        W = [
            [program.theta[program.theta_index.weight[start + u, first + v]] for v in range(width)]
            for u in range(before)
        ]
        b = [program.theta[program.theta_index.bias[first + v]] for v in range(width)]
        z = a @ np.array(W) + b
        a, start = (np.tanh(z) if width != 2 else z), first
    np.testing.assert_allclose(program.predict(x), a, rtol=0, atol=1e-14)


@pytest.mark.parametrize("skips", [0, 1, 2, 9])
def test_layered_skips_reach_that_many_layers_back(skips: int) -> None:
    net = topologies.layered([2, 3, 4, 5], skips=skips)
    layer = np.repeat(np.arange(4), [2, 3, 4, 5])
    hops = {(int(layer[u]), int(layer[v])) for u, v in net.graph.edges}
    assert hops == {(a, b) for a in range(4) for b in range(a + 1, 4) if b - a <= 1 + skips}
    widths = [2, 3, 4, 5]
    assert net.columns.n_edges == sum(widths[a] * widths[b] for a, b in hops)


def test_random_dag_has_its_fan_in_and_window() -> None:
    net = topologies.random_dag(20, 500, fan_in=7, window=15, seed=5)
    c = net.columns
    fan_in = np.bincount(c.target, minlength=520)
    assert (fan_in[:20] == 0).all()
    assert (fan_in[20:] == 7).all()
    reach = c.target - c.source
    assert reach.min() >= 1
    assert reach.max() <= 15
    assert len(set(zip(c.source.tolist(), c.target.tolist(), strict=True))) == 3500
    assert topologies.random_dag(20, 500, fan_in=7, window=15, seed=5).columns.source.tolist() == c.source.tolist()
    assert topologies.random_dag(20, 500, fan_in=7, window=15, seed=6).columns.source.tolist() != c.source.tolist()


def test_random_dag_near_its_start_reads_all_there_is() -> None:
    net = topologies.random_dag(2, 6, fan_in=5, seed=0)
    fan_in = np.bincount(net.columns.target, minlength=8)
    assert fan_in.tolist() == [0, 0, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("make", "generator"),
    [
        (topologies.watts_strogatz, lambda: nx.watts_strogatz_graph(24, 4, 0.5, seed=1)),
        (topologies.erdos_renyi, lambda: nx.gnp_random_graph(24, 0.2, seed=1)),
        (topologies.barabasi_albert, lambda: nx.barabasi_albert_graph(24, 3, seed=1)),
    ],
)
def test_randomly_wired_networks_orient_the_generators_edges(make, generator) -> None:
    arguments = {"watts_strogatz": (24, 4, 0.5), "erdos_renyi": (24, 0.2), "barabasi_albert": (24, 3)}[make.__name__]
    net = make(*arguments, n_inputs=2, n_outputs=3, seed=1)
    inner = {(u - 2, v - 2) for u, v in net.graph.edges if u >= 2 and v < 26}
    assert inner == {(min(e), max(e)) for e in generator().edges}
    first = {v for u, v in net.graph.edges if u < 2}
    assert first == {v for v in range(2, 26) if not any(u >= 2 for u in net.graph.pred[v])}
    assert net.inputs == (0, 1)
    assert net.outputs == (26, 27, 28)
    assert all(net.graph.nodes[y]["activation"] == "identity" for y in net.outputs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: topologies.layered([3]), "two layers or more"),
        (lambda: topologies.layered([3, 0]), r"sizes\[1\]=0"),
        (lambda: topologies.layered([3, 2.5]), r"sizes\[1\]=2.5"),
        (lambda: topologies.random_dag(0, 5), "n_inputs=0"),
        (lambda: topologies.erdos_renyi(5, 1.5), "p=1.5"),
        (lambda: topologies.watts_strogatz(5, 5, 0.1), "k=5"),
        (lambda: topologies.barabasi_albert(3, 3), "m=3"),
    ],
)
def test_shapes_that_cannot_be_are_refused(call, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert isinstance(caught.value, fg.FlowgradError)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: topologies.layered([10**9, 10**9]),
            r"^sizes=\[1000000000, 1000000000\]: .* 10\^18 edges: at most",
        ),
        (
            lambda: topologies.layered([40_000] * 2),
            r"^sizes=\[40000, 40000\]: .* edges take about 160\.0 GB",
        ),
        (lambda: topologies.layered([10**5000, 1]), r"^sizes\[0\]=about 10\^5000: .* below 2\^63$"),
        (lambda: topologies.layered([1] * 70_000, skips=10**6), r"^sizes=.* edges: at most"),
        (lambda: topologies.random_dag(10**15, 1), r"^n_inputs=1000000000000000, .*: at most"),
        (lambda: topologies.random_dag(1, 10**15), r"n_neurons=1000000000000000, .*: at most"),
        (
            lambda: topologies.random_dag(1, 5, fan_in=10**12),
            r"fan_in=1000000000000: .* 5,000,000,000,000 edges",
        ),
        (lambda: topologies.watts_strogatz(10**12, 4, 0.5), r"^n=1000000000000, k=4, .*: at most"),
        (lambda: topologies.watts_strogatz(9, 4, 0.5, n_inputs=10**10), r"n_inputs=10000000000, .*: at most"),
        (lambda: topologies.erdos_renyi(10**6, 0.9), r"^n=1000000, p=0\.9, .*: at most"),
        (
            lambda: topologies.erdos_renyi(10**5, 0.0),
            r"^n=100000: 4,999,950,000 pairs of neurons",
        ),
        (lambda: topologies.erdos_renyi(9, 0.5, n_outputs=10**10), r"n_outputs=10000000000: .*: at most"),
        (lambda: topologies.barabasi_albert(10**9, 7), r"^n=1000000000, m=7, .*: at most"),
        (lambda: fg.Network.from_arrays([0], [1], n_nodes=10**12), r"^n_nodes=1000000000000: .*: at most"),
        (lambda: fg.Network.from_arrays([0], [1], n_nodes=2 * 10**9), r"^n_nodes=2000000000: .* about 200\.0 GB"),
        (lambda: fg.Network.from_arrays([0], [1], n_nodes=10**5000), r"^n_nodes=about 10\^5000: "),
        (lambda: fg.Network.from_arrays([0], [2 * 10**9]), r"^source and target name neuron 2000000000: .* GB"),
        (lambda: fg.Network.from_arrays(range(10**12), range(10**12)), r"^source of 1,000,000,000,000 entries"),
        (lambda: fg.Network.from_arrays([0], [1], inputs=range(10**12)), r"1,000,000,000,000 inputs are named"),
        (lambda: fg.Network.from_arrays([0], [1], outputs=count()), r"^output 2 is no node"),
        (lambda: fg.Network.from_arrays([0], [1], weight=range(10**12)), r"^weight has shape \(1000000000000,\)"),
        (lambda: fg.Network.from_arrays([0], [1], bias=repeat(0.0)), r"^bias has shape \(3,\)"),
        (
            lambda: fg.Network.from_arrays([0], [1], activation=repeat("tanh")),
            r"^activation has 3 or more entries",
        ),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_made(call, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "memory", lambda: 100 * 10**9)
    tracemalloc.start()
    try:
        with pytest.raises(fg.FlowgradError, match=words) as caught:
            call()
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 500


def test_memory_is_the_smallest_of_what_machine_container_and_ulimit_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sizes.memory()
    assert 1 << 24 < whole < 1 << 50
    (tmp_path / "memory.max").write_text("123456789\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(sizes, "CGROUPS", tuple(map(str, (tmp_path / "no such", tmp_path / "none"))))
    assert sizes.memory() >= whole
    monkeypatch.setattr(sizes, "CGROUPS", (str(tmp_path / "memory.max"),))
    assert sizes.memory() == 123456789
    with pytest.raises(ConfigError, match=r"^sizes=.* 10,000,000 edges take about 1\.0 GB .* may have 0\.1 GB$"):
        topologies.layered([10_000, 1_000])


@pytest.mark.parametrize("net", ["layered([300, 300, 300])", "random_dag(10, 30_000, fan_in=3)"])
def test_a_network_takes_no_more_than_is_said(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a check allows, the making keeps to: bytes are measured while the network is made."""
    said: list[int] = []
    monkeypatch.setattr(sizes, "memory", lambda: said.append(0) or 1 << 62)
    monkeypatch.setattr(sizes, "SMALL", 0)
    tracemalloc.start()
    try:
        made = eval(f"topologies.{net}", {"topologies": topologies})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert said
    assert peak < 160 * (made.columns.n_nodes + made.columns.n_edges) + 2_000_000


def test_an_edge_list_names_the_row_that_repeats_an_edge() -> None:
    with pytest.raises(ValueError, match=r"'a' → 'b' is given twice, the second time as edge 3"):
        topologies.from_edge_list([("a", "b"), ("b", "c"), ("a", "b", 2.0)])
    with pytest.raises(ValueError, match=r"edge 1 is \('a',\)"):
        topologies.from_edge_list([("a",)])


@pytest.mark.parametrize("edge", [("a", None), ([1], "a"), ("a", ([1],)), 7, {"a", "b"}, {"a": 1, "b": 2}, "ab"])
def test_an_edge_list_names_the_row_that_is_no_edge(edge: object) -> None:
    for rest in ([], [("x" * 10_000, "y", 1.0, 2.0)]):
        with pytest.raises(GraphError, match=r"^edge 2 (is|names) ") as caught:
            topologies.from_edge_list([("x", "y"), *(rest or [edge])])
        assert len(str(caught.value)) < 500
    for edges in (7, "abc", {"a": "b"}):
        with pytest.raises(GraphError, match=r"\(source, target\)"):
            topologies.from_edge_list(edges)


# ---- union --------------------------------------------------------------------------------------------------


def _parts() -> list[fg.Network]:
    odd = fg.Network(seed=4)
    odd.add_input("p")
    odd.add_input(1)
    odd.add_neuron("q", {"p": 0.4, 1: -0.7}, activation="sin", aggregation="max", bias=0.2, response=1.5)
    odd.add_neuron("r", ["q"], trainable=False)
    odd.connect("p", "r", 0.3, param="k")
    odd.connect(1, "r", param="k")
    odd.set_outputs(["r", "q"])
    return [topologies.layered([2, 3, 1], seed=1), topologies.random_dag(2, 12, fan_in=3, seed=2), odd]


@pytest.mark.parametrize("share", [True, False])
def test_a_union_is_its_networks_side_by_side(executor: str, share: bool) -> None:
    parts = _parts()
    whole = fg.union(parts, share_inputs=share)
    program = fg.compile(whole, executor=executor, loss="squared_error", reduction="sum")
    assert whole.inputs == ((0, 1, "p") if share else ((0, 0), (0, 1), (1, 0), (1, 1), (2, "p"), (2, 1)))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, len(whole.inputs)))
    T = rng.standard_normal((5, len(whole.outputs)))
    grads = program.backward(program.forward(X), T)
    loss, done = 0.0, 0
    for k, net in enumerate(parts):
        alone = fg.compile(net, executor=executor, loss="squared_error", reduction="sum")
        names = net.inputs if share else [(k, name) for name in net.inputs]
        x, t = X[:, [whole.inputs.index(name) for name in names]], T[:, done : done + len(net.outputs)]
        assert whole.outputs[done : done + len(net.outputs)] == tuple((k, name) for name in net.outputs)
        done += len(net.outputs)
        g = alone.backward(alone.forward(x), t)
        np.testing.assert_array_equal(program.theta[program.theta_slices[k]], alone.theta)
        np.testing.assert_allclose(grads.theta[program.theta_slices[k]], g.theta, rtol=1e-13, atol=1e-13)
        loss += g.loss
    assert grads.loss == pytest.approx(loss, rel=1e-13)
    assert sorted(np.concatenate(program.theta_slices)) == list(range(len(program.theta)))


def arrays_of(parts: list[fg.Network]) -> dict[str, Any]:
    """What `from_arrays` takes for the union of networks that share their inputs 0, 1, …"""
    n = len(parts[0].inputs)
    columns: dict[str, list[Any]] = {name: [] for name in ("source", "target", "weight", "outputs")}
    bias, activation, part, first = [np.zeros(n)], ["tanh"] * n, [np.full(n, -1)], n
    for k, net in enumerate(parts):
        c = net.columns
        assert net.inputs == tuple(range(n))
        to = np.where(c.is_input, np.arange(c.n_nodes), first + np.cumsum(~c.is_input) - 1)
        columns["source"].append(to[c.source])
        columns["target"].append(to[c.target])
        columns["weight"].append(c.weights)
        columns["outputs"].append(to[c.outputs])
        bias.append(c.bias[~c.is_input])
        activation += [c.activations[code].name for code in c.activation[~c.is_input]]
        part.append(np.full(c.n_nodes - n, k))
        first += c.n_nodes - n
    more = {"bias": np.concatenate(bias), "activation": activation, "part": np.concatenate(part)}
    return {name: np.concatenate(values) for name, values in columns.items()} | more | {"inputs": range(n)}


def test_arrays_of_many_networks_are_their_union(executor: str) -> None:
    parts = [topologies.layered(sizes, seed=k) for k, sizes in enumerate(([2, 5, 1], [2, 3, 4, 2], [2, 1], [2, 8, 3]))]
    union, given = fg.union(parts), fg.Network.from_arrays(**arrays_of(parts))
    programs = [fg.compile(net, executor=executor, loss="squared_error") for net in (union, given)]
    X, T = np.random.default_rng(0).normal(size=(7, 2)), np.random.default_rng(1).normal(size=(7, 7))
    results = [(p.predict(X), *p.value_and_grad(p.theta, X, T), p.theta) for p in programs]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(*(p.theta_slices for p in programs), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [columns.tolist() for columns in given.output_slices] == [[0], [1, 2], [3], [4, 5, 6]]
    assert [len(columns) for columns in union.output_slices] == [1, 2, 1, 3]
    assert [columns.tolist() for columns in parts[3].output_slices] == [[0, 1, 2]]
    alone = fg.compile(parts[1], executor=executor)
    y = programs[1].predict(X)[:, given.output_slices[1]]
    np.testing.assert_allclose(y, alone.predict(X), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ([-1, 0, 1, 1], "edge 1, 1 → 2, goes from network 0 to network 1"),
        ([-1, -1, 0, 0], "part is -1 at node 1: must be the number of a network, or −1 at an input"),
        ([-1, 0, 0, -2], "part is -2 at node 3"),
        ([-1, 1, 1, 1], "part names no node of network 0"),
        ([0, 0, 0], r"part is int64 of shape \(3,\): must be \(4,\) integers"),
        ([0.0, 0.0, 0.0, 0.0], "part is float64"),
    ],
)
def test_parts_that_are_none_are_refused(part: Any, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        fg.Network.from_arrays([0, 1, 2], [1, 2, 3], part=part)


def test_a_union_whose_output_is_a_shared_input_gives_that_to_none() -> None:
    a, b = (fg.Network.from_arrays([0], [1], inputs=[0], outputs=outputs) for outputs in ([0, 1], [1]))
    assert [columns.tolist() for columns in fg.union([a, b]).output_slices] == [[1], [2]]


def test_a_union_keeps_params_apart_and_attributes_in_place() -> None:
    G = nx.DiGraph()
    G.add_node("y", colour="red", activation="tanh")
    G.add_edge("x", "y", weight=1.0, param="k", note="first")
    net = fg.Network.from_networkx(G)
    whole = fg.union([net, topologies.layered([1, 1]), net])
    assert whole.graph.nodes[2, "y"]["colour"] == "red"
    assert "colour" not in whole.graph.nodes[1, 1]
    assert whole.graph.edges["x", (0, "y")]["param"] == (0, "k")
    assert whole.graph.edges["x", (2, "y")]["param"] == (2, "k")
    assert whole.graph.edges["x", (2, "y")]["note"] == "first"
    assert whole.columns.edge_extra["note"].count(ABSENT) == 1
    assert fg.union([net]).nodes == ("x", (0, "y"))


def test_a_union_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="one network or more"):
        fg.union([])
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", ["x"])
    net.set_outputs(["x", "y"])
    with pytest.raises(ValueError, match="shared input 'x' is an output of two networks"):
        fg.union([net, net])
    assert fg.union([net, net], share_inputs=False).outputs == ((0, "x"), (0, "y"), (1, "x"), (1, "y"))
