"""What `graph` may be: None, a callable, a Network, a DiGraph, an edge list, a file; each gives the same network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, FileError, GraphError, UnknownNameError
from flowgrad.sklearn import GraphClassifier, GraphRegressor

Make = Callable[..., GraphRegressor]
Refused = Callable[..., Any]
EDGES = [("a", "h", 0.5), ("b", "h", -0.25), ("h", "y", 1.5), ("c", "y", 0.75)]


def forms(folder: Path) -> dict[str, Any]:
    net = fg.topologies.from_edge_list(EDGES)
    frame = pd.DataFrame(EDGES, columns=["source", "target", "weight"])
    frame.to_csv(folder / "edges.csv", index=False)
    fg.save(net, folder / "net.json")
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(EDGES)
    return {
        "Network": net,
        "DiGraph": graph,
        "rows": EDGES,
        "array": np.array(EDGES, object),
        "pandas": frame,
        "polars": pl.from_pandas(frame),
        "file": folder / "edges.csv",
        "path as text": str(folder / "net.json"),
        "callable": lambda inputs, outputs: net,
    }


def test_every_form_of_a_graph_is_the_same_network(regressor: Make, numbers: Any, tmp_path: Path) -> None:
    X, y = numbers
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    found = {name: regressor(form).fit(frame, y).predict(frame).tolist() for name, form in forms(tmp_path).items()}
    for name, form in forms(tmp_path).items():
        assert found[name] == pytest.approx(found["Network"], rel=1e-12), name
        if name != "callable":
            assert regressor(form).fit(X, y).model_.inputs == ("a", "b", "c"), name


def test_what_the_graph_says_nothing_of_is_the_estimators(regressor: Make, numbers: Any, tmp_path: Path) -> None:
    edges = [edge[:2] for edge in EDGES]
    pd.DataFrame(edges, columns=["source", "target"]).to_csv(tmp_path / "edges.csv", index=False)
    for form in (edges, nx.DiGraph(edges), tmp_path / "edges.csv"):
        nets = [
            regressor(form, activation=name, seed=seed, epochs=1).fit(*numbers).model_.network
            for name, seed in (("relu", 1), ("relu", 1), ("relu", 2), ("tanh", 1))
        ]
        assert [net.graph.nodes["h"]["activation"] for net in nets] == ["relu", "relu", "relu", "tanh"]
        assert nets[0].columns.weights.tolist() == nets[1].columns.weights.tolist()
        assert nets[0].columns.weights.tolist() != nets[2].columns.weights.tolist()


def test_the_graph_that_is_given_stays_as_it_is(regressor: Make, numbers: Any) -> None:
    net = fg.topologies.from_edge_list(EDGES)
    before = net.columns.weights.tolist()
    reg = regressor(net).fit(*numbers)
    assert net.columns.weights.tolist() == before != reg.model_.network.columns.weights.tolist()
    assert reg.graph is net


def test_none_is_one_hidden_layer_called_by_the_data(regressor: Make, numbers: Any) -> None:
    X, y = numbers
    net = regressor(None, epochs=1, activation="relu").fit(pd.DataFrame(X, columns=["a", "b", "c"]), y).model_.network
    assert (net.inputs, net.outputs, net.depth) == (("a", "b", "c"), ("y",), 2)
    assert {net.graph.nodes[v]["activation"] for v in net.graph.pred["y"]} == {"relu"}
    assert regressor(None, epochs=1).fit(X, y).model_.network.inputs == ("x0", "x1", "x2")


def test_a_network_that_reads_an_input_as_output_keeps_its_numbers(regressor: Make, numbers: Any) -> None:
    net = fg.Network.from_arrays([0], [1], inputs=[0], outputs=[0, 1], n_nodes=2)
    X, y = numbers
    reg = regressor(lambda i, o: net, epochs=1).fit(X[:, :1], np.stack([y, y], axis=1))
    assert reg.model_.network.outputs == (0, 1)


@pytest.mark.parametrize(
    ("graph", "error", "words"),
    [
        (3, ConfigError, ("graph=3", "edge list")),
        ("nothing.csv", FileError, ("nothing.csv",)),
        ("nothing.xyz", UnknownNameError, (".xyz",)),
        ([("a", "b", 1.0, 2.0)], GraphError, ("edge 1",)),
        ([("a", "b"), ("b", "a")], GraphError, ("cycle", "a → b → a")),
        (nx.Graph([("a", "b")]), GraphError, ("undirected",)),
        (lambda inputs, outputs: None, ConfigError, ("graph(3, 1) gave None",)),
    ],
    ids=["number", "no file", "no format", "row", "cycle", "undirected", "callable"],
)
def test_what_is_no_graph_is_refused(
    regressor: Make, numbers: Any, refused: Refused, graph: Any, error: Any, words: Any
) -> None:
    with refused(error, *words):
        regressor(graph).fit(*numbers)


@pytest.mark.parametrize("make", [GraphClassifier, GraphRegressor])
def test_absent_weights_are_drawn_by_the_initializer(make: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.repeat([0, 1], 15)
    edges = [("a", "h"), ("b", "h"), ("c", "h"), ("h", "y")]
    frame = pd.DataFrame(edges, columns=["source", "target"])
    frame.to_csv(tmp_path / "edges.csv", index=False)
    forms = {
        "none": None,
        "rows": edges,
        "frame": frame,
        "DiGraph": nx.DiGraph(edges),
        "file": tmp_path / "edges.csv",
        "callable": lambda inputs, outputs: nx.DiGraph(edges),
    }
    nothing = fg.Initializer("nothing", lambda fan_in, fan_out: np.zeros_like(fan_in))
    still = {"epochs": 1, "learning_rate": 1e-12, "executor": "python", "validation": None}
    for name, graph in forms.items():
        rules = (nothing, "he", "glorot", None)
        drawn = [
            np.abs(make(graph, initializer=rule, **still).fit(X, y).model_.network.columns.weights) for rule in rules
        ]
        assert drawn[0].max() < 1e-9, name
        assert drawn[1].max() > 1e-3, name
        assert not np.allclose(drawn[1], drawn[2]), name
    net = fg.topologies.from_edge_list(edges, seed=5)
    fitted = make(net, initializer=nothing, **still).fit(X, y).model_.network
    np.testing.assert_allclose(fitted.columns.weights, net.columns.weights, atol=1e-9, err_msg="a Network has its own")


@pytest.mark.parametrize("graph", [None, EDGES, fg.topologies.from_edge_list(EDGES)], ids=["none", "rows", "Network"])
def test_what_is_no_initializer_is_named(graph: Any, regressor: Make, numbers: Any) -> None:
    for wrong, error in (("hee", UnknownNameError), (3, GraphError), (fg.Initializer, GraphError)):
        with pytest.raises(error, match="initializer"):
            regressor(graph, initializer=wrong).fit(*numbers)
