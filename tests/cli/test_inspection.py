"""Commands that look inside: reuse, trace, explain, doctor."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest


@pytest.fixture
def files(run: Any, tmp_path: Any) -> None:
    (tmp_path / "net.csv").write_text("source,target,weight\nx,h,1.0\nx,k,-2.0\nh,y,2.0\nk,y,0.5\nh,k,1.0\n")
    (tmp_path / "data.csv").write_text("x,y\n0.5,1.5\n-1.0,0.0\n")


@pytest.mark.usefixtures("files")
def test_reuse_counts_and_writes_a_row_a_neuron(run: Any, tmp_path: Any) -> None:
    result = run("reuse", "net.csv", "--out", "reuse.csv")
    assert result.code == 0
    assert "paths from inputs to outputs                    3" in result.out
    assert "visits each of 5 edges once" in result.out
    with (tmp_path / "reuse.csv").open() as file:
        rows = {row["node"]: row for row in csv.DictReader(file)}
    assert rows["y"] == {"node": "y", "paths": "3", "calls": "3", "reads": "2", "reused": "1"}


@pytest.mark.usefixtures("files")
def test_trace_writes_steps_that_follow(run: Any, tmp_path: Any) -> None:
    result = run("trace", "net.csv", "--data", "data.csv", "--sample", 1)
    assert result.code == 0
    assert "\n8 steps in trace.jsonl, played again" in result.out
    steps = [json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()]
    assert steps[0]["nodes"] == ["x", "h", "k", "y"]
    assert len(steps) == 9


@pytest.mark.usefixtures("files")
def test_explain_says_loss_base_case_and_who_reads_what(run: Any) -> None:
    out = run("explain", "net.csv", "y", "--data", "data.csv").out
    assert "(4)  l = squared_error(y, t) = " in out
    assert "(9)  base case ∂L/∂y = " in out
    assert "cached: written once, read by 2 predecessors" in out
    out = run("explain", "net.csv", "h", "--data", "data.csv").out
    assert "k: ∂z/∂a 1 · cached ∂L/∂z" in out
    assert ", which 2 read = " in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.usefixtures("files")
def test_paths_are_listed_strongest_first(run: Any, tmp_path: Any) -> None:
    result = run("paths", "net.csv", "x", "y", "--data", "data.csv", "--top", 2)
    lines = result.out.splitlines()
    assert lines[2].endswith("x → h → y")
    assert lines[-1].startswith("3 paths in all, ∂a/∂a = ")
    assert run("paths", "net.csv", "x", "y", "--data", "data.csv", "--out", "paths.csv").code == 0
    assert len((tmp_path / "paths.csv").read_text().splitlines()) == 4
    assert "none of them carries anything" in run("paths", "net.csv", "y", "x", "--data", "data.csv").out


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", ["health", "doctor"])
def test_health_shows_gradients_by_level(run: Any, command: str) -> None:
    result = run(command, "net.csv", "--data", "data.csv")
    assert result.code == 0
    first, *lines = result.out.splitlines()
    if command == "doctor":
        assert first == "flowgrad health is the newer name of this"
        first, *lines = lines
    assert first == "network: 4 nodes, 5 edges, depth 3; 1 input → 1 output"
    assert lines[0].split()[:3] == ["level", "nodes", "∂L/∂a,"]
    assert [line.split()[:2] for line in lines[1:5]] == [["0", "1"], ["1", "1"], ["2", "1"], ["3", "1"]]
    assert lines[5].startswith("well")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("reuse", "nix.csv"), "no file or folder nix.csv"),
        (("reuse", "net.csv", "--limit", -1), "limit=-1"),
        (("trace", "net.csv", "--data", "data.csv", "--sample", 2), "sample=2: must be 0 … 1"),
        (("trace", "net.csv", "--data", "data.csv", "--out", "no/t.jsonl"), "cannot be written"),
        (("paths", "net.csv", "x", "z", "--data", "data.csv"), "'z' is no node of the network"),
        (("paths", "net.csv", "x", "y", "--data", "data.csv", "--top", 0), "k=0"),
        (("explain", "net.csv", "h", "--data", "data.csv", "--most", 0), "most=0"),
    ],
)
def test_what_is_refused(run: Any, words: tuple[Any, ...], said: str) -> None:
    result = run(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err
