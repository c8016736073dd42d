"""DOT and Mermaid: ids of any kind stay one node, nothing in them is markup, large networks are refused by rule."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import flowgrad as fg

HARD = ["x", 'say "no"', "back\\", '\\"', "two\nlines", "<b>bold</b>", "a:b;c->d", "größe|µ", "graph", "#35;", "]--x"]


@pytest.fixture
def net() -> fg.Network:
    """One input, a neuron of each hard name behind it, and one output behind all."""
    network = fg.Network()
    network.add_input("x")
    for k, name in enumerate(HARD[1:]):
        network.add_neuron(name, {"x": k / 8}, activation="tanh")
    network.add_neuron("y", dict.fromkeys(HARD[1:], 0.5), activation="identity")
    network.set_outputs(["y"])
    return network


STRING = r'"(?:[^"\\]|\\.)*"'


def strings(text: str) -> list[str]:
    """The ids in quotes at the head of the statements, unescaped; every line must be a statement."""
    attribute = rf"{STRING}={STRING}|label={STRING}|shape={STRING}"
    statement = rf"  ({STRING})(?: -> ({STRING}))? \[(?:{attribute})(?:, (?:{attribute}))*\];\n"
    head, tail = 'digraph {\n  rankdir="LR";\n  "flowgrad_ids"="text";\n', "}\n"
    assert text.startswith(head)
    assert text.endswith(tail)
    body = text.removeprefix(head).removesuffix(tail)
    assert re.fullmatch(f"(?:{statement})*", body, re.DOTALL)
    found = re.findall(statement, body, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", s[1:-1], flags=re.DOTALL) for pair in found for s in pair if s]


def test_dot_is_made_of_quoted_statements(net: fg.Network, tmp_path: Path) -> None:
    fg.save(net, tmp_path / "net.dot")
    text = (tmp_path / "net.dot").read_text(encoding="utf-8")
    edges = [name for edge in net.graph.edges for name in edge]
    assert strings(text) == [*net.graph.nodes, *edges]
    assert "\\N" not in text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydot calls pyparsing by its old names
def test_dot_is_read_by_another_program(net: fg.Network, tmp_path: Path) -> None:
    pydot = pytest.importorskip("pydot")
    values = {"a": {v: float(k) for k, v in enumerate(net.nodes)}}
    fg.save(net, tmp_path / "net.gv", node_values=values, edge_values={"g": {e: [1.0, 2.0] for e in net.graph.edges}})
    (graph,) = pydot.graph_from_dot_file(str(tmp_path / "net.gv"), encoding="utf-8")
    assert len(graph.get_nodes()) == len(net.nodes)
    assert len({node.get_name() for node in graph.get_nodes()}) == len(net.nodes)
    assert len(graph.get_edges()) == net.columns.n_edges
    attributes = graph.get_edges()[0].get_attributes()
    assert {key.strip('"'): value.strip('"') for key, value in attributes.items()}["flowgrad_g"] == "1.5"


def test_a_picture_by_graphviz_or_the_word_that_it_is_missing(net: fg.Network, tmp_path: Path) -> None:
    if shutil.which("dot") is None:
        with pytest.raises(fg.FlowgradError, match="Graphviz's program dot, which is not installed"):
            fg.save(net, tmp_path / "net.svg")
        assert not list(tmp_path.iterdir())
    else:
        fg.save(net, tmp_path / "net.svg")
        assert b"<svg" in (tmp_path / "net.svg").read_bytes()


def test_mermaid_has_no_markup_of_a_name(net: fg.Network, tmp_path: Path) -> None:
    fg.save(net, tmp_path / "net.mmd", node_values={"dz": dict.fromkeys(net.nodes, -0.25)})
    head, *lines = (tmp_path / "net.mmd").read_text(encoding="utf-8").splitlines()
    assert head == "flowchart LR"
    text = r'"(?:[\w .,:+=→-]|#\d+;|<br/>)*"'
    nodes = [line for line in lines if "-->" not in line]
    assert all(re.fullmatch(rf"  n\d+(\[{text}\]|\({text}\)|\(\[{text}\]\))", line) for line in nodes)
    links = [line for line in lines if "-->" in line]
    assert all(re.fullmatch(rf"  n\d+ -->\|{text}\| n\d+", line) for line in links)
    assert (len(nodes), len(links)) == (len(net.nodes), net.columns.n_edges)
    shown = [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), line.split('"')[1].split("<br/>")[0]) for line in nodes]
    assert shown == list(net.graph.nodes)
    assert all("dz = -0.25" in line for line in nodes)


def test_a_large_network_is_no_mermaid(tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match="201 edges: Mermaid is for at most 200"):
        fg.save(fg.topologies.layered([201, 1]), tmp_path / "net.mmd")
