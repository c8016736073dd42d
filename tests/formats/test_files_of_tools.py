"""Files as Gephi, yEd, Cytoscape and NetworkX write them: what they say comes in, or is refused by name; and what
came in can be saved in every format, and comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import flowgrad as fg
from flowgrad.formats._assembly import same

pytest.importorskip("defusedxml", reason="GraphML and GEXF")
pytest.importorskip("safetensors", reason="flowgrad's own formats")

SUFFIXES = [".gexf", ".graphml", ".cyjs", ".nodelink.json", ".adjacency.json", ".json", ".safetensors"]


def loaded(tmp_path: Path, name: str, text: str, **options: Any) -> fg.Network:
    """The network of a file, once it is shown that every format saves it and gives it back."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    net = fg.load(tmp_path / name, **options)
    fg.save(net, tmp_path / "again.dot")
    for suffix in SUFFIXES:
        fg.save(net, tmp_path / f"again{suffix}")
        again = fg.load(tmp_path / f"again{suffix}")
        for wanted, found in zip(carried(net), carried(again), strict=True):
            assert same(found, wanted), suffix
    return net


def carried(net: fg.Network) -> tuple[dict[Any, Any], ...]:
    graph = net.graph
    nodes, edges = ({k: dict(a) for k, a in some.items()} for some in (graph.nodes, graph.edges))
    return nodes, edges, dict(graph.graph)


def refused(tmp_path: Path, name: str, text: str) -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(fg.FlowgradError) as caught:
        fg.load(tmp_path / name)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    return str(caught.value)


# ---- GEXF ---------------------------------------------------------------------------------------------------

NAMESPACES = [
    "http://www.gexf.net/1.1draft",
    "http://www.gexf.net/1.2draft",
    "http://gexf.net/1.2",
    "http://gexf.net/1.3",
    "http://www.gexf.net/1.3",
]


def gexf(
    nodes: str, edges: str, about: str = "", graph: str = 'defaultedgetype="directed"', ns: str = NAMESPACES[4]
) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><gexf xmlns="{ns}" version="1.3" xmlns:viz="{ns}/viz">'
        f"<graph {graph}>{about}<nodes>{nodes}</nodes><edges>{edges}</edges></graph></gexf>"
    )


AB = '<node id="a"/><node id="b"/>'


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_gephi(tmp_path: Path, namespace: str) -> None:
    nodes = (
        '<node id="a" label="Gene A"><attvalues><attvalue for="0" value="3"/>'
        '<attvalue for="tags" value="[x, y]"/></attvalues>'
        '<viz:size value="10.5"/><viz:position x="1.0" y="-2.0" z="0.0"/>'
        '<viz:color r="12" g="0" b="255" a="0.5"/></node>'
        '<node id="b" label="b" pid="a" start="2001">'
        '<spells><spell start="2001" end="2003"/><spell start="2005"/></spells>'
        '<viz:shape value="disc"/><viz:color hex="#ff0000"/></node>'
    )
    edges = (
        '<edge id="17" source="a" target="b" weight="2" label="binds" kind="k">'
        '<attvalues><attvalue for="d" value="0.5" '
        'start="1" end="2"/><attvalue for="d" value="0.25" start="2"/></attvalues><viz:thickness value="3"/></edge>'
    )
    about = (
        '<attributes class="node" mode="static"><attribute id="0" title="degree" type="integer"/>'
        '<attribute id="1" title="known" type="boolean"><default>true</default>'
        "<options>true|false</options></attribute>"
        '<attribute id="tags" title="Tags" type="liststring"/></attributes>'
        '<attributes class="edge" mode="dynamic"><attribute id="d" title="score" type="float"/></attributes>'
    )
    text = gexf(nodes, edges, about, 'defaultedgetype="directed" mode="dynamic" timeformat="double"', namespace)
    meta = '<meta lastmodifieddate="2024-01-01"><creator>Gephi 0.10</creator><description/></meta><graph'
    net = loaded(tmp_path, "net.gexf", text.replace("<graph", meta, 1))
    assert carried(net)[0] == {
        "a": {
            "label": "Gene A",
            "degree": 3,
            "Tags": "[x, y]",
            "known": True,
            "viz": {
                "size": 10.5,
                "position": {"x": 1.0, "y": -2.0, "z": 0.0},
                "color": {"r": 12, "g": 0, "b": 255, "a": 0.5},
            },
        },
        "b": {
            "known": True,
            "pid": "a",
            "start": "2001",
            "spells": [{"start": "2001", "end": "2003"}, {"start": "2005"}],
            "viz": {"shape": "disc", "color": {"hex": "#ff0000"}},
            "activation": "identity",
            "bias": 0.0,
        },
    }
    assert carried(net)[1]["a", "b"] == {
        "weight": 2.0,
        "id": "17",
        "label": "binds",
        "kind": "k",
        "score": [{"value": 0.5, "start": "1", "end": "2"}, {"value": 0.25, "start": "2"}],
        "viz": {"thickness": 3.0},
    }
    assert net.graph.graph == {
        "lastmodifieddate": "2024-01-01",
        "creator": "Gephi 0.10",
        "description": "",
        "mode": "dynamic",
        "timeformat": "double",
    }


