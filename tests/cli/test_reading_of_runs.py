"""A run remembers how its samples were read; every command that reads samples takes the same options."""

from __future__ import annotations

import shlex
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowgrad.cli import _options
from flowgrad.errors import DataError
from flowgrad.registry import find, names
from flowgrad.tables.table import Reading, Table

INPUTS = ("ga", "gb", "gc")
EXAMINE: tuple[tuple[str, ...], ...] = (
    ("predict",),
    ("importance",),
    ("importance", "--loss", "binary_cross_entropy"),
    ("explain", "h"),
    ("health",),
    ("grad",),
    ("trace",),
    ("check", "--samples", "4"),
    ("paths", "ga", "y"),
    ("export", "--to", "out.graphml"),
    ("export", "--to", "out.html"),
)


def words_of(command: tuple[str, ...], run: str, data: str) -> tuple[str, ...]:
    """The command line: the network stands behind the command's name."""
    return (command[0], run, *command[1:], "--data", data)


@pytest.fixture
def assay(tmp_path: Path) -> dict[str, Any]:
    """One experiment as genes × samples (`g.csv`) and as samples × genes (`x.csv`), its labels, and its network.

    Both hold a gene that the network does not read, and join `labels.csv` by ids.
    """
    rng = np.random.default_rng(3)
    X = rng.standard_normal((24, len(INPUTS) + 1))
    kinds = np.where(X[:, 0] > X[:, 1], "p", "q").tolist()
    genes, samples = [*INPUTS, "other"], [f"s{k}" for k in range(len(X))]

    def table(name: str, head: list[str], rows: list[list[Any]]) -> None:
        (tmp_path / name).write_text("\n".join(",".join(map(str, row)) for row in [head, *rows]) + "\n")

    table("g.csv", ["gene", *samples], [[gene, *X[:, k].tolist()] for k, gene in enumerate(genes)])
    table("x.csv", ["id", *genes], [[who, *row] for who, row in zip(samples, X.tolist(), strict=True)])
    table("labels.csv", ["id", "kind"], [list(pair) for pair in zip(samples, kinds, strict=True)])
    (tmp_path / "edges.csv").write_text("source,target\nga,h\ngb,h\ngc,h\nh,y\n")
    ways = {"g": 'orient = "features"\n', "x": ""}
    for name, way in ways.items():
        (tmp_path / f"{name}.toml").write_text(
            f'[network]\nedges = "edges.csv"\n[data]\nfile = "{name}.csv"\n{way}surplus = "ignore"\n'
            'labels = "labels.csv"\nkey = "id"\nlabel = "kind"\n[train]\nepochs = 2\nexecutor = "python"\n'
        )
    return {"samples": samples, "genes": genes}


@pytest.mark.parametrize("way", ["g", "x"])
def test_every_command_reads_samples_as_the_run_did(run: Any, assay: Any, way: str) -> None:
    assert run("train", f"{way}.toml").code == 0
    for command in EXAMINE:
        found = run(*words_of(command, f"runs/{way}", f"{way}.csv"))
        assert found.code == 0, (command, found.err)


def test_both_orientations_and_both_ways_to_join_give_one_answer(run: Any, assay: Any) -> None:
    for way in ("g", "x"):
        assert run("train", f"{way}.toml").code == 0
    answers = [run(*words_of(("predict",), f"runs/{way}", f"{way}.csv")).out for way in ("g", "x")]
    assert answers[0] == answers[1]
    assert len(answers[0].splitlines()) == 25
    other = run(*words_of(("predict",), "runs/x", "g.csv"), "--orient", "features")  # the command line goes first
    assert other.out == answers[0]


def test_labels_of_a_run_are_joined_to_its_own_samples_only(run: Any, assay: Any, tmp_path: Path) -> None:
    assert run("train", "x.toml").code == 0
    (tmp_path / "new.csv").write_text("id,ga,gb,gc\nnobody,1,2,3\n")
    assert len(run(*words_of(("predict",), "runs/x", "new.csv")).out.splitlines()) == 2
    assert run(*words_of(("grad",), "runs/x", "x.csv")).code == 0
    assert "kind" in run(*words_of(("grad",), "runs/x", "new.csv")).err
    (tmp_path / "new_labels.csv").write_text("id,kind\nnobody,p\n")
    assert run(*words_of(("grad",), "runs/x", "new.csv"), "--labels", "new_labels.csv").code == 0


def test_a_network_by_itself_takes_the_options_that_a_run_remembers(run: Any, assay: Any) -> None:
    assert run("train", "g.toml").code == 0
    assert run("convert", "runs/g", "g.fgm").code == 0
    options = ("--orient", "features", "--surplus", "ignore", "--labels", "labels.csv", "--key", "id")
    for command in EXAMINE:
        words = words_of(command, "g.fgm", "g.csv")
        assert "lacks the column" in run(*words).err
        found = run(*words, *options)
        assert found.code == 0, (command, found.err)


def test_inputs_that_samples_lack_are_dropped_by_every_command(run: Any, assay: Any, tmp_path: Path) -> None:
    assert run("train", "x.toml").code == 0
    lines = [line.split(",") for line in (tmp_path / "x.csv").read_text().splitlines()]
    (tmp_path / "less.csv").write_text("\n".join(",".join((row[0], row[1], row[3])) for row in lines) + "\n")
    for command in EXAMINE:
        words = (*words_of(command, "runs/x", "less.csv"), "--labels", "labels.csv")
        assert "lacks the column of input 'gb'" in run(*words).err
        found = run(*words, "--missing", "drop")
        assert found.code == 0, (command, found.err)
        assert "goes without" in found.err


