"""SIF, GML, XGMML and yEd's GraphML as the programs write them; ids by an attribute, parallel edges and self-loops."""

from __future__ import annotations

import re
from pathlib import Path

import networkx as nx
import pytest

import flowgrad as fg
from flowgrad.formats._assembly import same

pytest.importorskip("defusedxml")


def load(path: Path, text: str, **options: object) -> fg.Network:
    path.write_text(text, encoding="utf-8")
    return fg.load(path, **options)


# ---- SIF ----------------------------------------------------------------------------------------------------

SIF = {
    "three columns": ("A\tpp\tB\nB\tpd\tC\n", [("A", "B", "pp"), ("B", "C", "pd")]),
    "many columns": ("A pp B C\nB pd C\n", [("A", "B", "pp"), ("A", "C", "pp"), ("B", "C", "pd")]),
    "two columns": ("A\tB\nB\tC\n", [("A", "B", None), ("B", "C", None)]),
    "two and three": ("A\tB\nB\tpd\tC\n", [("A", "B", None), ("B", "C", "pd")]),
    "blanks in names": ("Protein A\tacts on\tProtein B\r\n", [("Protein A", "Protein B", "acts on")]),
    "comments": ("# by hand\n#\nA pp B\n## end\n", [("A", "B", "pp")]),
}


@pytest.mark.parametrize("kind", SIF)
def test_sif_of_any_width(kind: str, tmp_path: Path) -> None:
    text, wanted = SIF[kind]
    net = load(tmp_path / "net.sif", text)
    assert [(u, v, a.get("interaction")) for u, v, a in net.graph.edges(data=True)] == wanted


def test_sif_keeps_nodes_alone_and_takes_relations(tmp_path: Path) -> None:
    text = "alone\nA\tpp\tB\nA\tpd\tB\nA\tpd\tC\nC\tpd\tC\n"
    options = {"duplicates": "first", "drop_self_loops": True}
    net = load(tmp_path / "net.sif", text, **options)
    assert net.inputs == ("alone", "A")
    assert net.columns.ends == [("A", "B"), ("A", "C")]
    assert load(tmp_path / "net.sif", text, relations=["pp"]).nodes == ("A", "B")
    with pytest.raises(fg.errors.FileError, match="line 3: edge 'A' → 'B' is given twice"):
        load(tmp_path / "net.sif", text, drop_self_loops=True)
    with pytest.raises(fg.errors.FileError, match="line 5: self-loop at 'C'"):
        load(tmp_path / "net.sif", text, duplicates="first")
    with pytest.raises(fg.errors.UnknownNameError, match="has no relation 'pq'; known: pp, pd"):
        load(tmp_path / "net.sif", text, relations=["pq"])
    with pytest.raises(fg.errors.FileError, match="line 1: an empty field between tabs"):
        load(tmp_path / "net.sif", "A\t\tB\n")
    with pytest.raises(fg.errors.FileError, match="as XML and JSON do"):
        load(tmp_path / "net.sif", "<graphml></graphml>")


# ---- GML ----------------------------------------------------------------------------------------------------

