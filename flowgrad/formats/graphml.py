"""GraphML, as NetworkX, yEd, igraph and Gephi read and write it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.format import Format
from flowgrad.formats import _graph, _xml


def parse_graph(data: bytes, what: str) -> Any:
    """The graph of GraphML."""
    _xml.parse(data, what)
    found = nx.read_graphml(io.BytesIO(data), node_type=str, force_multigraph=True)
    default, edge_default = found.graph.pop("node_default", {}), found.graph.pop("edge_default", {})
    for _, attributes in found.nodes(data=True):
        attributes.update(default | attributes)
    for _, _, attributes in found.edges(data=True):
        attributes.update(edge_default | attributes)
        attributes.pop("id", None)
    return found


read = _graph.reader(parse_graph)


def dump(graph: Any, path: Path) -> bytes:
    """GraphML of a graph; GraphError where XML cannot hold a character."""
    _xml.refuse_characters(graph, "GraphML")
    out = io.BytesIO()
    nx.write_graphml_xml(graph, out)
    return out.getvalue()


write = _graph.writer("GraphML", dump)

entry = Format(
    name="graphml",
    suffixes=(".graphml",),
    summary="GraphML, for NetworkX, yEd, igraph and Gephi",
    read=read,
    write=write,
    keeps="network",
)
