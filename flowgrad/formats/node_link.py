"""Read and write NetworkX's node-link JSON: `nodes`, and `edges` (or `links`, in files of older versions)."""

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

ID, ENDS, KEY = "id", ("source", "target"), "key"
DIALECT = _graph.Dialect("node-link JSON", node=(ID,), edge=ENDS)
KNOWN = ("directed", "multigraph", "graph", "nodes", "edges", "links")


def parse_graph(data: bytes, what: str, found: Found) -> Found:
    """Parse NetworkX's node-link JSON to a graph; keys besides nodes and edges become attributes of the graph.

    Args:
        data: the bytes of the file.
        what: name of the file, for messages.
        found: the graph to fill, which is returned.

    Raises:
        FileError: the JSON has another form, or the graph is undirected; `add_node` or `add_edge` rejects an entry.
    """
    document = parse(data, what)
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        raise FileError(f"{what}: an object with a list `nodes` must stand there")
    about = document.get("graph", {})
    if not isinstance(about, dict):
        raise FileError(f"{what}: graph is {brief(about)}: must be an object")
    keys = [key for key in ("edges", "links") if key in document]
    if len(keys) != 1 or not isinstance(document[keys[0]], list):
        raise FileError(f"{what}: one list of `edges` or `links` must stand there")
    if not document.get("directed", False):
        raise undirected(what)
    found.graph.update(about)
    for name in (name for name in document if name not in KNOWN):
        put(found.graph, name, document[name], f"{what}: the graph")
    for k, entry in enumerate(document["nodes"]):
        place = f"{what}: nodes[{k}]"
        add_node(found, _id(entry, place, ID), _without(entry, (ID,)), place)
    for k, entry in enumerate(document[keys[0]]):
        place = f"{what}: {keys[0]}[{k}]"
        u, v = (_id(entry, place, end) for end in ENDS)
        numbered = document.get("multigraph") and entry.get(KEY) == 0  # NetworkX numbers parallel edges
        add_edge(found, u, v, _without(entry, (*ENDS, KEY) if numbered else ENDS), place)
    return found


def _without(entry: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


def _id(entry: Any, place: str, key: str) -> Any:
    """Return the id of a node under that key: text or an integer."""
    if not isinstance(entry, dict) or key not in entry:
        raise FileError(f"{place} is {brief(entry)}: must be an object with {brief(key)}")
    value = entry[key]
    if type(value) not in (str, int):
        raise FileError(f"{place}: {key} is {brief(value)}: must be text or an integer")
    return value


def dump(graph: Any, path: Path) -> bytes:
    """Serialize a graph to NetworkX's node-link JSON; return the bytes of the file."""
    return (json.dumps(nx.node_link_data(graph, edges="edges"), indent=1, allow_nan=False) + "\n").encode()


read = _graph.reader(parse_graph, DIALECT)
write = _graph.writer(DIALECT, dump)

entry = Format(
    name="node-link",
    suffixes=(".nodelink.json",),
    summary="NetworkX's node-link JSON, with edges or links",
    read=read,
    write=write,
    keeps="network",
)
