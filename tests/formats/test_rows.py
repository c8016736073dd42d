"""Tables of text in columns: pyarrow and the csv module give the same fields, and the same errors, batch by batch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad import format as contract
from flowgrad.errors import FileWarning
from flowgrad.format import Source
from flowgrad.formats import _rows, edgelist
from flowgrad.formats._edges import Names
from flowgrad.formats._rows import Delimited

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
WORDS = st.text(st.sampled_from('ab1.,;\t\n\r" é\u2028\ufeff|-'), max_size=4)


FIELDS = WORDS | WORDS.map('"{}"'.format)


def both(path: Path, delimiter: str, monkeypatch: pytest.MonkeyPatch) -> list:
    """What the two ways make of a file: the columns, or the error."""
    found = []
    for library in (_rows.arrow, lambda: None):
        with monkeypatch.context() as patch:
            patch.setattr(_rows, "arrow", library)
            try:
                table = Delimited(Source(path), delimiter)
                columns = [[] for _ in table.first]
                for batch in table.batches(range(len(table.first))):
                    for k, column in batch.items():
                        columns[k] += column if isinstance(column, list) else column.to_pylist()
                found.append((columns, [table.place(row) for row in range(len(columns[0]))]))
            except fg.FlowgradError as error:
                found.append(str(error))
    return found


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@given(lines=st.lists(st.lists(FIELDS, min_size=1, max_size=3), max_size=6), end=st.sampled_from(["\n", "\r\n", ""]))
def test_the_same_fields_and_errors(tmp_path: Path, delimiter: str, block: int, lines: list, end: str) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes((end or "\n").join(delimiter.join(fields) for fields in lines).encode() + end.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "BLOCK", block)
        quick, slow = both(path, delimiter, patch)
    assert quick == slow


def test_fields_that_are_only_quoted_are_split_at_array_speed(tmp_path: Path) -> None:
    """As R and many others write: all text in quotation marks, no delimiter inside."""
    (tmp_path / "t.csv").write_text('"a","b"\n"x y",1\n')
    table = Delimited(Source(tmp_path / "t.csv"), ",")
    assert table._split(b'"x y",1\n"","z"\n', 1).to_pylist() == ["x y", "1", "", "z"]
    for text in (b'"x,y",1\n', b'"x""y",1\n', b'a"b,1\n', b'"x" ,1\n', b'"x\n",1\n', b'"x,1\n', b'""",1\n'):
        assert table._split(text, 1) is None


@pytest.mark.parametrize("data", [b"a,b\nc,\xff\n", b"a,b\nc,d\ne,\0\n", b"a,b\nc,d\n\ne\n", b'a,b\nc,d\n"e,f\n', b""])
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_the_line_of_what_is_wrong(
    tmp_path: Path, data: bytes, block: int, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    monkeypatch.setattr(contract, "BLOCK", block)
    quick, slow = both(path, ",", monkeypatch)
    assert quick == slow
    wanted = {b"\xff": "line 2: no UTF-8", b"\0": "line 3: a NUL", b"\n\n": "line 4: 1 fields", b'"': "line 3: "}
    assert next((words for mark, words in wanted.items() if mark in data), "is empty") in quick


def test_numbers_in_text_are_read_the_same_way() -> None:
    texts = ["1", "1e5", ".5", "+3", "-0", "5e-324", "1.7976931348623157e308", "0.1", " 2 ", "1e400", "nan", "x", ""]
    wanted = _rows.floats(texts)
    np.testing.assert_array_equal(_rows.floats(pyarrow.array(texts)), wanted)
    np.testing.assert_array_equal(np.isnan(wanted), [False] * 10 + [True] * 3)
    drawn = [repr(x) for x in np.random.default_rng(0).standard_normal(2000).tolist()]
    assert _rows.floats(pyarrow.array(drawn)).tolist() == list(map(float, drawn))


@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30), cut=st.integers(0, 30))
def test_names_are_numbered_by_first_appearance(pairs: list, cut: int) -> None:
    wanted = list(dict.fromkeys(v for pair in pairs for v in pair))
    for kind in (list, lambda c: pyarrow.array([str(v) for v in c], pyarrow.string()), np.array):
        names = Names()
        batches = [batch for batch in (pairs[:cut], pairs[cut:]) if batch]
        codes = [names.codes(*(kind(list(column)) for column in zip(*batch, strict=True))) for batch in batches]
        assert list(map(int, names.index)) == wanted
        found = np.concatenate([np.stack(c, axis=1) for c in codes])
        assert found.dtype == np.int32
        assert [(wanted[u], wanted[v]) for u, v in found.tolist()] == pairs