GML = {
    "Gephi": (
        'graph\n[\n  Creator "Gephi"\n  directed 1\n  node\n  [\n    id 0\n    label "x"\n    graphics\n    [\n'
        "      x 1.5\n    ]\n  ]\n  node\n  [\n"
        '    id 1\n    label "y"\n  ]\n  edge\n  [\n    id 1\n    source 0\n    target 1\n'
        "    value 1.0\n    weight 0.5\n  ]\n]\n",
        ("x", "y"),
    ),
    "igraph": (
        'Creator "igraph version 0.10.4"\nVersion 1\ngraph\n[\n  directed 1\n  node\n  [\n    id 0\n    name "x"\n  ]\n'
        '  node\n  [\n    id 1\n    name "y"\n  ]\n  edge\n  [\n    source 0\n    target 1\n    weight 0.5\n  ]\n]\n',
        (0, 1),
    ),
    "yEd": (
        'Creator\t"yFiles"\nVersion\t"2.18"\ngraph\n[\n\thierarchic\t1\n\tlabel\t""\n\tdirected\t1\n\tnode\n\t[\n'
        '\t\tid\t0\n\t\tlabel\t"&#228; &amp; x"\n\t\tgraphics\n\t\t[\n\t\t\tx\t97.0\n\t\t]\n'
        '\t]\n\tnode\n\t[\n\t\tid\t1\n\t\tlabel\t"y"\n'
        "\t]\n\tedge\n\t[\n\t\tsource\t0\n\t\ttarget\t1\n\t\tweight 0.5\n\t]\n]\n",
        ("ä & x", "y"),
    ),
    "equal labels": (
        'graph [ directed 1 node [ id 3 label "x" ] node [ id 1 label "x" ] edge [ source 3 target 1 weight 0.5 ] ]',
        (3, 1),
    ),
}


@pytest.mark.parametrize("tool", GML)
def test_gml_of_tools(tool: str, tmp_path: Path) -> None:
    text, nodes = GML[tool]
    net = load(tmp_path / "net.gml", text)
    assert (net.nodes, net.columns.weights.tolist()) == (nodes, [0.5])


def test_gml_of_networkx_comes_back_with_attributes_and_order(tmp_path: Path) -> None:
    G = nx.DiGraph(about="a test")
    G.add_nodes_from(["z", "a", "h"], kind="gene", score=1.5)
    G.add_edge("z", "h", weight=0.25, note='say "no" & ü')
    G.add_edge("a", "h", weight=-2.0)
    nx.write_gml(G, tmp_path / "net.gml")
    net = fg.load(tmp_path / "net.gml")
    assert list(net.graph.pred["h"]) == ["z", "a"]
    assert same(dict(net.graph.nodes["a"]), {"kind": "gene", "score": 1.5})
    assert net.graph.edges["z", "h"]["note"] == 'say "no" & ü'
    assert dict(net.graph.graph) == {"about": "a test"}


def test_gml_of_a_multigraph(tmp_path: Path) -> None:
    G = nx.MultiDiGraph()
    G.add_edge("x", "y", weight=1.0)
    G.add_edge("x", "y", weight=2.0)
    nx.write_gml(G, tmp_path / "net.gml")
    with pytest.raises(fg.errors.FileError, match="edge 'x' → 'y' is given twice"):
        fg.load(tmp_path / "net.gml")
    assert fg.load(tmp_path / "net.gml", duplicates="sum").columns.weights.tolist() == [3.0]


# ---- XGMML --------------------------------------------------------------------------------------------------


def test_xgmml_of_cytoscape(tmp_path: Path) -> None:
    from flowgrad.formats.xgmml import entry

    text = entry.example.decode()
    net = load(tmp_path / "net.xgmml", text)
    assert (net.nodes, net.columns.weights.tolist()) == (("TP53", "MDM2"), [0.5])
    nodes = net.graph.nodes
    assert (nodes["TP53"]["degree"], nodes["MDM2"]["bias"], nodes["MDM2"]["aliases"]) == (1, 0.25, ["HDM2"])
    assert nodes["TP53"]["graphics"].endswith('x="1.5" y="-2" />')
    assert net.graph.edges["TP53", "MDM2"]["label"] == "TP53 (pd) MDM2"
    assert load(tmp_path / "net.xgmml", text.replace('label="MDM2"', 'label="TP53"')).nodes == ("62", "63")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('cy:directed="1"', 'cy:directed="0"', "edge 'TP53' → 'MDM2': the edge is undirected"),
        ('directed="1" xmlns:cy', "xmlns:cy", ""),  # what the edge says itself is enough
        ('target="63"', 'target="99"', "'99' is no listed node"),
        ('id="63"', 'id="62"', "node '62' is listed twice"),
        ('value="1" type="integer"', 'value="one" type="integer"', "'degree' is 'one': must be of type integer"),
        ('<att name="aliases"', '<group/><att name="aliases"', "an element <group>, which flowgrad does not read"),
        ('<att name="bias" value="0.25" type="real"/>', "<att><graph/></att>", "holds a graph of its own"),
        ('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>', "<!DOCTYPE a>", "document type"),
    ],
)
def test_xgmml_that_is_no_network_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    from flowgrad.formats.xgmml import entry

    text = entry.example.decode()
    assert old in text
    if not words:
        assert load(tmp_path / "net.xgmml", text.replace(old, new)).columns.n_edges == 1
        return
    with pytest.raises(fg.FlowgradError, match=re.escape(words)):
        load(tmp_path / "net.xgmml", text.replace(old, new))