def test_a_command_with_samples_has_every_option_of_how_they_are_read() -> None:
    reading = [name for name in names("cli") if {"data", "network"} <= set(signature(find("cli", name)).parameters)]
    assert {"predict", "explain", "view", "export", "check"} <= set(reading)
    for name in set(reading) - {"doctor"}:  # which points at health
        assert set(_options.TABLES) <= set(signature(find("cli", name)).parameters), name


@pytest.mark.parametrize("text", ["[data\n", "data = 3\n"])
def test_a_damaged_configuration_of_a_run_is_named(run: Any, assay: Any, tmp_path: Path, text: str) -> None:
    assert run("train", "x.toml").code == 0
    (tmp_path / "runs" / "x" / "config.toml").write_text(text)
    found = run(*words_of(("predict",), "runs/x", "x.csv"))
    assert found.code == 2
    assert "config.toml is damaged" in found.err


def test_the_ids_may_be_called_alike_in_both_tables_and_nothing_else(assay: Any, tmp_path: Path) -> None:
    joined = Table(tmp_path / "x.csv", Reading(labels=tmp_path / "labels.csv", key="id"))
    assert joined.ids() == joined.text("id") == assay["samples"]
    assert set(joined.text("kind")) == {"p", "q"}
    (tmp_path / "labels.csv").write_text("id,ga\n" + "".join(f"{who},1\n" for who in assay["samples"]))
    joined = Table(tmp_path / "x.csv", Reading(labels=tmp_path / "labels.csv", key="id"))
    with pytest.raises(DataError, match=r"'ga' stands in .*x\.csv and in .*labels\.csv"):
        joined.numbers(["ga"])


@pytest.mark.parametrize("cell", ["nan", "inf", "-inf"])
def test_no_answer_is_made_of_a_number_that_is_not_finite(run: Any, assay: Any, tmp_path: Path, cell: str) -> None:
    assert run("train", "x.toml").code == 0
    (tmp_path / "new.csv").write_text(f"id,ga,gb,gc\na,1,2,3\nb,1,{cell},3\n")
    found = run(*words_of(("predict",), "runs/x", "new.csv"))
    assert (found.code, found.out) == (2, "")
    assert f"sample 2, column 'gb': {cell} is not finite" in found.err
    (tmp_path / "new.csv").write_text("id,ga,gb,gc,kind\na,1,2,3,\n")
    assert run(*words_of(("predict",), "runs/x", "new.csv"), "--ignore", "kind").code == 0  # whose cell is empty


def test_an_input_is_never_ignored_nor_parts_samples_into_groups(run: Any, assay: Any, tmp_path: Path) -> None:
    for words in (("train", "x.toml", "--set", "data.ignore=['ga']"), ("cv", "x.toml", "--group", "ga")):
        found = run(*words)
        assert found.code == 2
        assert "column 'ga' is an input" in found.err
    assert run("train", "x.toml").code == 0
    for command in EXAMINE:
        found = run(*words_of(command, "runs/x", "x.csv"), "--ignore", "ga")
        assert found.code == 2
        assert "--ignore 'ga': that column is an input" in found.err
    assert run(*words_of(("importance", "--by", "kind"), "runs/x", "x.csv")).code == 0


@pytest.mark.parametrize(
    "spelling", ["x.csv", "./x.csv", "runs/../x.csv", "link.csv", "labels.csv", "runs/x/network.json"]
)
def test_what_a_command_reads_is_not_overwritten(run: Any, assay: Any, tmp_path: Path, spelling: str) -> None:
    assert run("train", "x.toml").code == 0
    (tmp_path / "link.csv").symlink_to("x.csv")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    commands = [("predict",), ("grad",), ("importance",), ("trace",), ("paths", "ga", "y")]
    for command in commands:
        words = (*words_of(command, "runs/x", "x.csv"), "--labels", "labels.csv", "--out", spelling)
        found = run(*words)
        assert found.code == 2, command
        assert "is read by this command" in found.err
    if spelling.endswith("json"):
        for words in (
            ("reuse", "runs/x", "--out", spelling),
            ("convert", "runs/x", spelling),
            ("convert", spelling, spelling),
        ):
            assert "is read by this command" in run(*words).err
    assert {path: path.read_bytes() for path in before} == before


def test_names_of_settings_stay_whole_in_narrow_tables_and_the_newest_runs_are_shown(
    run: Any, assay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in range(3):
        assert run("train", "x.toml", "--set", f"train.seed={k}", "--set", f"data.test=0.{k + 2}").code == 0
    assert run("train", "g.toml").code == 0
    monkeypatch.setenv("COLUMNS", "80")
    found = run("runs").out
    assert max(map(len, found.splitlines())) <= 80
    for word in ("data.orient", "data.surplus", "train.seed", '"features"', '"g.csv"'):
        assert (word in found) == (word != "data.surplus"), word  # in which the runs do not differ
    few = run("runs", "--top", "2").out
    assert "2 of 4 runs:" in few
    assert "x-3" in few
    assert "x-2" not in few


def test_a_suggested_command_can_be_run(run: Any, assay: Any) -> None:
    found = run("train", "x.toml", "--out", "odd one ü")
    line = next(line for line in found.out.splitlines() if line.startswith("follow it: "))
    assert shlex.split(line.removeprefix("follow it: ")) == ["flowgrad", "view", "odd one ü"]
