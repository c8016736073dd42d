"""Bad input: the error's class, and that the message names the thing, the rule and the nearest valid name."""

from __future__ import annotations

import csv
import re
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
    DataError,
    ExecutorError,
    FlowgradError,
    GraphError,
    ShapeError,
    UnknownNameError,
)


def refused(error: type[Exception], *parts: str) -> Any:
    """The context that wants this error, with all of these parts in its message."""
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{re.escape(part)})" for part in parts))


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


def test_a_cycle_is_named_node_by_node() -> None:
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
def test_what_is_no_network(make: Callable[[], Any], error: type[Exception], parts: list[str]) -> None:
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
def test_a_weight_or_bias_that_is_no_finite_number(value: Any, rule: str) -> None:
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
def test_a_wrong_attribute_names_its_neuron(key: str, value: Any, error: type[Exception], parts: list[str]) -> None:
    with refused(error, *parts):
        from_networkx(digraph(("x", "h"), ("h", "y"), h={key: value}))


def test_edges_of_one_param_agree() -> None:
    G = digraph(("x", "h", {"weight": 1.0, "param": "w"}), ("h", "y", {"weight": 2.0, "param": "w"}))
    with refused(GraphError, "'w'", "two weights", "1.0", "2.0"):
        from_networkx(G)
    with refused(GraphError, "hashable"):
        from_networkx(digraph(("x", "y", {"param": ["w"]})))


def test_ids_that_python_holds_equal_collide() -> None:
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


def test_names_when_made_by_hand() -> None:
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
def test_compile_s_arguments(options: dict[str, Any], error: type[Exception], parts: list[str]) -> None:
    with refused(error, *parts):
        fg.compile(from_arrays([0], [1]), **options)


def test_compile_wants_a_network() -> None:
    with refused(ConfigError, "Network", "DiGraph"):
        fg.compile(digraph(("x", "y")))  # type: ignore[arg-type]


def test_a_user_s_activation_that_cannot_be_compiled_says_so(executor: str) -> None:
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
        fg.Activation("mine", abs, 1.0)  # type: ignore[arg-type]


# ---- data ---------------------------------------------------------------------------------------------------


@pytest.fixture
def program(executor: str) -> fg.Program:
    G = digraph(("width", "h"), ("height", "h"), ("h", "area"), ("h", "price"))
    return fg.compile(from_networkx(G), executor=executor, loss="cross_entropy")


X, T = np.ones((3, 2)), np.full((3, 2), 0.5)


@pytest.mark.parametrize(
    ("x", "error", "parts"),
    [
        (np.ones((3, 4)), ShapeError, ["X", "(3, 4)", "(B, 2)"]),
        (np.ones(2), ShapeError, ["(2,)", "X[None, :]"]),
        (np.ones((1, 3, 2)), ShapeError, ["(1, 3, 2)"]),
        (np.empty((0, 2)), DataError, ["X", "empty batch"]),
        ({"width": [1.0]}, UnknownNameError, ["'height'"]),
        ({"width": [1.0], "heigth": [1.0]}, UnknownNameError, ["'height'", "'heigth'"]),
        ({"width": [1.0], "height": [1.0], "depth": [1.0]}, UnknownNameError, ["'depth'", "input"]),
        ({"width": [1.0, 2.0], "height": [1.0]}, ShapeError, ["(1,)", "(2,)"]),
        ({"width": [[1.0]], "height": [[1.0]]}, ShapeError, ["(B,)"]),
        ({"width": [], "height": []}, DataError, ["empty batch"]),
        ({"width": ["1"], "height": [1.0]}, DataError, ["X['width']", "text"]),
        ([["1", "2"]], DataError, ["X", "text", "real numbers"]),
        (np.ones((3, 2), complex), DataError, ["complex", "real numbers"]),
        (np.array([[None, 1.0]]), DataError, ["object"]),
    ],
)
def test_x(program: fg.Program, x: Any, error: type[Exception], parts: list[str]) -> None:
    for call in (program.forward, program.predict, lambda x: program.value_and_grad(program.theta, x, T)):
        with refused(error, *parts):
            call(x)


