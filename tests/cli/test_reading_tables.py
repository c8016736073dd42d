"""Tables as other programs write them: what is read, and how what is wrong is named."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.cli._missing import restricted
from flowgrad.errors import ConfigError, DataError, FileError, GraphError, MissingDependencyError, UnknownNameError
from flowgrad.tables import archives, delimited
from flowgrad.tables.table import Reading, Table

numbers = st.floats(width=64) | st.integers(-(2**70), 2**70).map(float)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6).filter(
    str.strip
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(numbers, words, numbers), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    packed=st.booleans(),
    mark=st.booleans(),
)
def test_what_the_csv_module_writes_comes_back(
    tmp_path: Path, rows: Any, delimiter: str, end: str, quoting: Any, packed: bool, mark: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([("a", "k", "b"), *[(repr(a), word, repr(b)) for a, word, b in rows]])
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    data = text.getvalue().encode("utf-8-sig" if mark else "utf-8")
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    table = Table(path)
    assert table.names == ("a", "k", "b")
    assert np.array_equal(table.numbers(["b", "a"]), [(b, a) for a, _, b in rows], equal_nan=True)
    assert table.text("k") == [word.strip() for _, word, _ in rows]
    assert table.numbers(["a"], np.float32).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.txt", "a\tb\n1.5\t2\n3\t4\n"),
        ("t.txt", "a;b\n1,5;2\n3;4\n"),
        ("semicolon.csv", "a;b\n1.5;2\n3;4\n"),
        ("late.csv", "a;b\n" + "3;4\n" * 40 + "1,5;2\n"),
        ("plus.csv", "a,b\n+1.5,+2.\n3e0,.4E1\n"),
        ("mixed.csv", "a,b\r\n1.5,2\n\r\n3,4"),
        ("quote.csv", 'a,b,note\n1.5,2,5" nail\n3,4,x\n'),
        ("index.csv", ",a,b\ns1,1.5,2\ns2,3,4\n"),
        ("names.csv", '"a"," b"\n1.5,2\n3,4\n'),
        ("head.csv", "\n\na,b\n1.5,2\n3,4\n"),
        ("pad.csv", "a,b\n1.5\x0b,2\n3,4\n"),
        ("latin.csv", b"a,b,note\n1.5,2,caf\xe9\n3,4,\n"),
    ],
)
def test_ways_to_write_numbers(tmp_path: Path, name: str, text: str | bytes) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = Table(tmp_path / name).numbers(["a", "b"]).tolist()
    assert [1.5, 2.0] in found
    assert [3.0, 4.0] in found


def test_spellings_of_infinity_and_numbers_beyond_integers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\ninf\n-INF\nInfinity\n18446744073709551617\n1e400\n5e-324\nNaN\n")
    found = Table(tmp_path / "t.csv").numbers(["a"])[:, 0]
    assert found[:6].tolist() == [np.inf, -np.inf, np.inf, 2.0**64, np.inf, 5e-324]
    assert np.isnan(found[6])


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("a,b\n1,2\n\n3\n", DataError, r"line 4 has 1 cells: its header names 2 columns"),
        ("a,b\n1,2\n3,4,5\n", DataError, r"line 3 has 3 cells"),
        ("a,b\n1,\n", DataError, r"line 2, column 'b': an empty cell"),
        ("a,b\n1,NA\n", DataError, r"line 2, column 'b': 'NA' is no number"),
        ("a,b\n1_000,2\n", DataError, r"line 2, column 'a': '1_000'"),
        ("a,b\n１,2\n", DataError, r"line 2, column 'a'"),
        ("a,b\n0x10,2\n", DataError, r"'0x10' is no number"),
        ("a\tb\n1,5\t2\n", DataError, r"line 2, column 'a': '1,5' is no number"),
        ("a;b\n1,5;2\n1.5;2\n", DataError, r"line 3, column 'a': '1.5' is no number"),
        ("a,b\n1\x00,2\n", FileError, r"line 2, column 'a' holds a NUL"),
        ("a,b,k\n1,2,x\x00y\n", FileError, r"line 2, column 'k' holds a NUL"),
        ('a,b,k\n1,2,"x\n3,4,y\n', FileError, r"is no CSV from line 2 on: unexpected end of data"),
        ('a,b\n1,2\n"2"3,1\n', FileError, r"is no CSV from line 3 on"),
        ("a,b\n", DataError, r"no samples under its header"),
        ("", DataError, r"has no header"),
        ("a,b,a\n1,2,3\n", DataError, r"names the column 'a' twice"),
        ('a,b\n"x\ny",2\n', DataError, r"line 3, column 'a'"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_wrong_is_named_by_file_line_and_column(
    tmp_path: Path, text: str, error: type[Exception], said: str, packed: bool
) -> None:
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(error, match=said) as caught:
        Table(path).numbers(["a", "b"])
    assert str(path) in str(caught.value)


def test_the_careful_reader_goes_on_where_the_fast_one_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 1 << 10)
    rows = [(float(k), k / 7) for k in range(3000)]
    lines = [f"{a!r},{b!r}" for a, b in rows]
    lines[2500] = "\x0b" + lines[2500]  # which pyarrow takes for no number
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(lines))
    assert Table(tmp_path / "t.csv").numbers(["a", "b"]).tolist() == [list(row) for row in rows]
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join([*lines, "1,x"]))
    with pytest.raises(DataError, match="line 3002, column 'b': 'x'"):
        Table(tmp_path / "t.csv").numbers(["a", "b"])


@pytest.mark.parametrize("packed", [False, True])
def test_pyarrow_is_not_given_more_than_becomes_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 1 << 12)
    monkeypatch.setattr(delimited, "PATIENCE", 60.0)
    given = 0

    class Counted(delimited._Watched):
        def read_buffer(self, size: int) -> Any:
            nonlocal given
            piece = super().read_buffer(size)
            given += piece.size
            return piece

    monkeypatch.setattr(delimited, "_Watched", Counted)
    table = tmp_path / ("wide.csv.gz" if packed else "wide.csv")
    text = "a,b\n" + "".join(f"{row},{-row}\n" for row in range(20_000))
    table.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    rows, behind = 0, []
    for block in delimited.Delimited(table).blocks([0, 1], []):
        rows += len(block.numbers)
        time.sleep(0.002)
        behind.append(given - len(text[4:].encode()) * rows / 20_000)
    assert rows == 20_000
    assert max(behind) < (delimited.AHEAD + 2) * (1 << 12)


def test_blocks_without_a_row_hold_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK", 1 << 10)
    monkeypatch.setattr(delimited, "PATIENCE", 0.001)
    table = tmp_path / "empty.csv"
    table.write_text("a,b\n1,2\n" + "\n" * 50_000 + "3,4\n")
    assert Table(table).numbers(["a", "b"]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"a,b\n1,2\n" * 999)[:-30]], ids=["none", "cut"])
def test_damaged_gzip_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv.gz").write_bytes(data)
    with pytest.raises(FileError, match=r"cannot read .*t\.csv\.gz"):
        Table(tmp_path / "t.csv.gz").numbers(["a"])


def test_parquet_by_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    given = {
        "a": [1, 2**53],
        "flag": [True, False],
        "k": ["x", "y"],
        "gap": [1.0, None],
        "__index_level_0__": ["s", "t"],
    }
    pq.write_table(pa.table(given), tmp_path / "t.parquet")
    table = Table(tmp_path / "t.parquet")
    assert table.names == ("a", "flag", "k", "gap")
    assert table.numbers(["flag", "a"]).tolist() == [[1, 1], [0, 2**53]]
    assert (table.text("k"), table.ids()) == (["x", "y"], ["s", "t"])
    with pytest.raises(DataError, match="row 2, column 'gap'"):
        table.numbers(["gap"])
    with pytest.raises(DataError, match="column 'k' is string"):
        table.numbers(["k"])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(FileError, match="no Parquet file"):
        Table(tmp_path / "bad.parquet")


GENES = "gene\ts1\ts2\ts3\nTP53\t1\t2\t3\nstage\tI\tII\tI\nMYC\t 4 \t5\t6\nTWIN\t1\t1\t1\nTWIN\t2\t2\t2\n"
FEATURES = Reading(orient="features", surplus="ignore")


def test_rows_of_features_are_columns_of_samples(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(GENES)
    table = Table(tmp_path / "t.tsv", FEATURES)
    assert table.ids() == ["s1", "s2", "s3"]
    assert table.numbers(["MYC", "TP53"]).tolist() == [[4, 1], [5, 2], [6, 3]]
    assert table.numbers(["MYC"], np.float32).dtype == np.float32
    assert table.text("stage") == ["I", "II", "I"]
    with pytest.raises(DataError, match="names the feature 'TWIN' twice"):
        table.numbers(["TWIN"])
    with pytest.raises(DataError, match="line 3, column 's1': 'I' is no number"):
        table.numbers(["stage"])
    with pytest.raises(UnknownNameError, match="lacks the feature of input 'TP54': did you mean 'TP53'"):
        table.need("TP54", "input")
    with pytest.raises(DataError, match="'TWIN' twice"):
        Table(tmp_path / "t.tsv", Reading(orient="features"))
    np.savez(tmp_path / "t.npz", a=np.ones(2))
    with pytest.raises(ConfigError, match="no rows of features"):
        Table(tmp_path / "t.npz", FEATURES)


def test_labels_are_joined_by_id(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(GENES)
    (tmp_path / "labels.csv").write_text("who,kind,age,note\ns3,c,30,x\ns9,z,90,\ns1,a,10,\ns2,b,20,\n")
    table = Table(tmp_path / "t.tsv", Reading("features", "ignore", labels=tmp_path / "labels.csv", key="who"))
    assert table.text("kind") == ["a", "b", "c"]
    assert table.numbers(["age", "MYC"]).tolist() == [[10, 4], [20, 5], [30, 6]]
    assert "kind" not in table.names
    (tmp_path / "labels.csv").write_text("who,kind\ns1,a\ns2,b\n")
    with pytest.raises(DataError, match="has no row of the sample 's3'"):
        Table(tmp_path / "t.tsv", table.reading).text("kind")
    (tmp_path / "labels.csv").write_text("who,kind\ns1,a\ns2,b\ns3,c\ns1,d\n")
    with pytest.raises(DataError, match="two rows of the sample 's1'"):
        Table(tmp_path / "t.tsv", table.reading).text("kind")
    with pytest.raises(ConfigError, match=r"data\.key is missing.*unnamed first column"):
        Table(tmp_path / "t.tsv", Reading("features", "ignore", labels=tmp_path / "labels.csv")).text("kind")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'flowgrad\[cli\]'"):
        Table(tmp_path / "t.csv")


def test_a_network_goes_on_without_inputs() -> None:
    net = fg.topologies.layered([4, 3, 2], seed=3)
    small = restricted(net, [0, 2])
    X = np.random.default_rng(1).standard_normal((5, 4))
    X[:, [1, 3]] = 0.0
    assert len(small.inputs) == 2
    whole, part = fg.compile(net).predict(X), fg.compile(small).predict(X[:, [0, 2]])
    assert np.allclose(whole, part, rtol=0, atol=1e-15)
    union = fg.union([net, net], share_inputs=True)
    assert np.allclose(
        fg.compile(restricted(union, [0, 2])).predict(X[:, [0, 2]]), fg.compile(union).predict(X), rtol=0, atol=1e-15
    )
    G = net.graph.copy()
    for node in net.nodes[4:7]:
        G.nodes[node]["aggregation"] = "max"
    with pytest.raises(GraphError, match="would be the max of nothing"):
        restricted(fg.Network.from_networkx(G), [])


CONFIG = """\
[network]
edges = "edges.csv"
[data]
file = "genes.tsv.gz"
orient = "features"
surplus = "ignore"
missing = "drop"
labels = "clinical.csv"
key = "sample"
label = "kind"
[train]
epochs = 3
executor = "python"
"""


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Genes × samples with a gene too few and one too many, four classes in another file, and a configuration."""
    rng, ids = np.random.default_rng(2), [f"s{k}" for k in range(40)]
    lines = ["\t".join(["gene", *ids])]
    lines += ["\t".join([gene, *map(repr, rng.standard_normal(40).tolist())]) for gene in ("G1", "G2", "OTHER")]
    (tmp_path / "genes.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    kinds = [f"{name},{'abcd'[k % 4]},note" for k, name in enumerate(ids)]
    (tmp_path / "clinical.csv").write_text("\n".join(["sample,kind,note", *reversed(kinds)]))
    ends = [(gene, "p") for gene in ("G1", "G2", "G3")] + [("p", kind) for kind in "abcd"]
    (tmp_path / "edges.csv").write_text("\n".join(["source,target", *map(",".join, ends)]))
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_training_and_prediction_on_genes_by_samples(run: Any, cohort: Path, rows: Any) -> None:
    result = run("train", "config.toml", "--out", "model")
    assert result.code == 0, result.err
    assert "lacks 1 of 3 inputs (G3): the network goes without" in result.err
    options = ["--orient", "features", "--surplus", "ignore", "--labels", "clinical.csv", "--key", "sample"]
    result = run("predict", "model", "--data", "genes.tsv.gz", "--out", "answers.csv", *options)
    assert result.code == 0, result.err
    assert "accuracy" in result.out
    assert len(rows(cohort / "answers.csv")) == 40
    assert run("export", "model", "--to", "page.html").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--surplus", "error"], "'OTHER'"),
        (["--missing", "error"], "lacks the feature of input 'G3'"),
        (["--orient", "sideways"], "data.orient"),
        (["--key", "smaple"], "did you mean 'sample'?"),
        (["--labels", "nothing.csv"], "nothing.csv"),
    ],
)
def test_options_stand_over_the_file(run: Any, cohort: Path, options: list[str], said: str) -> None:
    result = run("train", "config.toml", *options)
    assert (result.code, result.err.count("\n") <= 2) == (2, True)
    assert said in result.err


