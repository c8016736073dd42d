"""Paths by dynamic programming, held to listing them; one neuron's explanation, held to the numbers."""

from __future__ import annotations

import itertools
import re

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.inspection import explain, path_attribution, reuse_report


def _program(executor: str, seed: int) -> tuple[fg.Program, np.ndarray]:
    rng = np.random.default_rng(seed)
    net = fg.topologies.random_dag(3, 12, fan_in=3, seed=seed)
    graph = nx.DiGraph(net.graph)
    for v in graph:
        if graph.pred[v]:
            graph.nodes[v]["aggregation"] = ["sum", "mean", "max", "product"][int(rng.integers(4))]
            graph.nodes[v]["response"] = float(rng.uniform(0.5, 1.5))
    outputs = net.outputs
    program = fg.compile(fg.Network.from_networkx(graph, net.inputs, outputs), executor=executor)
    return program, rng.standard_normal((4, 3))


def _listed(program: fg.Program, X: np.ndarray, source: int, target: int, sample: int) -> dict[tuple, float]:
    """Every path with its product, by listing them; ∂a_v/∂a_u by differences of one neuron's own formula."""
    graph, acts = program.network().graph, program.forward(X)
    a = {v: acts.a[v][sample] for v in graph}

    def value(v: int, changed: dict) -> float:
        data = graph.nodes[v]
        before = a | changed
        terms = np.array([graph.edges[u, v]["weight"] * before[u] for u in graph.pred[v]])
        kind = data.get("aggregation", "sum")
        m = {"sum": np.sum, "mean": np.mean, "max": np.max, "product": np.prod}[kind](terms)
        z = data["bias"] + data.get("response", 1.0) * m
        return float(np.tanh(z)) if data["activation"] == "tanh" else float(z)

    h, found = 1e-5, {}
    for path in nx.all_simple_paths(graph, source, target):
        product = 1.0
        for u, v in itertools.pairwise(path):
            product *= (value(v, {u: a[u] + h}) - value(v, {u: a[u] - h})) / (2 * h)
        found[tuple(path)] = product
    return found


@pytest.mark.parametrize("seed", range(6))
def test_paths_are_those_of_a_listing(executor: str, seed: int) -> None:
    program, X = _program(executor, seed)
    target = program.outputs[-1]
    for source in program.inputs:
        listed = _listed(program, X, source, target, sample=2)
        found = path_attribution(program, X, source, target, k=5, sample=2)
        assert found.n_paths == len(listed)
        assert found.total == pytest.approx(sum(listed.values()), rel=1e-6, abs=1e-9)
        strongest = sorted((abs(p) for p in listed.values() if abs(p) > 1e-9), reverse=True)[:5]
        assert [abs(p.product) for p in found.paths][: len(strongest)] == pytest.approx(strongest, rel=1e-5)
        for path in found.paths:
            assert path.product == pytest.approx(listed[path.nodes], rel=1e-5, abs=1e-9)


def test_the_total_is_the_gradient(executor: str) -> None:
    program, X = _program(executor, 3)
    y = program.outputs[0]
    cotangent = np.zeros((4, len(program.outputs)))
    cotangent[:, 0] = 1.0
    grads = program.backward(program.forward(X), cotangent=cotangent)
    for v in program.labels.nodes:
        for sample in range(4):
            total = path_attribution(program, X, v, y, k=1, sample=sample).total
            assert total == pytest.approx(grads.da[v][sample], rel=1e-12, abs=1e-14)


def test_a_ladder_of_2_to_the_60_paths_is_no_work() -> None:
    net = fg.Network()
    net.add_input("x")
    before = "x"
    for k in range(60):
        net.add_neuron(f"l{k}", {before: 0.6}, activation="identity")
        net.add_neuron(f"r{k}", {before: 0.5}, activation="identity")
        before = f"j{k}"
        net.add_neuron(before, {f"l{k}": 1.0, f"r{k}": 1.0}, activation="identity")
    found = path_attribution(fg.compile(net, executor="python"), [[1.0]], "x", before, k=62)
    assert found.n_paths == 2**60
    assert found.total == pytest.approx(1.1**60, rel=1e-12)
    products = [p.product for p in found.paths]
    assert products[0] == pytest.approx(0.6**60, rel=1e-12)
    assert products[1:61] == pytest.approx([0.6**59 * 0.5] * 60, rel=1e-12)
    assert products[61] == pytest.approx(0.6**58 * 0.25, rel=1e-12)
    assert len({p.nodes for p in found.paths}) == 62


