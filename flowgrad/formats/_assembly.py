"""A NetworkX graph put together out of the nodes, edges and attributes that a file lists, nothing of it lost.

What a file says twice, of a node that it does not list, or without a direction is refused by name. Attributes are
never passed to NetworkX by keyword, where some names would be arguments of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from flowgrad.errors import FileError, brief, suggest
from flowgrad.formats._values import shown


def add_node(graph: Any, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Adds a node that a file lists.

    Raises:
        FileError: it is listed twice.
    """
    if v in graph:
        raise FileError(f"{place}: node {brief(v)} is listed twice")
    graph.add_node(v)
    graph.nodes[v].update(attributes)


def add_edge(graph: Any, u: Hashable, v: Hashable, attributes: Mapping[str, Any], place: str) -> None:
    """Adds an edge that a file lists.

    Raises:
        FileError: an end is no listed node; the edge is given twice.
    """
    for end in (u, v):
        if end not in graph:
            near = suggest(str(end)[:80], (name for name in graph if len(str(name)) <= 80))
            raise FileError(f"{place}: {brief(end)} is no listed node{near}")
    if graph.has_edge(u, v):
        raise FileError(
            f"{place}: edge {brief(u)} → {brief(v)} is given twice: a network has one edge from node to node"
        )
    graph.add_edge(u, v)
    graph.edges[u, v].update(attributes)


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
