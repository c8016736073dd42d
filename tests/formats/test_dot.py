"""DOT as other programs write it: the grammar, beside pydot's reading of it, and what is refused, with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flowgrad as fg

ALL = r"""# made by a preprocessor
/* two
lines */ strict digraph "G" {
  graph [label="a graph"]; size = "7,5"
  node [shape=box, color="red"]
  a [label=<<b>A</b>>, bias=0.5 activation=relu];   // a node of the first default
  a -> b -> "c d" [weight=0.25, style="dot" + "ted"]
  b -> { e; f } [weight="-2"]
  edge [color=blue]
  subgraph cluster_0 { node [shape=circle]; label=inner; e -> g:port:n }
  f:s -> g; -1.5 -> g
  "quo\"ted" -> a; "back\\slash" -> a; "joined\
line" -> a; größe -> a
}"""


def load(path: Path, text: str, **options: object) -> fg.Network:
    path.write_text(text, encoding="utf-8")
    return fg.load(path, **options)


def test_the_whole_grammar(tmp_path: Path) -> None:
    net = load(tmp_path / "net.gv", ALL)
    edges = {(u, v): a for u, v, a in net.graph.edges(data=True)}
    assert set(edges) == {
        *(("a", "b"), ("b", "c d"), ("b", "e"), ("b", "f"), ("e", "g"), ("f", "g"), ("-1.5", "g")),
        *(('quo"ted', "a"), ("back\\\\slash", "a"), ("joinedline", "a"), ("größe", "a")),
    }
    assert edges["a", "b"] == {"weight": 0.25, "style": "dotted"}
    assert edges["b", "f"] == {"weight": -2.0}
    assert edges["e", "g"] | {"weight": 0} == {"weight": 0, "color": "blue", "headport": "port:n"}
    assert edges["f", "g"]["tailport"] == "s"
    assert net.graph.nodes["a"]["label"] == "<<b>A</b>>"
    assert net.graph.nodes["a"]["activation"] == "relu"
    assert (net.graph.nodes["a"]["bias"], net.graph.nodes["g"]["shape"]) == (0.5, "circle")
    assert net.graph.nodes["f"]["shape"] == "box"
    assert dict(net.graph.graph) == {"name": "G", "label": "a graph", "size": "7,5"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydot calls pyparsing by its old names
def test_the_same_edges_as_pydot_finds(tmp_path: Path) -> None:
    """The simple statements: pydot leaves it to its caller to expand subgraphs."""
    pydot = pytest.importorskip("pydot")
    lines = [f'n{k} -> "m {k % 3}" [weight={k / 8}, label="{k} \\"x\\""]' for k in range(1, 20)]
    text = "digraph {" + "; ".join(lines) + "; a -> b -> c; d [label=x]; b:s -> c2 }"
    (graph,) = pydot.graph_from_dot_data(text)
    wanted = [(e.get_source().split(":")[0].strip('"'), e.get_destination().strip('"')) for e in graph.get_edges()]
    net = load(tmp_path / "net.dot", text)
    assert sorted(net.columns.ends) == sorted(wanted)
    assert {e.get("label") for e in graph.get_edges() if e.get("label")} == {
        '"{}"'.format(a["label"].replace('"', '\\"')) for *_, a in net.graph.edges(data=True) if "label" in a
    }


REFUSED = {
    "graph { a -- b }": "the graph is undirected",
    "digraph { a -> b\n b -- c }": "line 2: the edge is undirected",
    "digraph { a -> b\n\n a -> b }": "line 3: edge 'a' → 'b' is given twice",
    "digraph { a -> a }": "line 1: self-loop at 'a'",
    "digraph { a -> \n}": "line 2: '}' stands where a name must be",
    "digraph { a -> b": "line 1: the file ends where a name must be",
    "digraph { a -> b } digraph { c -> d }": "'digraph' stands where the end of the file, as a network is one graph",
    "digraph { a -> b [weight=heavy] }": "edge 'a' → 'b': weight is 'heavy': must be a number",
    "digraph { a [trainable=maybe]; a -> b }": "trainable is 'maybe': must be true or false",
    "digraph { a -> b [label=<x] }": "line 1: a < without its >",
    'digraph { a -> "b }': "line 1: '\"b }' is no DOT",
    "digraph { a -> node }": "'node' stands where a name must be",
    "digraph { " + "{" * 70: "nested more than 64 deep",
    "network { a -> b }": "'network' stands where digraph must be",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_network_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match=re.escape(REFUSED[text])):
        load(tmp_path / "net.dot", text)


def test_edges_given_twice_and_self_loops_as_asked(tmp_path: Path) -> None:
    text = "digraph { a -> b [weight=1]; a -> b [weight=2]; a -> a }"
    options = {"drop_self_loops": True}
    assert load(tmp_path / "n.dot", text, duplicates="first", **options).columns.weights.tolist() == [1.0]
    assert load(tmp_path / "n.dot", text, duplicates="sum", **options).columns.weights.tolist() == [3.0]
    strict = load(tmp_path / "n.dot", f"strict {text}", **options)  # Graphviz's word for: the last attributes hold
    assert strict.columns.weights.tolist() == [2.0]


def test_text_that_could_be_a_number_stays_text(tmp_path: Path) -> None:
    import networkx as nx

    G = nx.DiGraph([("x", "y")])
    kept = {"a": "1.5", "b": 1.5, "c": "true", "d": True, "e": 1, "f": [1, ("t",)], "g": "nan", "h": '"q"', "i": "\\N"}
    G.nodes["y"].update(kept)
    fg.save(fg.Network.from_networkx(G), tmp_path / "net.dot")
    again = {k: v for k, v in fg.load(tmp_path / "net.dot").graph.nodes["y"].items() if k in kept}
    assert {k: (type(v), v) for k, v in again.items()} == {k: (type(v), v) for k, v in kept.items()}