# ---- ids by an attribute, in every graph document -----------------------------------------------------------

YED = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns" xmlns:y="http://www.yworks.com/xml/graphml">
  <!--Created by yEd 3.22-->
  <key attr.name="Description" attr.type="string" for="graph" id="d0"/>
  <key for="port" id="d1" yfiles.type="portgraphics"/>
  <key attr.name="gene" attr.type="string" for="node" id="d3"/>
  <key for="node" id="d6" yfiles.type="nodegraphics"/>
  <key for="graphml" id="d7" yfiles.type="resources"/>
  <key for="edge" id="d10" yfiles.type="edgegraphics"/>
  <graph edgedefault="directed" id="G">
    <data key="d0" xml:space="preserve"/>
    <node id="n0"><data key="d3">TP53</data><data key="d6"><y:ShapeNode><y:Geometry height="30.0" width="30.0"/>
      <y:NodeLabel>p53<y:LabelModel/></y:NodeLabel></y:ShapeNode></data></node>
    <node id="n1"><data key="d3">MDM2</data><data key="d6"><y:ShapeNode>
      <y:NodeLabel>Mdm2</y:NodeLabel></y:ShapeNode></data></node>
    <edge id="e0" source="n0" target="n1"><data key="d10"><y:PolyLineEdge><y:Arrows source="none" target="standard"/>
      </y:PolyLineEdge></data></edge>
    <edge id="e1" source="n1" target="n1"/>
  </graph>
  <data key="d7"><y:Resources/></data>
