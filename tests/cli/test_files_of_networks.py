"""`flowgrad convert` and `flowgrad info`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.cli.info import facts


def test_convert_there_and_back(run, tmp_path: Path) -> None:
    net = fg.topologies.random_dag(3, 9, fan_in=2, seed=1)
    fg.save(net, tmp_path / "a.json")
    for one, two in [("a.json", "b.graphml"), ("b.graphml", "c.nodelink.json"), ("c.nodelink.json", "d.json")]:
        result = run("convert", one, two)
        assert (result.code, result.err) == (0, "")
        assert two in result.out
    again = fg.load(tmp_path / "d.json")
    assert dict(again.graph.edges) == dict(net.graph.edges)
    assert (again.inputs, again.outputs) == (net.inputs, net.outputs)
    result = run("convert", "a.json", "e.txt", "--to", "edgelist")
    assert result.code == 0
    result = run("convert", "e.txt", "f.json", "--from", "edgelist")
    assert result.code == 0
    assert fg.load(tmp_path / "f.json").columns.n_edges == net.columns.n_edges


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("convert", "absent.json", "b.json"), "no file"),
        (("convert", "a.csv", "b.xyz"), "no format to write"),
        (("convert", "a.csv", "b.json", "--from", "graphmll"), "did you mean 'graphml'"),
        (("info", "absent.json"), "no file"),
        (("info", "a.csv", "--from", "dcell"), "line 1"),
    ],
)
def test_what_is_refused(run, tmp_path: Path, words: tuple, said: str) -> None:
    (tmp_path / "a.csv").write_text("a,b\nb,c\n")
    result = run(*words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


@pytest.mark.data
def test_info_says_what_is_known_of_real_graphs(run, data: Path) -> None:
    known = json.loads((data / "FACTS.json").read_text())["reactome_HSA_child_to_parent"]
    path = data / "reactome" / "ReactomePathwaysRelation.txt"
    said = facts(fg.load(path, format="reactome"))
    assert said["nodes"].startswith(f"{known['nodes']:,}: {known['sources']:,} inputs")
    assert said["edges"] == f"{known['edges']:,}, {known['skip_edges']:,} of them skip a level"
    assert said["depth"] == str(known["depth_edges"])
    assert said["neurons a level"] == ", ".join(f"{n:,}" for n in known["nodes_per_level"])
    assert said["sources, sinks"] == f"{known['sources']:,}, {known['sinks']:,}"
    assert said["fan-in"].startswith("177 × 1, 217 × 2")
    assert said["fan-in"].endswith("up to 71")
    result = run("info", path, "--from", "reactome")
    assert result.code == 0
    assert "2,516" in result.out


def test_info_counts_parameters_and_dead_ends() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1.0}, activation="relu", trainable=False)
    net.add_neuron("idle", {"h": 1.0}, aggregation="max")
    net.add_neuron("y", {"h": 1.0})
    net.connect("x", "y", 0.5, param="k", trainable=False)
    net.set_outputs(["y"])
    said = facts(net)
    assert said["parameters"] == "5: 3 weights, 2 biases"
    assert said["frozen weights"] == "1"
    assert said["shared weights"] == "1 edges under 1 names"
    assert said["without effect on any output"] == "1 neurons: idle"
    assert said["activations"] == "2 sigmoid, 1 relu"
    assert said["aggregations"] == "2 sum, 1 max"
    assert said["fan-out"] == f"{np.sum([1, 1])} × 0, 2 × 2"
