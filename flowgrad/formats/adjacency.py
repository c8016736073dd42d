"""NetworkX's adjacency JSON: `nodes`, and in `adjacency`, for each of them, the nodes that its edges go to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.errors import FileError, GraphError
from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._strict import parse

ID, KEY = "id", "key"  # which NetworkX takes for itself


def parse_graph(data: bytes, what: str) -> Any:
    """The graph of NetworkX's JSON."""
    document = parse(data, what)
    if not isinstance(document, dict):
        raise FileError(f"{what}: an object must stand there")
    nodes, adjacency = (_list(document.get(name), f"{what}: {name}") for name in ("nodes", "adjacency"))
    if not document.get("directed", False):
        raise FileError(f"{what}: the graph is undirected: a network's edges have a direction")
    if len(nodes) != len(adjacency):
        raise FileError(f"{what}: {len(nodes)} nodes and {len(adjacency)} lists in adjacency: must be one a node")
    found: nx.DiGraph[Any] = nx.DiGraph()
    found.graph.update(_attributes(document.get("graph", []), f"{what}: graph"))
    for k, entry in enumerate(nodes):
        name, attributes = _named(entry, f"{what}: nodes[{k}]")
        if name in found:
            raise FileError(f"{what}: nodes[{k}]: node {name!r} is listed twice")
        found.add_node(name, **attributes)
    for k, (source, entries) in enumerate(zip(list(found), adjacency, strict=True)):
        for j, entry in enumerate(_list(entries, f"{what}: adjacency[{k}]")):
            place = f"{what}: adjacency[{k}][{j}]"
            target, attributes = _named(entry, place)
            if target not in found:
                raise FileError(f"{place}: {target!r} is no listed node")
            if found.has_edge(source, target):
                raise FileError(f"{place}: edge {source!r} → {target!r} is given twice")
            found.add_edge(source, target, **attributes)
    return found


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise FileError(f"{place} is {value!r:.80}: must be a list")
    return value


def _named(entry: Any, place: str) -> tuple[Any, dict[str, Any]]:
    """A node's id, and the attributes beside it."""
    if not isinstance(entry, dict) or type(entry.get(ID)) not in (str, int):
        raise FileError(f"{place} is {entry!r:.80}: must be an object whose id is text or a whole number")
    return entry[ID], {name: value for name, value in entry.items() if name not in (ID, KEY)}


def _attributes(pairs: Any, place: str) -> dict[str, Any]:
    """The attributes of the graph, which stand as pairs."""
    good = isinstance(pairs, list) and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs)
    if not good:
        raise FileError(f"{place} is {pairs!r:.80}: must be a list of names with values")
    return dict(pairs)


def dump(graph: Any, path: Path) -> bytes:
    """NetworkX's JSON of a graph; GraphError where an attribute has a name that NetworkX takes for itself."""
    for v, attributes in graph.nodes(data=True):
        _refuse(attributes, f"node {v!r}")
    for u, v, attributes in graph.edges(data=True):
        _refuse(attributes, f"edge {u!r} → {v!r}")
    return (json.dumps(nx.adjacency_data(graph), indent=1, allow_nan=False) + "\n").encode()


def _refuse(attributes: Any, place: str) -> None:
    for name in (ID, KEY):
        if name in attributes:
            raise GraphError(f"{place}: attribute {name!r} is one that adjacency JSON takes for itself")


entry = Format(
    name="adjacency",
    suffixes=(".adjacency.json",),
    summary="NetworkX's adjacency JSON",
    read=_graph.reader(parse_graph),
    write=_graph.writer("adjacency JSON", dump),
    keeps="network",
)
