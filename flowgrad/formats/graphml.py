"""GraphML, as NetworkX, yEd, igraph and Gephi read and write it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.format import Format
from flowgrad.formats import _graph, _xml
from flowgrad.network import Network


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


def write(
    net: Network,
    path: Path,
    *,
    node_values: Mapping[str, Any] | None = None,
    edge_values: Mapping[str, Any] | None = None,
) -> Mapping[str, bytes]:
    """Everything but functions of the user's own. `node_values`, `edge_values`: see `_graph.plain`.

    Raises:
        GraphError: an id or an attribute with a character that XML cannot hold.
    """
    graph = _graph.plain(net, "GraphML", node_values or {}, edge_values or {})
    _xml.refuse_characters(graph, "GraphML")
    out = io.BytesIO()
    nx.write_graphml_xml(graph, out)
    return {path.name: out.getvalue()}


entry = Format(
    name="graphml",
    suffixes=(".graphml",),
    summary="GraphML, for NetworkX, yEd, igraph and Gephi",
    read=read,
    write=write,
)
