"""Parquet as a source: the samples of its columns, by row groups, and the bits of a training in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, FileError, ShapeError, UnknownNameError
from flowgrad.scaling import Scaling

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N, NAMES = 50, ["a", "b", "c"]


@pytest.fixture
def columns() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    numbers = {name: rng.normal(size=N) for name in (*NAMES, "y", "z")}
    return numbers | {"k": np.arange(N) % 3 // 2, "word": ["sick" if k % 3 // 2 else "well" for k in range(N)]}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """written(columns, group) is a file of these in row groups of so many."""

    def made(columns: Any, group: int = 8) -> Path:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        parquet.write_table(arrow.table(columns), file, row_group_size=group)
        return file

    return made


def matrix(columns: Any, *names: str) -> Any:
    return np.stack([np.asarray(columns[name]) for name in names], axis=1)


def trained(program: fg.Program, *data: Any, **options: Any) -> tuple[bytes, Any]:
    history = fg.fit(program, *data, **{"epochs": 3, "batch_size": 7, **options})
    return program.theta.tobytes(), [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"validation": 0.2, "metrics": ["r2"]}], ids=str)
def test_the_bits_are_those_of_arrays_in_memory(
    executor: str, options: Any, columns: Any, written: Any, program_of: Any
) -> None:
    source = fg.ParquetSamples(written(columns), NAMES, ["y", "z"])
    X, T = matrix(columns, *NAMES), matrix(columns, "y", "z")
    assert trained(program_of(executor), source, **options) == trained(program_of(executor), X, T, **options)


def test_by_row_groups_the_bits_are_those_of_blocks_in_memory(columns: Any, written: Any, program_of: Any) -> None:
    source = fg.ParquetSamples(written(columns), NAMES, ["y", "z"])

    class InMemory:
        blocks = (0, 8, 16, 24, 32, 40, 48, 50)

        def __len__(self) -> int:
            return N

        def take(self, rows: Any) -> Any:
            return matrix(columns, *NAMES)[rows], matrix(columns, "y", "z")[rows]

    found = [trained(program_of("python"), data, shuffle=20) for data in (source, InMemory())]
    assert found[0] == found[1] != trained(program_of("python"), source, shuffle=True)


def test_classes_by_number_or_by_text(columns: Any, written: Any, program_of: Any) -> None:
    file, X = written(columns), matrix(columns, *NAMES)
    ways = (
        (X, columns["k"]),
        (fg.ParquetSamples(file, NAMES, "k"),),
        (fg.ParquetSamples(file, NAMES, "word", classes=["well", "sick"]),),
    )
    options = {"class_weight": "balanced"}
    found = [trained(program_of("python", loss="cross_entropy"), *way, **options) for way in ways]
    assert found[1] == found[2] == found[0]


def test_any_rows_in_any_order_of_any_files(columns: Any, written: Any) -> None:
    files = [
        written({name: column[a:b] for name, column in columns.items()}, 6) for a, b in ((0, 13), (13, 14), (14, N))
    ]
    source, rng = fg.ParquetSamples(files, NAMES[::-1], ["y"]), np.random.default_rng(2)
    assert len(source) == N
    for rows in (np.arange(N), np.arange(N)[::-1], rng.integers(0, N, 80), np.array([], int)):
        x, t = source.take(rows)
        assert np.array_equal(x, matrix(columns, "c", "b", "a")[rows])
        assert np.array_equal(t, matrix(columns, "y")[rows])
    assert np.array_equal(source.column("z"), columns["z"])
    assert "50 samples in 10 row groups, 3 inputs, 1 targets" in repr(source)


@pytest.mark.parametrize("kind", ["float16", "float32", "int8", "int64", "uint32", "bool"])
def test_columns_of_any_numbers(kind: str, columns: Any, written: Any) -> None:
    values = (matrix(columns, *NAMES) * 3 > 1).astype(kind) if kind == "bool" else np.abs(matrix(columns, *NAMES) * 9)
    values = values.astype(kind)
    file = written({**columns, **dict(zip(NAMES, values.T, strict=True))})
    x, _ = fg.ParquetSamples(file, NAMES, ["y"]).take(np.arange(N))
    assert x.dtype == (np.float32 if kind in ("float16", "float32") else np.float64)
    assert np.array_equal(x, values.astype(np.float64))


def test_inputs_are_scaled_when_they_are_read(columns: Any, written: Any) -> None:
    columns["b"] = np.full(N, 0.3)
    columns["c"] = 1e6 + 1e-3 * columns["c"]
    source, X = fg.ParquetSamples(written(columns), NAMES, ["y"]), matrix(columns, *NAMES)
    found, whole = source.scaling(), Scaling.of(X)
    assert np.allclose(found.mean, whole.mean, rtol=1e-14)
    assert np.allclose(found.scale, whole.scale, rtol=1e-9)
    scaled = source.scaled(found)
    assert np.array_equal(scaled.take(np.arange(N))[0], found(X))
    assert np.array_equal(source.take(np.arange(N))[0], X)
    with pytest.raises(ShapeError, match="a scaling of 2 columns: there are 3 inputs"):
        source.scaled(Scaling([0.0, 0.0], [1.0, 1.0]))


def test_an_empty_row_group_and_an_index_of_pandas(tmp_path: Path, columns: Any) -> None:
    file, table = tmp_path / "e.parquet", arrow.table(columns)
    with parquet.ParquetWriter(file, table.schema) as writer:
        for part in (table[:0], table[:9], table[9:9], table[9:]):
            writer.write_table(part)
    source = fg.ParquetSamples(file, NAMES, ["y"])
    assert source.blocks.tolist() == [0, 9, N]
    assert np.array_equal(source.take(np.arange(N))[1][:, 0], columns["y"])


def test_what_is_wrong_is_named(columns: Any, written: Any, tmp_path: Path) -> None:
    file = written(columns)
    hole = written({**columns, "b": arrow.array([None if k == 21 else 1.0 for k in range(N)])})
    damaged = tmp_path / "damaged.parquet"
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = os.urandom(len(content) // 2 - 4)
    damaged.write_bytes(content)
    everything = np.arange(N)
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (lambda: fg.ParquetSamples(tmp_path / "no.parquet", NAMES, ["y"]), FileError, "no such file"),
        (lambda: fg.ParquetSamples(tmp_path, NAMES, ["y"]), FileError, "no Parquet file"),
        (lambda: fg.ParquetSamples(damaged, NAMES, ["y"]).take(everything), FileError, "damaged"),
        (lambda: fg.ParquetSamples(file, ["a", "bb"], ["y"]), UnknownNameError, "lacks the column 'bb'"),
        (lambda: fg.ParquetSamples(file, NAMES, "words"), UnknownNameError, "'words'.*'word'"),
        (lambda: fg.ParquetSamples(file, NAMES, "word").take(everything), DataError, "'word' is .*real numbers"),
        (lambda: fg.ParquetSamples(hole, NAMES, ["y"]).take(everything), DataError, "row 22, column 'b'"),
        (
            lambda: fg.ParquetSamples(file, NAMES, "word", classes=["well", "ill"]).take(everything),
            UnknownNameError,
            "row 3: 'sick' is no class of 'word'",
        ),
        (lambda: fg.ParquetSamples(file, NAMES, ["y"], classes=["a", "b"]), ConfigError, "classes go with one target"),
        (lambda: fg.ParquetSamples(file, "a", ["y"]), ConfigError, "inputs='a': give a list of names"),
        (lambda: fg.ParquetSamples(file, ["a", 3], ["y"]), ConfigError, "inputs has 3"),
        (lambda: fg.ParquetSamples(file, NAMES, []), ConfigError, r"targets=\[\]"),
        (lambda: fg.ParquetSamples([], NAMES, ["y"]), DataError, "no samples"),
        (
            lambda: fg.ParquetSamples(written({k: v[:0] for k, v in columns.items()}), NAMES, "y"),
            DataError,
            "no samples",
        ),
        (lambda: fg.ParquetSamples(file, NAMES, ["y"]).column("Y"), UnknownNameError, "'Y'.*'y'"),
        (lambda: fg.ParquetSamples(file, NAMES, ["y"]).take([3, N]), DataError, "row 50: there are 50 samples"),
        (lambda: fg.ParquetSamples(file, NAMES, ["y"]).scaled("no"), DataError, "wants a Scaling"),
    ]
    for call, error, said in cases:
        with pytest.raises(error, match=said):
            call()
