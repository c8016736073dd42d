"""NetworkX's node-link JSON: `nodes`, and `edges` (or `links`, as older versions wrote)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx

from flowgrad.errors import FileError
from flowgrad.format import Format
from flowgrad.formats import _graph
from flowgrad.formats._strict import parse


def parse_graph(data: bytes, what: str) -> Any:
    """The graph of NetworkX's JSON."""
    document = parse(data, what)
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        raise FileError(f"{what}: an object with a list `nodes` must stand there")
    if not isinstance(document.get("graph", {}), dict):
        raise FileError(f"{what}: graph is {document['graph']!r:.80}: must be an object")
    keys = [key for key in ("edges", "links") if key in document]
    if len(keys) != 1 or not isinstance(document[keys[0]], list):
        raise FileError(f"{what}: one list of `edges` or `links` must stand there")
    listed = {_id(entry, f"{what}: nodes[{k}]", "id") for k, entry in enumerate(document["nodes"])}
    if len(listed) < len(document["nodes"]):
        raise FileError(f"{what}: a node is listed twice")
    for k, entry in enumerate(document[keys[0]]):
        for end in ("source", "target"):
            if _id(entry, f"{what}: {keys[0]}[{k}]", end) not in listed:
                raise FileError(f"{what}: {keys[0]}[{k}]: {end} {entry[end]!r} is no listed node")
    if not document.get("directed", False):
        raise FileError(f"{what}: the graph is undirected: a network's edges have a direction")
    return nx.node_link_graph(document | {"multigraph": True}, edges=keys[0])  # which shows parallel edges


read = _graph.reader(parse_graph)


def _id(entry: Any, place: str, key: str) -> Any:
    """A hashable id: lists become tuples, as they were before they were JSON."""
    if not isinstance(entry, dict) or key not in entry:
        raise FileError(f"{place} is {entry!r:.80}: must be an object with {key!r}")
    value = entry[key]
    if type(value) not in (str, int):
        raise FileError(f"{place}: {key} is {value!r:.80}: must be text or a whole number")
    return value


def dump(graph: Any, path: Path) -> bytes:
    """NetworkX's JSON of a graph."""
    return (json.dumps(nx.node_link_data(graph, edges="edges"), indent=1, allow_nan=False) + "\n").encode()


write = _graph.writer("node-link JSON", dump)

entry = Format(
    name="node-link",
    suffixes=(".nodelink.json",),
    summary="NetworkX's node-link JSON, with edges or links",
    read=read,
    write=write,
    keeps="network",
)
