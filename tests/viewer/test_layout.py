"""Where neurons and edges stand: crossings are counted as they are drawn, and are few; nothing is random."""

from __future__ import annotations

import csv
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.viewer import layout as layouts
from flowgrad.viewer.crossings import inversions
from flowgrad.viewer.layout import crossings_of, place


def levels_of(net: fg.Network) -> dict[Hashable, int]:
    """The longest path to each node."""
    import networkx as nx

    found: dict[Hashable, int] = {}
    for v in nx.topological_sort(net.graph):
        found[v] = max((found[u] + 1 for u in net.graph.pred[v]), default=0)
    return found


def counted(net: fg.Network) -> int:
    """Crossings of the lines that `place` gives, pair by pair, between one level and the next."""
    level = levels_of(net)
    pieces: dict[int, list[tuple[float, float]]] = {}
    for (u, _), points in place(net)[1].items():
        for k, ((_, y0), (_, y1)) in enumerate(pairwise(points)):
            pieces.setdefault(level[u] + k, []).append((y0, y1))
    found = 0
    for some in pieces.values():
        a, b = np.array(some).T
        found += int(((a[:, None] < a[None, :]) & (b[:, None] > b[None, :])).sum())
    return found


def random(n: int, edges: int, seed: int, reach: int) -> fg.Network:
    """Edges at random from nodes to later ones, `reach` further at most."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, n - 1, edges)
    high = np.minimum(n - 1, low + rng.integers(1, reach + 1, edges))
    pairs = np.unique(np.stack([low, high], 1), axis=0)
    return fg.Network.from_arrays(pairs[:, 0], pairs[:, 1])


NETWORKS = {
    "demo-like": lambda: random(60, 90, 1, 20),
    "long edges": lambda: random(40, 200, 2, 39),
    "dense": lambda: fg.topologies.layered([24, 16, 16, 3], seed=1),
    "a broken column": lambda: random(300, 400, 3, 150),
    "two parts": lambda: fg.union([random(30, 60, k, 8) for k in (4, 5)], share_inputs=False),
    "a chain": lambda: fg.Network.from_arrays(range(50), range(1, 51)),
    "one edge": lambda: fg.topologies.from_edge_list([("x", "y")]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_crossings_are_those_of_the_lines_that_are_drawn(name: str) -> None:
    net = NETWORKS[name]()
    assert crossings_of(net) == counted(net)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_line_leads_from_its_source_to_its_target_level_by_level(name: str) -> None:
    net = NETWORKS[name]()
    level = levels_of(net)
    nodes, lines = place(net)
    assert set(nodes) == set(net.nodes)
    assert set(lines) == set(net.graph.edges)
    assert len(set(nodes.values())) == len(nodes)
    for (u, v), points in lines.items():
        assert (points[0], points[-1]) == (nodes[u], nodes[v])
        assert len(points) == level[v] - level[u] + 1
        assert all(p[0] < q[0] for p, q in pairwise(points))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_network_stands_in_the_same_places(name: str) -> None:
    assert place(NETWORKS[name]()) == place(NETWORKS[name]())


def test_what_need_not_cross_does_not() -> None:
    k = np.arange(40)
    apart = fg.Network.from_arrays(k, 40 + (3 * k + 5) % 40)
    rng = np.random.default_rng(7)
    parent = [int(rng.integers(0, v)) for v in range(1, 200)]  # a tree at random, edges towards its root
    tree = fg.Network.from_arrays(range(1, 200), parent)
    forest = fg.union(
        [fg.Network.from_arrays(range(1, 40), [v // 2 for v in range(1, 40)]) for _ in range(3)], share_inputs=False
    )
    long = fg.topologies.from_edge_list([(k, k + 1) for k in range(6)] + [(0, 6)])
    assert [crossings_of(net) for net in (apart, tree, forest, long)] == [0, 0, 0, 0]


def test_a_long_edge_crosses_what_it_passes() -> None:
    net = fg.topologies.layered([2, 2, 2], seed=0)
    assert crossings_of(net) == 2
    G = net.graph.copy()
    for u, v in [(a, b) for a in net.inputs for b in net.outputs]:
        G.add_edge(u, v, weight=1.0)
    assert crossings_of(fg.Network.from_networkx(G, outputs=net.outputs)) >= 2 + 2


def test_few_edges_of_a_graph_at_random_cross() -> None:
    rng = np.random.default_rng(11)
    given = np.sort(rng.random((2, 60)))  # 60 edges between two columns that cross nowhere …
    source, target = (np.searchsorted(np.linspace(0, 1, 21)[1:-1], row) for row in given)
    names = rng.permutation(20), 20 + rng.permutation(20)  # … numbered at random
    edges = dict.fromkeys(zip(names[0][source].tolist(), names[1][target].tolist(), strict=True))
    net = fg.Network.from_arrays(*zip(*edges, strict=True), n_nodes=40)
    assert crossings_of(net) <= 3


@pytest.mark.parametrize(("name", "most"), [("dcell_go_0000790", 77), ("wann_racer", 1886), ("reactome", 6395)])
def test_crossings_of_real_graphs(data: Path, name: str, most: int) -> None:
    if name == "wann_racer":
        net = fg.load(data / name / "racer.out", format="wann")
    else:
        with (data / name / "graph_edges.csv").open() as file:
            net = fg.topologies.from_edge_list([(row["source"], row["target"]) for row in csv.DictReader(file)])
    found = crossings_of(net)
    assert found <= most
    assert found == counted(net)


@pytest.mark.parametrize("slab", [1 << 21, 1])
def test_inversions_of_each_row_are_counted(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from flowgrad.viewer import crossings

    monkeypatch.setattr(crossings, "SLAB", slab)
    rng = np.random.default_rng(13)
    for M in (0, 1, 2, 7, 8, 9, 60, 63, 64, 65, 200):
        value = np.stack([rng.integers(0, 9, M), rng.integers(0, 999, M), np.arange(M), -np.arange(M) + M])
        slow = [sum(row[i] > row[j] for j in range(M) for i in range(j)) for row in value.tolist()]
        assert inversions(value).tolist() == slow


def test_beyond_the_bends_the_longest_edges_are_straight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "BENDS", 20)
    net = random(40, 120, 2, 39)
    level = levels_of(net)
    lines = place(net)[1]
    span = {e: level[e[1]] - level[e[0]] for e in lines}
    straight = [span[e] for e, points in lines.items() if span[e] > 1 and len(points) == 2]
    bent = [span[e] for e, points in lines.items() if len(points) > 2]
    assert sum(n - 1 for n in bent) <= 20
    assert straight
    assert max(bent) <= min(straight)


def test_a_large_graph_gets_fewer_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    from flowgrad.viewer import crossings

    swept: list[Any] = []
    sweep = crossings._sweep
    monkeypatch.setattr(crossings, "_sweep", lambda *given, **more: swept.append(1) or sweep(*given, **more))
    monkeypatch.setattr(crossings, "WORK", 1000)
    monkeypatch.setattr(crossings, "CAREFUL", 100)
    net = random(400, 2000, 6, 100)
    assert crossings_of(net) > 0
    assert len(swept) == 2
