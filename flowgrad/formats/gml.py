"""Read GML, as written by Gephi, yEd, igraph, Cytoscape and NetworkX, with NetworkX's parser.

A node's `label` is its id if all nodes have distinct labels, else its number is. An edge's `weight` is its weight.
"""

from __future__ import annotations

import re
from typing import Any

import networkx as nx

from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._assembly import Found, add_edge, add_node, undirected
from flowgrad.formats._delimited import text

LABEL, KEY = "label", "key"
DIALECT = _graph.Dialect("GML", node=("id",), edge=("source", "target"))
BEGINNING = re.compile(r"^(\s*graph\s*\[)", re.MULTILINE)


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse GML to a graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the graph is undirected, or `add_node` or `add_edge` rejects a node or an edge. If the file is not
            GML, errors of NetworkX's parser are raised, which `read` converts to FileError.
    """
    content = text(data, what)
    # Parsed as a multigraph, so that parallel edges reach `add_edge`, which applies the caller's `duplicates`.
    graph: Any = nx.parse_gml(BEGINNING.sub(r"\1 multigraph 1 ", content, count=1), label=None)
    if not graph.is_directed():
        raise undirected(what)
    found.graph.update(graph.graph)
    labels = [attributes.get(LABEL) for _, attributes in graph.nodes(data=True)]
    named = all(type(name) is str and name for name in labels) and len(set(labels)) == len(labels)
    ids = dict(zip(graph, labels, strict=True)) if named else {v: v for v in graph}
    for v, attributes in graph.nodes(data=True):
        kept = {name: value for name, value in attributes.items() if name != LABEL or not named}
        add_node(found, ids[v], kept, f"{what}: node {v!r:.80}")
    for v in graph:
        for u, parallel in graph.pred[v].items():
            for key, attributes in parallel.items():
                kept = attributes if key in (0, 1) else {KEY: key, **attributes}
                add_edge(found, ids[u], ids[v], kept, what)
    return found


read = _graph.reader(parse_graph, DIALECT)

entry = Format(
    name="gml",
    suffixes=(".gml",),
    summary="GML, of Gephi, yEd, igraph and NetworkX",
    read=read,
    example=b"""Creator "by hand"
graph [
  directed 1
  node [ id 1 label "x" ]
  node [ id 2 label "y" activation "tanh" bias 0.25 ]
  edge [ source 1 target 2 weight -0.5 ]
]
""",
)
