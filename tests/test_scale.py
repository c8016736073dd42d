"""Deep, wide and full of paths: no recursion, no quadratic fan-in, one visit an edge."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.testing import oracle

DEEP, WIDE, RUNGS = 100_000, 10_000, 60


def test_a_chain_of_100_000_neurons(executor: str, request: pytest.FixtureRequest) -> None:
    """y = x·Πw + …: with w = ±1 and linear neurons every gradient is known exactly."""
    start = time.perf_counter()
    deep = DEEP if executor != "python" or request.config.getoption("--soak") else DEEP // 5
    sign = np.where(np.random.default_rng(0).random(deep) < 0.5, -1.0, 1.0)
    net = fg.Network.from_arrays(np.arange(deep), np.arange(1, deep + 1), weight=sign, activation="identity")
    assert net.depth == deep
    program = fg.compile(net, executor=executor)
    X = np.array([[2.0], [-0.5]])
    acts = program.forward(X)
    assert acts.output[:, 0].tolist() == (X[:, 0] * np.prod(sign)).tolist()
    grads = program.backward(acts, cotangent=np.ones((2, 1)))
    after = np.cumprod(np.r_[1.0, sign[::-1]])[::-1]  # Π of the weights behind neuron k
    np.testing.assert_array_equal(grads.dz.array[:, 0], after)
    np.testing.assert_array_equal(grads.dz.array[:, 1], after)
    before = np.cumprod(np.r_[1.0, sign])[:-1] * X.sum()
    np.testing.assert_array_equal(grads.weight.array, before * after[1:])
    assert grads.input[0].tolist() == [after[0]] * 2
    assert time.perf_counter() - start < 60


@pytest.fixture
def wide(executor: str, request: pytest.FixtureRequest) -> int:
    """Edges at one neuron; the Python executor has a fifth of them by day."""
    return WIDE if executor != "python" or request.config.getoption("--soak") else WIDE // 5


@pytest.mark.parametrize("aggregation", ["sum", "mean", "product", "max", "median"])
def test_a_neuron_with_10_000_in_edges(executor: str, aggregation: str, wide: int) -> None:
    start = time.perf_counter()
    rng = np.random.default_rng(1)
    G = nx.DiGraph()
    w = rng.standard_normal(wide)
    if aggregation == "product":
        w = np.sign(w) * 2.0 ** rng.permutation(np.r_[-np.ones(wide // 2), np.ones(wide // 2)])
    G.add_weighted_edges_from((k, "y", float(w[k])) for k in range(wide))
    G.add_node("y", activation="identity", aggregation=aggregation)
    program = fg.compile(fg.Network.from_networkx(G), executor=executor)
    acts = program.forward(np.ones((1, wide)))
    grads = program.backward(acts, cotangent=[[1.0]])
    expected = {
        "sum": (np.sum(w), np.ones(wide)),
        "mean": (np.mean(w), np.full(wide, 1 / wide)),
        "product": (np.prod(np.sign(w)), np.prod(np.sign(w)) / w),  # the powers of two cancel
        "max": (w.max(), w == w.max()),
        "median": (np.median(w), 0.5 * np.isin(np.arange(wide), np.argsort(w)[[wide // 2 - 1, wide // 2]])),
    }
    value, slope = expected[aggregation]
    assert acts.output[0, 0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(grads.weight.array, slope, rtol=1e-12)
    np.testing.assert_allclose(grads.input.array[0], w * slope, rtol=1e-12)
    assert time.perf_counter() - start < 60


def test_a_neuron_with_10_000_out_edges(executor: str, wide: int) -> None:
    w = np.random.default_rng(2).standard_normal(wide)
    net = fg.Network.from_arrays(
        np.r_[0, np.ones(wide, int)], np.r_[1, 2 + np.arange(wide)], weight=np.r_[0.5, w], activation="tanh"
    )
    program = fg.compile(net, executor=executor, loss="squared_error")
    acts = program.forward([[0.3]])
    a = np.tanh(0.15)
    y = np.tanh(w * a)
    grads = program.backward(acts, np.zeros((1, wide)))
    da = np.sum(w * (1 - y**2) * y)
    assert grads.da[1][0] == pytest.approx(da, rel=1e-12)
    assert grads.loss == pytest.approx(0.5 * np.sum(y**2), rel=1e-12)


def diamonds(rungs: int) -> nx.DiGraph:
    """A ladder of diamonds: two ways through every rung, 2^rungs paths in all."""
    G = nx.DiGraph()
    G.add_edge("x", (0, "top"), weight=1.0)
    for k in range(rungs):
        for side in ("left", "right"):
            G.add_edge((k, "top"), (k, side), weight=0.75)
            G.add_edge((k, side), (k + 1, "top"), weight=0.75)
    return G


def paths_to_outputs(net: fg.Network) -> dict[object, int]:
    """The number of paths from each node to an output, exactly: Python's integers do not overflow."""
    paths = dict.fromkeys(net.nodes, 0)
    for v in nx.topological_sort(net.reverse()):
        paths[v] = (v in net.outputs) + sum(paths[s] for s in net.graph.succ[v])
    return paths


def test_every_edge_of_a_diamond_ladder_is_visited_once(executor: str) -> None:
    net = fg.Network.from_networkx(diamonds(RUNGS), activation="identity")
    program = fg.compile(net, executor=executor)
    acts = program.forward([[1.0]])
    grads = program.backward(acts, cotangent=[[1.0]])
    assert acts.output[0, 0] == pytest.approx((2 * 0.75**2) ** RUNGS, rel=1e-13)
    assert grads.input["x"][0] == pytest.approx((2 * 0.75**2) ** RUNGS, rel=1e-13)
    assert paths_to_outputs(net)["x"] == 2**RUNGS
    edges = net.graph.number_of_edges()
    assert edges == 1 + 4 * RUNGS
    if executor == "python":  # which counts
        assert grads.counts["edge_visits"] == edges
        assert grads.counts["cache_writes"] == len(net.nodes)
        read = {s for _, s in net.graph.edges}  # each of these is read once for certain; more reads are reuses
        assert grads.counts["cache_reuses"] == edges - len(read)


@pytest.mark.parametrize("rungs", [1, 3, 6])
def test_plain_recursion_evaluates_a_term_for_every_path(executor: str, rungs: int) -> None:
    """What the cache saves, counted: the calls of plain recursion are the walks that start at x."""
    G = diamonds(rungs)
    for v in G:
        if v != "x":
            G.nodes[v]["activation"] = "tanh"
    net = fg.Network.from_networkx(G)
    tame = oracle.Net(nx.DiGraph(net.graph), net.inputs, net.outputs)
    plain = oracle.PlainRecursion(tame, [0.5], [1.0])
    da = plain.da("x")
    program = fg.compile(net, executor=executor)
    grads = program.backward(program.forward([[0.5]]), cotangent=[[1.0]])
    assert grads.da["x"][0] == pytest.approx(da, rel=1e-13)
    assert paths_to_outputs(net)["x"] == 2**rungs
    assert plain.calls == 2 + 4 * (2**rungs - 1)  # x, the first top, and 2^(k+1) walks to the sides and end of rung k
