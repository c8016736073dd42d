"""Keys of [network] beside a file do what they say, or are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.formats.gennet import entry as gennet
from flowgrad.runs.models import TRAINED

EXAMPLE = gennet.example


@pytest.fixture
def genes(tmp_path: Path) -> Path:
    """A folder with GenNet's topology, samples of classes that one gene tells apart, and a configuration."""
    assert EXAMPLE is not None
    (tmp_path / "topology.csv").write_bytes(EXAMPLE)
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (80, 3))
    lines = [f"{a},{b},{c},{'case' if a + c > 2 else 'control'}" for a, b, c in X.tolist()]
    (tmp_path / "samples.csv").write_text('"(0, 0)","(0, 1)","(0, 2)",y\n' + "\n".join(lines) + "\n")
    configured(tmp_path, "")
    return tmp_path


def configured(folder: Path, more: str, file: str = 'file = "topology.csv"\nformat = "gennet"') -> None:
    (folder / "config.toml").write_text(
        f'[network]\n{file}\n{more}\n[data]\nfile = "samples.csv"\nlabel = "y"\npositive = "case"\n'
        '[train]\nepochs = 40\nlearning_rate = 0.05\nexecutor = "python"\n'
    )


def activations(folder: Path) -> dict[Any, str]:
    graph = fg.load(folder / TRAINED).graph
    return {v: graph.nodes[v].get("activation", "") for v in graph}


@pytest.mark.filterwarnings("ignore")  # a squashed output under a loss of logits
def test_output_activation_beside_a_file_is_that_of_the_outputs(run: Any, genes: Path) -> None:
    assert run("train", "config.toml", "--out", "squashed").code == 0
    assert activations(genes / "squashed")["output"] == "sigmoid"
    configured(genes, 'output_activation = "identity"')
    assert run("train", "config.toml", "--out", "plain").code == 0
    found = activations(genes / "plain")
    assert found.pop("output") == "identity"
    assert set(found.values()) == {"", "tanh"}
    assert 'output_activation = "identity"' in (genes / "plain/config.toml").read_text()
    configured(genes, "", 'file = "squashed"\noutput_activation = "identity"')
    assert run("train", "config.toml", "--out", "on").code == 0
    assert activations(genes / "on")["output"] == "identity"
    fg.save(fg.load(genes / "squashed" / TRAINED), genes / "net.json")
    configured(genes, "", 'file = "net.json"\noutput_activation = "identity"')
    assert run("train", "config.toml", "--out", "again").code == 0
    assert activations(genes / "again")["output"] == "identity"


GENNET = Path(__file__).parents[3] / "shared" / "data" / "gennet_classification"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not GENNET.is_dir(), reason="GenNet's example is not here")
@pytest.mark.usefixtures("as_users")  # it trains
def test_gennets_example_learns_with_the_plain_output_only(run: Any, tmp_path: Path) -> None:
    genotype = np.loadtxt(GENNET / "genotype.csv.gz", delimiter=",")
    labels = np.loadtxt(GENNET / "subjects.csv", delimiter=",", skiprows=1, usecols=2).astype(int)
    np.savez(tmp_path / "samples.npz", X=genotype, labels=labels)
    reached = []
    for more in ("", 'output_activation = "identity"'):
        (tmp_path / "config.toml").write_text(
            f'[network]\nfile = "{GENNET}/topology.csv"\nformat = "gennet"\n{more}\n[data]\nfile = "samples.npz"\n'
            'inputs = "X"\nlabel = "labels"\n[train]\nepochs = 10\nlearning_rate = 0.01\n'
        )
        assert run("train", "config.toml", "--out", f"run{len(reached)}").code == 0
        summary = json.loads((tmp_path / f"run{len(reached)}/summary.json").read_text())
        reached.append(summary["test"]["accuracy"])
    assert reached[0] < 0.5 < 0.85 < reached[1]


@pytest.mark.filterwarnings("ignore")
def test_activation_beside_a_file_goes_to_a_reader_that_has_it(run: Any, genes: Path) -> None:
    configured(genes, 'activation = "relu"')
    assert run("train", "config.toml", "--out", "model").code == 0
    assert set(activations(genes / "model").values()) == {"", "relu", "sigmoid"}


@pytest.mark.parametrize(
    ("file", "more", "wanted"),
    [
        ('file = "net.json"', 'activation = "tanh"', "network.activation = \"tanh\": a file of format 'json'"),
        ('file = "run"', 'activation = "tanh"', 'network.activation = "tanh": a run says itself'),
        ('file = "run"', 'format = "json"', 'network.format = "json": run is of a run'),
        ('file = "net.json"', 'format = "jsn"', "network.format = \"jsn\": unknown format: did you mean 'json'"),
        ('file = "net.json"', 'output_activation = "sigmiod"', "did you mean 'sigmoid'"),
        ('edges = "topology.csv"', 'format = "gennet"', 'network.format = "gennet": a network by edges has no format'),
        ('topology = "layered"', 'format = "gennet"', "has no format; it takes hidden, skips"),
    ],
)
def test_a_key_that_says_nothing_is_refused(run: Any, genes: Path, file: str, more: str, wanted: str) -> None:
    fg.save(fg.topologies.layered([3, 1]), genes / "net.json")
    (genes / "run").mkdir()
    fg.save(fg.topologies.layered([3, 1]), genes / "run/network.json")
    configured(genes, more, file)
    result = run("train", "config.toml")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert wanted in result.err.replace("./", "").replace(f"{genes}/", "")


def test_a_seed_beside_a_file_draws_the_weights_that_it_does_not_give(run: Any, genes: Path) -> None:
    text = []
    for seed in (1, 2, 2):
        configured(genes, f'output_activation = "identity"\nseed = {seed}')
        out = f"run{len(text)}"
        assert run("train", "config.toml", "--epochs", 1, "--out", out).code == 0
        text.append(fg.load(genes / out / TRAINED).columns.weights.tolist())
    assert text[0] != text[1] == text[2]
