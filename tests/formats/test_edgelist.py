"""Edge lists as tables: columns, headers of other tools, options, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError
from flowgrad.format import is_of, options_of
from flowgrad.registry import find, names

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
        ("a,b\n1,2\n", {"integer_ids": True}, "line 1: node 'a' is not an integer"),
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
