"""Columns: one factory fills in what a plain network has, and blanks what inputs have not; arrays are read-only."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from flowgrad import Network
from flowgrad.attributes import encode
from flowgrad.columns import Columns

IDS = ["x", "y", "h", "o"]
SOURCE, TARGET = [0, 1, 2], [2, 2, 3]


def plain(**more: object) -> Columns:
    functions = encode("activations", [None, None, "tanh", "identity"], IDS)
    return Columns.of(IDS, [0, 1], [3], SOURCE, TARGET, functions, **more)


def test_what_is_not_said_is_that_of_a_plain_network() -> None:
    c = plain()
    assert [a.name for a in c.aggregations] == ["sum"]
    assert c.aggregation.tolist() == [-1, -1, 0, 0]
    assert c.bias.tolist() == [0.0] * 4
    assert c.response.tolist() == [1.0] * 4
    assert c.trainable.tolist() == [False, False, True, True]
    assert np.isnan(c.weight).all()
    assert c.edge_trainable.all()
    assert c.param.tolist() == [-1, -1, -1]
    assert Network.from_columns(c).inputs == ("x", "y")


def test_inputs_have_no_function_no_bias_and_train_nothing() -> None:
    functions = encode("activations", ["tanh"] * 4, IDS)
    c = Columns.of(IDS, [0, 1], [3], SOURCE, TARGET, functions, (0, ("sum",)), bias=5.0, response=[2.0] * 4)
    assert c.activation.tolist() == [-1, -1, 0, 0]
    assert c.aggregation.tolist() == [-1, -1, 0, 0]
    assert c.bias.tolist() == [0.0, 0.0, 5.0, 5.0]
    assert c.response.tolist() == [1.0, 1.0, 2.0, 2.0]
    assert c.trainable.tolist() == [False, False, True, True]


@pytest.mark.parametrize("weight", [0.5, [0.5] * 3, np.full(3, 0.5, np.float32)], ids=["one", "list", "float32"])
def test_a_column_is_one_value_for_all_or_one_each_and_has_its_dtype(weight: object) -> None:
    c = plain(weight=weight)
    assert c.weight.dtype == np.float64
    assert c.weight.tolist() == [0.5] * 3
    kinds = {f.name: getattr(c, f.name).dtype for f in fields(c) if isinstance(getattr(c, f.name), np.ndarray)}
    assert {kinds[name] for name in ("inputs", "outputs", "source", "target", "param")} == {np.dtype(np.int32)}
    assert {kinds[name] for name in ("activation", "aggregation")} == {np.dtype(np.int16)}


def test_every_array_is_read_only_what_is_found_later_too() -> None:
    c = plain(weight=[1.0, np.nan, 2.0])
    arrays = [getattr(c, f.name) for f in fields(c)] + [c.level, c.order, c.weights, c.is_input]
    for array in arrays:
        if isinstance(array, np.ndarray):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_edges_of_a_param_share_the_first_weight_given() -> None:
    c = plain(weight=[np.nan, 0.25, np.nan], param=([0, 0, 0], ("shared",)))
    assert c.weights.tolist() == [0.25] * 3
