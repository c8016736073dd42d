"""Comments in files of rows, headers among them, and columns named in any case; by pyarrow and by the csv module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flowgrad as fg
from flowgrad.formats import _rows


@pytest.fixture(params=["pyarrow", "csv"])
def splitter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two splits rows."""
    if request.param == "pyarrow":
        pytest.importorskip("pyarrow")
    else:
        monkeypatch.setattr(_rows, "arrow", lambda: None)
    return request.param


def edges(path: Path, content: str, **options: object) -> list[tuple[str, str]]:
    path.write_bytes(content.encode())
    return fg.load(path, "edgelist", **options).columns.ends


SNAP = "# Directed graph: net.txt\n# Nodes: 3 Edges: 2\n# FromNodeId\tToNodeId\n1\t2\n2\t3\n"
AB = [("a", "b"), ("b", "c")]
READ = {
    "SNAP": ("net.txt", SNAP, {}, [("1", "2"), ("2", "3")]),
    "SNAP from Windows": ("net.txt", SNAP.replace("\n", "\r\n"), {}, [("1", "2"), ("2", "3")]),
    "a byte-order mark": ("net.txt", "\ufeff# made by hand\na\tb\nb\tc\n", {}, AB),
    "STRING's header": ("net.tsv", "#source\ttarget\tscore\na\tb\t7\nb\tc\t8\n", {}, AB),
    "a header that is asked for": ("net.csv", "#pre,to\na,b\nb,c\n", {"source_column": 0, "target_column": "to"}, AB),
    "before the header": ("net.csv", "# made by hand\nsource,target\na,b\nb,c\n", {}, AB),
    "between rows, and last": ("net.csv", "a,b\n# half of it\nb,c\n# end", {}, AB),
    "blank lines beside": ("net.csv", "\n# x\n\na,b\n\n# y\n\nb,c\n\n", {}, AB),
    "another mark": ("net.csv", "% a,b\na,b\n%\nb,c\n", {"comment": "%"}, AB),
    "a mark of two characters": ("net.csv", "// q,r\na,b\nb,c\n", {"comment": "//"}, AB),
    "left out as asked": ("net.csv", "a,b\n# x,y\nb,c\n", {"comment": "#"}, AB),
    "no comment as asked": ("net.csv", "a,b\n#x,a\n", {"comment": ""}, [("a", "b"), ("#x", "a")]),
    "in quotation marks": ("net.csv", 'a,b\n"# x",a\n', {}, [("a", "b"), ("# x", "a")]),
    "within a field": ("net.csv", 'a,b\n"x\n# y",a\n', {}, [("a", "b"), ("x\n# y", "a")]),
    "behind a field of two lines": ("net.csv", '"x\ny",a\n# z\na,b\n', {}, [("x\ny", "a"), ("a", "b")]),
}


@pytest.mark.parametrize("kind", READ)
def test_comments_are_left_out(splitter: str, kind: str, tmp_path: Path) -> None:
    name, content, options, wanted = READ[kind]
    assert edges(tmp_path / name, content, **options) == wanted


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_lines_keep_their_numbers(splitter: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowgrad.format.BLOCK", block)
    wrong = {
        "# one\na,b,1\n# three\nb,c,x\n": "line 4: weight 'x'",
        "# one\na,b\n\n# four\na,b\n": "line 5: edge 'a' → 'b' is given twice",
        "# one\na,b\n# three\nb\n": "line 4: 1 fields, where the first row has 2",
        "# one\na,b\n# x,y\nb,c\n": "line 3: '# x,y' begins as a comment does, and has 2 fields as a row has",
        "# a,b\na,b\n": "line 1: '# a,b' begins as a comment does",
    }
    for content, words in wrong.items():
        with pytest.raises(fg.FlowgradError, match=re.escape(words)):
            edges(tmp_path / "net.csv", content)


def test_a_file_of_comments_is_empty(splitter: str, tmp_path: Path) -> None:
    with pytest.raises(fg.errors.FileError, match=r"net\.csv is empty"):
        edges(tmp_path / "net.csv", "# a\n# b\n")


@pytest.mark.parametrize("comment", ["\n", '"', "#\0"])
def test_what_cannot_begin_a_comment_is_refused(comment: str, tmp_path: Path) -> None:
    with pytest.raises(fg.errors.ConfigError, match="must be what comments begin with"):
        edges(tmp_path / "net.csv", "a,b\n", comment=comment)


def test_columns_are_found_in_any_case(splitter: str, tmp_path: Path) -> None:
    content = "Pre,POST,Synapses\na,b,2\nb,c,3\n"
    columns = {"source_column": "pre", "target_column": "post"}
    assert edges(tmp_path / "net.csv", content, **columns, weight_column="synapses") == AB
    assert edges(tmp_path / "net.csv", content, where={"SYNAPSES": "2"}) == AB[:1]
    with pytest.raises(fg.errors.UnknownNameError, match="has twice a column 'x'"):
        edges(tmp_path / "net.csv", "source,target,X,X\na,b,1,2\n", where={"x": "1"}, attributes=[])
    assert edges(tmp_path / "net.csv", "source,target,X,x\na,b,1,2\n", where={"x": "2"}, attributes=[]) == AB[:1]


ONTOLOGIES = {
    "kpnn": "# of a paper\nParent,CHILD\n# roots\ny,a_gene\n",
    "reactome": "# release 90\nR-HSA-1\tR-HSA-2\n",
    "drugcell": "# GO\nt\tG\tgene\n",
    "gennet": "# test\nLAYER0_node,layer0_NAME\n0,a\n",
}


@pytest.mark.parametrize("name", ONTOLOGIES)
def test_ontologies_have_comments_and_headers_in_any_case(name: str, tmp_path: Path) -> None:
    (tmp_path / "net.txt").write_text(ONTOLOGIES[name])
    assert fg.load(tmp_path / "net.txt", name).columns.n_edges == 1


def test_an_edge_of_an_ontology_is_never_lost_as_a_comment(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("parent,child\n#y,a_gene\n")
    with pytest.raises(fg.errors.FileError, match="line 2: '#y,a_gene' begins as a comment does"):
        fg.load(tmp_path / "net.csv", "kpnn")


def test_a_source_that_would_begin_a_comment_is_refused_where_nothing_quotes(tmp_path: Path) -> None:
    net = fg.topologies.from_edge_list([("# x", "y", 1.0)])
    with pytest.raises(fg.FlowgradError, match="'# x' would begin a line as a comment does"):
        fg.save(net, tmp_path / "net.tsv")
    fg.save(net, tmp_path / "net.csv")
    assert fg.load(tmp_path / "net.csv").columns.ends == [("# x", "y")]
