"""Write small networks as Mermaid flowcharts, which can be embedded in Markdown pages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowgrad.errors import GraphError
from flowgrad.format import Format
from flowgrad.formats import _graph, _xml
from flowgrad.network import Network

MOST = 200  # maximal number of edges; Mermaid itself refuses more than 500
SHAPES = {"input": ("[", "]"), "hidden": ("(", ")"), "output": ("([", "])")}
PLAIN = frozenset(" .,:-_+=→")  # characters of labels, besides letters and digits, that are not escaped
DIALECT = _graph.Dialect("Mermaid", keep=lambda value: value, holds=_xml.holds_content, own=False)


def write(
    net: Network,
    path: Path,
    *,
    node_values: Mapping[str, Any] | None = None,
    edge_values: Mapping[str, Any] | None = None,
) -> Mapping[str, bytes]:
    """Return the flowchart of a network, nodes with id and activation, edges with weights, as {file name: content}.

    Args:
        net: the network, with at most 200 edges.
        path: path of the file, which gives its name.
        node_values, edge_values: values of nodes and edges, by name, shown as further lines of labels: mappings from a
            node, or from (source, target), to a number, or to a vector, of which the mean is taken; or arrays (V,) or
            (E,) in the order of the network's columns.

    Raises:
        GraphError: there are more than 200 edges; Mermaid cannot hold an id or a value.
        ConfigError: values have a name that is reserved or exists, another shape, or are not finite.
    """
    if net.columns.n_edges > MOST:
        raise GraphError(f"{net.columns.n_edges:,} edges: Mermaid is for at most {MOST}; DOT takes any number")
    of_nodes, of_edges = node_values or {}, edge_values or {}
    graph = _graph.plain(net, DIALECT, of_nodes, of_edges)
    number = {v: f"n{k}" for k, v in enumerate(graph)}
    lines = ["flowchart LR"]
    for v, attributes in graph.nodes(data=True):
        place = next((p for p in reversed(_graph.PLACES) if p in attributes), "hidden")
        function = attributes.get("activation", "")  # a user's own is an Activation, not its name
        said = [str(v), *filter(None, [getattr(function, "name", function)])]
        left, right = SHAPES[place]
        lines.append(f"  {number[v]}{left}{_label([*said, *_graph.lines(attributes, of_nodes)])}{right}")
    for u, v, attributes in graph.edges(data=True):
        said = [f"{attributes['weight']:.3g}", *_graph.lines(attributes, of_edges)]
        lines.append(f"  {number[u]} -->|{_label(said)}| {number[v]}")
    return {path.name: "\n".join([*lines, ""]).encode()}


def _label(lines: list[str]) -> str:
    """Format a quoted label; characters other than letters, digits and `PLAIN` are escaped, so nothing is markup."""
    return '"' + "<br/>".join("".join(map(_shown, line)) for line in lines) + '"'


def _shown(c: str) -> str:
    return c if c.isalnum() or c in PLAIN else f"#{ord(c)};"


entry = Format(
    name="mermaid",
    suffixes=(".mmd", ".mermaid"),
    summary="Mermaid flowcharts for Markdown pages, of small networks",
    write=write,
)