def test_looks_are_written_in_gephis_own_form(tmp_path: Path) -> None:
    color = {"r": 1, "g": 2, "b": 3, "a": 1.0}
    G = nx.DiGraph([("a", "b")])
    G.nodes["a"]["viz"] = {"color": color, "size": 2.0}
    fg.save(fg.Network.from_networkx(G), tmp_path / "net.gexf")
    assert nx.read_gexf(tmp_path / "net.gexf").nodes["a"]["viz"] == {"color": color, "size": 2.0}


@pytest.mark.parametrize(
    "viz", [None, {}, 3, {"color": {"r": True, "g": 1, "b": 2}}, {"size": 1}, {"size": {"value": 1.0}}]
)
def test_other_looks_come_back_as_they_are(tmp_path: Path, viz: Any) -> None:
    G = nx.DiGraph([("a", "b")])
    G.nodes["a"]["viz"] = G.edges["a", "b"]["viz"] = viz
    fg.save(fg.Network.from_networkx(G), tmp_path / "net.gexf")
    nodes, edges, _ = carried(fg.load(tmp_path / "net.gexf"))
    assert same(nodes["a"]["viz"], viz)
    assert same(edges["a", "b"]["viz"], viz)


DYNAMIC = '<attributes class="edge" mode="dynamic"><attribute id="weight" title="Weight" type="double"/></attributes>'
EDGE = '<edge source="a" target="b"/>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (gexf(AB, '<edge source="a" target="typo"/>'), "edge 'a' → 'typo'|'typo' is no listed node"),
        (gexf(AB + '<node id="b"/>', EDGE), "node 'b' is listed twice"),
        (gexf(AB, EDGE * 2), "edge 'a' → 'b' is given twice"),
        (gexf('<node id="a"><nodes><node id="b"/></nodes></node>', ""), "node 'a' holds a graph of its own"),
        (gexf(AB, EDGE).replace("</gexf>", "<graph/></gexf>"), "it holds 2 graphs"),
        (gexf(AB, '<edge source="a" target="b" type="undirected"/>'), "edge 'a' → 'b': the edge is undirected"),
        (gexf(AB, '<edge source="a" target="b" type="mutual"/>'), "edge 'a' → 'b': the edge is undirected"),
        (gexf(AB, EDGE, graph=""), "undirected"),
        (gexf(AB, "", graph=""), "the graph is undirected"),
        (gexf(AB, '<edge source="a"/>'), "has no target"),
        (gexf("<node/>", ""), "a <node> has no id"),
        (gexf(AB, '<edge source="a" target="b" weight="much"/>'), "edge 'a' → 'b': weight is 'much'"),
        (gexf(AB, '<edge source="a" target="b" weight="1_0"/>'), "weight is '1_0'"),
        (gexf(AB, EDGE.replace("/>", "><extra/></edge>")), "edge 'a' → 'b' holds an element <extra>"),
        (
            gexf('<node id="a"><attvalues><attvalue for="9" value="1"/></attvalues></node>', ""),
            "'9', which is not decl",
        ),
        (gexf(AB, EDGE, "<attributes class='arc'/>"), "class 'arc': must be node or edge"),
        (gexf(AB, EDGE, DYNAMIC.replace("edge", "node") * 2), "'weight' of class node is declared twice"),
        (
            gexf(
                AB,
                '<edge source="a" target="b"><attvalues><attvalue for="weight" value="1" start="1" end="2"/>'
                '<attvalue for="weight" value="9" start="2"/></attvalues></edge>',
                DYNAMIC,
            ),
            r"edge 'a' → 'b': weight is given over time \(2 values\): a network has one",
        ),
        (
            gexf(
                AB,
                '<edge source="a" target="b" weight="3"><attvalues><attvalue for="weight" value="1"/></attvalues>'
                "</edge>",
            ),
            "'weight' is given twice, as 1.0 and 3.0",
        ),
    ],
)
def test_gexf_that_is_no_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert re.search(words, refused(tmp_path, "net.gexf", text))


