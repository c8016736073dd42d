"""The graphs of KPNN, DCell, DrugCell, GenNet and Reactome: real files, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import FileWarning
from flowgrad.formats import dcell, kpnn


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