def test_large_files_come_in_pieces_and_say_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "BLOCK", 1000)
    monkeypatch.setattr(edgelist, "EDGES", 100)
    net = fg.topologies.random_dag(10, 400, fan_in=3, seed=2)
    heard: list[float] = []
    fg.save(net, tmp_path / "net.csv", progress=heard.append)
    assert len(heard) == 1 + -(-net.columns.n_edges // 100)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    heard.clear()
    again = fg.load(tmp_path / "net.csv", integer_ids=True, progress=heard.append)
    assert dict(again.graph.edges) == dict(net.graph.edges)
    assert len(heard) > 5
    assert heard[-1] == 1.0


def test_rows_by_what_stands_in_a_column(tmp_path: Path) -> None:
    text = "pre\tpost\ttype\tn\nA\tB\tchemical\t1\nA\tB\telectrical\t2\nB\tC\tchemical\t3\nC\tC\telectrical\t1\n"
    (tmp_path / "worm.csv").write_text(text)
    options = {"delimiter": "\t", "source_column": "pre", "target_column": "post"}
    net = fg.load(tmp_path / "worm.csv", where={"type": "chemical"}, weight_column="n", **options)
    assert list(net.graph.edges(data="weight")) == [("A", "B", 1.0), ("B", "C", 3.0)]
    for where, words in [
        ({"type": "electrical"}, "line 5: self-loop at 'C'"),
        ({"post": "B"}, "line 3: edge 'A' → 'B' is given twice"),
        ({"type": "chemcal"}, "has no row where type is 'chemcal'"),
        ({"tpye": "chemical"}, "did you mean 'type'"),
    ]:
        with pytest.raises(fg.FlowgradError, match=words):
            fg.load(tmp_path / "worm.csv", where=where, **options)


@pytest.mark.parametrize("delimiter", [",,", '"', "\n", 3, "é"])
def test_a_delimiter_is_one_character(tmp_path: Path, delimiter: object) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(fg.FlowgradError, match=r"must be (one character|str)"):
        fg.load(tmp_path / "a.csv", delimiter=delimiter)


def test_parquet_says_what_it_does_not_take(tmp_path: Path) -> None:
    path = tmp_path / "net.parquet"
    for columns, words in [
        ({"source": ["a", None], "target": ["b", "c"]}, "row 2: column 'source' is empty"),
        ({"source": [True], "target": ["b"]}, "column 'source' is bool"),
        ({"source": ["a"], "target": ["b"], "weight": [float("inf")]}, "row 1: weight inf"),
        ({"source": ["a"], "target": ["b"], "weight": ["x"]}, "row 1: weight 'x'"),
        ({"source": [1, 2, 1], "target": [2, 3, 2]}, "row 3: edge 1 → 2 is given twice"),
        ({"x": ["a"], "y": ["b"]}, "columns x, y: say which"),
        ({"source": [1.5], "target": [2.5]}, "'source' and 'target': must both be text, or both integers"),
        ({"source": [1], "target": ["b"]}, "columns 'source' and 'target'"),
    ]:
        parquet.write_table(pyarrow.table(columns), path)
        with pytest.raises(fg.FlowgradError, match=words):
            fg.load(path)
    parquet.write_table(pyarrow.table({"source": [7, 9], "target": [9, 4], "when": [None, None]}), path)
    assert fg.load(path).inputs == (7,)


def _repeated(text: str, n: int) -> object:
    """A column of one text, n times, which a file keeps once."""
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(np.zeros(n, np.int32)), pyarrow.array([text]))


