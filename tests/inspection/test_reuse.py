"""Reuse: counts that are exact, and plain recursion run beside backward."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, UnknownNameError
from flowgrad.inspection import reuse_report
from flowgrad.inspection.reuse import _count


def ladder(rungs: int) -> fg.Network:
    """Diamonds in a row: two ways from every rung to the next."""
    net = fg.Network(seed=1)
    net.add_input("n0")
    for k in range(rungs):
        net.add_neuron(f"l{k}", {f"n{k}": 0.9}, activation="tanh")
        net.add_neuron(f"r{k}", {f"n{k}": -1.1}, activation="softplus")
        net.add_neuron(f"n{k + 1}", {f"l{k}": 1.2, f"r{k}": 0.8}, activation="identity")
    return net


def random_graph(seed: int) -> nx.DiGraph:
    rng = np.random.default_rng(seed)
    G = nx.DiGraph()
    G.add_nodes_from(range(14))
    G.add_edges_from((u, v) for v in range(3, 14) for u in range(v) if rng.random() < 0.35)
    G.remove_nodes_from([v for v in range(3) if not G.out_degree(v)])
    for v in range(3, 14):
        G.nodes[v]["activation"] = str(rng.choice(["tanh", "sigmoid", "sin"]))
        G.nodes[v]["aggregation"] = str(rng.choice(["sum", "product", "max", "median"]))
    return G


def walks(G: nx.DiGraph, v: Any) -> list[list[Any]]:
    """Every path that begins at v, v alone included."""
    return [[v], *([v, *rest] for s in G.successors(v) for rest in walks(G, s))]


@pytest.mark.parametrize("seed", range(12))
def test_counts_are_those_of_the_paths_written_out(seed: int) -> None:
    G = random_graph(seed)
    net = fg.Network.from_networkx(G, seed=seed)
    report = reuse_report(net, seed=seed)
    every = [path for v in net.inputs for path in walks(G, v)]
    through = [path for path in every if path[-1] in net.outputs]
    assert report.calls == len(every)
    assert report.paths == len(through)
    assert report.calls_all == sum(len(walks(G, v)) for v in G)
    assert [report.through(v) for v in G] == [sum(v in path for path in through) for v in G]


@pytest.mark.parametrize("seed", range(12))
def test_plain_recursion_makes_as_many_calls_and_the_same_gradient(seed: int) -> None:
    net = fg.Network.from_networkx(random_graph(seed), seed=seed)
    report = reuse_report(net, seed=seed)
    run = report.run
    assert run is not None
    assert run.finished
    assert run.calls == report.calls
    assert run.difference < 1e-12
    assert run.cached == {
        "cache_writes": report.cache_writes,
        "edge_visits": report.edge_visits,
        "cache_reuses": report.cache_reuses,
    }


def test_sixty_rungs() -> None:
    report = reuse_report(ladder(60), limit=10_000)
    assert report.paths == 2**60
    assert report.calls == 2**62 - 3  # f(k) = 1 + 2·(1 + f(k−1)), f(0) = 1
    assert (report.edge_visits, report.cache_writes, report.cache_reuses) == (240, 181, 60)
    assert report.through("l30") == 2**59
    assert report.through("n60") == 2**60
    assert report.run is not None
    assert (report.run.calls, report.run.finished) == (10_000, False)
    assert report.run.cached["edge_visits"] == 240
    table = report.table()
    assert "1,152,921,504,606,846,976" in table
    assert "years" in table
    assert "visits each of 240 edges once" in table.splitlines()[-1]


def test_a_ladder_that_can_be_run() -> None:
    report = reuse_report(ladder(10))
    assert report.run is not None
    assert report.run.finished
    assert report.run.calls == report.calls == 2**12 - 3
    assert report.run.difference < 1e-12
    assert "4,093" in report.table()


def test_numbers_too_long_for_a_float_are_shown() -> None:
    report = reuse_report(ladder(1100), limit=100)
    assert report.paths == 2**1100
    assert "1.358e+331" in repr(report)
    assert "e+" in report.table()


def test_a_deep_chain_needs_no_python_stack() -> None:
    n = 5_000
    net = fg.Network.from_arrays(np.arange(n), np.arange(1, n + 1), weight=np.ones(n), activation="identity")
    report = reuse_report(net)
    assert report.paths == 1
    assert report.calls == n + 1
    assert report.run is not None
    assert report.run.finished
    assert report.cache_reuses == 0


def test_a_graph_without_anything_to_reuse_says_so() -> None:
    net = fg.Network.from_arrays([0, 1], [2, 2], activation="identity")
    assert reuse_report(net).sentence.startswith("No ∂L/∂z is wanted twice here")


def test_not_run_where_nobody_wants_it() -> None:
    assert reuse_report(ladder(3), limit=0).run is None
    with pytest.raises(ConfigError, match="limit=-1"):
        reuse_report(ladder(3), limit=-1)
    with pytest.raises(UnknownNameError, match="did you mean 'n3'"):
        reuse_report(ladder(3), limit=0).through("n33")


def test_powers_of_ten() -> None:
    assert _count(10**24) == "1" + ",000" * 8
    assert _count(10**25) == "1.000e+25"
    assert _count(10**40 - 1) == "9.999e+39"
    for a, b in pairwise([10**30, 2**100, 3**90, 10**300, 7**900]):
        for n in (a, b, a * b):
            mantissa, _, power = _count(n).partition("e+")
            assert math.isclose(math.log10(float(mantissa)) + int(power), math.log10(n), abs_tol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_each_neuron_says_how_often_it_is_computed_again_and_read(seed: int) -> None:
    G = random_graph(seed)
    net = fg.Network.from_networkx(G, seed=seed)
    report = reuse_report(net, seed=seed)
    every = [path for v in net.inputs for path in walks(G, v)]
    for row in report.records():
        v = row["node"]
        assert row["calls"] == sum(path[-1] == v for path in every)
        assert row["paths"] == report.through(v)
        assert row["reads"] == G.in_degree(v)
        assert row["reused"] == max(0, G.in_degree(v) - 1)
    assert sum(row["calls"] for row in report.records()) == report.calls
    assert sum(row["reused"] for row in report.records()) == report.cache_reuses
    assert sum(report.reads) == report.edge_visits
    huge = reuse_report(ladder(60), limit=0)
    assert huge.records()[0] == {"node": "n60", "paths": 2**60, "calls": 2**60, "reads": 2, "reused": 1}
    assert int(huge.to_frame()["calls"][0]) == 2**60