def test_gexf_whose_edges_say_that_they_are_directed(tmp_path: Path) -> None:
    text = gexf(AB, '<edge id="e0" source="a" target="b" type="directed" weight="3"/>', graph='idtype="string"')
    assert carried(loaded(tmp_path, "net.gexf", text))[1] == {("a", "b"): {"weight": 3.0}}
    text = gexf(
        AB,
        '<edge source="a" target="b" weight="3"><attvalues><attvalue for="weight" value="3"/></attvalues></edge>',
        '<attributes class="edge"><attribute id="weight" title="Weight" type="integer"/></attributes>',
    )
    assert carried(loaded(tmp_path, "net.gexf", text))[1]["a", "b"]["weight"] == 3.0
    numbered = gexf(
        '<node id="7"/><node id="9"/>',
        '<edge source="7" target="9"/>',
        graph='defaultedgetype="directed" idtype="integer"',
    )
    assert loaded(tmp_path, "net.gexf", numbered).nodes == (7, 9)


# ---- GraphML ------------------------------------------------------------------------------------------------


def graphml(
    body: str, keys: str = "", default: str = "directed", ns: str = "http://graphml.graphdrawing.org/xmlns"
) -> str:
    body = f'<graph id="G" edgedefault="{default}">{body}</graph>'
    return f'<graphml xmlns="{ns}" xmlns:y="http://www.yworks.com/xml/graphml">{keys}{body}</graphml>'


def key(name: str, scope: str, kind: str = "double", default: str = "") -> str:
    inside = f"<default>{default}</default>" if default else ""
    return f'<key id="{name}.{scope}" for="{scope}" attr.name="{name}" attr.type="{kind}">{inside}</key>'