def test_no_path_is_no_contribution_and_a_node_reaches_itself() -> None:
    net = fg.topologies.from_edge_list([("a", "y", 2.0), ("b", "z", 3.0)])
    program = fg.compile(net, executor="python")
    apart = path_attribution(program, [[1.0, 1.0]], "a", "z")
    assert (apart.n_paths, apart.total, apart.paths, apart.share) == (0, 0.0, (), 0.0)
    backwards = path_attribution(program, [[1.0, 1.0]], "y", "a")
    assert (backwards.n_paths, backwards.total) == (0, 0.0)
    self_ = path_attribution(program, [[1.0, 1.0]], "y", "y")
    assert (self_.n_paths, self_.total, self_.paths[0].nodes) == (1, 1.0, ("y",))
    assert "a → y: 1 paths" in repr(path_attribution(program, [[1.0, 1.0]], "a", "y"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"k": 0}, "k=0"),
        ({"sample": 2}, "sample=2: must be 0 … 0"),
        ({"source": "q"}, "'q' is no node"),
    ],
)
def test_what_is_refused(arguments: dict, words: str) -> None:
    program = fg.compile(fg.topologies.from_edge_list([("a", "y", 2.0)]), executor="python")
    with pytest.raises(fg.FlowgradError, match=words):
        path_attribution(program, [[1.0]], **({"source": "a", "target": "y"} | arguments))


# ---- explain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_explanation_adds_up(executor: str, seed: int) -> None:
    program, X = _program(executor, seed)
    program = fg.compile(program.network(), executor=executor, loss="squared_error")
    T = np.zeros((4, len(program.outputs)))
    acts = program.forward(X)
    grads = program.backward(acts, T)
    for v in program.labels.nodes:
        said = explain(program, X, T, v, sample=1, digits=17, most=99)
        value = {
            m[1]: float(m[2]) for m in re.finditer(r"(?m)^ *\((\d+)\).* = (-?[\d.e+-]+|nan)(?:   \(cached.*)?$", said)
        }
        assert value["3"] == acts.a[v][1]
        assert value["10"] == pytest.approx(grads.da[v][1], rel=1e-15)
        if v not in program.inputs:
            assert value["2"] == acts.z[v][1]
            assert value["8"] == grads.dz[v][1]
        terms = said.split("(10)")[1].split("(8)")[0]
        total = sum(float(line.rsplit(" = ", 1)[1]) for line in terms.splitlines()[1:] if " = " in line)
        base = value.get("9", 0.0)
        assert total + base == pytest.approx(grads.da[v][1], rel=1e-12, abs=1e-14)
        weights = said.split("that lead in:")
        if len(weights) == 2:
            alone = program.backward(program.forward(X[1:2]), T[1:2])
            got = {
                line.split(":")[0].strip(): float(line.rsplit(" = ", 1)[1]) for line in weights[1].splitlines() if line
            }
            for u in program.network().graph.pred[v]:
                assert got[str(u)] == pytest.approx(alone.weight[u, v], rel=1e-12, abs=1e-15)


def test_readers_of_cached_values_are_counted_forward_and_backward(executor: str) -> None:
    net = fg.topologies.from_edge_list([("x", "h"), ("u", "h"), ("h", "y"), ("h", "z"), ("u", "y")])
    program = fg.compile(net, executor=executor, loss="squared_error")
    for v in net.nodes:
        said = explain(program, [[0.5, 1.0]], [[1.0, 2.0]], v)
        found = re.findall(r"cached: written once, read by (\d+) (successor|predecessor)s?$", said, re.MULTILINE)
        into, out = len(net.graph.pred[v]), len(net.graph.succ[v])
        assert found == [(str(out), "successor"), *([(str(into), "predecessor")] if into else [])]
        assert reuse_report(net, limit=0).reads[net.nodes.index(v)] == into
        shared = re.findall(r"which (\d+) read", said)
        assert shared == [str(len(net.graph.pred[s])) for s in net.graph.succ[v] if len(net.graph.pred[s]) > 1]


def test_an_output_says_what_it_adds_to_the_loss(executor: str) -> None:
    net = fg.topologies.from_edge_list([("x", "y", 2.0), ("x", "z", -1.0)])
    program = fg.compile(net, executor=executor, loss="squared_error")
    said = explain(program, [[9.0], [1.0]], [[0.0, 0.0], [1.0, 1.0]], "z", sample=1)
    assert "l = squared_error(y, t) = 2 with y = -1 and t = 1" in said
    assert "L = Σ l over 2 outputs = 2.5" in said
    assert "L = Σ l" not in explain(program, [[9.0]], [[0.0, 0.0]], "x")


def test_a_node_is_wanted(executor: str) -> None:
    program = fg.compile(fg.topologies.from_edge_list([("x", "y")]), executor=executor)
    with pytest.raises(fg.FlowgradError, match=r"explain wants the id of a neuron.*known: x, y"):
        explain(program, [[1.0]])


