"""GEXF and GraphML as Gephi, yEd and others write them: what they say comes in and can be saved in every format, or is
refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import flowgrad as fg
from flowgrad.formats._assembly import same

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
def test_gephi(loaded: Any, namespace: str, carried: Any) -> None:
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
    net = loaded("net.gexf", text.replace("<graph", meta, 1))
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
def test_other_looks_come_back_as_they_are(tmp_path: Path, viz: Any, carried: Any) -> None:
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
def test_gexf_that_is_no_network_is_refused(refused: Any, text: str, words: str) -> None:
    assert re.search(words, refused("net.gexf", text))


def test_gexf_whose_edges_say_that_they_are_directed(loaded: Any, carried: Any) -> None:
    text = gexf(AB, '<edge id="e0" source="a" target="b" type="directed" weight="3"/>', graph='idtype="string"')
    assert carried(loaded("net.gexf", text))[1] == {("a", "b"): {"weight": 3.0}}
    text = gexf(
        AB,
        '<edge source="a" target="b" weight="3"><attvalues><attvalue for="weight" value="3"/></attvalues></edge>',
        '<attributes class="edge"><attribute id="weight" title="Weight" type="integer"/></attributes>',
    )
    assert carried(loaded("net.gexf", text))[1]["a", "b"]["weight"] == 3.0
    numbered = gexf(
        '<node id="7"/><node id="9"/>',
        '<edge source="7" target="9"/>',
        graph='defaultedgetype="directed" idtype="integer"',
    )
    assert loaded("net.gexf", numbered).nodes == (7, 9)


# ---- GraphML ------------------------------------------------------------------------------------------------


def graphml(
    body: str, keys: str = "", default: str = "directed", ns: str = "http://graphml.graphdrawing.org/xmlns"
) -> str:
    body = f'<graph id="G" edgedefault="{default}">{body}</graph>'
    return f'<graphml xmlns="{ns}" xmlns:y="http://www.yworks.com/xml/graphml">{keys}{body}</graphml>'


def key(name: str, scope: str, kind: str = "double", default: str = "") -> str:
    inside = f"<default>{default}</default>" if default else ""
    return f'<key id="{name}.{scope}" for="{scope}" attr.name="{name}" attr.type="{kind}">{inside}</key>'


def test_yed(loaded: Any, carried: Any) -> None:
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
    net = loaded("net.graphml", text)
    nodes, edges, about = carried(net)
    assert nodes["n0"]["label"] == "TP53"
    assert nodes["n0"]["url"] == "http://a?b&c"
    assert 'height="30.0"' in nodes["n0"]["nodegraphics"]
    assert nodes["n1"]["description"] == ""
    assert "PolyLineEdge" in edges["n0", "n1"]["edgegraphics"]
    assert "id" not in edges["n0", "n1"]
    assert "Resources" in about["resources"]
    assert about["id"] == "G"


def test_what_graphml_says_in_other_places(loaded: Any, carried: Any) -> None:
    keys = key("weight", "all", default="3") + key("known", "node", "boolean", "true") + key("n", "edge", "int")
    body = (
        '<desc>a graph</desc><data key="weight.all">5</data><node id="a"><desc>first</desc></node>'
        '<node id="b" extra="x"/>'
        '<node id="c"><data key="known.node">FALSE</data></node><edge id="first" source="a" target="b"/>'
        '<edge id="second" source="b" target="c"><data key="weight.all">-1</data><data key="n.edge">7</data></edge>'
    )
    nodes, edges, about = carried(loaded("net.graphml", graphml(body, keys, ns="other")))
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
def test_graphml_that_is_no_network_is_refused(refused: Any, text: str, words: str) -> None:
    assert words in refused("net.graphml", text)


def test_graphml_whose_edges_say_that_they_are_directed(loaded: Any) -> None:
    arrow = ARROW.replace("/>", ' directed="true"/>')
    assert list(loaded("net.graphml", graphml(NODES + arrow, default="undirected")).graph.edges) == [("alpha", "beta")]