def test_prediction_without_an_input_takes_it_at_its_mean(run: Any, job: Path, rows: Any) -> None:
    assert run("train", "config.toml", "--out", "model").code == 0
    lines = [line.split(",") for line in (job / "samples.csv").read_text().splitlines()]
    (job / "some.csv").write_text("\n".join(",".join(line[:2]) for line in lines))
    result = run("predict", "model", "--data", "some.csv", "--missing", "drop", "--out", "some_out.csv")
    assert result.code == 0, result.err
    assert "(x3): the network goes without" in result.err
    mean = json.loads((job / "model" / "model.json").read_text())["standardised"]["mean"][2]
    (job / "all.csv").write_text("\n".join(["x1,x2,x3", *[",".join([*line[:2], repr(mean)]) for line in lines[1:]]]))
    assert run("predict", "model", "--data", "all.csv", "--out", "all_out.csv").code == 0
    some, whole = ([float(row["y"]) for row in rows(job / name)] for name in ("some_out.csv", "all_out.csv"))
    assert some == pytest.approx(whole, abs=1e-12)


def test_an_archive_is_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ROWS", 7)
    X = np.random.default_rng(0).standard_normal((50, 3))
    np.savez(tmp_path / "t.npz", X=X)
    assert np.array_equal(Table(tmp_path / "t.npz").numbers(["X[2]", "X[0]"]), X[:, [2, 0]])
