"""Cytoscape's JSON (`.cyjs`): elements of nodes and edges, each with its `data`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.errors import FileError, GraphError
from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._strict import parse

TAKEN = ("id", "value", "name", "source", "target")


def parse_graph(data: bytes, what: str) -> Any:
    """The graph of Cytoscape's JSON."""
    document = _object(parse(data, what), what)
    elements = _object(document.get("elements"), f"{what}: elements")
    found: nx.DiGraph[Any] = nx.DiGraph(ids=_object(document.get("data", {}), f"{what}: data").get("ids"))
    for k, entry in enumerate(_list(elements.get("nodes"), f"{what}: elements.nodes")):
        place = f"{what}: elements.nodes[{k}]"
        values = dict(_object(_object(entry, place).get("data"), f"{place}.data"))
        name = _text(values.pop("id", None), f"{place}.data.id")
        if name in found:
            raise FileError(f"{place}: node {name!r} is listed twice")
        found.add_node(name, **{key: v for key, v in values.items() if key not in TAKEN})
    for k, entry in enumerate(_list(elements.get("edges"), f"{what}: elements.edges")):
        place = f"{what}: elements.edges[{k}]"
        values = dict(_object(_object(entry, place).get("data"), f"{place}.data"))
        u, v = (_text(values.pop(end, None), f"{place}.data.{end}") for end in ("source", "target"))
        for end in (u, v):
            if end not in found:
                raise FileError(f"{place}: {end!r} is no listed node")
        if found.has_edge(u, v):
            raise FileError(f"{place}: edge {u!r} → {v!r} is given twice")
        found.add_edge(u, v, **{key: x for key, x in values.items() if key not in TAKEN})
    return found


read = _graph.reader(parse_graph)


def _object(value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise FileError(f"{place} is {value!r:.80}: must be an object")
    return value


def _list(value: Any, place: str) -> Any:
    if not isinstance(value, list):
        raise FileError(f"{place} is {value!r:.80}: must be a list")
    return value


def _text(value: Any, place: str) -> str:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise FileError(f"{place} is {value!r:.80}: must be text")
    return value


def dump(graph: Any, path: Path) -> bytes:
    """Cytoscape's JSON of a graph; GraphError where an attribute has a name that Cytoscape takes for itself."""
    for v, attributes in graph.nodes(data=True):
        if set(attributes) & set(TAKEN):
            raise GraphError(f"node {v!r}: Cytoscape has attributes {', '.join(TAKEN)} of its own")
    for u, v, attributes in graph.edges(data=True):
        if set(attributes) & set(TAKEN):
            raise GraphError(f"edge {u!r} → {v!r}: Cytoscape has attributes {', '.join(TAKEN)} of its own")
    nodes = [{"data": {"id": str(v), "value": v, "name": str(v), **a}} for v, a in graph.nodes(data=True)]
    edges = [
        {"data": {"id": f"e{k}", "source": str(u), "target": str(v), **a}}
        for k, (u, v, a) in enumerate(graph.edges(data=True))
    ]
    document = {
        "data": {"name": path.stem, "ids": graph.graph["ids"]},
        "directed": True,
        "multigraph": False,
        "elements": {"nodes": nodes, "edges": edges},
    }
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


write = _graph.writer("Cytoscape JSON", dump)

entry = Format(
    name="cytoscape",
    suffixes=(".cyjs",),
    summary="Cytoscape's JSON",
    read=read,
    write=write,
    keeps="network",
)
