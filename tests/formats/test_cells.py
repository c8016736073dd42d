"""Genes by cells as CSV, as matrix market and as AnnData, and damage to all of them; MicroKPNN's edge lists."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.formats import kpnn
from flowgrad.testing.formats import damaged

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:anndata"),
    pytest.mark.filterwarnings("ignore:.*infer_string"),  # anndata asks pandas by an old name
]
NUMBERS = np.array([[0.0, 2.0, 0.5], [1.0, 0.0, 0.0], [4.0, 0.0, 8.0], [0.0, 3.0, 0.0]])
GENES, CELLS = ("TP53", "MYC", "EGFR", "MYC"), ("AAAC-1", "AAAG-1", "AAAT-1")


def csv(folder: Path) -> Path:
    lines = [
        ",".join(["", *CELLS]),
        *(",".join([g, *map(repr, r)]) for g, r in zip(GENES, NUMBERS.tolist(), strict=True)),
    ]
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    return folder / "data.csv"


def matrix(folder: Path, name: str = "matrix.mtx", kind: str = "coordinate real general") -> Path:
    pytest.importorskip("scipy")
    entries = [(g + 1, c + 1, float(NUMBERS[g, c])) for c in range(3) for g in range(4) if NUMBERS[g, c]]
    body = "".join(f"{g} {c} {x!r}\n" for g, c, x in entries)
    prefix = name.partition("matrix.mtx")[0]
    content = {
        name: f"%%MatrixMarket matrix {kind}\n%metadata: {{}}\n4 3 {len(entries)}\n{body}",
        f"{prefix}features.tsv": "".join(f"ENSG{k}\t{gene}\tGene Expression\n" for k, gene in enumerate(GENES)),
        f"{prefix}barcodes.tsv": "".join(f"{cell}\n" for cell in CELLS),
    }
    for file, text in content.items():
        (folder / file).write_bytes(text.encode() if not name.endswith(".gz") else gzip.compress(text.encode()))
    if name.endswith(".gz"):
        for file in (f"{prefix}features.tsv", f"{prefix}barcodes.tsv"):
            (folder / file).rename(folder / f"{file}.gz")
    return folder / name


def annotated(folder: Path, sparse: bool = True) -> Path:
    anndata = pytest.importorskip("anndata", reason="the extra anndata")
    pandas, scipy = pytest.importorskip("pandas"), pytest.importorskip("scipy.sparse")
    genes = ["TP53", "MYC", "EGFR", "MYC2"]
    data = anndata.AnnData(
        X=scipy.csr_matrix(NUMBERS.T) if sparse else NUMBERS.T.copy(),
        obs=pandas.DataFrame({"type": ["T", "B", "T"]}, index=list(CELLS)),
        var=pandas.DataFrame(index=genes),
    )
    data.write_h5ad(folder / "data.h5ad")
    return folder / "data.h5ad"


FILES: dict[str, Callable[[Path], Path]] = {
    "csv": csv,
    "mtx": matrix,
    "mtx of a series": lambda folder: matrix(folder, "GSM1_matrix.mtx"),
    "mtx under gzip": lambda folder: matrix(folder, "matrix.mtx.gz"),
    "h5ad": annotated,
    "h5ad, dense": lambda folder: annotated(folder, sparse=False),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_same_numbers_from_every_kind_of_file(kind: str, tmp_path: Path) -> None:
    path = FILES[kind](tmp_path)
    X, cells = kpnn.read_data(path, ["EGFR_gene", "TP53"])
    assert (cells, X.tolist(), X.dtype) == (CELLS, NUMBERS[[2, 0]].T.tolist(), np.float64)
    assert kpnn.read_genes(path)[:3] == GENES[:3]
    assert kpnn.read_data(path, [])[0].shape == (3, 0)
    with pytest.raises(fg.errors.UnknownNameError, match="has no row of gene 'TP35': did you mean 'TP53'"):
        kpnn.read_data(path, ["TP35"])


@pytest.mark.parametrize("kind", [kind for kind in FILES if "h5ad" not in kind])
def test_a_gene_with_two_rows(kind: str, tmp_path: Path) -> None:
    path = FILES[kind](tmp_path)
    assert kpnn.read_data(path, ["MYC"], duplicates="first")[0].ravel().tolist() == NUMBERS[1].tolist()
    assert kpnn.read_data(path, ["EGFR", "MYC", "TP53"], duplicates="sum")[0][:, 1].tolist() == [1.0, 3.0, 0.0]
    with pytest.raises(fg.errors.FileError, match=r"gene 'MYC' is given twice \(duplicates='first'"):
        kpnn.read_data(path, ["MYC"])


def test_integers_and_patterns_of_matrix_market(tmp_path: Path) -> None:
    path = matrix(tmp_path)
    text = path.read_text()
    path.write_text(re.sub(r"(\d)\.\d\n", r"\1\n", text.replace("real", "integer").replace("0.5", "5.0")))
    assert kpnn.read_data(path, ["TP53"])[0].ravel().tolist() == [0.0, 2.0, 5.0]
    path.write_text(re.sub(r"(\d \d) [\d.]+\n", r"\1\n", text.replace("real", "pattern")).replace("4 3\n1", "4 3 6\n1"))
    path.write_text(
        "%%MatrixMarket matrix array real general\n4 3\n" + "\n".join(map(repr, NUMBERS.T.ravel().tolist()))
    )
    assert kpnn.read_data(path, ["TP53"])[0].ravel().tolist() == NUMBERS[0].tolist()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("4 3 6", "5 3 6", "has 5 rows and 3 columns, and beside it stand 4 genes and 3 cells"),
        ("4 3 6", "4 3 999999", "says that it has 999,999 entries, which its"),
        ("4 3 6", "4 3", "must be the numbers of rows, of columns and of entries"),
        ("%%MatrixMarket matrix", "%%MatrixMarket vector", "line 1: no header"),
        ("real", "complex", "matrix market file|type complex"),
        ("1 2 2.0", "1 2 inf", "TP53' of cell 'AAAG-1' is inf: must be a finite number"),
        ("1 2 2.0", "1 9 2.0", "no readable matrix market file"),
        ("1 2 2.0", "1 2 two", "no readable matrix market file"),
    ],
)
def test_a_matrix_that_is_wrong_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    path = matrix(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(fg.FlowgradError, match=words):
        kpnn.read_data(path, ["TP53"])


def test_a_matrix_without_its_names_says_which_are_missing(tmp_path: Path) -> None:
    path = matrix(tmp_path)
    (tmp_path / "features.tsv").unlink()
    with pytest.raises(
        fg.errors.FileError, match=r"no file features\.tsv or genes\.tsv beside it, plain or under gzip"
    ):
        kpnn.read_data(path, ["TP53"])


def test_memory_is_counted_before_it_is_taken(tmp_path: Path) -> None:
    with pytest.raises(fg.errors.FileError, match=r"2 genes of 3 cells take about .* max_bytes=96 allows more"):
        kpnn.read_data(matrix(tmp_path), ["TP53", "EGFR"], max_bytes=20)


def test_h5ad_follows_nothing_into_other_files(tmp_path: Path) -> None:
    path = annotated(tmp_path, sparse=False)
    h5py = pytest.importorskip("h5py")
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["X"] = NUMBERS.T
    (tmp_path / "raw").write_bytes(NUMBERS.T.tobytes())
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), "X", shape=(3, 4))
    makes: dict[str, Callable[[object], object]] = {
        "lies in the file": lambda f: f.__setitem__("X", h5py.ExternalLink(str(other), "X")),
        "lie in another file": lambda f: f.create_virtual_dataset("X", layout),
        "the numbers of 'X' lie": lambda f: f.create_dataset(
            "X", (3, 4), "f8", external=[(str(tmp_path / "raw"), 0, 96)]
        ),
        "is a link within": lambda f: f.__setitem__("X", h5py.SoftLink("/obs")),
    }
    for words, make in makes.items():
        path = annotated(tmp_path, sparse=False)
        with h5py.File(path, "r+") as file:
            del file["X"]
            make(file)
        with pytest.raises(fg.errors.FileError, match=words):
            kpnn.read_data(path, ["TP53"])


def test_columns_of_class_labels_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("Barcode,A,SET\nc1,1,train\nc2,0,test\n")
    T, sets = kpnn.read_labels(tmp_path / "labels.csv", ["c2", "c1"], ["A"])
    assert (T.ravel().tolist(), sets) == ([0.0, 1.0], ("test", "train"))


# ---- damage -------------------------------------------------------------------------------------------------

LABELS = b"barcode,A,B,Set\nAAAC-1,0,1,train\nAAAG-1,1,0,test\nAAAT-1,0.5,0,val\n"


@pytest.mark.parametrize("kind", [*FILES, "labels"])
@pytest.mark.filterwarnings("ignore")
def test_damage_is_refused_or_read(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Only a FlowgradError may come out, as of every reader of networks."""
    soak = request.config.getoption("--soak")
    rng = np.random.default_rng(None if soak else zlib.crc32(kind.encode()))
    if kind == "labels":
        path = tmp_path / "labels.csv"
        path.write_bytes(LABELS)
    else:
        path = FILES[kind](tmp_path)
    whole, refused, cases = path.read_bytes(), 0, 1000 * soak or 60
    for k in range(cases):
        path.write_bytes(damaged(whole, LABELS, rng) if k else b"")
        try:
            if kind == "labels":
                kpnn.read_labels(path, CELLS, ["A", "B"])
            else:
                kpnn.read_data(path, ["TP53", "EGFR"], duplicates="first")
        except fg.FlowgradError as error:
            refused += str(tmp_path) in str(error)
    assert refused > cases // 10


