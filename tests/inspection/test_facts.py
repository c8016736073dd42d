"""Figures of networks: every one of FACTS.json, and those that no file says against NetworkX."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given

import flowgrad as fg
from flowgrad.inspection import network_facts
from flowgrad.testing.strategies import networks

READ = {  # the graphs of FACTS.json: file and how it is read
    "wann_racer": ("wann_racer/racer.out", {}),
    "neat_bipedal_winner": ("neat_xor_biped/bipedal_winner.json", {}),  # a listing: `listed` reads it
    "dcell_GO_0000790": ("dcell_go_0000790/GO_0000790_topology", {"format": "dcell"}),
    "reactome_HSA_child_to_parent": ("reactome/ReactomePathwaysRelation.txt", {"format": "reactome"}),
    "reactome_all_species_child_to_parent": (
        "reactome/ReactomePathwaysRelation.txt",
        {"format": "reactome", "species": None},
    ),
    "scm_ecoli70": ("scm_linear_gaussian/ecoli70.json", {"format": "pgmpy"}),
    "scm_magic-niab": ("scm_linear_gaussian/magic-niab.json", {"format": "pgmpy"}),
}
WORM = {
    "delimiter": "\t",
    "source_column": "pre",
    "target_column": "post",
    "where": {"type": "chemical"},
}
OURS = {  # their name of a figure → ours
    "nodes": "nodes",
    "edges": "edges",
    "sources": "sources",
    "sinks": "sinks",
    "weak_components": "weak_components",
    "fan_in_histogram": "fan_in",
    "depth_edges": "depth",
    "nodes_per_level": "nodes_per_level",
    "skip_edges": "skip_edges",
}


def listed(path: Path) -> fg.Network:
    """The walker's network, whose file is a plain listing of nodes and connections."""
    raw = json.loads(path.read_text())
    G = nx.DiGraph()
    G.add_nodes_from(raw["input_keys"])
    G.add_nodes_from((n["id"], {"activation": "neat-tanh"}) for n in raw["nodes"] if n["id"] not in raw["input_keys"])
    G.add_edges_from((c["from"], c["to"]) for c in raw["connections"] if c["enabled"])
    return fg.Network.from_networkx(G, inputs=raw["input_keys"], outputs=raw["output_keys"])


@pytest.mark.data
def test_every_graph_of_the_file_is_asked_for(data: Path) -> None:
    assert set(json.loads((data / "FACTS.json").read_text())) == {*READ, "celegans_white1986_chemical"}


@pytest.mark.data
@pytest.mark.parametrize("graph", READ)
def test_every_known_figure(data: Path, graph: str) -> None:
    known = json.loads((data / "FACTS.json").read_text())[graph]
    assert (known.pop("is_dag"), known.pop("self_loops")) == (True, 0)
    known["fan_in_histogram"] = {int(size): n for size, n in known["fan_in_histogram"].items()}
    path, options = READ[graph]
    net = listed(data / path) if graph == "neat_bipedal_winner" else fg.load(data / path, **options)
    found = network_facts(net)
    assert {theirs: found[ours] for theirs, ours in OURS.items()} == known


@pytest.mark.data
def test_every_known_figure_of_the_graph_that_is_none(data: Path) -> None:
    """The connectome is refused; its file is what FACTS.json says it is, and the cycle lies in its largest knot."""
    known = json.loads((data / "FACTS.json").read_text())["celegans_white1986_chemical"]
    path = data / "celegans_white1986" / "aconnectome_white_1986_whole.csv"
    with pytest.raises(fg.FlowgradError, match=r"aconnectome_white_1986_whole\.csv: the graph has a cycle") as caught:
        fg.load(path, **WORM)
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    G = nx.DiGraph([(u, v) for u, v, kind, _ in rows if kind == "chemical"])
    assert (len(G), G.number_of_edges(), nx.number_of_selfloops(G)) == (known["nodes"], known["edges"], 0)
    knots = sorted(map(len, nx.strongly_connected_components(G)), reverse=True)
    assert [n for n in knots if n > 1] == known["nontrivial_scc_sizes"]
    assert len(knots) == known["condensation_nodes"]
    cycle = caught.value.cycle
    assert nx.is_simple_path(G, cycle)
    assert G.has_edge(cycle[-1], cycle[0])


@given(net=networks())
def test_figures_of_random_networks_by_networkx(net: fg.Network) -> None:
    found, graph = network_facts(net), net.graph
    assert found["weak_components"] == nx.number_weakly_connected_components(graph)
    assert found["depth"] == nx.dag_longest_path_length(graph, weight=None)
    assert sum(found["nodes_per_level"]) == found["nodes"] == len(graph)
    assert sum(size * n for size, n in found["fan_in"].items()) == found["edges"]
    assert sum(size * n for size, n in found["fan_out"].items()) == found["edges"]
    alive = {u for v in net.outputs for u in (v, *nx.ancestors(graph, v))}
    assert set(found["dead"]) == set(graph) - alive - set(net.inputs)
    fed = {u for v in net.inputs for u in (v, *nx.descendants(graph, v))}
    assert set(found["constant"]) == set(graph) - fed
    assert found["parameters"] == len(fg.compile(net).theta)
    assert sum(found["activations"].values()) == found["neurons"] == len(graph) - len(net.inputs)


def test_blocks_of_a_layered_network() -> None:
    found = network_facts(fg.topologies.layered([5, 7, 3]))
    assert found["blocks"] == [{"neurons": 7, "fan_in": 5}, {"neurons": 3, "fan_in": 7}]
    assert found["block_edges"] == found["edges"] == 56
    assert json.loads(json.dumps(found))["nodes_per_level"] == [5, 7, 3]


def test_parts_of_a_large_graph() -> None:
    rng = np.random.default_rng(3)
    source = rng.permutation(20_000)
    net = fg.Network.from_arrays(source[:-1:2], source[1::2])
    assert network_facts(net)["weak_components"] == 10_000
    chain = fg.Network.from_arrays(source[:-1], source[1:])
    assert network_facts(chain)["weak_components"] == 1