@pytest.mark.parametrize(
    ("t", "error", "parts"),
    [
        (np.ones((3, 3)), ShapeError, ["T", "(3, 3)", "(B, 2)"]),
        (np.ones((4, 2)), ShapeError, ["T has 4 rows", "3"]),
        ([0, 1, 2], DataError, ["class index 2", "sample 2", "0 … 1"]),
        ([0, -1, 1], DataError, ["class index -1", "sample 1"]),
        ([0.0, 1.0, 1.0], DataError, ["float64", "integers"]),
        ([0, 1], ShapeError, ["T has 2 rows"]),
        ({"area": [1.0] * 3, "prize": [0.0] * 3}, UnknownNameError, ["'price'", "'prize'"]),
        (np.empty((0, 2)), DataError, ["T", "empty"]),
        ([["a", "b"]] * 3, DataError, ["text"]),
    ],
)
def test_t(program: fg.Program, t: Any, error: type[Exception], parts: list[str]) -> None:
    acts = program.forward(X)
    for call in (lambda: program.backward(acts, t), lambda: program.value_and_grad(program.theta, X, t)):
        with refused(error, *parts):
            call()


@pytest.mark.parametrize(
    ("options", "error", "parts"),
    [
        ({}, DataError, ["T", "cotangent", "not both"]),
        ({"T": T, "cotangent": T}, DataError, ["not both"]),
        ({"cotangent": T, "sample_weight": np.ones(3)}, DataError, ["sample_weight"]),
        ({"cotangent": T, "per_output": True}, DataError, ["per_output"]),
        ({"cotangent": np.ones((2, 2))}, ShapeError, ["cotangent", "(2, 2)", "(3, 2)"]),
        ({"cotangent": np.ones((3, 1))}, ShapeError, ["cotangent", "(3, 1)"]),
        ({"T": T, "sample_weight": np.ones(2)}, ShapeError, ["sample_weight", "(2,)", "(3,)"]),
        ({"T": T, "sample_weight": [1.0, -1.0, 1.0]}, DataError, ["sample_weight", "-1.0", "sample 1"]),
        ({"T": T, "sample_weight": [1.0, np.nan, 1.0]}, DataError, ["nan", "sample 1"]),
        ({"T": T, "sample_weight": [0.0, 0.0, 0.0]}, DataError, ["0 for every sample"]),
    ],
)
def test_backward_s_arguments(
    program: fg.Program, options: dict[str, Any], error: type[Exception], parts: list[str]
) -> None:
    acts = program.forward(X)
    with refused(error, *parts):
        program.backward(acts, **options)


def test_theta_says_how_it_is_made_up(program: fg.Program) -> None:
    parts = ["(5,)", "(7,)", "4 weights", "3 biases"]
    for call in (
        lambda: program.forward(X, np.zeros(5)),
        lambda: program.predict(X, np.zeros(5)),
        lambda: program.value_and_grad(np.zeros(5), X, T),
        lambda: program.network(np.zeros(5)),
        lambda: setattr(program, "theta", np.zeros(5)),
    ):
        with refused(ShapeError, *parts):
            call()
    with refused(ShapeError, "(7, 1)"):
        program.theta = np.zeros((7, 1))
    with refused(DataError, "theta", "complex"):
        program.theta = np.zeros(7, complex)
    with refused(ShapeError, "out", "(7,)"):
        program.value_and_grad(program.theta, X, T, out=np.empty(6))
    with refused(ShapeError, "out", "float64"):
        program.value_and_grad(program.theta, X, T, out=np.empty(7, np.float32))


def test_names_of_results(program: fg.Program) -> None:
    acts = program.forward(X)
    grads = program.backward(acts, T, per_output=True)
    for look_up, parts in (
        (lambda: acts.z["hh"], ["'hh'", "'h'"]),
        (lambda: grads.input["h"], ["'h'", "no input"]),
        (lambda: grads.per_output["h"], ["'h'", "no output"]),
        (lambda: grads.weight["width", "area"], ["'width' → 'area'", "h"]),
        (lambda: grads.weight["width"], ["source, target"]),
        (lambda: program.theta_index.bias["width"], ["'width'", "input"]),
        (lambda: program.theta_index["nobody"], ["'nobody'"]),
        (lambda: program.theta_index.label(7), ["7"]),
    ):
        with refused(UnknownNameError, *parts):
            look_up()
        with pytest.raises(LookupError):
            look_up()