# ---- MicroKPNN ----------------------------------------------------------------------------------------------

MICRO = """parent,child
output,g__Bacteroides
output,h0
output,3
output,Acetateconsumption
g__Bacteroides,g__Bacteroides|s__fragilis
g__Prevotella,g__Prevotella|s__copri
3,g__Bacteroides|s__fragilis
h0,g__Bacteroides|s__fragilis
h0,g__Prevotella|s__copri
output,g__Prevotella
Acetateconsumption,s__unseen
"""
SPECIES = ("g__Bacteroides|s__fragilis", "g__Prevotella|s__copri")


@pytest.fixture
def micro(tmp_path: Path) -> Path:
    (tmp_path / "EdgeList.csv").write_text(MICRO)
    (tmp_path / "data.csv").write_text(f",sample1,sample2\n{SPECIES[1]},0.25,0\nother,1,1\n{SPECIES[0]},0.5,1\n")
    return tmp_path


def test_microkpnn_has_the_datas_rows_for_inputs(micro: Path) -> None:
    with pytest.raises(fg.errors.FileError, match=r"line 6: .*only a gene \('…_gene'\).*suffix='' takes .*measured="):
        fg.load(micro / "EdgeList.csv", "kpnn")
    every = fg.load(micro / "EdgeList.csv", "kpnn", suffix="")
    assert set(every.inputs) == {*SPECIES, "s__unseen"}
    for measured in (str(micro / "data.csv"), micro / "data.csv", SPECIES):
        with pytest.warns(fg.errors.FileWarning, match="2 nodes to which nothing measured leads .* first 's__unseen'"):
            net = fg.load(micro / "EdgeList.csv", "kpnn", measured=measured)
        assert (set(net.inputs), net.outputs) == (set(SPECIES), ("output",))
        assert "Acetateconsumption" not in net.nodes
    X, samples = kpnn.read_data(micro / "data.csv", net.inputs)
    assert samples == ("sample1", "sample2")
    assert dict(zip(net.inputs, X.T.tolist(), strict=True))[SPECIES[0]] == [0.5, 1.0]
    with pytest.raises(fg.errors.FileError, match="none of its nodes without children is measured, as g__Bact"):
        fg.load(micro / "EdgeList.csv", "kpnn", measured=["mouse"])


def test_microkpnn_is_written_as_it_was_read(micro: Path) -> None:
    net = fg.load(micro / "EdgeList.csv", "kpnn", suffix="")
    with pytest.raises(fg.errors.GraphError, match=r"KPNN's inputs are called '<gene>_gene' \(suffix='' takes any\)"):
        fg.save(net, micro / "again.csv", "kpnn")
    fg.save(net, micro / "again.csv", "kpnn", suffix="")
    again = fg.load(micro / "again.csv", "kpnn", suffix="")
    assert sorted(again.columns.ends) == sorted(net.columns.ends)


def test_genes_of_kpnn_are_measured_with_or_without_their_suffix(tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("parent,child\ny,h\nh,A_gene\nh,B_gene\ny,B_gene\n")
    for measured in (["A", "B"], ["A_gene", "B_gene"]):
        assert fg.load(tmp_path / "net.csv", "kpnn", measured=measured).columns.n_edges == 4
    with pytest.warns(fg.errors.FileWarning, match="1 nodes"):
        assert fg.load(tmp_path / "net.csv", "kpnn", measured=["B"]).inputs == ("B_gene",)