def test_yed(tmp_path: Path) -> None:
    keys = (
        '<key id="d0" for="node" yfiles.type="nodegraphics"/><key id="d1" for="edge" yfiles.type="edgegraphics"/>'
        '<key id="d2" for="graphml" yfiles.type="resources"/>'
        '<key attr.name="url" attr.type="string" for="node" id="d3"/>'
        '<key attr.name="description" attr.type="string" for="node" id="d4"/>'
    )
    body = (
        '<node id="n0"><data key="d3" xml:space="preserve"><![CDATA[http://a?b&c]]></data><data key="d0"><y:ShapeNode>'
        '<y:Geometry height="30.0" x="1.0"/><y:NodeLabel visible="true">TP53'
        "<y:LabelModel/></y:NodeLabel></y:ShapeNode></data></node>"
        '<node id="n1"><data key="d4"/></node>'
        '<edge id="e0" source="n0" target="n1"><data key="d1"><y:PolyLineEdge/></data></edge>'
    )
    text = graphml(body, keys).replace("</graphml>", '<data key="d2"><y:Resources/></data></graphml>')
    net = loaded(tmp_path, "net.graphml", text)
    nodes, edges, about = carried(net)
    assert nodes["n0"]["label"] == "TP53"
    assert nodes["n0"]["url"] == "http://a?b&c"
    assert 'height="30.0"' in nodes["n0"]["nodegraphics"]
    assert nodes["n1"]["description"] == ""
    assert "PolyLineEdge" in edges["n0", "n1"]["edgegraphics"]
    assert "id" not in edges["n0", "n1"]
    assert "Resources" in about["resources"]
    assert about["id"] == "G"


def test_what_graphml_says_in_other_places(tmp_path: Path) -> None:
    keys = key("weight", "all", default="3") + key("known", "node", "boolean", "true") + key("n", "edge", "int")
    body = (
        '<desc>a graph</desc><data key="weight.all">5</data><node id="a"><desc>first</desc></node>'
        '<node id="b" extra="x"/>'
        '<node id="c"><data key="known.node">FALSE</data></node><edge id="first" source="a" target="b"/>'
        '<edge id="second" source="b" target="c"><data key="weight.all">-1</data><data key="n.edge">7</data></edge>'
    )
    nodes, edges, about = carried(loaded(tmp_path, "net.graphml", graphml(body, keys, ns="other")))
    assert about == {"id": "G", "desc": "a graph", "weight": 5.0}
    assert nodes["a"] == {"weight": 3.0, "known": True, "desc": "first"}
    assert same((nodes["b"]["extra"], nodes["c"]["known"]), ("x", False))
    assert edges == {("a", "b"): {"weight": 3.0, "id": "first"}, ("b", "c"): {"weight": -1.0, "n": 7, "id": "second"}}


NODES = '<node id="alpha"/><node id="beta"/>'
ARROW = '<edge source="alpha" target="beta"/>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (graphml(NODES + '<edge source="alpha" target="betta"/>'), "'betta' is no listed node: did you mean 'beta'"),
        (graphml(NODES + '<node id="beta"/>'), "node 'beta' is listed twice"),
        (graphml(NODES + ARROW * 2), "edge 'alpha' → 'beta' is given twice"),
        (graphml(NODES + "<hyperedge/>"), "hyperedge"),
        (graphml(NODES + '<node id="p"><port name="N"/></node>'), "node 'p' has a port"),
        (graphml(NODES + ARROW.replace("/>", ' sourceport="N"/>')), "edge 'alpha' → 'beta' has a sourceport"),
        (graphml(NODES + ARROW.replace("/>", ' directed="false"/>')), "edge 'alpha' → 'beta': the edge is undirected"),
        (graphml('<node id="g"><graph edgedefault="directed"/></node>'), "node 'g' holds a graph of its own"),
        (graphml(NODES).replace("</graphml>", "<graph/></graphml>"), "it holds 2 graphs"),
        (graphml(NODES + ARROW, default="undirected"), "undirected"),
        (graphml(NODES + "<locator/>"), "an element <locator>"),
        (graphml('<node id="a"><data key="w">1</data></node>'), "the key 'w', which is not declared"),
        (
            graphml('<node id="a"><data key="n.node">1.5</data></node>', key("n", "node", "int")),
            "node 'a': 'n' is '1.5'",
        ),
        (graphml('<node id="a"/>', key("n", "node", "int", "x")), "'n.node' is 'x': must be of type int"),
        (graphml('<node id="a"/>', key("n", "node") * 2), "'n.node' is declared twice"),
        (
            graphml(
                '<node id="a"><data key="n.node">1</data><data key="n.all">2</data></node>',
                key("n", "node") + key("n", "all"),
            ),
            "node 'a': attribute 'n' is given twice",
        ),
        ("<graphml/>", "it holds 0 graphs"),
    ],
)
def test_graphml_that_is_no_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, "net.graphml", text)


