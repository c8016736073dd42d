"""Bad data and bad names for a program: the error's class, and that it names the thing, the rule and the nearest."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import DataError, FlowgradError, ShapeError, UnknownNameError

from_networkx = fg.Network.from_networkx
from_arrays = fg.Network.from_arrays


@pytest.fixture
def program(executor: str) -> fg.Program:
    G = nx.DiGraph([("width", "h"), ("height", "h"), ("h", "area"), ("h", "price")])
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
def test_x(program: fg.Program, x: Any, error: type[Exception], parts: list[str], refused: Any) -> None:
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
def test_t(program: fg.Program, t: Any, error: type[Exception], parts: list[str], refused: Any) -> None:
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
    program: fg.Program, options: dict[str, Any], error: type[Exception], parts: list[str], refused: Any
) -> None:
    acts = program.forward(X)
    with refused(error, *parts):
        program.backward(acts, **options)


def test_theta_says_how_it_is_made_up(program: fg.Program, refused: Any) -> None:
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


def test_names_of_results(program: fg.Program, refused: Any) -> None:
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


def test_frozen_parameters_have_no_slot(executor: str, refused: Any) -> None:
    G = nx.DiGraph([("x", "y", {"weight": 1.0, "trainable": False})])
    G.nodes["y"]["trainable"] = False
    index = fg.compile(from_networkx(G), executor=executor).theta_index
    with refused(UnknownNameError, "'x' → 'y'", "not trainable"):
        index["x", "y"]
    with refused(UnknownNameError, "'y'", "not trainable"):
        index["y"]
    assert len(index) == 0


def test_an_id_that_could_be_an_edge_has_to_be_said_in_full(executor: str, refused: Any) -> None:
    G = nx.DiGraph([("a", "b"), ("b", ("a", "b"))])
    index = fg.compile(from_networkx(G), executor=executor).theta_index
    with refused(FlowgradError, "('a', 'b')", "bias", "weight"):
        index["a", "b"]
    assert len({index.bias["a", "b"], index.weight["a", "b"], index["b"], index["b", ("a", "b")]}) == 4


def test_a_program_without_a_loss(executor: str, refused: Any) -> None:
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


def test_data_frames_by_name(program: fg.Program, refused: Any) -> None:
    expected = program.predict([[1.0, 0.0]])
    for library, make in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")):
        frame = getattr(pytest.importorskip(library), make)({"height": [0.0], "width": [1.0]})
        np.testing.assert_array_equal(program.predict(frame), expected)
        with refused(UnknownNameError, "'height'"):
            program.predict(frame.select(["width"]) if library == "pyarrow" else frame[["width"]])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_non_finite_numbers_flow(executor: str, value: float) -> None:
    """Equations as they stand: no error, no warning, and the other samples untouched."""
    G = nx.DiGraph([("x", "h", {"weight": 2.0}), ("h", "y", {"weight": 1.0}), ("x", "y", {"weight": 1.0})])
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


def test_columns_that_are_none_are_named() -> None:
    pl = pytest.importorskip("polars")
    pd = pytest.importorskip("pandas")
    model = fg.Model(fg.topologies.from_edge_list([("a", "y"), ("b", "y")]))
    frame = pd.DataFrame([[1.0, 2.0, 3.0, 4.0]], columns=["a", "b", "c", "c"])
    assert model.predict(frame).shape == (1, 1), "others may stand there twice"
    for X, error, said in (
        (frame.set_axis(["a", "b", "c", "a"], axis=1), DataError, "X has the column 'a' twice"),
        (pl.DataFrame({"a": [1.0], "b": [2.0]}).lazy(), DataError, r"LazyFrame holds no values yet: collect\(\) it"),
        ({"a": [1.0], "b": [[1.0, 2.0]]}, ShapeError, r"X\['b'\] has shape \(1, 2\): must be \(B,\)"),
        ({"a": 1.0, "b": [1.0]}, ShapeError, r"X\['a'\] has shape \(\): must be \(B,\)"),
        ({"a": [1.0], "b": [1.0, 2.0]}, ShapeError, r"unequal lengths: X\['a'\] has shape \(1,\), X\['b'\] has shape"),
    ):
        with pytest.raises(error, match=said):
            model.predict(X)
