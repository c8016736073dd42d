"""Attributes under every name that a format, a tool or NetworkX has a use for: they come back as they are, in value and
type, or are refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.errors import brief
from flowgrad.formats import adjacency, cytoscape, dot, gexf, graphml, node_link
from flowgrad.nxgraph import EDGE_KEYS, NODE_KEYS

pytest.importorskip("defusedxml", reason="GraphML and GEXF")
pytest.importorskip("safetensors", reason="flowgrad's own formats")

TOOLS = {
    ".gexf": gexf,
    ".graphml": graphml,
    ".cyjs": cytoscape,
    ".nodelink.json": node_link,
    ".adjacency.json": adjacency,
    ".dot": dot,
}
SUFFIXES = [*TOOLS, ".json", ".safetensors"]
XML = (".gexf", ".graphml")
RESERVED = [
    # flowgrad's files
    *("input", "output", "place", "ids", "id_type", "flowgrad", "flowgrad:", "flowgrad:id", "flowgrad:flowgrad:input"),
    # a network, where they stand on what does not have them
    *("activation", "aggregation", "bias", "response", "trainable", "weight", "param"),
    # JSON formats
    *("id", "source", "target", "key", "name", "value", "directed", "multigraph", "graph", "nodes", "edges", "links"),
    *("adjacency", "elements", "data", "position", "selected", "classes", "group", "parent", "SUID", "shared_name"),
    *("format", "version", "sha256", "weights", "tensor", "range", "tuple", "dict", "float", "int", "text", "bytes"),
    # XML formats
    *("label", "kind", "type", "for", "start", "end", "startopen", "endopen", "spells", "spell", "slices", "timestamp"),
    *("viz", "viz:color", "viz:size", "color", "size", "thickness", "shape", "pid", "parents", "attvalues", "title"),
    *("attr.name", "attr.type", "default", "node_default", "edge_default", "desc", "port", "sourceport", "targetport"),
    *("creator", "keywords", "description", "lastmodifieddate", "mode", "timeformat", "idtype", "defaultedgetype"),
    *("nodegraphics", "edgegraphics", "yfiles.type", "flowgrad.type", "networkx_key", "xmlns", "parse.nodeids", "meta"),
    # arguments of NetworkX's
    *("self", "node_for_adding", "u_of_edge", "v_of_edge", "u", "v", "attr", "incoming_graph_data", "node", "edge"),
    # and odd ones
    *("", " ", "a b", "ü→", "__class__", "0", "d0", "e0", "x", "é" * 300, "two\r\nlines"),
]
KNOWN = {"node": NODE_KEYS, "edge": EDGE_KEYS, "graph": ()}
NAMES = {
    scope: sorted({*RESERVED, *(name for tool in TOOLS.values() for name in tool.DIALECT.taken(scope))} - {*known})
    for scope, known in KNOWN.items()
}

texts = st.text(max_size=6)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    plain | st.sampled_from([True, 1, 1.0, "1", "x", "0", "e0", "e1", "true", "", -0.0, 5e-324, 2**63, -(2**63)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
odd = st.sampled_from(
    [
        *(math.inf, math.nan, [math.nan], (1, "a"), [()], b"\0\xff", 10**5000, [10**5000], {1: 2}, {1, 2}, 1j, len),
        *("\ud800", "\ud83d\ude00", "a\0b", "a\rb", ["a\ud800"], np.float32(0.1), np.datetime64("2001"), [np.int8(3)]),
    ]
)


def network(scope: str, name: str, given: list[Any]) -> fg.Network:
    """x → h → y, the first of the values on one node, edge or the graph, the second on another."""
    G = nx.DiGraph([("x", "h", {"weight": 2.0}), ("h", "y", {"weight": 3.0})])
    of = {"node": [G.nodes["x"], G.nodes["y"]], "edge": [G.edges["x", "h"], G.edges["h", "y"]], "graph": [G.graph]}
    for attributes, value in zip(of[scope], given, strict=False):
        attributes[name] = value
    return fg.Network.from_networkx(G, activation="identity")


def typed(value: Any) -> Any:
    """A value that equals another of its type, at every depth, and bits only."""
    if isinstance(value, np.generic):  # which files of other tools keep as Python's numbers
        value = value.item()
    if isinstance(value, dict):
        return [(typed(k), typed(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [typed(v) for v in value]
    return type(value), value.hex() if isinstance(value, float) else value


def everything(net: fg.Network) -> Any:
    """What a network carries."""

    def of(attributes: Any) -> Any:
        return {k: typed(v) for k, v in attributes.items()}

    nodes = {v: of(attributes) for v, attributes in net.graph.nodes.items()}
    edges = {e: of(attributes) for e, attributes in net.graph.edges.items()}
    return nodes, edges, of(net.graph.graph), net.inputs, net.outputs


def saved(net: fg.Network, path: Path) -> str | None:
    """None, or the message that refuses it."""
    try:
        fg.save(net, path)
    except fg.FlowgradError as error:
        return str(error)
    return None


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_every_name_and_value_comes_back(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    """Text, numbers, truth values, None, lists and dicts, mixed under one name, are never refused."""
    scope = data.draw(st.sampled_from(list(NAMES)))
    net = network(scope, data.draw(st.sampled_from(NAMES[scope])), data.draw(st.lists(values, min_size=2, max_size=2)))
    refused = saved(net, tmp_path / f"net{suffix}")
    assert refused is None
    assert everything(fg.load(tmp_path / f"net{suffix}")) == everything(net)


def crowded(first: Any, second: Any) -> fg.Network:
    """The first value under every name on a node, an edge and the graph, the second on another node and edge."""
    G = nx.DiGraph(network("node", "note", []).graph)
    for v, e, value in (("x", ("x", "h"), first), ("y", ("h", "y"), second)):
        G.nodes[v].update(dict.fromkeys(NAMES["node"], value))
        G.edges[e].update(dict.fromkeys(NAMES["edge"], value))
    G.graph.update(dict.fromkeys(NAMES["graph"], first))
    return fg.Network.from_networkx(G)


PAIRS = (["h", "x"], [1, True], [None, 1.5], [{"a": [1, None]}, []], [{"x": 1.0, "y": 2}, "0"], ["int", "text"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_names_at_once_come_back(tmp_path: Path, suffix: str) -> None:
    for pair in PAIRS:
        net, path = crowded(*pair), tmp_path / f"net{suffix}"
        fg.save(net, path)
        assert everything(fg.load(path)) == everything(net), pair


@pytest.mark.parametrize("suffix", TOOLS)
def test_they_come_back_by_way_of_other_formats(tmp_path: Path, suffix: str) -> None:
    net = crowded("h", [1, {"a": None}])
    again = net
    for way in (suffix, ".cyjs", ".gexf", ".nodelink.json", suffix):
        fg.save(again, tmp_path / f"net{way}")
        again = fg.load(tmp_path / f"net{way}")
    assert everything(again) == everything(net)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(scope=st.sampled_from(list(NAMES)), data=st.data())
def test_an_odd_value_comes_back_or_is_refused_by_name(
    tmp_path: Path, suffix: str, scope: str, data: st.DataObject
) -> None:
    name, given = data.draw(st.sampled_from(NAMES[scope])), data.draw(st.lists(odd, min_size=2, max_size=2))
    net = network(scope, name, given)
    refused = saved(net, tmp_path / f"net{suffix}")
    if refused is None:
        assert suffix not in TOOLS or everything(fg.load(tmp_path / f"net{suffix}")) == everything(net)
        return
    assert len(refused) < 700
    if suffix in TOOLS:
        place = {
            "node": ("node 'x'", "node 'y'"),
            "edge": ("edge 'x' → 'h'", "edge 'h' → 'y'"),
            "graph": ("the graph",),
        }
        assert any(refused.startswith(f"{where}: attribute {brief(name)}") for where in place[scope]), refused


@pytest.mark.parametrize("suffix", XML)
def test_xml_keeps_every_type_that_files_keep(tmp_path: Path, suffix: str) -> None:
    for value in (math.inf, -math.inf, math.nan, (1, ("a", b"\xff")), {1: (2,)}, 2**70, 10**5000, "a\0b"):
        net = network("node", "note", [value, [value]])
        fg.save(net, tmp_path / f"net{suffix}")
        assert everything(fg.load(tmp_path / f"net{suffix}")) == everything(net)


@pytest.mark.parametrize("suffix", TOOLS)
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, suffix: str) -> None:
    assert "attribute 5 has a name" in str(saved(network("node", 5, ["a"]), tmp_path / f"net{suffix}"))  # type: ignore[arg-type]  # of a wrong type on purpose


@pytest.mark.parametrize("suffix", [".mmd", ".html", ".c"])
def test_pictures_are_of_any_network(tmp_path: Path, suffix: str) -> None:
    """They show none of its attributes, whatever those are."""
    fg.save(crowded({1: {2}}, 1j), tmp_path / f"net{suffix}")


def test_dot_has_the_attributes_of_nodes_edges_and_the_graph(tmp_path: Path) -> None:
    for scope in NAMES:
        fg.save(network(scope, 'a"b', [{"k": None}, "x"]), tmp_path / "net.dot")
        text = (tmp_path / "net.dot").read_text()
        assert r'"flowgrad_a\"b"="{\"dict\": [[\"k\", null]]}"' in text, scope


@pytest.mark.parametrize("suffix", TOOLS)
def test_values_under_a_taken_name_are_refused(tmp_path: Path, suffix: str) -> None:
    net = network("node", "note", [])
    with pytest.raises(fg.FlowgradError, match="must be a dict of str"):
        fg.save(net, tmp_path / f"net{suffix}", node_values={5: {"x": 1.0}})
    for scope in ("node", "edge"):
        keys = net.graph.nodes if scope == "node" else net.graph.edges
        for name in TOOLS[suffix].DIALECT.taken(scope):
            with pytest.raises(fg.FlowgradError, match=f"values '{name}'"):
                fg.save(net, tmp_path / f"net{suffix}", **{f"{scope}_values": {name: dict.fromkeys(keys, 1.0)}})


@pytest.mark.parametrize("suffix", TOOLS)
@given(ids=st.lists(st.integers(), min_size=3, max_size=3, unique=True))
@example(ids=[0, 1, 2])
def test_whole_numbers_with_attributes_come_back(tmp_path: Path, suffix: str, ids: list[int]) -> None:
    G = nx.relabel_nodes(nx.DiGraph(network("node", "id", [2, "1"]).graph), dict(zip("xhy", ids, strict=True)))
    net = fg.Network.from_networkx(G)
    fg.save(net, tmp_path / f"net{suffix}")
    assert everything(fg.load(tmp_path / f"net{suffix}")) == everything(net)


@pytest.mark.parametrize("suffix", [suffix for suffix in TOOLS if suffix != ".dot"])  # which NetworkX does not read
def test_networkx_finds_the_attributes(tmp_path: Path, suffix: str) -> None:
    """In the format's own types."""
    net, path = network("node", "score", [1, 1.5]), tmp_path / f"net{suffix}"
    fg.save(net, path)
    read = {
        ".gexf": nx.read_gexf,
        ".graphml": nx.read_graphml,
        ".cyjs": lambda file: nx.cytoscape_graph(json.loads(file.read_text())),
        ".nodelink.json": lambda file: nx.node_link_graph(json.loads(file.read_text()), edges="edges"),
        ".adjacency.json": lambda file: nx.adjacency_graph(json.loads(file.read_text())),
    }
    graph = read[suffix](path)
    assert [typed(graph.nodes[v]["score"]) for v in "xy"] == [typed(1), typed(1.5)]
