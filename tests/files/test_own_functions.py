"""A user's own aggregation and loss travel as a user's own activation does: in unions, pickles and files, by name."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import DataError, GraphError, UnknownNameError


def largest_square(t):
    m = t[0] * t[0]
    for k in range(t.size):
        m = max(m, t[k] * t[k])
    return m


def dlargest_square(t, d):
    first = 0
    for k in range(t.size):
        d[k] = 0.0
        if t[k] * t[k] > t[first] * t[first]:
            first = k
    d[first] = 2.0 * t[first]


OWN = fg.Aggregation("largest_square", largest_square, dlargest_square)
X = [[2.0, 3.0], [-4.0, 1.0]]


@pytest.fixture
def net() -> fg.Network:
    net = fg.Network()
    net.add_input("x")
    net.add_input("u")
    net.add_neuron("h", {"x": 1.0, "u": -1.0}, aggregation=OWN, activation="identity")
    net.add_neuron("of nothing", bias=0.5, aggregation=OWN, activation="identity")
    net.add_neuron("y", {"h": 0.5, "of nothing": 0.25}, aggregation=OWN, activation="identity")
    net.set_outputs(["y"])
    return net


@pytest.mark.parametrize("executor", ["python", "numba"])
def test_in_unions_and_pickles(net, executor) -> None:
    both = fg.union([net, pickle.loads(pickle.dumps(net))])
    y = np.array([[20.25], [64.0]])
    np.testing.assert_array_equal(fg.compile(both, executor=executor).predict(X), np.hstack([y, y]))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_files_keep_the_name_and_take_the_record_back(net, suffix, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    fg.save(net, path)
    again = fg.load(path, activations=[OWN])
    assert OWN in again.columns.aggregations
    with pytest.raises(UnknownNameError, match="the aggregation largest_square"):
        fg.load(path)
    with pytest.raises(DataError, match="give Activation or Aggregation records"):
        fg.load(path, activations=[fg.Loss("mine", abs, abs)])


@pytest.mark.parametrize("suffix", [".c", ".onnx"])
def test_other_languages_refuse_it_by_name(net, suffix, tmp_path: Path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnx")
    with pytest.raises(GraphError, match="the aggregation 'largest_square' has no form in"):
        fg.save(net, tmp_path / f"net{suffix}")


@pytest.mark.parametrize("executor", ["python", "numba"])
def test_gradients_beside_differences(net, executor) -> None:
    loss = fg.Loss("fourth", lambda y, t: (y - t) ** 4, lambda y, t: 4.0 * (y - t) ** 3)
    assert fg.gradcheck(fg.compile(net, executor=executor, loss=loss), X, [[1.0], [2.0]]).passed


def test_one_that_is_called_as_ours_is_not_taken_for_it() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 3.0}, aggregation=fg.Aggregation("sum", largest_square, dlargest_square))
    net.set_outputs(["y"])
    again = fg.Network.from_networkx(net.graph)
    assert again.columns.aggregations[0].f is largest_square
    assert fg.compile(again, executor="python").predict([[1.0]]) == fg.compile(net, executor="python").predict([[1.0]])
