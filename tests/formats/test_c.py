"""The C file: compiled without a warning, and equal to predict, whatever the functions, the size and the names."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

import flowgrad as fg
from flowgrad.formats._c_functions import AGGREGATIONS
from flowgrad.registry import find, names
from flowgrad.testing.strategies import networks

PRINTED = tuple(name for name in names("activations") if find("activations", name).expression is not None)

STRICT = ["-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99"]
Compiled = Callable[[fg.Network, np.ndarray], np.ndarray]
number = count()


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    """compiled(net, X) is what the C file of the network makes of the samples X."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc: C files are not compiled here")

    def run(net: fg.Network, X: np.ndarray) -> np.ndarray:
        path = tmp_path / f"net{next(number)}.c"
        fg.save(net, path)
        library = path.with_suffix(".so")
        subprocess.run(["gcc", *STRICT, "-shared", "-fPIC", path, "-o", library, "-lm"], check=True)
        predict = ctypes.CDLL(str(library))[f"{path.stem}_predict"]
        X, Y = np.ascontiguousarray(X, np.float64), np.empty((len(X), len(net.outputs)))
        pointer = ctypes.POINTER(ctypes.c_double)
        for x, y in zip(X, Y, strict=True):
            predict(x.ctypes.data_as(pointer), y.ctypes.data_as(pointer))
        return Y

    return run


def assert_equal(got: np.ndarray, wanted: np.ndarray) -> None:
    """To 1e-12, of 1 or of the number itself; inf and NaN in their places."""
    np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


EXTREME = [0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 0.3, -0.7, 12.0, -50.0, 300.0, -900.0, 1e-9, 1e200, np.inf, -np.inf, np.nan]


def test_every_activation_everywhere(compiled: Compiled, executor: str) -> None:
    net = fg.Network()
    net.add_input("x")
    for k, name in enumerate(n for n in names("activations") if find("activations", n).expression):
        net.add_neuron(name, {"x": 1.0 - k / 64}, bias=k / 128, activation=name)
    X = np.array([EXTREME, [*np.linspace(-4, 4, len(EXTREME))]]).reshape(-1, 1)
    assert_equal(compiled(net, X), fg.compile(net, executor=executor).predict(X))


def test_every_aggregation_with_ties_zeros_and_extremes(compiled: Compiled, executor: str) -> None:
    net = fg.Network()
    for k in range(7):
        net.add_input(k)
    for n in (0, 1, 2, 5, 6, 7):
        for name in AGGREGATIONS:
            weights = {k: (-1.0) ** k * (1 + k % 3) for k in range(n)}
            net.add_neuron((name, n), weights, activation="identity", aggregation=name, bias=0.5, response=-1.5)
    X = np.random.default_rng(1).choice([*EXTREME, 1.0, 2.0, -2.0, 0.5, 1e160], size=(300, 7))
    wanted = fg.compile(net, executor=executor).predict(X)
    got = compiled(net, X)
    both = np.isfinite(X).all(axis=1)  # inf − inf and 0 · inf in another order are NaN of another kind of sum
    assert_equal(got[both], wanted[both])
    assert (np.isnan(got) == np.isnan(wanted)).all()


def test_there_is_a_form_for_every_function_or_it_is_refused(tmp_path: Path) -> None:
    assert set(AGGREGATIONS) <= set(names("aggregations"))
    own = fg.Activation("bump", lambda z: z, lambda z: 1.0)
    for activation in (own, fg.Activation("tanh", own.f, own.df)):
        net = fg.Network()
        net.add_input("x")
        net.add_neuron("h", ["x"], activation=activation)
        with pytest.raises(fg.FlowgradError, match=f"neuron 'h': the activation '{activation.name}' has no form in C"):
            fg.save(net, tmp_path / "net.c")


def test_a_users_own_function_is_printed_from_its_expression(compiled: Compiled, executor: str) -> None:
    """Names that are the same in C stay apart; helpers stand there where an expression wants them."""

    def clipped(z: float) -> float:
        return min(max(z, 0.0), 6.0)

    def inside(z: float) -> float:
        return 1.0 if z > 0.0 and z < 6.0 else 0.0

    def shrunk(z: float) -> float:
        return z - clipped(z)

    def outside(z: float) -> float:
        return 1.0 - inside(z)

    low = ("min(max(z, 0), 6)", "select(abs(z - 3) < 3, 1, 0)")
    high = ("z - min(max(z, 0), 6)", "select(abs(z - 3) < 3, 0, 1)")
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("a", {"x": 1.0}, activation=fg.Activation("Ähm 6", clipped, inside, expression=low))
    net.add_neuron("b", {"x": 1.0}, activation=fg.Activation("öhm 6", shrunk, outside, expression=high))
    net.add_neuron("c", {"x": 1.0}, activation="step")
    X = np.linspace(-9, 9, 19).reshape(-1, 1)
    assert_equal(compiled(net, X), fg.compile(net, executor=executor).predict(X))


