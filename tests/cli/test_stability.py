"""`flowgrad stability`: from a configuration to a study, interrupted for real and gone on with."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_a_study_from_a_configuration_and_from_a_run(run: Any, job: Path) -> None:
    result = run("stability", "config.toml", "--seeds", 7, "--workers", 1, "--control", "labels", "--control", "graph")
    assert result.err == ""
    assert result.code == 0
    lines = result.out.splitlines()
    assert max(map(len, lines[6:])) <= 80
    assert any(line.startswith("shuffled graph ") for line in lines)
    assert "> graph" in result.out
    assert "> inputs" not in result.out
    assert "excess" in result.out
    with (job / "runs/config-stability/neurons.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["node"] for row in rows} == {"h1", "h2"}
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1.0)
    again = run("stability", "config.toml", "--seeds", 7, "--control", "none")
    assert "seed 0: loss" not in again.out  # nothing was left to do
    assert run("train", "config.toml", "--out", "model").code == 0
    assert run("stability", "model", "--seeds", 7, "--workers", 1, "--control", "none").code == 0
    assert (job / "runs/model-stability/trained-1.npz").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", 6), "--seeds 6: must be an integer, 7 or more"),
        (("--control", "label"), "unknown control 'label': did you mean 'labels'"),
        (("--kind", "all"), "unknown kind of node 'all'"),
        (("--out", "."), "a folder of other things"),
        (("--epochs", 0), "train.epochs = 0"),
    ],
)
def test_what_is_refused(run: Any, job: Path, words: tuple[Any, ...], said: str) -> None:
    result = run("stability", "config.toml", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_the_runs_that_are_done(run: Any, job: Path) -> None:
    # a shell's background job, as CI may be, starts its children deaf to Ctrl-C
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from flowgrad.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "stability", "config.toml", "--seeds", "30", "--workers", "2"]
    process = subprocess.Popen(command, cwd=job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while ": loss " not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (130, "")
    assert "the same command goes on" in out
    folder = job / "runs/config-stability"
    kept = {path.name: path.read_bytes() for path in folder.glob("*.npz")}
    assert 1 <= len(kept) < 120
    assert not list(folder.glob(".*"))
    rest = run("stability", "config.toml", "--seeds", 7, "--workers", 1)
    assert rest.code == 0, rest.err
    done = set(kept) & {f"{c}-{s}.npz" for c in NAMES for s in range(7)}
    assert rest.out.count(": loss ") == 28 - len(done)
    assert {name: (folder / name).read_bytes() for name in kept} == kept


NAMES = ("trained", "shuffled-graph", "shuffled-labels", "deterministic-inputs")
