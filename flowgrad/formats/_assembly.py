"""Assemble a NetworkX graph from the nodes, edges and attributes that a file lists, without loss.

Repeated nodes, edges of nodes that are not listed, undirected edges and, by default, repeated edges are refused.
Attributes are never passed to NetworkX as keywords, where some names would be arguments of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, get_args

import networkx as nx

from flowgrad.errors import ConfigError, FileError, brief, listing, suggest
from flowgrad.formats._edges import Duplicates
from flowgrad.formats._values import shown


class Found(nx.DiGraph):  # type: ignore[misc]  # its types are not followed
    """Hold the graph of a file while it is read, with the options for its edges.

    duplicates       for edges between the same two nodes: "first" keeps the first, "sum" keeps the first with the sum
                     of the weights, "error" raises FileError
    drop_self_loops  whether edges from a node to itself are skipped
    """

    def __init__(self, duplicates: Duplicates = "error", drop_self_loops: bool = False) -> None:
        super().__init__()
        if duplicates not in get_args(Duplicates):
            raise ConfigError(f"duplicates={brief(duplicates)}: must be one of {listing(get_args(Duplicates))}")
        self.duplicates, self.drop_self_loops = duplicates, drop_self_loops


def add_node(graph: Any, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Add a node that a file lists.

    Raises:
        FileError: it is listed twice.
    """
    if v in graph:
        raise FileError(f"{place}: node {brief(v)} is listed twice")
    graph.add_node(v)
    graph.nodes[v].update(attributes)


def add_edge(graph: Found, u: Hashable, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Add an edge that a file lists, according to the graph's `duplicates` and `drop_self_loops`.

    Raises:
        FileError: an end is no listed node; a self-loop, or an edge given twice, that these options do not permit;
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
    """Set an attribute, which may be given twice if both values are the same.

    Raises:
        FileError: the attribute exists with another value.
    """
    if name in attributes and not same(attributes[name], value):
        given = f"{shown(attributes[name])} and {shown(value)}"
        raise FileError(f"{place}: attribute {brief(name)} is given twice, as {given}")
    attributes[name] = value


def same(a: Any, b: Any) -> bool:
    """Tell whether two values are equal and of one type at every depth: True is not 1, NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def is_serial(names: Sequence[Any]) -> bool:
    """Tell whether the ids that a tool gave edges are only their numbers: 0, 1, 2, … or e0, e1, e2, …"""
    return any(all(name is None or name == f"{letter}{k}" for k, name in enumerate(names)) for letter in ("", "e"))


def undirected(place: str, what: str = "graph") -> FileError:
    """Return the error for an undirected graph or edge."""
    return FileError(f"{place}: the {what} is undirected: a network's edges have a direction")
