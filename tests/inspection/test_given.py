"""What inspection is given: a Network for a Program, a Program for a Network, Activations for samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import inspection

NET = fg.topologies.layered([2, 3, 1], seed=0)
PROGRAM = fg.compile(NET, loss="squared_error")
X, T = np.ones((2, 2)), np.ones((2, 1))
MORE = {"X": X, "T": T, "node": 2, "source": 0, "target": 2}
FUNCTIONS = {
    name: function
    for name in inspection.__all__
    if inspect.isfunction(function := getattr(inspection, name))
    and {"program", "network"} & set(inspect.signature(function).parameters)
}


def call(function: Callable[..., Any], **other: Any) -> str:
    """Call with what fits, but for `other`; the message of what is raised."""
    wanted = {"program": PROGRAM, "network": NET} | MORE | other
    given = {name: wanted[name] for name in inspect.signature(function).parameters if name in wanted}
    with pytest.raises(fg.FlowgradError) as error:
        function(**given)
    assert isinstance(error.value, ValueError)
    assert len(str(error.value)) < 500
    assert function.__name__ in str(error.value)
    return str(error.value)


def test_there_are_functions_of_both_kinds() -> None:
    assert {"node_importance", "health", "explain", "trace", "path_attribution"} <= set(FUNCTIONS)
    assert {"reuse_report", "network_facts", "importance_stability"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_stands_in_the_place_of_another_is_named(name: str) -> None:
    function = FUNCTIONS[name]
    if "program" in inspect.signature(function).parameters:
        assert "not a Network: give fg.compile" in call(function, program=NET)
        assert "not an Activations" in call(function, program=PROGRAM.forward(X))
        assert "not a ndarray" in call(function, program=np.zeros((1000, 1000)))
    else:
        assert "not a Program: give program.network" in call(function, network=PROGRAM)
        assert "not a str" in call(function, network="x" * 688_000)
    for argument in {"X", "T"} & set(inspect.signature(function).parameters):
        assert f"for {argument}, not a Network" in call(function, **{argument: NET})
        assert f"for {argument}, not an Activations" in call(function, **{argument: PROGRAM.forward(X)})


def test_values_are_cut() -> None:
    for wrong in (
        lambda: inspection.node_importance(PROGRAM, X, outputs="y" * 100_000),
        lambda: inspection.importance_stability(NET, X, T, seeds=[1] * 100_000),
        lambda: inspection.importance_stability(NET, X, T, controls="c" * 100_000),
    ):
        with pytest.raises(fg.FlowgradError) as error:
            wrong()
        assert len(str(error.value)) < 500
