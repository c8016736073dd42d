"""Columns of text in tables of every kind: empty cells, samples named twice, and the order of classes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgrad.cli._data import _class_order
from flowgrad.errors import DataError
from flowgrad.tables.table import Reading, Table

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)


def as_file(folder: Path, kind: str, cells: list[str | None]) -> Table:
    """A table with the columns `a` of numbers and `k` of text, in a file of that kind."""
    numbers = list(range(len(cells)))
    if kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(
            arrow.table({"a": numbers, "k": cells}), folder / "t.parquet"
        )
        return Table(folder / "t.parquet")
    words = ["" if cell is None else cell for cell in cells]
    if kind == "npz":
        np.savez(folder / "t.npz", a=numbers, k=words)
        return Table(folder / "t.npz")
    if kind == "features":
        rows = [["name", *(f"s{k}" for k in numbers)], ["a", *map(str, numbers)], ["k", *words]]
        (folder / "t.csv").write_text("\n".join(map(",".join, rows)) + "\n")
        return Table(folder / "t.csv", Reading(orient="features"))
    text = "a,k\n" + "".join(f"{a},{k}\n" for a, k in zip(numbers, words, strict=True))
    path = folder / {"csv": "t.csv", "gz": "t.csv.gz", "labels": "labels.csv"}[kind]
    path.write_bytes(gzip.compress(text.encode()) if kind == "gz" else text.encode())
    if kind != "labels":
        return Table(path)
    (folder / "t.csv").write_text("a,b\n" + "".join(f"{a},0\n" for a in numbers))
    return Table(folder / "t.csv", Reading(labels=path, key="a"))


KINDS = ("csv", "gz", "parquet", "npz", "features", "labels")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_an_empty_cell_is_no_word_in_a_table_of_any_kind(tmp_path: Path, kind: str, empty: str | None) -> None:
    assert as_file(tmp_path, kind, ["p", " q ", "p"]).text("k") == ["p", "q", "p"]
    table = as_file(tmp_path, kind, ["p", "q", empty])
    with pytest.raises(DataError, match=r"sample ('2'|3), (column|feature) 'k': the cell is empty"):
        table.text("k")
    assert table.numbers(["a"]).tolist() == [[0], [1], [2]]  # a word that nobody asks for may be missing


def test_labels_of_samples_that_are_not_there_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("who,kind\ns1,p\ns9,\n")
    (tmp_path / "t.csv").write_text("who,a\ns1,1\n")
    assert Table(tmp_path / "t.csv", Reading(labels=tmp_path / "labels.csv", key="who")).text("kind") == ["p"]


@pytest.mark.parametrize("surplus", ["error", "ignore"])
def test_a_sample_that_the_header_names_twice_is_refused(tmp_path: Path, surplus: str) -> None:
    (tmp_path / "t.csv").write_text("gene,s1,s2,s1\nTP53,1,2,3\n")
    with pytest.raises(DataError, match="names the sample 's1' twice"):
        Table(tmp_path / "t.csv", Reading(orient="features", surplus=surplus))


ODD = ("nan", "NaN", "-nan", "inf", "-inf", "0", "-0", "0.0", "1", "1.0", "True", "true", "2", "10", "a", "A")


@given(st.lists(st.sampled_from(ODD) | words), st.randoms())
def test_classes_have_one_order_however_they_come(names: list[str], random: Any) -> None:
    found = sorted(set(names), key=_class_order)
    shuffled = list(dict.fromkeys(names))
    random.shuffle(shuffled)
    assert sorted(shuffled, key=_class_order) == found
    numbers = [float(name) for name in found if name in ("-inf", "0", "1", "2", "10", "inf")]
    assert numbers == sorted(numbers)
