"""A NetworkX graph put together out of the nodes, edges and attributes that a file lists, nothing of it lost.

What a file says twice, of a node that it does not list, or without a direction is refused by name. Attributes are
never passed to NetworkX by keyword, where some names would be arguments of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, get_args

import networkx as nx

from flowgrad.errors import ConfigError, FileError, brief, listing, suggest
from flowgrad.formats._edges import Duplicates
from flowgrad.formats._values import shown


class Found(nx.DiGraph):  # type: ignore[misc]  # its types are not followed
    """The graph of a file while it is read.

    duplicates       of edges between the same two nodes: "first" keeps the first, "sum" too and adds up the weights,
                     "error" none
    drop_self_loops  whether edges from a node to itself are left out
    """

    def __init__(self, duplicates: Duplicates = "error", drop_self_loops: bool = False) -> None:
        super().__init__()
        if duplicates not in get_args(Duplicates):
            raise ConfigError(f"duplicates={brief(duplicates)}: must be one of {listing(get_args(Duplicates))}")
        self.duplicates, self.drop_self_loops = duplicates, drop_self_loops


def add_node(graph: Any, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Adds a node that a file lists.

    Raises:
        FileError: it is listed twice.
    """
    if v in graph:
        raise FileError(f"{place}: node {brief(v)} is listed twice")
    graph.add_node(v)
    graph.nodes[v].update(attributes)


def add_edge(graph: Found, u: Hashable, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Adds an edge that a file lists, as the graph's `duplicates` and `drop_self_loops` say.

    Raises:
        FileError: an end is no listed node; a self-loop, or an edge given twice, that nobody said what to do with;
            a weight that is to be added up is no number.
    """
    for end in (u, v):
        if end not in graph:
            near = suggest(str(end)[:80], (name for name in graph if len(str(name)) <= 80))
            raise FileError(f"{place}: {brief(end)} is no listed node{near}")
    if u == v:
        if graph.drop_self_loops:
            return
        raise FileError(
            f"{place}: self-loop at {brief(u)}: a feed-forward neuron never feeds itself (drop_self_loops=True leaves "
            "such edges out)"
        )
    if not graph.has_edge(u, v):
        graph.add_edge(u, v)
        graph.edges[u, v].update(attributes)
    elif graph.duplicates == "sum":
        graph.edges[u, v]["weight"] = sum(_weight(a, u, v, place) for a in (graph.edges[u, v], attributes))
    elif graph.duplicates == "error":
        raise FileError(
            f"{place}: edge {brief(u)} → {brief(v)} is given twice: a network has one edge from node to node "
            "(duplicates='first' keeps the first, 'sum' adds up the weights)"
        )


def _weight(attributes: Mapping[str, Any], u: Hashable, v: Hashable, place: str) -> Any:
    weight = attributes.get("weight")
    if type(weight) not in (int, float):
        said = "has no weight" if weight is None else f"has the weight {shown(weight)}"
        raise FileError(
            f"{place}: edge {brief(u)} → {brief(v)} is given twice, and once {said}: duplicates='sum' adds up "
            "numbers, 'first' keeps the first"
        )
    return weight


def put(attributes: dict[str, Any], name: str, value: Any, place: str) -> None:
    """Sets an attribute; what a file says twice, and the same both times, is said once.

    Raises:
        FileError: it has another value already.
    """
    if name in attributes and not same(attributes[name], value):
        given = f"{shown(attributes[name])} and {shown(value)}"
        raise FileError(f"{place}: attribute {brief(name)} is given twice, as {given}")
    attributes[name] = value


def same(a: Any, b: Any) -> bool:
    """Whether two values are one, of one type at every depth: True is not 1."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def is_serial(names: Sequence[Any]) -> bool:
    """Whether the ids that a tool gave edges are nothing but their numbers: 0, 1, 2, … or e0, e1, e2, …"""
    return any(all(name is None or name == f"{letter}{k}" for k, name in enumerate(names)) for letter in ("", "e"))


def undirected(place: str, what: str = "graph") -> FileError:
    """The error for a graph, or one edge, without a direction."""
    return FileError(f"{place}: the {what} is undirected: a network's edges have a direction")