def test_parquet_that_claims_gigabytes_is_refused_before_they_are_taken(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """But for nightly runs a tenth of them, and of what may be taken."""
    path = tmp_path / "net.parquet"
    part, may = (1, {}) if request.config.getoption("--soak") else (10, {"max_bytes": 110_000_000})
    rows, text = 20_000_000 // part, "x" * (150_000_000 // part)
    takes, most = (r"20,000,000 .* 2\.4 GB", r"1\.1 GB") if part == 1 else (r"2,000,000 .* 0\.2 GB", r"0\.1 GB")
    for columns, options, words in [
        (
            {"source": np.zeros(rows, np.int8), "target": np.ones(rows, np.int8)},
            {"compression": "zstd"},
            rf"{takes} of memory, .* may ask for {most}: max_bytes=",
        ),
        (
            {"source": [text, "y"], "target": ["z", text + "t"]},
            {"use_dictionary": False, "compression": "zstd"},
            r": 2 rows and \d+,\d+,\d+ bytes of columns take about",
        ),
    ]:
        parquet.write_table(pyarrow.table(columns), path, **options)
        assert path.stat().st_size < 300_000
        before = pyarrow.total_allocated_bytes()
        with pytest.raises(fg.FlowgradError, match=words) as caught:
            fg.load(path, **may)
        assert pyarrow.total_allocated_bytes() - before < 100_000_000 // part
        assert len(str(caught.value)) < 500


def test_parquet_keeps_a_text_once_however_often_it_is_named(tmp_path: Path) -> None:
    """2 GB of names in a file of less than a megabyte: an edge costs no more than its number."""
    path, n = tmp_path / "net.parquet", 20_000
    long = _repeated("x" * 100_000, n)
    parquet.write_table(pyarrow.table({"source": long, "target": [f"t{k}" for k in range(n)], "note": long}), path)
    net = fg.load(path)
    assert net.columns.n_edges == n
    assert len(net.inputs) == 1
    assert len({id(note) for note in net.columns.edge_extra["note"]}) == 1
    where = {"note": "x" * 100_000}
    assert fg.load(path, where=where, attributes=[]).columns.n_edges == n
    with pytest.raises(fg.FlowgradError, match="is not an integer"):
        fg.load(path, integer_ids=True)
    assert fg.load(path, max_bytes=10_000_000).columns.n_edges == n
    with pytest.raises(fg.FlowgradError, match=r"20,000 rows and .* may ask for 0\.0 GB: max_bytes="):
        fg.load(path, max_bytes=1_000_000)


def test_a_dictionary_of_parquet_may_hold_what_no_row_names() -> None:
    names = pyarrow.array(["unused", "b", "a", "also unused"])
    ends = [pyarrow.DictionaryArray.from_arrays(pyarrow.array(k, pyarrow.int8()), names) for k in ([2, 2], [1, 2])]
    found = Names()
    assert [code.tolist() for code in found.codes(*ends)] == [[0, 0], [1, 0]]
    assert list(found.index) == ["a", "b"]


def test_attributes_of_parquet_keep_their_types(tmp_path: Path) -> None:
    columns = {
        "source": ["a", "b"],
        "target": ["b", "c"],
        "text": ["x", None],
        "int": pyarrow.array([None, 2**53 + 1]),
        "float": [0.1, float("nan")],
        "flag": [True, None],
        "nothing": [None, None],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "net.parquet")
    edges = fg.load(tmp_path / "net.parquet").graph.edges
    first, second = ({k: v for k, v in edges[e].items() if k != "weight"} for e in [("a", "b"), ("b", "c")])
    assert first == {"text": "x", "float": 0.1, "flag": True}
    assert second.keys() == {"int", "float"}
    assert second["int"] == 2**53 + 1
    parquet.write_table(pyarrow.table(columns | {"list": [[1], [2]]}), tmp_path / "net.parquet")
    with pytest.raises(fg.FlowgradError, match=r"column 'list' is list.* attributes=\[…\] says which"):
        fg.load(tmp_path / "net.parquet")
    assert fg.load(tmp_path / "net.parquet", attributes=["flag"]).graph.edges["a", "b"]["flag"] is True


def test_outputs_may_have_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\nb,z\n")
    net = fg.load(tmp_path / "a.csv", outputs={"z": "sick", "y": "well"})
    assert net.outputs == ("z", "y")
    assert {v: d["label"] for v, d in net.graph.nodes(data=True) if "label" in d} == {"z": "sick", "y": "well"}
    with pytest.raises(fg.FlowgradError, match="output 'x' is no node"):
        fg.load(tmp_path / "a.csv", outputs={"x": "?"})


@pytest.mark.parametrize("head", ["gene,pathway", "Symbol,Set name", "#1,x"])
def test_a_first_row_that_looks_like_a_header_is_pointed_at(tmp_path: Path, head: str) -> None:
    rows = "TP53,apoptosis\nBAX,apoptosis\napoptosis,death\n"
    path = tmp_path / "net.csv"
    path.write_text(f"{head}\n{rows}")
    options = {"comment": ""} if head.startswith("#") else {}
    with pytest.warns(FileWarning, match=r"net\.csv: .* stand in the first row alone.*source_column=.*header=False"):
        net = fg.load(path, **options)
    assert len(net.nodes) == 6
    source, target = head.split(",")
    assert fg.load(path, source_column=source, target_column=target, **options).inputs == ("TP53", "BAX")
    assert len(fg.load(path, header=False, **options).nodes) == 6


@pytest.mark.parametrize(
    "rows",
    ["a,b\nb,c\n", "a,b\nc,d\n", "a,b\n", "1,2\n3,4\n4,5\n", "a,b,0.5\nc,d,1\nd,e,2\n", "source,target\na,b\nb,c\n"],
)
def test_edges_are_no_header(tmp_path: Path, rows: str) -> None:
    (tmp_path / "net.csv").write_text(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fg.load(tmp_path / "net.csv").nodes
