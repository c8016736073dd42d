"""Read and write NetworkX's adjacency JSON: `nodes`, and in `adjacency`, for each node, the targets of its edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.errors import FileError, brief
from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._assembly import Found, add_edge, add_node, put, undirected
from flowgrad.formats._strict import parse

ID, KEY = "id", "key"
DIALECT = _graph.Dialect("adjacency JSON", node=(ID,), edge=(ID,))
KNOWN = ("directed", "multigraph", "graph", "nodes", "adjacency")


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse NetworkX's adjacency JSON to a graph; keys besides nodes and adjacency become attributes of the graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the JSON has another form, or the graph is undirected; `add_node` or `add_edge` rejects an entry.
    """
    document = parse(data, what)
    if not isinstance(document, dict):
        raise FileError(f"{what}: an object must stand there")
    nodes, adjacency = (_list(document.get(name), f"{what}: {name}") for name in ("nodes", "adjacency"))
    if not document.get("directed", False):
        raise undirected(what)
    if len(nodes) != len(adjacency):
        raise FileError(f"{what}: {len(nodes)} nodes and {len(adjacency)} lists in adjacency: must be one a node")
    found.graph.update(_attributes(document.get("graph", []), f"{what}: graph"))
    for name in (name for name in document if name not in KNOWN):
        put(found.graph, name, document[name], f"{what}: the graph")
    for k, entry in enumerate(nodes):
        place = f"{what}: nodes[{k}]"
        add_node(found, *_named(entry, place), place)
    for k, (source, entries) in enumerate(zip(list(found), adjacency, strict=True)):
        for j, entry in enumerate(_list(entries, f"{what}: adjacency[{k}]")):
            place = f"{what}: adjacency[{k}][{j}]"
            target, attributes = _named(entry, place)
            if document.get("multigraph") and attributes.get(KEY) == 0:  # NetworkX numbers parallel edges
                del attributes[KEY]
            add_edge(found, source, target, attributes, place)
    return found


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise FileError(f"{place} is {brief(value)}: must be a list")
    return value


def _named(entry: Any, place: str) -> tuple[Any, dict[str, Any]]:
    """Return a node's id, and its other attributes."""
    if not isinstance(entry, dict) or type(entry.get(ID)) not in (str, int):
        raise FileError(f"{place} is {brief(entry)}: must be an object whose id is text or an integer")
    return entry[ID], {name: value for name, value in entry.items() if name != ID}


def _attributes(pairs: Any, place: str) -> dict[str, Any]:
    """Return the attributes of the graph, which are given as pairs."""
    good = isinstance(pairs, list) and all(isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs)
    if not good or len(dict(pairs)) < len(pairs):
        raise FileError(f"{place} is {brief(pairs)}: must be a list of names with values")
    return dict(pairs)


def dump(graph: Any, path: Path) -> bytes:
    """Serialize a graph to NetworkX's adjacency JSON; return the bytes of the file."""
    return (json.dumps(nx.adjacency_data(graph), indent=1, allow_nan=False) + "\n").encode()


read = _graph.reader(parse_graph, DIALECT)
write = _graph.writer(DIALECT, dump)

entry = Format(
    name="adjacency",
    suffixes=(".adjacency.json",),
    summary="NetworkX's adjacency JSON",
    read=read,
    write=write,
    keeps="network",
)
