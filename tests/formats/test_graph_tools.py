"""Formats of graph tools: what comes back, what the tools read, what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg

SUFFIXES = [".nodelink.json", ".adjacency.json", ".cyjs", ".graphml", ".gexf", ".dot"]
NAMES = [
    "plain",
    "two words",
    "a|b",
    "ünï→cödé",
    'quo"ted',
    "'; DROP TABLE",
    "a:b",
    "</script>",
    "x" * 4096,
    "tab\tnew\nline",
]


def _same(a: fg.Network, b: fg.Network) -> None:
    assert dict(a.graph.nodes(data=True)) == dict(b.graph.nodes(data=True))
    assert {(u, v): d for u, v, d in a.graph.edges(data=True)} == {(u, v): d for u, v, d in b.graph.edges(data=True)}
    assert (a.inputs, a.outputs) == (b.inputs, b.outputs)


def _everything() -> fg.Network:
    G = nx.DiGraph()
    G.add_node("y", activation="tanh", bias=0.5, colour="red", aggregation="max", response=2.0)
    G.add_node("dead", activation="neat-sin", bias=1 / 3, trainable=False, rank=7, known=True)
    G.add_edge("x", "y", weight=0.1, note="a")
    for k, name in enumerate(NAMES):
        G.add_edge(name, "y", weight=1e-300 * k - 1 / 3, trainable=bool(k % 2), param="k" if k in (2, 3) else "own")
        G.edges[name, "y"].pop("param") if k not in (2, 3) else G.edges[name, "y"].update(weight=0.7)
    G.add_edge("x", "z", weight=-1e-17)
    return fg.Network.from_networkx(G, inputs=[*reversed(NAMES), "x"], outputs=["z", "y"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [_everything, lambda: fg.topologies.random_dag(3, 9, 2, seed=1)])
def test_everything_comes_back(tmp_path: Path, suffix: str, make) -> None:
    net = make()
    fg.save(net, tmp_path / f"net{suffix}")
    _same(fg.load(tmp_path / f"net{suffix}"), net)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
def test_any_text_comes_back_or_is_refused_by_name(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=5, unique=True))
    values = st.floats(allow_nan=False, allow_infinity=False)
    G = nx.DiGraph()
    for u, v in pairwise(names):
        G.add_edge(u, v, weight=data.draw(values), note=data.draw(st.text(max_size=6)))
    net = fg.Network.from_networkx(G)
    path = tmp_path / f"net{suffix}"
    refused = None
    try:
        fg.save(net, path)
    except fg.FlowgradError as error:
        refused = str(error)
    if refused is None:
        _same(fg.load(path), net)
    else:
        assert any(repr(name) in refused for name in names)


def _plain_graphs(path: Path) -> nx.DiGraph:
    """The file as its tool reads it."""
    if path.name.endswith(".nodelink.json"):
        return nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    if path.name.endswith(".adjacency.json"):
        return nx.adjacency_graph(json.loads(path.read_text()))
    if path.suffix == ".cyjs":
        return nx.DiGraph(nx.cytoscape_graph(json.loads(path.read_text())))
    if path.suffix == ".graphml":
        return nx.read_graphml(path)
    return nx.read_gexf(path)


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".dot"])  # which NetworkX does not read
def test_values_and_gradients_are_there_for_the_tools(tmp_path: Path, suffix: str) -> None:
    net = fg.topologies.from_edge_list([("a", "h"), ("b", "h"), ("h", "y")])
    program = fg.compile(net, loss="squared_error")
    acts = program.forward(np.random.default_rng(0).standard_normal((8, 2)))
    grads = program.backward(acts, np.zeros((8, 1)))
    path = tmp_path / f"net{suffix}"
    fg.save(net, path, node_values={"a": acts.a, "dz": grads.dz}, edge_values={"gradient": grads.weight})
    graph = _plain_graphs(path)
    assert set(graph.edges) == {("a", "h"), ("b", "h"), ("h", "y")}
    for v in graph:
        assert graph.nodes[v]["a"] == pytest.approx(acts.a[v].mean(), rel=1e-15)
        assert graph.nodes[v]["dz"] == pytest.approx(grads.dz[v].mean(), rel=1e-15)
    for u, v in graph.edges:
        assert graph.edges[u, v]["gradient"] == pytest.approx(grads.weight[u, v], rel=1e-15)
    with pytest.raises(fg.FlowgradError, match="'bias': the network has an attribute"):
        fg.save(net, path, node_values={"bias": acts.a})


def test_links_of_older_files_and_graphs_of_others(tmp_path: Path) -> None:
    G = nx.DiGraph([("a", "b"), ("b", "c")])
    (tmp_path / "old.nodelink.json").write_text(json.dumps(nx.node_link_data(G, edges="links")))
    assert set(fg.load(tmp_path / "old.nodelink.json").graph.edges) == set(G.edges)
    nx.write_graphml(G, tmp_path / "g.graphml")
    net = fg.load(tmp_path / "g.graphml", activation="relu", outputs=["c", "b"])
    assert net.graph.nodes["b"]["activation"] == "identity"
    assert net.outputs == ("c", "b")


NODES = '{"directed": true, "nodes": [{"id": "a"}, {"id": "b"}], '
EDGE = '{"source": "a", "target": "b"}'
CYJS = '{"elements": {"nodes": [{"data": {"id": "a"}}]'
ADJACENCY = '{"directed": true, "graph": [], "nodes": [{"id": "a"}, {"id": "b"}], "adjacency": [[{"id": "b"}], []]}'
GRAPHML = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="{}">{}</graph></graphml>'
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + GRAPHML.format("directed", '<node id="&b;"/>')


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("n.nodelink.json", "[]", "a list `nodes` must stand"),
        ("n.nodelink.json", NODES + '"edges": [], "links": []}', "one list of `edges` or `links`"),
        ("n.nodelink.json", NODES + '"edges": [{"source": "a", "target": "c"}]}', "'c' is no listed node"),
        ("n.nodelink.json", NODES + '"edges": [{"source": "a"}]}', "'target'"),
        ("n.nodelink.json", NODES.replace("true", "false") + '"edges": []}', "undirected"),
        ("n.nodelink.json", NODES.replace('"b"', '"a"') + '"edges": []}', "listed twice"),
        ("n.nodelink.json", NODES + f'"edges": [{EDGE}, {EDGE}]}}', "given twice"),
        ("n.nodelink.json", NODES[:-7], "no valid JSON"),
        ("n.nodelink.json", NODES + '"graph": [1], "edges": []}', r"graph is \[1\]: must be an object"),
        ("n.adjacency.json", "[]", "an object must stand"),
        ("n.adjacency.json", '{"directed": true, "nodes": []}', "adjacency is None"),
        ("n.adjacency.json", ADJACENCY.replace("true", "false"), "undirected"),
        ("n.adjacency.json", ADJACENCY.replace('{"id": "a"}, ', ""), "1 nodes and 2 lists"),
        ("n.adjacency.json", ADJACENCY.replace('{"id": "b"}]', '{"id": "a"}]', 1), r"nodes\[1\]: node 'a' is listed"),
        ("n.adjacency.json", ADJACENCY.replace('"b"}], []', '"c"}], []'), r"adjacency\[0\]\[0\]: 'c' is no listed"),
        ("n.adjacency.json", ADJACENCY.replace('"b"}], []', '"b"}, {"id": "b"}], []'), r"\[0\]\[1\].*given twice"),
        ("n.adjacency.json", ADJACENCY.replace('"b"}], []', '"b"}], 3'), r"adjacency\[1\] is 3"),
        ("n.adjacency.json", ADJACENCY.replace('"graph": []', '"graph": {}'), "graph is {}"),
        ("n.adjacency.json", ADJACENCY.replace('{"id": "a"}', '{"id": 1.5}'), r"nodes\[0\] is \{'id': 1.5\}"),
        ("n.cyjs", CYJS + ', "edges": [{"data": {"source": "a"}}]}}', "target is None"),
        ("n.cyjs", CYJS + "}}", "elements.edges is None"),
        ("n.cyjs", '{"nodes": []}', "elements is None"),
        ("n.graphml", BOMB, "a document type or an entity"),
        ("n.graphml", "<graphml", "no well-formed XML"),
        ("n.graphml", "<a>" * 100 + "</a>" * 100, "more than 64 deep"),
        ("n.graphml", GRAPHML.format("undirected", '<node id="a"/><node id="b"/>'), "undirected"),
        ("n.graphml", GRAPHML.format("directed", '<node id="a"/><edge source="a" target="a"/>'), "self-loop at"),
        ("n.graphml", "<x/>", "cannot be read"),
        ("n.gexf", BOMB, "a document type or an entity"),
        ("n.gexf", "<gexf/>", "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_kept_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    own = fg.Activation("own", abs, abs)
    for net, words in [
        (fg.topologies.from_edge_list([(("t", 1), "b")]), r"node \('t', 1\) is a tuple"),
        (fg.topologies.from_edge_list([("a", "b")], output_activation=own), "node 'b': attribute 'activation'"),
    ]:
        with pytest.raises(ValueError, match=words):
            fg.save(net, tmp_path / f"net{suffix}")
    G = nx.DiGraph([("a", "b")])
    G.nodes["a"]["things"] = {1, 2}
    with pytest.raises(ValueError, match="node 'a': attribute 'things'"):
        fg.save(fg.Network.from_networkx(G), tmp_path / f"net{suffix}")
    assert list(tmp_path.iterdir()) == []