def test_graphml_whose_edges_say_that_they_are_directed(tmp_path: Path) -> None:
    net = loaded(
        tmp_path, "net.graphml", graphml(NODES + ARROW.replace("/>", ' directed="true"/>'), default="undirected")
    )
    assert list(net.graph.edges) == [("alpha", "beta")]


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


def test_a_session_of_cytoscapes_desktop_has_names_for_ids(tmp_path: Path) -> None:
    net = loaded(tmp_path, "net.cyjs", desktop("TP53", "arrest"))
    nodes, edges, about = carried(net)
    assert net.inputs == ("TP53",)
    assert nodes["TP53"] == {"SUID": 101, "name": "TP53", "selected": False, "position": {"x": 1.5, "y": 0}}
    assert edges == {("TP53", "arrest"): {"weight": 2.0, "SUID": 110, "interaction": "pp", "selected": False}}
    assert about["__Annotations"] == []
    assert about["format_version"] == "1.0"


@pytest.mark.parametrize("names", [("TP53", "TP53"), ("", "a"), (5, "a")])
def test_names_that_are_no_ids_are_labels(tmp_path: Path, names: tuple[Any, Any]) -> None:
    nodes = carried(loaded(tmp_path, "net.cyjs", desktop(*names)))[0]
    assert list(nodes) == ["101", "102"]
    assert [nodes[v]["name"] for v in nodes] == list(names)
    assert [nodes[v].get("label") for v in nodes] == [name if isinstance(name, str) else None for name in names]


def test_a_network_of_flowgrads_comes_back_from_the_desktop(tmp_path: Path) -> None:
    """It gives nodes and edges serial numbers, and keeps the columns that it does not know."""
    G = nx.DiGraph([(1, 2, {"weight": 2.0})])
    fg.save(fg.Network.from_networkx(G), tmp_path / "net.cyjs")
    document = json.loads((tmp_path / "net.cyjs").read_text())
    for k, entry in enumerate(document["elements"]["nodes"]):
        entry["data"] |= {"name": entry["data"]["id"], "id": str(300 + k), "SUID": 300 + k}
    document["elements"]["edges"][0]["data"] |= {"source": "300", "target": "301", "id": "310", "SUID": 310}
    net = loaded(tmp_path, "session.cyjs", json.dumps(document))
    assert list(net.graph.edges(data="weight")) == [(1, 2, 2.0)]


def test_cytoscape_js_says_much_beside_data(tmp_path: Path) -> None:
    nodes = [
        {"data": {"id": "a", "value": "a", "name": "x"}, "group": "nodes", "classes": "big", "locked": False},
        {"data": {"id": "b", "parent": "p", "value": 3}},
    ]
    edges = [{"data": {"id": "ab", "source": "a", "target": "b", "key": 0}, "classes": ""}]
    nodes, edges, about = carried(
        loaded(tmp_path, "net.cyjs", cyjs(nodes, edges, zoom=1.5, style=[{"selector": "node"}]))
    )
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
def test_cytoscape_that_is_no_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(tmp_path, "net.cyjs", text)


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
@pytest.mark.parametrize("suffix", SUFFIXES[:5])
def test_networkx(tmp_path: Path, suffix: str, kind: Any) -> None:
    graph = kind()
    graph.graph["title"] = "a graph"
    graph.add_node("a", score=1.5, note="x")
    graph.add_edge("a", "b", weight=2.0, kind="k")
    graph.add_edge("b", "c", weight=-3.0)
    text = written_by_networkx(graph, tmp_path / f"of_networkx{suffix}")
    net = loaded(tmp_path, f"net{suffix}", text)
    assert {(u, v): d["weight"] for u, v, d in net.graph.edges(data=True)} == {("a", "b"): 2.0, ("b", "c"): -3.0}
    assert net.graph.nodes["a"].items() >= {"score": 1.5, "note": "x"}.items()
    assert net.graph.edges["a", "b"]["kind"] == "k"
    assert "key" not in net.graph.edges["a", "b"]
    if suffix != ".gexf":  # into which NetworkX writes no attributes of the graph
        assert net.graph.graph["title"] == "a graph"


