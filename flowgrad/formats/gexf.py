"""GEXF 1.2, Gephi's format."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.format import Format
from flowgrad.formats import _graph, _xml

ID_TYPE = "id_type"  # "int" at every node whose id is a whole number: GEXF has no attributes of the graph


def parse_graph(data: bytes, what: str) -> Any:
    """The graph of GEXF."""
    _xml.parse(data, what)
    found = nx.read_gexf(io.BytesIO(data), node_type=str)
    for v, attributes in found.nodes(data=True):
        if attributes.get("label") == v:
            del attributes["label"]
    for _, _, attributes in found.edges(data=True):
        attributes.pop("id", None)
    found.graph.clear()  # mode and defaults of the format's own
    if {attributes.pop(ID_TYPE, None) for _, attributes in found.nodes(data=True)} == {"int"}:
        found.graph["ids"] = "int"
    return found


read = _graph.reader(parse_graph)


def dump(graph: Any, path: Path) -> bytes:
    """GEXF of a graph; GraphError where XML cannot hold a character."""
    _xml.refuse_characters(graph, "GEXF")
    if graph.graph["ids"] == "int":
        nx.set_node_attributes(graph, "int", ID_TYPE)
    out = io.BytesIO()
    nx.write_gexf(graph, out)
    return out.getvalue()


write = _graph.writer("GEXF", dump)

entry = Format(
    name="gexf",
    suffixes=(".gexf",),
    summary="GEXF, for Gephi",
    read=read,
    write=write,
    keeps="network",
)
