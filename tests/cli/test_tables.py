"""Tables of samples and how they become numbers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from flowgrad import format
from flowgrad.cli._data import Samples, hold_out
from flowgrad.errors import DataError, FileError
from flowgrad.scaling import Scaling
from flowgrad.tables import table as tables
from flowgrad.tables.table import Table


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((20_000, 3)) * 10.0 ** rng.integers(-300, 300, (20_000, 3))
    tables.write(tmp_path / "t.csv", dict(zip("abc", values.T, strict=True)))
    assert np.array_equal(Table(tmp_path / "t.csv").numbers(["c", "a"]), values[:, [2, 0]])
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "a,b\n1,2\n3,4\n"),
        ("bom.csv", "\ufeffa,b\r\n1,2\r\n3,4\r\n"),
        ("quoted.csv", '"a","b"\n"1","2"\n"3","4"'),
        ("blank.csv", "a,b\n\n1,2\n\n\n3,4\n\n"),
        ("spaces.csv", "a, b\n 1,2 \n3, 4\n"),
        ("t.tsv", "a\tb\n1\t2\n3\t4\n"),
    ],
)
def test_ways_to_write_one_table(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    table = Table(tmp_path / name)
    assert table.names == ("a", "b")
    assert table.numbers(["a", "b"]).tolist() == [[1, 2], [3, 4]]
    assert [float(v) for v in table.text("a")] == [1, 3]


def test_a_wrong_cell_is_named_by_its_line_in_a_long_file_with_blank_lines(tmp_path: Path) -> None:
    lines = ["a,b", *["1,2"] * 20_000, "", "", "1,oops"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 20004, column 'b': 'oops' is no number"):
        Table(tmp_path / "t.csv").numbers(["a", "b"])
    assert Table(tmp_path / "t.csv").numbers(["a"]).shape == (20_001, 1)  # what nobody asks for may be text


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    tables.write(path, {"a": [1.0]})
    with pytest.raises(ValueError, match="zip"):
        tables.write(path, {"a": [1.0, 2.0], "b": [1.0]})
    assert path.read_text() == "a\n1.0\n"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileError, match="cannot write"):
        tables.write(tmp_path / "no" / "t.csv", {"a": [1.0]})


def test_an_npz_that_claims_gigabytes_is_refused_before_they_are_taken(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for nightly runs a tenth of them, and of what may be taken."""
    part = 1 if request.config.getoption("--soak") else 10
    monkeypatch.setattr(format, "CLAIM", format.CLAIM // part)
    with zipfile.ZipFile(tmp_path / "t.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        header = {"descr": "<f8", "fortran_order": False, "shape": (80_000_000 // part,)}
        with archive.open("x.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_2_0(file, header)
            for _ in range(64):
                file.write(bytes(10_000_000 // part))
    assert (tmp_path / "t.npz").stat().st_size < 5_000_000
    with pytest.raises(
        FileError,
        match=rf"{640 // part},000,\d+ bytes of arrays, decompressed, take about {1.28 / part:.1f} GB .* np\.savez",
    ):
        Table(tmp_path / "t.npz")
    np.savez_compressed(tmp_path / "t.npz", x=np.zeros(1_000_000))
    assert len(Table(tmp_path / "t.npz").numbers(["x"])) == 1_000_000


def test_an_npz_holds_columns_and_tables_of_columns(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "t.npz", X=np.arange(6).reshape(3, 2), y=np.array([True, False, True]), who=np.array(list("abc"))
    )
    table = Table(tmp_path / "t.npz")
    assert table.names == ("X[0]", "X[1]", "y", "who")
    assert table.wide == {"X": ("X[0]", "X[1]")}
    assert table.numbers(["X[1]", "y"]).tolist() == [[1, 1], [3, 0], [5, 1]]
    assert table.text("who") == ["a", "b", "c"]


def test_scaling_gives_mean_0_and_variance_1_and_leaves_constants_finite() -> None:
    X = np.random.default_rng(2).standard_normal((50, 3)) * [1e-9, 1e9, 1.0] + [1.0, -1e9, 5.0]
    X[:, 2] = 0.1
    scaled = Scaling.of(X)(X)
    assert scaled.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-6)
    assert scaled.std(axis=0) == pytest.approx([1, 1, 0], abs=1e-6)


def test_holding_out_keeps_the_shares_of_the_classes_and_depends_on_the_seed_only() -> None:
    T = np.array([0] * 80 + [1] * 20)
    samples = Samples(np.arange(100.0)[:, None], T)
    rest, held = hold_out(samples, 0.25, seed=4, classes=2)
    assert sorted([*rest.X[:, 0], *held.X[:, 0]]) == list(range(100))
    assert held.T.tolist().count(1) == 5
    assert len(held) == 25
    assert np.array_equal(hold_out(samples, 0.25, seed=4, classes=2)[1].X, held.X)
    assert not np.array_equal(hold_out(samples, 0.25, seed=5, classes=2)[1].X, held.X)
