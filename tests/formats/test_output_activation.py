"""Readers whose outputs are squashed offer the plain output, which losses of logits want."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.registry import find, names

SQUASHED = [n for n in names("formats") if find("formats", n).example and n in
            ("gennet", "dcell", "drugcell")]  # fmt: skip


@pytest.mark.parametrize("name", SQUASHED)
def test_ontologies_give_the_plain_output(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net"
    path.write_bytes(find("formats", name).example)
    given, plain = fg.load(path, name), fg.load(path, name, output_activation="identity")
    assert plain.nodes == given.nodes
    for v in given.nodes:
        ours, theirs = (net.graph.nodes[v].get("activation") for net in (plain, given))
        assert ours == ("identity" if v in given.outputs else theirs)
    squashed = fg.compile(given, executor="python").predict(np.ones((1, len(given.inputs))) * 50)
    assert (abs(squashed) <= 1).all()
    assert {given.graph.nodes[v]["activation"] for v in given.outputs} <= {"sigmoid", "tanh"}


@pytest.mark.parametrize("name", ["reactome", "gmt"])
def test_hierarchies_and_gene_sets_end_in_the_plain_output(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net"
    path.write_bytes(find("formats", name).example)
    given, squashed = fg.load(path, name), fg.load(path, name, output_activation="tanh")
    assert {given.graph.nodes[v]["activation"] for v in given.outputs} == {"identity"}
    assert {squashed.graph.nodes[v]["activation"] for v in squashed.outputs} == {"tanh"}


def test_evolved_networks_give_the_plain_output_where_it_is_asked_for(tmp_path: Path) -> None:
    net = fg.Network.from_arrays(
        [0, 1], [1, 2], weight=[0.5, 2.0], bias=[0.0, 0.1, 0.2], activation="neat-tanh", inputs=[0]
    )
    fg.save(net, tmp_path / "net.neat.json")
    (tmp_path / "net.out").write_text("0,0,0.5,1\n0,0,2,1\n0,0,0,6\n")
    for file in ("net.neat.json", "net.out"):
        given, plain = fg.load(tmp_path / file), fg.load(tmp_path / file, output_activation="identity")
        assert same_but_for_outputs(given, plain)
        assert [plain.graph.nodes[v]["activation"] for v in plain.outputs] == ["identity"]
    document = json.loads((tmp_path / "net.neat.json").read_text())
    assert document["nodes"][-1]["activation"]["name"] == "tanh"


def same_but_for_outputs(a: fg.Network, b: fg.Network) -> bool:
    def plain(net: fg.Network) -> Any:
        c = net.columns
        hidden = np.setdiff1d(np.arange(c.n_nodes), c.outputs)
        functions = [c.activations[k].name if k >= 0 else "" for k in c.activation[hidden]]
        return net.nodes, net.outputs, c.weights.tolist(), c.bias.tolist(), functions

    return bool(plain(a) == plain(b))


def test_an_activation_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "net.out").write_text("0,0,0.5,1\n0,0,2,1\n0,0,0,6\n")
    with pytest.raises(fg.FlowgradError, match="did you mean 'identity'"):
        fg.load(tmp_path / "net.out", output_activation="identiy")