@pytest.mark.parametrize("suffix", SUFFIXES[:5])
def test_undirected_and_parallel_edges_of_networkx_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"of_networkx{suffix}"
    assert "undirected" in refused(tmp_path, f"net{suffix}", written_by_networkx(nx.Graph([("a", "b")]), path))
    parallel = written_by_networkx(nx.MultiDiGraph([("a", "b"), ("a", "b")]), path)
    assert "edge 'a' → 'b' is given twice" in refused(tmp_path, f"net{suffix}", parallel)


def test_cytoscape_of_networkx_keeps_ids_that_are_numbers_and_attributes_called_id(tmp_path: Path) -> None:
    graph = nx.DiGraph([(1, 2)])
    assert loaded(tmp_path, "net.cyjs", json.dumps(nx.cytoscape_data(graph))).nodes == (1, 2)
    swapped = nx.DiGraph([("x", "y", {"weight": 1.0}), ("y", "z", {"weight": 2.0})])
    swapped.nodes["x"]["id"], swapped.nodes["y"]["id"] = "y", "x"
    net = loaded(tmp_path, "net.cyjs", json.dumps(nx.cytoscape_data(swapped)))
    assert sorted(net.graph.edges(data="weight")) == [("x", "y", 1.0), ("y", "z", 2.0)]
    assert net.graph.nodes["x"]["id"] == "y"


@pytest.mark.parametrize("suffix", [".nodelink.json", ".adjacency.json"])
def test_what_stands_beside_nodes_and_edges_is_of_the_graph(tmp_path: Path, suffix: str) -> None:
    graph = nx.MultiDiGraph(title="t")
    graph.add_edge("a", "b", "a key")
    document = json.loads(written_by_networkx(graph, tmp_path / f"net{suffix}")) | {"generator": ["d3", None]}
    net = loaded(tmp_path, f"net{suffix}", json.dumps(document))
    assert net.graph.graph == {"title": "t", "generator": ["d3", None]}
    assert net.graph.edges["a", "b"]["key"] == "a key"


# ---- attributes that have flowgrad's names ------------------------------------------------------------------


def test_input_that_is_no_number_is_an_attribute(tmp_path: Path) -> None:
    nodes = [{"id": "a", "input": "sensor"}, {"id": "b", "output": True}]
    edges = [{"source": "a", "target": "b", "place": "left"}]
    document = {"directed": True, "nodes": nodes, "edges": edges, "graph": {"ids": 5}}
    net = loaded(tmp_path, "net.nodelink.json", json.dumps(document))
    assert net.graph.nodes["a"] == {"input": "sensor"}
    assert net.graph.nodes["b"]["output"] is True
    assert net.graph.edges["a", "b"]["place"] == "left"
    assert net.graph.graph == {"ids": 5}


def test_input_that_counts_something_else_is_refused_with_the_way_out(tmp_path: Path) -> None:
    document = {
        "directed": True,
        "nodes": [{"id": "a", "input": 7}, {"id": "b"}],
        "edges": [{"source": "a", "target": "b"}],
    }
    assert "with inputs= they may be anything" in refused(tmp_path, "net.nodelink.json", json.dumps(document))
    net = loaded(tmp_path, "net.nodelink.json", json.dumps(document), inputs=["a"])
    assert net.graph.nodes["a"] == {"input": 7}