@given(net=networks(activations=PRINTED, aggregations=tuple(AGGREGATIONS)))
def test_random_networks(net: fg.Network, compiled: Compiled) -> None:
    X = np.random.default_rng(3).standard_normal((6, len(net.inputs)))
    assert_equal(compiled(net, X), fg.compile(net, executor="python").predict(X))


def test_a_large_network_is_a_loop_over_tables(compiled: Compiled, tmp_path: Path) -> None:
    """17,000 neurons, 34,000 edges: more than the stack holds; code does not grow with it."""
    net = fg.topologies.random_dag(100, 17_000, fan_in=2, seed=1)
    X = np.random.default_rng(1).standard_normal((3, 100))
    assert_equal(compiled(net, X), fg.compile(net).predict(X))
    (path,) = tmp_path.glob("*.c")
    text = path.read_text()
    assert "are static: one call at a time" in text
    assert text.count(";") < 60


def test_dense_layers_list_their_predecessors_once(compiled: Compiled, tmp_path: Path) -> None:
    net = fg.topologies.layered([30, 40, 50, 2], activation="relu")
    X = np.random.default_rng(1).standard_normal((3, 30))
    assert_equal(compiled(net, X), fg.compile(net).predict(X))
    (path,) = tmp_path.glob("*.c")
    assert "source[120]" in path.read_text()


HARD = ["*/ int main(void) { return 1; } /*", "/*", "**//**/", "*", "/", "??/", "*??/", "????/?", "a\\", "\\",
        "two\nlines", "\r", "\u2028", "\u202e\u2066", '"', "'", "größe|µ", "x" * 4096, "\udcff", "#include",
        "", "//"]  # fmt: skip


def test_no_name_leaves_its_comment(compiled: Compiled, tmp_path: Path) -> None:
    net = fg.Network()
    for name in HARD:
        net.add_input(name)
    for name in HARD:
        net.add_neuron(("h", name), {name: 0.5}, activation="tanh")
        net.add_neuron(f"{name} y", {("h", name): 2.0}, activation="identity")
    X = np.random.default_rng(1).standard_normal((2, len(HARD)))
    assert_equal(compiled(net, X), fg.compile(net, executor="python").predict(X))
    text = next(tmp_path.glob("*.c")).read_text(encoding="utf-8")
    assert text.count("*/") == text.count("/*")
    assert "??" not in text


@pytest.mark.parametrize(
    ("file", "function"),
    [("net.c", "net_predict"), ("a-b.2.c", "a_b_2_predict"), ("3.c", "net_3_predict"), ("double.c", "double_predict"),
     ("__x.c", "net_x_predict"), ("größe.c", "gr__e_predict"), ("net.txt", "net_predict")],
)  # fmt: skip
def test_the_function_is_called_as_the_file(tmp_path: Path, file: str, function: str) -> None:
    fg.save(fg.topologies.layered([1, 1]), tmp_path / file, format="c")
    assert f"\nvoid {function}(const double *x, double *y)\n{{" in (tmp_path / file).read_text()


def test_inputs_that_are_outputs_and_neurons_without_edges(compiled: Compiled) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_input("y")
    net.set_outputs(["y", "x"])
    assert compiled(net, np.array([[1.0, 2.0]])).tolist() == [[2.0, 1.0]]
    net.add_neuron("b", bias=0.25, activation="square")
    net.add_neuron("dead", ["x"])
    net.set_outputs(["b", "y"])
    assert compiled(net, np.array([[1.0, 2.0]])).tolist() == [[0.0625, 2.0]]


def test_numbers_come_back_to_the_bit(compiled: Compiled) -> None:
    net = fg.Network()
    net.add_input("x")
    extreme = [5e-324, -1.7976931348623157e308, 0.1, -0.0, 1 / 3]
    for k, w in enumerate(extreme):
        net.add_neuron(k, {"x": w}, activation="identity", bias=w)
    got = compiled(net, np.array([[1.0], [0.0]]))
    assert got[1].tolist() == extreme
    assert got[0].tolist() == [1e-323, -np.inf, 0.2, 0.0, 2 / 3]


def test_it_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "net.c").write_text("int x;")
    with pytest.raises(fg.FlowgradError, match=r"no format to read fits .*, whose suffix is '\.c'"):
        fg.load(tmp_path / "net.c")
    with pytest.raises(fg.FlowgradError, match="format 'c' cannot read"):
        fg.load(tmp_path / "net.c", format="c")