</graphml>"""


def test_yed_with_ids_labels_or_an_attribute_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "net.graphml"
    assert load(path, YED, drop_self_loops=True).nodes == ("n0", "n1")
    assert load(path, YED, drop_self_loops=True, id="label").nodes == ("p53", "Mdm2")
    assert load(path, YED, drop_self_loops=True, id="gene").columns.ends == [("TP53", "MDM2")]
    with pytest.raises(fg.errors.FileError, match=r"self-loop at 'n1'.*drop_self_loops=True"):
        load(path, YED)


def documents(folder: Path, G: nx.DiGraph) -> list[Path]:
    """The graph in every format of graph documents."""
    net = fg.Network.from_networkx(G)
    paths = [folder / f"net{s}" for s in (".gexf", ".graphml", ".cyjs", ".nodelink.json", ".adjacency.json", ".dot")]
    for path in paths:
        fg.save(net, path)
    nx.write_gml(G, folder / "net.gml")
    return [*paths, folder / "net.gml"]


def test_an_attribute_is_the_id_in_every_format(tmp_path: Path) -> None:
    G = nx.DiGraph()
    G.add_nodes_from([("b", {"name": "x"}), ("a", {"name": "y"}), ("c", {"name": "z"})], rank=1)
    G.add_edges_from([("b", "c"), ("a", "c")])
    for v, k in zip(G, (5, 4, 3), strict=True):
        G.nodes[v]["number"] = k
    wrong = {"rank": "have one 'rank', 1", "nam": "has no 'nam', which id= takes for ids: did you mean 'name'"}
    for path in documents(tmp_path, G):
        net = fg.load(path, id="name")
        assert (set(net.nodes), list(net.graph.pred["z"])) == ({"x", "y", "z"}, ["x", "y"]), path
        assert net.graph.nodes["x"]["name"] == "x"
        assert list(fg.load(path, id="number").graph.pred[3]) == [5, 4], path
        for key, words in wrong.items():
            with pytest.raises(fg.errors.FileError, match=re.escape(words)):
                fg.load(path, id=key)


PARALLEL = {
    "net.graphml": '<graphml><key id="w" for="edge" attr.name="weight" attr.type="double"/>'
    '<graph edgedefault="directed">'
    '<node id="x"/><node id="y"/><edge source="x" target="y"><data key="w">1</data></edge><edge source="x" target="y">'
    '<data key="w">2</data></edge><edge source="y" target="y"/></graph></graphml>',
    "net.gexf": '<gexf><graph defaultedgetype="directed"><nodes><node id="x"/><node id="y"/></nodes><edges>'
    '<edge source="x" target="y" weight="1"/><edge source="x" target="y" weight="2"/><edge source="y" target="y"/>'
    "</edges></graph></gexf>",
    "net.xgmml": '<graph directed="1"><node id="x"/><node id="y"/><edge source="x" target="y" weight="1"/>'
    '<edge source="x" target="y" weight="2"/><edge source="y" target="y"/></graph>',
    "net.cyjs": '{"elements": {"nodes": [{"data": {"id": "x"}}, {"data": {"id": "y"}}], "edges": ['
    '{"data": {"source": "x", "target": "y", "weight": 1}}, {"data": {"source": "x", "target": "y", "weight": 2}},'
    '{"data": {"source": "y", "target": "y"}}]}}',
    "net.nodelink.json": '{"directed": true, "nodes": [{"id": "x"}, {"id": "y"}], "edges": ['
    '{"source": "x", "target": "y", "weight": 1}, {"source": "x", "target": "y", "weight": 2},'
    '{"source": "y", "target": "y"}]}',
    "net.adjacency.json": '{"directed": true, "nodes": [{"id": "x"}, {"id": "y"}], "adjacency": ['
    '[{"id": "y", "weight": 1}, {"id": "y", "weight": 2}], [{"id": "y"}]]}',
    "net.gml": 'graph [\n directed 1 node [ id 0 label "x" ] node [ id 1 label "y" ] edge [ source 0 target 1 weight 1'
    " ] edge [ source 0 target 1 weight 2 ] edge [ source 1 target 1 ] ]",
    "net.dot": "digraph { x -> y [weight=1]; x -> y [weight=2]; y -> y }",
}


@pytest.mark.parametrize("name", PARALLEL)
def test_parallel_edges_and_self_loops_as_asked(name: str, tmp_path: Path) -> None:
    text = PARALLEL[name]
    for how, weight in {"first": 1.0, "sum": 3.0}.items():
        net = load(tmp_path / name, text, duplicates=how, drop_self_loops=True)
        assert (net.columns.ends, net.columns.weights.tolist()) == ([("x", "y")], [weight])
    with pytest.raises(fg.FlowgradError, match=r"'x' → 'y' is given twice.*duplicates="):
        load(tmp_path / name, text, drop_self_loops=True)
    with pytest.raises(fg.FlowgradError, match=r"self-loop at 'y'.*drop_self_loops=True"):
        load(tmp_path / name, text, duplicates="first")
    without = re.sub(r'(?i)(,? *"?weight"?(=|: ?| )"?1"?)|<data key="w">1</data>', "", text, count=1)
    with pytest.raises(fg.errors.FileError, match="has no weight: duplicates='sum' adds up numbers"):
        load(tmp_path / name, without, duplicates="sum", drop_self_loops=True)