def test_frozen_parameters_have_no_slot(executor: str) -> None:
    G = digraph(("x", "y", {"weight": 1.0, "trainable": False}), y={"trainable": False})
    index = fg.compile(from_networkx(G), executor=executor).theta_index
    with refused(UnknownNameError, "'x' → 'y'", "not trainable"):
        index["x", "y"]
    with refused(UnknownNameError, "'y'", "not trainable"):
        index["y"]
    assert len(index) == 0


def test_an_id_that_could_be_an_edge_has_to_be_said_in_full(executor: str) -> None:
    G = digraph(("a", "b"), ("b", ("a", "b")))
    index = fg.compile(from_networkx(G), executor=executor).theta_index
    with refused(FlowgradError, "('a', 'b')", "bias", "weight"):
        index["a", "b"]
    assert len({index.bias["a", "b"], index.weight["a", "b"], index["b"], index["b", ("a", "b")]}) == 4


def test_a_program_without_a_loss(executor: str) -> None:
    program = fg.compile(from_arrays([0], [1]), executor=executor)
    for call in (
        lambda: program.backward(program.forward([[1.0]]), [[1.0]]),
        lambda: program.value_and_grad(program.theta, [[1.0]], [[1.0]]),
    ):
        with refused(DataError, "no loss", "squared_error"):
            call()


# ---- what is not bad ----------------------------------------------------------------------------------------


def test_numbers_of_any_real_kind_are_welcome(program: fg.Program) -> None:
    expected = program.predict([[1.0, 0.0]])
    for x in ([[1, 0]], [[True, False]], np.array([[1, 0]], np.uint8), np.array([[1, 0]], np.float32)):
        np.testing.assert_array_equal(program.predict(x), expected)
    by_name = {"height": [0.0], "width": [1.0]}
    np.testing.assert_array_equal(program.predict(by_name), expected)
    np.testing.assert_array_equal(program.predict(np.asfortranarray([[1.0, 0.0], [1.0, 0.0]]))[:1], expected)
    np.testing.assert_array_equal(program.predict(np.ones((2, 4))[:, ::2] * [1.0, 0.0])[:1], expected)


def test_data_frames_by_name(program: fg.Program) -> None:
    expected = program.predict([[1.0, 0.0]])
    for library in ("pandas", "polars"):
        frame = pytest.importorskip(library).DataFrame({"height": [0.0], "width": [1.0]})
        np.testing.assert_array_equal(program.predict(frame), expected)
        with refused(UnknownNameError, "'height'"):
            program.predict(frame[["width"]])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_non_finite_numbers_flow(executor: str, value: float) -> None:
    """Equations as they stand: no error, no warning, and the other samples untouched."""
    G = digraph(("x", "h", {"weight": 2.0}), ("h", "y", {"weight": 1.0}), ("x", "y", {"weight": 1.0}))
    G.add_node("h", activation="tanh", bias=0.0)
    program = fg.compile(from_networkx(G), executor=executor, loss="squared_error", reduction="sum")
    clean = program.backward(program.forward([[0.5]]), [[0.0]])
    acts = program.forward([[value], [0.5]])
    grads = program.backward(acts, [[0.0], [0.0]])
    np.testing.assert_array_equal(acts.a["h"][0], np.tanh(value))
    np.testing.assert_array_equal(acts.output[0, 0], value)  # ±1 beside inf
    np.testing.assert_array_equal(grads.dz["y"][0], value)
    np.testing.assert_array_equal(grads.dz["h"][0], np.nan)  # tanh'(±inf) = 0, and 0 · inf
    np.testing.assert_array_equal(grads.loss, np.nan if np.isnan(value) else np.inf)
    for v in ("x", "h", "y"):
        assert grads.dz[v][1] == pytest.approx(clean.dz[v][0], rel=1e-15)
    loss, g = program.value_and_grad(program.theta, [[value], [0.5]], [[0.0], [0.0]])
    np.testing.assert_array_equal(loss, grads.loss)
    np.testing.assert_array_equal(np.isfinite(g), np.isfinite(grads.theta))
    program.theta = np.full_like(program.theta, value)
    assert not np.isfinite(program.predict([[0.5]])).any()
