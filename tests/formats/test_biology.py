"""Edge lists and the graphs of KPNN, DCell, DrugCell, GenNet and Reactome: real files, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, FileWarning
from flowgrad.format import is_of, options_of
from flowgrad.formats import dcell, kpnn
from flowgrad.registry import find, names


def _facts(data: Path, name: str) -> dict:
    return json.loads((data / "FACTS.json").read_text())[name]


def _agrees(net: fg.Network, facts: dict) -> None:
    graph = net.graph
    assert (len(graph), graph.number_of_edges()) == (facts["nodes"], facts["edges"])
    assert net.depth == facts["depth_edges"]
    assert np.bincount(net.columns.level).tolist() == facts["nodes_per_level"]
    fan_in = Counter(str(d) for _, d in graph.in_degree)
    assert fan_in == Counter(facts["fan_in_histogram"])
    assert (len(net.inputs), sum(not graph.succ[v] for v in graph)) == (facts["sources"], facts["sinks"])


@pytest.mark.data
@pytest.mark.parametrize(("species", "facts"), [("HSA", "HSA"), (None, "all_species")])
def test_reactome(data: Path, species: str | None, facts: str) -> None:
    path = data / "reactome" / "ReactomePathwaysRelation.txt"
    net = fg.load(path, format="reactome", species=species)
    _agrees(net, _facts(data, f"reactome_{facts}_child_to_parent"))
    if species:
        edges = fg.load(data / "reactome" / "graph_edges.csv")
        assert set(net.graph.edges) == set(edges.graph.edges)
        assert set(net.outputs) == set(edges.outputs)


@pytest.mark.data
def test_dcell_topology_and_pairs(data: Path) -> None:
    folder = data / "dcell_go_0000790"
    net = fg.load(folder / "GO_0000790_topology", format="dcell")
    _agrees(net, _facts(data, "dcell_GO_0000790"))
    assert set(net.graph.edges) == set(fg.load(folder / "graph_edges.csv").graph.edges)
    X, T = dcell.read_pairs(folder / "GO_0000790_training_data_2016_0", net.inputs)
    assert X.shape == (5092, 124)
    assert (X.sum(axis=1) == 2).all()
    assert T[0, 0] == 0.0247
    assert {net.inputs[k] for k in np.flatnonzero(X[0])} == {"g:YDR346C", "g:YKL072W"}


@pytest.mark.data
def test_gennet_topology(data: Path) -> None:
    net = fg.load(data / "gennet_classification" / "topology.csv", format="gennet")
    assert (net.columns.n_nodes, net.columns.n_edges, net.depth) == (111, 110, 2)
    assert net.inputs == tuple((0, k) for k in range(100))
    assert net.outputs == ("output",)
    assert net.graph.nodes[0, 0]["name"] == "SNP0"
    assert net.graph.nodes[1, 0]["name"] == "HERC2"
    assert len(fg.compile(net).theta) == 121


@pytest.mark.data
def test_the_worm_is_refused_by_its_cycle(data: Path) -> None:
    path = data / "celegans_white1986" / "aconnectome_white_1986_whole.csv"
    options = {"delimiter": "\t", "source_column": "pre", "target_column": "post", "where": {"type": "chemical"}}
    with pytest.raises(ValueError, match=r"aconnectome_white_1986_whole\.csv: the graph has a cycle.*→") as caught:
        fg.load(path, **options)
    cycle = caught.value.cycle
    edges = {tuple(line.split("\t")[:2]) for line in path.read_text().splitlines() if line.split("\t")[2] == "chemical"}
    assert len(edges) == _facts(data, "celegans_white1986_chemical")["edges"]
    assert all(step in edges for step in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
    with pytest.raises(fg.FlowgradError, match="line 1595: self-loop at 'M4'"):
        fg.load(path, **options | {"where": None})


# ---- edge lists ---------------------------------------------------------------------------------------------

NAMES = [
    "plain",
    "two words",
    "a|b",
    "ünï→cödé",
    'quo"ted',
    "comma,",
    "'; DROP TABLE",
    "a:b",
    "</script>",
    " lead",
    "x" * 4096,
]


def _net() -> fg.Network:
    G = nx.DiGraph()
    for k, (u, v) in enumerate(pairwise(NAMES)):
        G.add_edge(u, v, weight=0.1 * k - 0.37)
    G.add_edge(NAMES[0], NAMES[5], weight=1e-300)
    return fg.Network.from_networkx(G)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_edges_and_weights_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    net = _net()
    fg.save(net, tmp_path / f"net{suffix}")
    again = fg.load(tmp_path / f"net{suffix}")
    assert list(again.graph.edges(data="weight")) == list(net.graph.edges(data="weight"))


def test_a_csv_keeps_names_with_line_breaks_and_a_tsv_refuses_them(tmp_path: Path) -> None:
    net = fg.topologies.from_edge_list([("a\nb", "c\td", 0.5)])
    fg.save(net, tmp_path / "net.csv")
    assert list(fg.load(tmp_path / "net.csv").graph.edges) == [("a\nb", "c\td")]
    with pytest.raises(fg.FlowgradError, match=r"'a\\nb' holds a tab or a new line"):
        fg.save(net, tmp_path / "net.tsv")
    assert not (tmp_path / "net.tsv").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_numbered_nodes_and_gradients(tmp_path: Path, suffix: str) -> None:
    net = fg.topologies.random_dag(4, 30, fan_in=3, seed=1)
    fg.save(net, tmp_path / f"net{suffix}", gradient=np.arange(net.columns.n_edges) / 7)
    again = fg.load(tmp_path / f"net{suffix}", integer_ids=True, attributes=[])
    assert dict(again.graph.edges) == dict(net.graph.edges)
    kept = fg.load(tmp_path / f"net{suffix}", integer_ids=True)
    assert set(kept.graph.edges(data="weight")) == set(net.graph.edges(data="weight"))
    assert [float(x) for x in kept.columns.edge_extra["gradient"]] == (np.arange(net.columns.n_edges) / 7).tolist()
    by_gradient = fg.load(tmp_path / f"net{suffix}", integer_ids=True, weight_column="gradient")
    assert by_gradient.columns.weight.tolist() == (np.arange(net.columns.n_edges) / 7).tolist()


@pytest.mark.parametrize(
    ("content", "options", "edges"),
    [
        ("a,b\nb,c\n", {}, {("a", "b"), ("b", "c")}),
        ("source,target\na,b\n", {}, {("a", "b")}),
        (" source , target \na,b\n", {}, {("a", "b")}),
        ("parent,child\na,b\n", {}, {("b", "a")}),
        ("x,to,from\n1,a,b\n", {}, {("b", "a")}),
        ("pre,post\na,b\n", {"source_column": "post", "target_column": "pre"}, {("b", "a")}),
        ("a,0.5,b\n", {"source_column": 0, "target_column": 2, "weight_column": 1}, {("a", "b")}),
        ("source,target\na,b\n", {"header": False}, {("source", "target"), ("a", "b")}),
        ("u,v\na,b\n", {"header": True, "source_column": 0, "target_column": 1}, {("a", "b")}),
        ("a;b\n", {"delimiter": ";"}, {("a", "b")}),
        ("a;b;0,5\n", {"delimiter": ","}, {("a;b;0", "5")}),
        ("a;1,b\n", {}, {("a;1", "b")}),
        ("\ufeffsource,target\r\na,b\r\n\r\n", {}, {("a", "b")}),
    ],
)
def test_columns_by_name_or_position(tmp_path: Path, content: str, options: dict, edges: set) -> None:
    path = tmp_path / "net.csv"
    path.write_bytes(content.encode())
    assert set(fg.load(path, **options).graph.edges) == edges


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("", {}, "net.csv is empty"),
        ("source,target\na,b\na,c\na,b\n", {}, r"line 4: edge 'a' → 'b' is given twice"),
        ("a,b\n\nb,b\n", {}, r"line 3: self-loop at 'b'"),
        ("a,b\nb\n", {}, r"line 2: 1 fields, where the first row has 2"),
        ("a,b\n,c\n", {}, r"line 2: an empty name"),
        ("source,target,weight\na,b,1\nb,c,heavy\n", {}, r"line 3: weight 'heavy' is no finite number"),
        ("a,b,nan\n", {}, r"line 1: weight 'nan' is no finite number"),
        ("a,b,1,2\n", {}, "4 columns and no header"),
        ("u,v,w\na,b,1\n", {"header": True}, "columns u, v, w: say which"),
        (
            "a,b\n",
            {"source_column": 0, "target_column": 5},
            "no column 5: between commas its rows have 2 fields, from 0$",
        ),
        ("a\tb\t1\n", {}, r"no column 1: between commas its rows have 1 field, from 0; delimiter='\\t' finds 3 fields"),
        ('"a b";"c"\n', {"delimiter": "\t"}, "between tabs its rows have 1 field, from 0; delimiter=';' finds 2"),
        ("a,b c,d\n", {"delimiter": ";"}, "between semicolons its rows have 1 field, from 0; delimiter=',' finds 3"),
        ("a b\n", {}, "delimiter=' ' finds 2 fields in the first row$"),
        ("a;b\n", {"delimiter": "|"}, r"between '\|' its rows have 1 field, from 0; delimiter=';' finds 2"),
        ("a;b;0,5\nb;c;1,5\n", {}, r"'0,5' is a number with a decimal comma, in a row of 3 fields .* write '0\.5'"),
        ("a;b;0,5\n", {"delimiter": ";"}, "line 1: weight '0,5' is no finite number"),
        ("a\nb\n", {}, "no column 1: between commas its rows have 1 field, from 0$"),
        ("pre;post\na;b\n", {"source_column": "pre", "target_column": "post"}, "position; delimiter=';' finds 2"),
        ("source,target\na,b\n", {"weight_column": "wieght"}, "not a column 'wieght'"),
        ("source,target\na,b\n", {"source_column": "sourec", "target_column": "target"}, "did you mean 'source'"),
        ("a,b\n", {"source_column": 0}, "go together"),
        ('a,"b\n', {}, "line 1: unexpected end of data"),
        ("a,b\0\n", {}, "line 1: a NUL"),
        ("a,b\n1,2\n", {"integer_ids": True}, "line 1: node 'a' is no whole number"),
        ("a,b\nb,c\nc,a\nc,d\nz,a\n", {}, r"cycle.*a → b → c → a"),
        ("a,b\n", {"sed": 1}, "no option 'sed' to read with: did you mean 'seed'"),
    ],
)
def test_a_bad_edge_list_names_its_line(tmp_path: Path, content: str, options: dict, words: str) -> None:
    path = tmp_path / "net.csv"
    path.write_bytes(content.encode())
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(path, **options)


TOOLS = {
    "Gephi": "Source,Target,Type,Id,Label,timeset,Weight\nx,h,Directed,0,,,2.0\nh,y,Directed,1,,,3.0\n",
    "Cytoscape": "source,interaction,target,Weight\nx,activates,h,2.0\nh,inhibits,y,3.0\n",
    "OmniPath": "source\ttarget\tis_directed\tis_inhibition\tweight\nx\th\tTrue\tFalse\t2\nh\ty\tTrue\tTrue\t3\n",
    "decoupler": "source,target,weight\nx,h,2\nh,y,3\n",
    "DoRothEA": "tf,confidence,target,mor\nx,A,h,2\nh,B,y,3\n",
    "igraph": "from,to,weight\nx,h,2\nh,y,3\n",
    "igraph, row names of R": '"","from","to","weight"\n"1","x","h",2\n"2","h","y",3\n',
    "pandas, with its index": ",source,target,weight\n0,x,h,2\n1,h,y,3\n",
    "upper case": "SOURCE,TARGET,WEIGHT\nx,h,2\nh,y,3\n",
    "GENIE3": "regulatoryGene,targetGene,weight\nx,h,2\nh,y,3\n",
    "SNAP": "# FromNodeId,ToNodeId,Edge Weight\nx,h,2\nh,y,3\n",
    "Neo4j": ":START_ID,:END_ID,:TYPE,weight\nx,h,A,2\nh,y,B,3\n",
    "an ontology": "Parent,Child,Weight\nh,x,2\ny,h,3\n",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_headers_as_the_tools_write_them(tmp_path: Path, tool: str) -> None:
    path = tmp_path / ("net.tsv" if "\t" in TOOLS[tool] else "net.csv")
    path.write_text(TOOLS[tool])
    net = fg.load(path)
    assert set(net.graph.edges(data="weight")) == {("x", "h", 2.0), ("h", "y", 3.0)}


@pytest.mark.parametrize("header", ["TF,Target", "TF,gene", "Regulator,Target", "From,To", "pre,post", "src,dst"])
def test_a_header_without_weights_is_no_edge(tmp_path: Path, header: str) -> None:
    (tmp_path / "net.csv").write_text(f"{header}\nx,h\nh,y\n")
    net = fg.load(tmp_path / "net.csv")
    assert set(net.graph.edges) == {("x", "h"), ("h", "y")}
    assert np.isnan(net.columns.weight).all()


def test_other_columns_are_attributes_of_their_edges(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(TOOLS["Gephi"].replace("1,,,3.0", "007,second,,3.0"))
    edges = fg.load(tmp_path / "net.csv").graph.edges
    assert edges["x", "h"] == {"weight": 2.0, "Type": "Directed", "Id": "0"}
    assert edges["h", "y"] == {"weight": 3.0, "Type": "Directed", "Id": "007", "Label": "second"}
    some = fg.load(tmp_path / "net.csv", attributes=["Label"], weight_column="Id").graph.edges
    assert (some["x", "h"], some["h", "y"]) == ({"weight": 0.0}, {"weight": 7.0, "Label": "second"})
    (tmp_path / "six.tsv").write_text("x\tp\th\t1\t\tq\nh\tp\ty\t2\t3\tq\n")
    six = fg.load(tmp_path / "six.tsv", source_column=0, target_column=2)
    assert six.graph.edges["h", "y"].items() >= {"column 1": "p", "column 3": "2", "column 4": "3"}.items()
    assert "column 4" not in six.graph.edges["x", "h"]
    assert np.isnan(six.columns.weight).all()
    assert fg.load(tmp_path / "six.tsv", source_column=0, target_column=2, weight_column=3).columns.weight.sum() == 3.0


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("TF,target,source\na,b,c\n", {}, r"from 'source' to 'target' or 'TF' to 'target': say which by source_column"),
        ("source,target,weight,mor\na,b,1,2\n", {}, r"the weight may be 'weight' or 'mor': .* weight_column, or False"),
        ("source,target,note,note\na,b,1,2\n", {}, r"'note' cannot be kept .* the name of two columns. attributes="),
        ("source,target,param\na,b,1\n", {}, r"'param' cannot be kept .* a word of flowgrad's own .* attributes="),
        ("source,target,weight\na,b,x\n", {}, r"line 2: weight 'x' .* \(weight_column=False reads no weights\)"),
        ("Source,Target,Type\na,b,Directed\nb,c,Undirected\n", {}, r"line 3: Type is 'Undirected', .* where=\{'Type'"),
        ("source,target,is_directed\na,b,0\n", {}, r"line 2: is_directed is '0'"),
        (
            "7157,pp,4193\n4193,pp,1026\n",
            {},
            r"line 1: 'pp' stands between the numbers .*target_column=2",
        ),
        ("a,b,c,d,e,f\n", {}, r"6 columns and no header: name what they are by source_column and target_column"),
        ("a,b\nb,b\n", {}, r"line 2: self-loop at 'b': .* \(drop_self_loops=True leaves such edges out\)"),
        ("a,b\na,b\n", {}, r"line 2: edge 'a' → 'b' is given twice \(duplicates='first' keeps the first\)"),
        ("a,b,1\na,b,2\n", {}, r"is given twice \(duplicates='first' keeps the first, 'sum' adds up the weights\)"),
        ("a,b\na,b\n", {"duplicates": "sum"}, r"^duplicates='sum' adds up weights, and there are none here"),
        (
            "b,c,1\na,b,1e308\na,b,1e308\n",
            {"duplicates": "sum"},
            r"line 2: the weights of edge 'a' → 'b' add up to inf",
        ),
        ("a,b\n", {"seed": -1}, r"^seed=-1: must be"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_option_that_tells(
    tmp_path: Path, content: str, options: dict, words: str
) -> None:
    (tmp_path / "net.csv").write_text(content)
    with pytest.raises(fg.FlowgradError, match=words) as caught:
        fg.load(tmp_path / "net.csv", **options)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_that_come_again_and_self_loops(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    rows = [
        ("c", "c", 9.0, "p"),
        ("a", "b", 1.0, "q"),
        ("b", "c", 2.0, "r"),
        ("a", "b", 0.25, "s"),
        ("a", "b", 4.0, "t"),
    ]
    if suffix == ".csv":
        path.write_text("\n".join(["source,target,weight,note", *(",".join(map(str, row)) for row in rows)]))
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        names = ["source", "target", "weight", "note"]
        parquet.write_table(pyarrow.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), path)
    for duplicates, weight in [("first", 1.0), ("sum", 5.25)]:
        net = fg.load(path, duplicates=duplicates, drop_self_loops=True)
        assert net.columns.ends == [("a", "b"), ("b", "c")]
        assert net.columns.weight.tolist() == [weight, 2.0]
        assert net.columns.edge_extra["note"] == ["q", "r"]
    with pytest.raises(fg.FlowgradError, match="4: edge 'a' → 'b'" if suffix == ".parquet" else "5: edge 'a' → 'b'"):
        fg.load(path, drop_self_loops=True)
    with pytest.raises(fg.FlowgradError, match="self-loop at 'c'"):
        fg.load(path, duplicates="sum")


@pytest.mark.parametrize(
    ("format", "content", "edges"),
    [
        ("kpnn", "Parent,Child\nout,X_gene\nout,X_gene\nout,out\n", {("X_gene", "out")}),
        ("reactome", "R-HSA-1\tR-HSA-2\nR-HSA-1\tR-HSA-2\nR-HSA-1\tR-HSA-1\n", {("R-HSA-2", "R-HSA-1")}),
        ("drugcell", "t\tA\tgene\nt\tA\tgene\nt\tt\tdefault\n", {("gene:A", "t")}),
        ("dcell", "ROOT: t 1\nGENES: A A\nTERMS: t\n", {("g:A", "t")}),
    ],
)
def test_ontologies_with_rows_that_come_again(tmp_path: Path, format: str, content: str, edges: set) -> None:
    (tmp_path / "net.txt").write_text(content)
    net = fg.load(tmp_path / "net.txt", format=format, duplicates="first", drop_self_loops=True)
    assert set(net.graph.edges) == edges
    with pytest.raises(fg.FlowgradError, match=r"drop_self_loops=True"):
        fg.load(tmp_path / "net.txt", format=format)
    with pytest.raises(fg.FlowgradError, match=r"duplicates='first' keeps the first\)"):
        fg.load(tmp_path / "net.txt", format=format, drop_self_loops=True)
    with pytest.raises(fg.FlowgradError, match=r"option duplicates='sum' of format .*: must be 'error' or 'first'"):
        fg.load(tmp_path / "net.txt", format=format, duplicates="sum")


WRONG = [None, 3, -1.5, "x", b"x", True, [1], {"a": 1}, (), object(), ["a", ["b"]], np.zeros(2), range(2)]


@pytest.mark.parametrize("name", [n for n in names("formats") if find("formats", n).read is not None])
def test_an_option_of_a_wrong_type_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    """Every option of every reader: a value of another type is a ConfigError, never a raw error."""
    chosen = find("formats", name)
    path = tmp_path / f"net{(chosen.suffixes or ('',))[0]}"
    path.write_bytes(chosen.example or b"a,b\n")
    for option, hint in options_of(chosen.read).items():
        for value in WRONG:
            if is_of(value, hint):
                with suppress(fg.FlowgradError):
                    fg.load(path, name, **{option: value})
            else:
                with pytest.raises(ConfigError, match=rf"^option {option}=.* of format '{name}': must be ") as caught:
                    fg.load(path, name, **{option: value})
                assert len(str(caught.value)) < 500


def test_no_utf8_is_refused_by_line(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_bytes(b"a,b\nb,\xff\n")
    with pytest.raises(fg.FlowgradError, match="line 2: no UTF-8"):
        fg.load(tmp_path / "net.csv")
    (tmp_path / "net.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(fg.FlowgradError, match="no Parquet file"):
        fg.load(tmp_path / "net.parquet")


# ---- ontologies ---------------------------------------------------------------------------------------------

DCELL = "ROOT: top 3\nGENES: A \nTERMS: mid \nROOT: mid 2\nGENES: B C \nTERMS: \n"
GENNET = "chr,layer0_node,layer0_name ,layer1_node,layer1_name\n0,0,s0  ,0,g0 \n0,1,s1,0,g0\n1,2,s2,1,g1\n"
KPNN = "parent,child\nout,mid\nout,X_gene\nmid,X_gene\nmid,Y_gene\n"
DRUG = "top\tmid\tdefault\nmid\tA\tgene\ntop\tB\tgene\nmid\tB\tgene\n"
REACTOME = "R-HSA-1\tR-HSA-2\nR-HSA-1\tR-HSA-3\nR-BTA-1\tR-BTA-2\n"


@pytest.mark.parametrize(
    ("format", "content", "inputs", "edges"),
    [
        ("dcell", DCELL, ("g:A", "g:B", "g:C"), {("g:A", "top"), ("mid", "top"), ("g:B", "mid"), ("g:C", "mid")}),
        (
            "gennet",
            GENNET,
            ((0, 0), (0, 1), (0, 2)),
            {((0, 0), (1, 0)), ((0, 1), (1, 0)), ((0, 2), (1, 1)), ((1, 0), "output"), ((1, 1), "output")},
        ),
        ("kpnn", KPNN, ("X_gene", "Y_gene"), {("mid", "out"), ("X_gene", "out"), ("X_gene", "mid"), ("Y_gene", "mid")}),
        (
            "drugcell",
            DRUG,
            ("gene:A", "gene:B"),
            {("mid", "top"), ("gene:A", "mid"), ("gene:B", "top"), ("gene:B", "mid")},
        ),
        ("reactome", REACTOME, ("R-HSA-2", "R-HSA-3"), {("R-HSA-2", "R-HSA-1"), ("R-HSA-3", "R-HSA-1")}),
    ],
)
def test_ontologies_run_from_the_specific_to_the_general(
    tmp_path: Path, format: str, content: str, inputs: tuple, edges: set
) -> None:
    (tmp_path / "net.txt").write_text(content)
    net = fg.load(tmp_path / "net.txt", format=format)
    assert net.inputs == inputs
    assert set(net.graph.edges) == edges


@pytest.mark.parametrize(
    ("format", "content", "words"),
    [
        ("dcell", "ROOT: top 3\nGENES: A\n", "line 2: the last block is cut off"),
        ("dcell", DCELL.replace("TERMS: mid", "CHILDREN: mid"), "line 3: 'CHILDREN:', where 'TERMS:'"),
        ("dcell", DCELL.replace("mid 2", "mid 5"), "line 4: term 'mid' says 5 genes and has 2"),
        ("dcell", DCELL.replace("TERMS: mid", "TERMS: mdi"), "line 1: term 'mdi' has no block"),
        ("dcell", DCELL + DCELL, "line 7: term 'top' has a second block"),
        ("gennet", GENNET.replace("layer1_node", "layer2_node"), "without a gap"),
        ("gennet", GENNET.replace("1,2,s2", "1,x,s2"), "line 4: layer0_node is 'x'"),
        (
            "gennet",
            GENNET.replace("0,1,s1,0,g0", "0,1,s1,0,other"),
            "line 3: node 0 of layer 1 is 'other', and was 'g0'",
        ),
        ("kpnn", KPNN.replace("parent,child", "child,parent"), "line 1: the header is 'child,parent'"),
        ("kpnn", KPNN.replace("Y_gene", "Y"), "line 5: 'Y' has no children"),
        ("drugcell", DRUG.replace("default", "is_a"), "line 1"),
        ("drugcell", "top\tmid\tdefault\n", "annotates no gene"),
        ("reactome", REACTOME + "R-HSA-1\tR-BTA-9\n", "line 4"),
        ("reactome", "a\tb\n", "line 1"),
    ],
)
def test_a_bad_ontology_names_its_line(tmp_path: Path, format: str, content: str, words: str) -> None:
    (tmp_path / "net.txt").write_text(content)
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "net.txt", format=format)


def test_kpnn_writes_what_it_reads_and_reads_genes_by_cells(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text(KPNN)
    net = fg.load(tmp_path / "net.csv", format="kpnn")
    fg.save(net, tmp_path / "again.csv", format="kpnn")
    assert (tmp_path / "again.csv").read_text() == KPNN
    (tmp_path / "cells.csv").write_text(",c1,c2,c3\nY,1,2,3\nZ,0,0,0\nX,4,5,6.5\n")
    X, cells = kpnn.read_data(tmp_path / "cells.csv", net.inputs)
    assert cells == ("c1", "c2", "c3")
    assert X.tolist() == [[4.0, 1.0], [5.0, 2.0], [6.5, 3.0]]
    (tmp_path / "cells.csv").write_text(",c1\nY,1\nx,2\n")
    with pytest.raises(LookupError, match="no row of gene 'X'"):
        kpnn.read_data(tmp_path / "cells.csv", net.inputs)
    (tmp_path / "cells.csv").write_text(",c1,c2\nY,1,2\nX,4,5\nX,40,50\nZ,1,1\nZ,2,2\n")
    with pytest.raises(fg.FlowgradError, match=r"line 4: gene 'X' is given twice \(duplicates='first' .* 'sum' adds"):
        kpnn.read_data(tmp_path / "cells.csv", net.inputs)
    assert kpnn.read_data(tmp_path / "cells.csv", ["Y_gene"])[0].tolist() == [[1.0], [2.0]]
    assert kpnn.read_data(tmp_path / "cells.csv", ["X_gene"], duplicates="first")[0].tolist() == [[4.0], [5.0]]
    assert kpnn.read_data(tmp_path / "cells.csv", ["X_gene"], duplicates="sum")[0].tolist() == [[44.0], [55.0]]
    with pytest.raises(fg.FlowgradError, match=r"^duplicates='mean': must be one of error, first, sum$"):
        kpnn.read_data(tmp_path / "cells.csv", net.inputs, duplicates="mean")
    with pytest.raises(fg.FlowgradError, match="'x': KPNN's inputs"):
        fg.save(fg.topologies.from_edge_list([("x", "y")]), tmp_path / "no.csv", format="kpnn")


def test_kpnn_labels_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("barcode,B,A,Set\nc1,0,1,train\nc2,1,0,test\nc3,0.5,0,val\n")
    T, sets = kpnn.read_labels(path, ["c3", "c1"], ["A", "B"])
    assert T.tolist() == [[0.0, 0.5], [1.0, 0.0]]
    assert sets == ("val", "train")
    for cells, outputs, words in [
        (["c4"], ["A"], "no row of cell 'c4'"),
        (["c1"], ["C"], "line 1: not one column 'C'"),
    ]:
        with pytest.raises(LookupError, match=words):
            kpnn.read_labels(path, cells, outputs)
    path.write_text("barcode,A\nc1,high\nc1,0\n")
    with pytest.raises(fg.FlowgradError, match="line 3: cell 'c1' is given twice"):
        kpnn.read_labels(path, ["c1"], ["A"])
    path.write_text("barcode,A\nc1,0\nc2,high\n")
    with pytest.raises(fg.FlowgradError, match="line 3: label A 'high' is no finite number"):
        kpnn.read_labels(path, ["c1", "c2"], ["A"])


GMT = "S1\tfirst\tTP53\tMYC\n\nS 2|é\t\tMYC\tKRAS\t\t\r\n"


def test_gene_sets(tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_bytes(GMT.encode())
    net = fg.load(tmp_path / "sets.gmt", activation="relu")
    assert (net.inputs, net.outputs) == (("TP53", "MYC", "KRAS"), ("S1", "S 2|é"))
    assert set(net.graph.edges) == {("TP53", "S1"), ("MYC", "S1"), ("MYC", "S 2|é"), ("KRAS", "S 2|é")}
    assert net.graph.nodes["S1"]["description"] == "first"
    assert net.graph.nodes["S 2|é"]["activation"] == "relu"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("S1\tfirst\n", "line 1: must be a name, a description and genes"),
        ("S1 first TP53\n", "line 1: must be a name"),
        ("\tfirst\tTP53\n", "line 1: must be a name"),
        (GMT + "S1\tagain\tEGFR\n", "line 4: set 'S1' was given in line 1"),
        (GMT + "S3\tx\tEGFR\tS1\n", "line 1: set 'S1' is also a gene, in line 4"),
        (GMT + "S1\tagain\tEGFR\n", r"with other genes \(duplicates='first' takes the first, 'union'"),
        (GMT + "S3\tx\tEGFR\tS1\n", r"\(set_prefix='set:' tells them apart\)"),
        ("S\tx\tA,0.5\tA,0.25\n", "line 1: gene 'A' has two memberships"),
        ("S\tx\t\nT\ty\n", "line 1: must be a name, a description and genes"),
        ("", "the graph is empty"),
    ],
)
def test_bad_gene_sets_name_their_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "sets.gmt").write_bytes(content.encode())
    with pytest.raises(fg.FlowgradError, match=words):
        fg.load(tmp_path / "sets.gmt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("S\tx\tA\tB\tA\tA\n", "repeated genes count once: 2, first in line 1: 'A'$"),
        ("S\tx\tA\t\tB\n", "empty fields are skipped: 1, first in line 1$"),
        ("S\tx\tA\tB\nT\ty\nU\t\n", "sets without genes are left out: 2, first in line 2: 'T'$"),
        ("S\tx\tA\tB\nS\ty\tB\tA\n", "repeated sets of the same genes count once: 1, first in line 2: 'S'$"),
        ("S\tx\tA\t\tA\tB\n", r"skipped: 1, .*; repeated genes count once: 1, first in line 1: 'A'$"),
    ],
)
def test_what_says_nothing_in_gene_sets_is_let_be_and_said_once(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "sets.gmt").write_text(content)
    with pytest.warns(FileWarning, match=words) as heard:
        net = fg.load(tmp_path / "sets.gmt")
    assert len(heard) == 1
    assert heard[0].filename == __file__
    assert set(net.graph.edges) == {("A", "S"), ("B", "S")}
    assert net.graph.nodes["S"]["description"] == "x"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_gene_sets_of_every_system(tmp_path: Path, end: str) -> None:
    """Blanks around names and tabs behind them are no part of them; a line separator of Unicode is."""
    lines = ["S 1\tx\tA\t B \t\t", "", "T\u2028\t\tB\tC,D"]
    (tmp_path / "sets.gmt").write_bytes(end.join([*lines, ""]).encode())
    net = fg.load(tmp_path / "sets.gmt")
    assert set(net.graph.edges) == {("A", "S 1"), ("B", "S 1"), ("B", "T"), ("C,D", "T")}


def test_memberships_of_gene_sets(tmp_path: Path) -> None:
    """`gene,number` throughout, as Enrichr's older libraries have it; elsewhere a comma is a part of a name."""
    (tmp_path / "sets.gmt").write_text("S\tx\tA,1.0\t2,4-D,0.5\nT\t\tA,1e-3\n")
    net = fg.load(tmp_path / "sets.gmt")
    assert set(net.graph.edges(data="membership")) == {("A", "S", 1.0), ("2,4-D", "S", 0.5), ("A", "T", 0.001)}
    (tmp_path / "sets.gmt").write_text("S\tx\tA,1.0\tB\n")
    assert fg.load(tmp_path / "sets.gmt").inputs == ("A,1.0", "B")


