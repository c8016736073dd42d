"""Order: levels, the canonical order of nodes, and cycles named whole."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad import order
from flowgrad.testing.strategies import Case, Opaque, cases

seeds = st.integers(0, 2**32 - 1)
graphs = st.tuples(st.integers(1, 60), st.floats(0, 0.3), seeds)


def random_edges(n: int, density: float, seed: int, acyclic: bool) -> np.ndarray:
    """(E, 2) distinct edges over n shuffled nodes, no self-loops."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < density
    np.fill_diagonal(mask, False)
    edges = np.argwhere(np.triu(mask) if acyclic else mask)
    return rng.permutation(n)[rng.permutation(edges)]


@given(graphs)
def test_a_level_is_the_longest_path_from_a_node_without_in_edges(graph: tuple[int, float, int]) -> None:
    edges = random_edges(*graph, acyclic=True)
    G = nx.DiGraph(edges.tolist())
    G.add_nodes_from(range(graph[0]))
    longest: dict[int, int] = {}
    for v in nx.topological_sort(G):
        longest[v] = max((longest[u] + 1 for u in G.pred[v]), default=0)
    found = order.levels(graph[0], edges[:, 0], edges[:, 1])
    assert found is not None
    assert found.tolist() == [longest[v] for v in range(graph[0])]


@given(graphs)
def test_levels_are_the_same_whether_numbers_are_an_order_or_not(graph: tuple[int, float, int]) -> None:
    """Where every edge leads to a larger number there is a shorter way to them."""
    n = graph[0]
    edges = random_edges(*graph, acyclic=True)
    rank = order.levels(n, edges[:, 0], edges[:, 1])
    assert rank is not None
    number = np.empty(n, np.int64)
    number[np.argsort(rank, kind="stable")] = np.arange(n)
    ordered = number[edges]
    assert (ordered[:, 0] < ordered[:, 1]).all()
    found = order.levels(n, ordered[:, 0], ordered[:, 1])
    assert found is not None
    assert found[number].tolist() == rank.tolist()


def test_levels_of_wide_and_narrow_frontiers_agree() -> None:
    """Frontiers of hundreds of nodes take another road than small ones."""
    rng = np.random.default_rng(0)
    edges = np.unique(np.sort(rng.integers(0, 3_000, (9_000, 2)), axis=1), axis=0)
    edges = edges[edges[:, 0] < edges[:, 1]]
    G = nx.DiGraph(edges.tolist())
    G.add_nodes_from(range(3_000))
    expected = {v: k for k, generation in enumerate(nx.topological_generations(G)) for v in generation}
    found = order.levels(3_000, edges[:, 0], edges[:, 1])
    assert found is not None
    assert found.tolist() == [expected[v] for v in range(3_000)]


@given(graphs)
def test_a_cycle_is_found_exactly_where_there_is_one(graph: tuple[int, float, int]) -> None:
    edges = random_edges(*graph, acyclic=False)
    G = nx.DiGraph(edges.tolist())
    G.add_nodes_from(range(graph[0]))
    cycle = order.find_cycle(graph[0], edges[:, 0], edges[:, 1])
    assert bool(cycle) == (not nx.is_directed_acyclic_graph(G))
    assert (order.levels(graph[0], edges[:, 0], edges[:, 1]) is None) == bool(cycle)
    if cycle:
        assert len(set(cycle)) == len(cycle)
        assert all(G.has_edge(u, v) for u, v in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        through = {v: _shortest_cycle(G, v) for v in cycle}
        assert len(cycle) in through.values()  # the shortest through one of its nodes


def _shortest_cycle(G: nx.DiGraph, v: int) -> int:
    """Nodes of the shortest cycle through v."""
    back = nx.single_source_shortest_path_length(G, v)
    return min(back[u] + 1 for u in G.pred[v] if u in back)


def test_a_long_cycle_is_named_whole() -> None:
    n = 10_000
    cycle = order.find_cycle(n + 2, np.arange(n + 1) % n, (np.arange(n + 1) + 1) % n)
    assert sorted(cycle) == list(range(n))
    source, target = np.r_[n, np.arange(n)], np.r_[0, np.arange(1, n), 0]
    with pytest.raises(fg.errors.CycleError) as caught:
        fg.Network.from_arrays(source, target)
    names = str(caught.value).partition(": ")[2].split(" → ")
    assert len(names) == n + 1
    assert names[0] == names[-1]
    assert sorted(map(int, names[:-1])) == list(range(n))


@pytest.mark.parametrize("kind", ["str", "int", "tuple", "mixed"])
@given(data=st.data())
def test_ids_with_an_order_of_their_own_stand_in_it_whatever_came_first(kind: str, data: st.DataObject) -> None:
    case: Case = data.draw(cases(ids=[kind]))
    rng = np.random.default_rng(data.draw(seeds))
    nets = []
    for _ in range(2):
        G = nx.DiGraph()
        G.add_nodes_from(case.nodes[k] for k in rng.permutation(len(case.nodes)))
        G.add_edges_from(case.edges[k] for k in rng.permutation(len(case.edges)))
        nets.append(fg.Network.from_networkx(G, inputs=case.inputs, outputs=case.outputs))
    one, other = nets
    assert one.nodes == other.nodes
    assert list(map(type, one.nodes)) == list(map(type, other.nodes))
    assert one.nodes[: len(case.inputs)] == case.inputs
    assert one.outputs == other.outputs == case.outputs


def test_the_canonical_order_is_level_then_type_then_value() -> None:
    G = nx.DiGraph()
    ids = ["b", 10, 2, "a", (1, "z"), (1, "b"), 0.5, b"k", True]
    G.add_node("x")
    G.add_edges_from(("x", v) for v in ids)
    G.add_edge("b", "0 comes late")
    assert fg.Network.from_networkx(G).nodes == (
        "x",
        True,  # bool, bytes, float, int, str, tuple
        b"k",
        0.5,
        2,
        10,
        "a",
        "b",
        (1, "b"),
        (1, "z"),
        "0 comes late",
    )


def test_ids_without_an_order_stand_as_they_came() -> None:
    made = [Opaque(k) for k in range(6)]
    for neurons in (made[1:], made[:0:-1]):
        G = nx.DiGraph()
        G.add_nodes_from([made[0], *neurons])
        G.add_edges_from((made[0], v) for v in neurons)
        assert fg.Network.from_networkx(G).nodes == (made[0], *neurons)


def test_nan_is_an_id_without_an_order() -> None:
    assert order.id_rank([1.5, float("nan"), 0.5]) is None
    assert order.id_rank([1.5, 0.5]).tolist() == [1, 0]
    assert order.id_rank([frozenset("a"), frozenset("b")]) is None
    assert order.id_rank([(1, frozenset("a")), (0, "b")]) is None
    assert order.id_rank(range(4)).tolist() == [0, 1, 2, 3]


def test_offsets_and_ranges() -> None:
    assert order.offsets(np.array([0, 0, 2]), 4).tolist() == [0, 2, 2, 3, 3]
    assert order.ranges(np.array([3, 7, 0]), np.array([0, 2, 1])).tolist() == [7, 8, 0]
