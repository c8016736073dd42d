"""Cytoscape's JSON, and all that NetworkX writes: what they say comes in and can be saved in every format, or is
refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import flowgrad as fg

SUFFIXES = [".gexf", ".graphml", ".cyjs", ".nodelink.json", ".adjacency.json"]


# ---- Cytoscape ----------------------------------------------------------------------------------------------


def cyjs(nodes: list[Any], edges: list[Any], **about: Any) -> str:
    return json.dumps({**about, "elements": {"nodes": nodes, "edges": edges}})


def desktop(*names: Any) -> str:
    nodes = [
        {
            "data": {"id": f"{101 + k}", "SUID": 101 + k, "name": name, "selected": False},
            "position": {"x": 1.5, "y": k},
            "selected": False,
        }
        for k, name in enumerate(names)
    ]
    data = {"id": "110", "SUID": 110, "source": "101", "target": "102", "weight": 2.0, "interaction": "pp"}
    about = {"name": "session", "SUID": 52, "__Annotations": [], "selected": True}
    return cyjs(
        nodes, [{"data": data, "selected": False}], data=about, format_version="1.0", generated_by="cytoscape-3.10"
    )


def test_a_session_of_cytoscapes_desktop_has_names_for_ids(loaded: Any, carried: Any) -> None:
    net = loaded("net.cyjs", desktop("TP53", "arrest"))
    nodes, edges, about = carried(net)
    assert net.inputs == ("TP53",)
    assert nodes["TP53"] == {"SUID": 101, "name": "TP53", "selected": False, "position": {"x": 1.5, "y": 0}}
    assert edges == {("TP53", "arrest"): {"weight": 2.0, "SUID": 110, "interaction": "pp", "selected": False}}
    assert about["__Annotations"] == []
    assert about["format_version"] == "1.0"


@pytest.mark.parametrize("names", [("TP53", "TP53"), ("", "a"), (5, "a")])
def test_names_that_are_no_ids_are_labels(loaded: Any, names: tuple[Any, Any], carried: Any) -> None:
    nodes = carried(loaded("net.cyjs", desktop(*names)))[0]
    assert list(nodes) == ["101", "102"]
    assert [nodes[v]["name"] for v in nodes] == list(names)
    assert [nodes[v].get("label") for v in nodes] == [name if isinstance(name, str) else None for name in names]


def test_a_network_of_flowgrads_comes_back_from_the_desktop(tmp_path: Path, loaded: Any) -> None:
    """It gives nodes and edges serial numbers, and keeps the columns that it does not know."""
    G = nx.DiGraph([(1, 2, {"weight": 2.0})])
    fg.save(fg.Network.from_networkx(G), tmp_path / "net.cyjs")
    document = json.loads((tmp_path / "net.cyjs").read_text())
    for k, entry in enumerate(document["elements"]["nodes"]):
        entry["data"] |= {"name": entry["data"]["id"], "id": str(300 + k), "SUID": 300 + k}
    document["elements"]["edges"][0]["data"] |= {"source": "300", "target": "301", "id": "310", "SUID": 310}
    net = loaded("session.cyjs", json.dumps(document))
    assert list(net.graph.edges(data="weight")) == [(1, 2, 2.0)]


def test_cytoscape_js_says_much_beside_data(loaded: Any, carried: Any) -> None:
    nodes = [
        {"data": {"id": "a", "value": "a", "name": "x"}, "group": "nodes", "classes": "big", "locked": False},
        {"data": {"id": "b", "parent": "p", "value": 3}},
    ]
    edges = [{"data": {"id": "ab", "source": "a", "target": "b", "key": 0}, "classes": ""}]
    nodes, edges, about = carried(loaded("net.cyjs", cyjs(nodes, edges, zoom=1.5, style=[{"selector": "node"}])))
    assert nodes["a"] == {"value": "a", "name": "x", "group": "nodes", "classes": "big", "locked": False}
    assert (nodes["b"]["parent"], nodes["b"]["value"]) == ("p", 3)
    assert {k: v for k, v in edges["a", "b"].items() if k != "weight"} == {"id": "ab", "key": 0, "classes": ""}
    assert about == {"zoom": 1.5, "style": [{"selector": "node"}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cyjs([], [], directed=False), "the graph is undirected"),
        (cyjs([{"data": {"id": "a"}, "selected": True}, {"data": {"id": "a"}}], []), "node 'a' is listed twice"),
        (
            cyjs([{"data": {"id": "a", "selected": 1}, "selected": True}], []),
            "'selected' is given twice, as 1 and True",
        ),
        (cyjs([{"data": {"id": "a"}}], [{"data": {"source": "a", "target": "b"}}]), "'b' is no listed node"),
        (cyjs([], [], data=[1]), "data is [1]: must be an object"),
    ],
)
def test_cytoscape_that_is_no_network_is_refused(refused: Any, text: str, words: str) -> None:
    assert words in refused("net.cyjs", text)


# ---- NetworkX -----------------------------------------------------------------------------------------------


def written_by_networkx(graph: Any, path: Path) -> str:
    match path.name.partition(".")[2]:
        case "gexf":
            nx.write_gexf(graph, path)
        case "graphml":
            nx.write_graphml(graph, path)
        case "cyjs":
            path.write_text(json.dumps(nx.cytoscape_data(graph)))
        case "nodelink.json":
            path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
        case _:
            path.write_text(json.dumps(nx.adjacency_data(graph)))
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_networkx(tmp_path: Path, loaded: Any, suffix: str, kind: Any) -> None:
    graph = kind()
    graph.graph["title"] = "a graph"
    graph.add_node("a", score=1.5, note="x")
    graph.add_edge("a", "b", weight=2.0, kind="k")
    graph.add_edge("b", "c", weight=-3.0)
    text = written_by_networkx(graph, tmp_path / f"of_networkx{suffix}")
    net = loaded(f"net{suffix}", text)
    assert {(u, v): d["weight"] for u, v, d in net.graph.edges(data=True)} == {("a", "b"): 2.0, ("b", "c"): -3.0}
    assert net.graph.nodes["a"].items() >= {"score": 1.5, "note": "x"}.items()
    assert net.graph.edges["a", "b"]["kind"] == "k"
    assert "key" not in net.graph.edges["a", "b"]
    if suffix != ".gexf":  # into which NetworkX writes no attributes of the graph
        assert net.graph.graph["title"] == "a graph"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_undirected_and_parallel_edges_of_networkx_are_refused(tmp_path: Path, refused: Any, suffix: str) -> None:
    path = tmp_path / f"of_networkx{suffix}"
    assert "undirected" in refused(f"net{suffix}", written_by_networkx(nx.Graph([("a", "b")]), path))
    parallel = written_by_networkx(nx.MultiDiGraph([("a", "b"), ("a", "b")]), path)
    assert "edge 'a' → 'b' is given twice" in refused(f"net{suffix}", parallel)


def test_cytoscape_of_networkx_keeps_ids_that_are_numbers_and_attributes_called_id(loaded: Any) -> None:
    graph = nx.DiGraph([(1, 2)])
    assert loaded("net.cyjs", json.dumps(nx.cytoscape_data(graph))).nodes == (1, 2)
    swapped = nx.DiGraph([("x", "y", {"weight": 1.0}), ("y", "z", {"weight": 2.0})])
    swapped.nodes["x"]["id"], swapped.nodes["y"]["id"] = "y", "x"
    net = loaded("net.cyjs", json.dumps(nx.cytoscape_data(swapped)))
    assert sorted(net.graph.edges(data="weight")) == [("x", "y", 1.0), ("y", "z", 2.0)]
    assert net.graph.nodes["x"]["id"] == "y"


@pytest.mark.parametrize("suffix", [".nodelink.json", ".adjacency.json"])
def test_what_stands_beside_nodes_and_edges_is_of_the_graph(tmp_path: Path, loaded: Any, suffix: str) -> None:
    graph = nx.MultiDiGraph(title="t")
    graph.add_edge("a", "b", "a key")
    document = json.loads(written_by_networkx(graph, tmp_path / f"net{suffix}")) | {"generator": ["d3", None]}
    net = loaded(f"net{suffix}", json.dumps(document))
    assert net.graph.graph == {"title": "t", "generator": ["d3", None]}
    assert net.graph.edges["a", "b"]["key"] == "a key"


# ---- attributes that have flowgrad's names ------------------------------------------------------------------


def test_input_that_is_no_number_is_an_attribute(loaded: Any) -> None:
    nodes = [{"id": "a", "input": "sensor"}, {"id": "b", "output": True}]
    edges = [{"source": "a", "target": "b", "place": "left"}]
    document = {"directed": True, "nodes": nodes, "edges": edges, "graph": {"ids": 5}}
    net = loaded("net.nodelink.json", json.dumps(document))
    assert net.graph.nodes["a"] == {"input": "sensor"}
    assert net.graph.nodes["b"]["output"] is True
    assert net.graph.edges["a", "b"]["place"] == "left"
    assert net.graph.graph == {"ids": 5}


def test_input_that_counts_something_else_is_refused_with_the_way_out(loaded: Any, refused: Any) -> None:
    document = {
        "directed": True,
        "nodes": [{"id": "a", "input": 7}, {"id": "b"}],
        "edges": [{"source": "a", "target": "b"}],
    }
    assert "with inputs= they may be anything" in refused("net.nodelink.json", json.dumps(document))
    net = loaded("net.nodelink.json", json.dumps(document), inputs=["a"])
    assert net.graph.nodes["a"] == {"input": 7}


@pytest.mark.parametrize("number", ["1e999", "-1e400", "NaN", "Infinity"])
def test_numbers_that_float64_does_not_have_are_refused(refused: Any, number: str) -> None:
    text = f'{{"directed": true, "nodes": [{{"id": "a", "score": {number}}}, {{"id": "b"}}], "edges": []}}'
    assert number in refused("net.nodelink.json", text)