def test_gene_sets_that_come_again_or_are_called_as_genes(tmp_path: Path) -> None:
    (tmp_path / "sets.gmt").write_text("S\tx\tA\tB\nS\ty\tB\tC\nT\tz\tS\n")
    for duplicates, genes in [("first", {"A", "B"}), ("union", {"A", "B", "C"})]:
        net = fg.load(tmp_path / "sets.gmt", duplicates=duplicates, set_prefix="set:")
        assert set(net.graph.pred["set:S"]) == genes
        assert net.outputs == ("set:S", "set:T")
        assert "S" in net.inputs
    with pytest.raises(fg.FlowgradError, match=r"duplicates='both' of format 'gmt': must be 'error' or 'first' or 'un"):
        fg.load(tmp_path / "sets.gmt", duplicates="both")


def test_dcell_pairs_name_their_line(tmp_path: Path) -> None:
    path = tmp_path / "pairs"
    for content, words in [
        ("2 A B 0.1\n2 A 0.1\n", "line 2: must be"),
        ("1 Q 0.5\n", "line 1: gene 'Q' is no input"),
        ("2 A A 0.5\n", "line 1: gene 'A' is given twice"),
    ]:
        path.write_text(content)
        with pytest.raises(fg.FlowgradError, match=words):
            dcell.read_pairs(path, ("g:A", "g:B"))
