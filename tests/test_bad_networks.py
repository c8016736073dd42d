"""What is no network or cannot be compiled: the error's class, and that it names the thing, the rule, the nearest."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import (
    ConfigError,
    CycleError,
    ExecutorError,
    FlowgradError,
    GraphError,
    UnknownNameError,
)


def digraph(*edges: tuple[Any, ...], **attributes: Any) -> nx.DiGraph:
    G = nx.DiGraph()
    for u, v, *given in edges:
        G.add_edge(u, v, **(given[0] if given else {}))
    for v, given in attributes.items():
        G.add_node(v, **given)
    return G


from_networkx = fg.Network.from_networkx
from_arrays = fg.Network.from_arrays


def test_every_error_is_of_the_family_and_of_its_builtin() -> None:
    family = [getattr(fg.errors, name) for name in dir(fg.errors) if name.endswith("Error")]
    assert len(family) >= 10
    for error in family:
        assert issubclass(error, FlowgradError)
        assert error is FlowgradError or len(error.__mro__) > len(FlowgradError.__mro__) + 1


# ---- the graph ----------------------------------------------------------------------------------------------


def test_a_cycle_is_named_node_by_node(refused: Any) -> None:
    with refused(CycleError, "cycle", "a → b → a") as caught:
        from_networkx(digraph(("x", "a"), ("a", "b"), ("b", "a"), ("b", "y")))
    assert caught.value.cycle in (("a", "b"), ("b", "a"))
    assert isinstance(caught.value, ValueError)
    with refused(CycleError, "1 → 2 → 3 → 1"):
        from_arrays([0, 1, 2, 3], [1, 2, 3, 1])
    with refused(CycleError, "(1, 'k') → (2, 'k') → (1, 'k')"):
        from_networkx(digraph(("x", (1, "k")), ((1, "k"), (2, "k")), ((2, "k"), (1, "k"))))
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("p", ["x"])
    net.add_neuron("q", ["p"])
    net.connect("q", "p")
    with refused(CycleError, "p → q → p"):
        fg.compile(net)


def test_a_cycle_is_the_shortest_through_one_of_its_nodes() -> None:
    G = nx.cycle_graph(50, create_using=nx.DiGraph)
    G.add_edge(3, 0)
    with pytest.raises(CycleError) as caught:
        from_networkx(G)
    assert sorted(caught.value.cycle) == [0, 1, 2, 3]


def test_the_worm_is_cyclic(data: Path) -> None:
    """celegans_white1986: 303 neurons in their chemical wiring, 237 of them in one knot."""
    with open(data / "celegans_white1986" / "aconnectome_white_1986_whole.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["type"] == "chemical"]
    G = nx.DiGraph((row["pre"], row["post"]) for row in rows if row["pre"] != row["post"])
    with pytest.raises(CycleError) as caught:
        from_networkx(G)
    cycle = caught.value.cycle
    assert all(G.has_edge(u, v) for u, v in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    assert str(caught.value).endswith(" → ".join([*cycle, cycle[0]]))
    assert len(cycle) == len(set(cycle)) == 2


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (lambda: from_networkx(digraph(("x", "a"), ("a", "a"))), GraphError, ["self-loop", "'a'"]),
        (lambda: from_arrays([0, 1], [1, 1]), GraphError, ["self-loop", "1"]),
        (lambda: from_networkx(nx.Graph([("x", "y")])), GraphError, ["undirected", "nx.DiGraph"]),
        (lambda: from_networkx(nx.MultiDiGraph([("x", "y")])), GraphError, ["multigraph", "nx.DiGraph"]),
        (lambda: from_networkx(nx.MultiGraph([("x", "y")])), GraphError, ["multigraph"]),
        (lambda: from_networkx({"x": ["y"]}), GraphError, ["nx.DiGraph", "dict"]),
        (lambda: from_networkx(nx.DiGraph()), GraphError, ["empty"]),
        (lambda: from_arrays([], []), GraphError, ["empty"]),
        (lambda: from_arrays([0, 1, 0], [1, 2, 1]), GraphError, ["0 → 1", "twice", "1 and 3"]),
        (lambda: from_networkx(digraph(("x", "y")), inputs=[]), GraphError, ["no inputs"]),
        (lambda: from_networkx(digraph(("x", "y")), outputs=[]), GraphError, ["no outputs"]),
        (lambda: from_networkx(digraph(x={"bias": 1.0})), GraphError, ["no inputs"]),
        (
            lambda: from_networkx(nx.DiGraph([("x", "y")]), inputs=["x", "y"]),
            GraphError,
            ["'y'", "in-edge", "'x' → 'y'"],
        ),
        (lambda: from_networkx(digraph(("x", "y")), inputs="x"), GraphError, ["list"]),
        (lambda: from_networkx(digraph(("x", "y")), outputs=["y", "y"]), GraphError, ["'y'", "twice"]),
        (lambda: from_networkx(digraph(("speed", "y")), inputs=["sped"]), UnknownNameError, ["'sped'", "'speed'"]),
        (lambda: from_networkx(digraph(("x", "result")), outputs=["resullt"]), UnknownNameError, ["'result'"]),
        (lambda: from_networkx(digraph(("x", "y")), inputs=[["x"]]), UnknownNameError, ["['x']"]),
        (lambda: from_networkx(digraph(("x", "y")), inputs=[(["x"],)]), UnknownNameError, ["(['x'],)"]),
        (lambda: from_arrays([0], [1], inputs=[5]), UnknownNameError, ["5", "0 … 1"]),
        (lambda: from_arrays([0], [1], outputs=[-1]), UnknownNameError, ["-1"]),
        (lambda: from_arrays([0, 1], [1]), GraphError, ["2", "1"]),
        (lambda: from_arrays([0], [1], weight=0.5), GraphError, ["weight", "()", "(1,)"]),
        (lambda: from_arrays([0], [1], weight=[0.5, 1.0]), GraphError, ["weight", "(2,)", "(1,)"]),
        (lambda: from_arrays([0], [1], bias=np.ones((2, 1))), GraphError, ["bias", "(2, 1)", "(2,)", "node"]),
        (lambda: from_arrays([0.5], [1]), GraphError, ["source", "integers"]),
        (lambda: from_arrays([-1], [1]), GraphError, ["-1"]),
        (lambda: from_arrays([0], [7], n_nodes=3), GraphError, ["7", "0 … 2"]),
        (lambda: from_arrays([0], [1], n_nodes=2.5), GraphError, ["n_nodes=2.5"]),
        (lambda: from_arrays([0], [1], activation=["tanh"]), GraphError, ["1 entries", "2 nodes"]),
        (lambda: fg.Network().set_outputs(["y"]), UnknownNameError, ["'y'"]),
    ],
)
def test_what_is_no_network(make: Callable[[], Any], error: type[Exception], parts: list[str], refused: Any) -> None:
    with refused(error, *parts):
        make()


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (-float("inf"), "finite"),
        (1 + 2j, "complex"),
        ("0.5", "str"),
        (True, "bool"),
        ([0.5], "list"),
        (10**400, "finite"),
        (np.array([1.0, 2.0]), "ndarray"),
    ],
)
def test_a_weight_or_bias_that_is_no_finite_number(value: Any, rule: str, refused: Any) -> None:
    for attribute in ({"weight": value}, {"weight": value, "param": "w"}):
        with refused(GraphError, "weight", "'h' → 'y'", rule):
            from_networkx(digraph(("x", "h"), ("h", "y", attribute)))
    for key in ("bias", "response"):
        with refused(GraphError, key, "'h'", rule):
            from_networkx(digraph(("x", "h"), ("h", "y"), h={key: value}))
    with refused(GraphError, "weight", "0 → 2", rule):
        from_arrays([0, 0], [1, 2], weight=[0.5, value])
    net = fg.Network()
    net.add_input("x")
    with refused(GraphError, "weight", "'x' → 'h'", rule):
        net.add_neuron("h", {"x": value})
    with refused(GraphError, "bias", "'h'", rule):
        net.add_neuron("h", ["x"], bias=value)


def test_a_network_that_refused_a_neuron_is_as_it_was() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0})
    for broken in (
        lambda: net.add_neuron("z", {"x": float("nan")}),
        lambda: net.add_neuron("z", {"x": 1.0, "q": 1.0}),
        lambda: net.add_neuron("z", ["x"], activation="thanh"),
        lambda: net.add_neuron("z", ["x", "x"]),
        lambda: net.connect("x", "q"),
        lambda: net.connect("x", "y", 2.0),
        lambda: net.connect("y", "x"),
        lambda: net.add_input("y"),
        lambda: net.set_outputs(["q"]),
    ):
        with pytest.raises(FlowgradError):
            broken()
        assert net.nodes == ("x", "y")
        assert net.outputs == ("y",)
        assert net.graph.number_of_edges() == 1


@pytest.mark.parametrize(
    ("key", "value", "error", "parts"),
    [
        ("activation", "sigmiod", UnknownNameError, ["'sigmiod'", "'h'", "'sigmoid'"]),
        ("aggregation", "summ", UnknownNameError, ["'summ'", "'h'", "'sum'"]),
        ("activation", 3, GraphError, ["3", "'h'", "int"]),
        ("activation", np.tanh, GraphError, ["'h'", "ufunc"]),
        ("trainable", "yes", GraphError, ["trainable", "'yes'", "True or False"]),
        ("trainable", 1, GraphError, ["trainable", "True or False"]),
    ],
)
def test_a_wrong_attribute_names_its_neuron(
    key: str, value: Any, error: type[Exception], parts: list[str], refused: Any
) -> None:
    with refused(error, *parts):
        from_networkx(digraph(("x", "h"), ("h", "y"), h={key: value}))


def test_edges_of_one_param_agree(refused: Any) -> None:
    G = digraph(("x", "h", {"weight": 1.0, "param": "w"}), ("h", "y", {"weight": 2.0, "param": "w"}))
    with refused(GraphError, "'w'", "two weights", "1.0", "2.0"):
        from_networkx(G)
    with refused(GraphError, "hashable"):
        from_networkx(digraph(("x", "y", {"param": ["w"]})))


def test_ids_that_python_holds_equal_collide(refused: Any) -> None:
    for first, second in ((1, 1.0), (1, True), (True, 1.0), (0, False)):
        net = fg.Network()
        net.add_input("x")
        net.add_neuron(first, ["x"])
        with refused(GraphError, repr(first), repr(second), "exists"):
            net.add_neuron(second, ["x"])
        with refused(GraphError, "exists"):
            net.add_input(second)
    with refused(GraphError, "list", "hashable"):
        net.add_neuron(["y"], ["x"])


def test_names_when_made_by_hand(refused: Any) -> None:
    net = fg.Network()
    net.add_input("pressure")
    for broken, error, parts in (
        (lambda: net.add_neuron("h", ["presure"]), UnknownNameError, ["'presure'", "'pressure'"]),
        (lambda: net.add_neuron("h", "pressure"), GraphError, ["predecessors='pressure'", "list"]),
        (lambda: net.add_neuron("h", ["pressure"], activation="tahn"), UnknownNameError, ["'tahn'", "'h'", "'tanh'"]),
        (lambda: net.add_neuron("h", ["pressure"], aggregation="men"), UnknownNameError, ["'men'", "'h'"]),
        (lambda: net.connect("pressure", "pressure"), GraphError, ["self-loop", "'pressure'"]),
        (lambda: net.set_outputs("pressure"), GraphError, ["list"]),
    ):
        with refused(error, *parts):
            broken()


# ---- compile ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "parts"),
    [
        ({"executor": "nunba"}, UnknownNameError, ["'nunba'", "'numba'"]),
        ({"loss": "square_error"}, UnknownNameError, ["'square_error'", "'squared_error'"]),
        ({"loss": 3}, ConfigError, ["loss=3"]),
        ({"dtype": "float16"}, ConfigError, ["'float16'", "'float32'", "'float64'"]),
        ({"dtype": "flaot"}, ConfigError, ["'flaot'"]),
        ({"reduction": "max"}, ConfigError, ["'max'", "'mean'", "'sum'"]),
        ({"threads": 0}, ConfigError, ["threads=0"]),
        ({"threads": 2.0}, ConfigError, ["threads=2.0"]),
        ({"threads": True}, ConfigError, ["threads=True"]),
    ],
)
def test_compile_s_arguments(options: dict[str, Any], error: type[Exception], parts: list[str], refused: Any) -> None:
    with refused(error, *parts):
        fg.compile(from_arrays([0], [1]), **options)


def test_compile_wants_a_network(refused: Any) -> None:
    with refused(ConfigError, "Network", "DiGraph"):
        fg.compile(digraph(("x", "y")))  # type: ignore[arg-type]  # wrong on purpose


def test_a_user_s_activation_that_cannot_be_compiled_says_so(executor: str, refused: Any) -> None:
    table = {0.0: 1.0}
    odd = fg.Activation("odd", lambda z: table.get(str(z), z), lambda z: 1.0)
    net = from_networkx(digraph(("x", "y"), y={"activation": odd}))
    if executor == "python":
        assert fg.compile(net, executor=executor).predict([[2.0]]).shape == (1, 1)
    else:
        with refused(ExecutorError, "odd"):
            fg.compile(net, executor=executor)
    with refused(ConfigError, "name"):
        fg.Activation("", abs, abs)
    with refused(ConfigError, "df", "'mine'"):
        fg.Activation("mine", abs, 1.0)  # type: ignore[arg-type]  # wrong on purpose