def test_long_sums_are_cut_and_add_up(executor: str) -> None:
    net = fg.topologies.layered([40, 1], output_activation="identity", seed=1)
    said = explain(fg.compile(net, executor=executor), np.ones((1, 40)), node=40, most=3, digits=12)
    assert "… and 37 more, together" in said
    assert said.count(" · ") == 3
    assert "(10)" not in said


def test_explain_refuses(executor: str) -> None:
    program = fg.compile(fg.topologies.from_edge_list([("a", "y", 2.0)]), executor=executor)
    with pytest.raises(LookupError, match="'z' is no node"):
        explain(program, [[1.0]], node="z")
    with pytest.raises(ValueError, match="sample=-1"):
        explain(program, [[1.0]], node="y", sample=-1)


# ---- ties, signs, zeros, and products beyond floats ------------------------------------------------------------


def _linear(edges: list[tuple[str, str, float]]) -> fg.Program:
    net = fg.topologies.from_edge_list(edges, activation="identity", output_activation="identity")
    return fg.compile(net, executor="python")


@pytest.mark.parametrize("seed", range(20))
def test_the_order_and_the_products_are_exactly_those_of_a_listing(seed: int) -> None:
    """Weights of few values, 0 and negative ones among them: many ties, products that cancel, paths of product 0."""
    rng = np.random.default_rng(seed)
    names = [f"n{k}" for k in range(11)]
    weight = {
        (u, v): float(rng.choice([-2.0, -1.0, 0.0, 0.3, 1.0, 2.0]))
        for j, v in enumerate(names)
        for u in names[:j]
        if rng.random() < 0.55 or u == names[j - 1]
    }
    program = _linear([(u, v, w) for (u, v), w in weight.items()])
    X = np.ones((1, 1))
    graph = program.network().graph
    listed = []
    for nodes in nx.all_simple_paths(graph, "n0", "n10"):
        product = 1.0
        for edge in itertools.pairwise(nodes):
            product *= weight[edge]
        listed.append((tuple(nodes), product))
    place = {edge: k for k, edge in enumerate(program.labels.edges)}

    def order(path: tuple) -> tuple:
        nodes, product = path
        return -abs(product), *(place[edge] for edge in reversed(list(itertools.pairwise(nodes))))

    wanted = sorted((path for path in listed if path[1] != 0.0), key=order)
    found = path_attribution(program, X, "n0", "n10", k=10_000)
    assert found.n_paths == len(listed)
    assert [(p.nodes, p.product) for p in found.paths] == wanted  # to the bit, ties in edge order
    assert found.total == pytest.approx(sum(p for _, p in listed), rel=1e-12, abs=1e-12)
    few = path_attribution(program, X, "n0", "n10", k=7)
    assert list(few.paths) == list(found.paths)[:7]


def test_paths_of_product_zero_are_counted_and_not_listed() -> None:
    found = path_attribution(
        _linear([("x", "a", 0.0), ("x", "b", -3.0), ("a", "y", 5.0), ("b", "y", 2.0)]), [[1.0]], "x", "y"
    )
    assert found.n_paths == 2
    assert [(p.nodes, p.product) for p in found.paths] == [(("x", "b", "y"), -6.0)]


def test_paths_that_cancel_have_a_share_above_one() -> None:
    found = path_attribution(
        _linear([("x", "a", 1.0), ("x", "b", 1.0), ("a", "y", 3.0), ("b", "y", -2.0)]), [[1.0]], "x", "y"
    )
    assert (found.total, found.share) == (1.0, 5.0)
    gone = path_attribution(
        _linear([("x", "a", 1.0), ("x", "b", 1.0), ("a", "y", 3.0), ("b", "y", -3.0)]), [[1.0]], "x", "y"
    )
    assert (gone.total, gone.share) == (0.0, float("inf"))


def test_paths_beyond_the_largest_number_may_cancel() -> None:
    weight = [1.7e308, -1.7e308, 1.0, 1.0, 10.0]
    net = fg.Network.from_arrays([0, 0, 1, 2, 3], [1, 2, 3, 3, 4], weight=weight, activation="identity")
    found = path_attribution(fg.compile(net, executor="python"), [[1.0]], 0, 4)
    assert found.total == 0.0
    assert [path.product for path in found.paths] == [np.inf, -np.inf]


def test_products_that_underflow_on_the_way_are_kept_apart() -> None:
    n = 40
    down, up = [1e-20] * (n // 2), [1e20] * (n // 2)
    edges = [(f"n{k}", f"n{k + 1}", w) for k, w in enumerate([*down, *up])]
    found = path_attribution(_linear([*edges, ("n0", f"n{n}", 0.25)]), [[1.0]], "n0", f"n{n}", k=2)
    assert [p.product for p in found.paths] == [pytest.approx(1.0, rel=1e-12), 0.25]
