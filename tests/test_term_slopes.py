"""∂m/∂t of every edge: that of the aggregation's own derivative, neuron by neuron, whatever the function is called."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.maths.aggregations import Aggregation
from flowgrad.plan import Plan, lower
from flowgrad.testing.strategies import networks


def by_definition(plan: Plan, weight: np.ndarray, a: np.ndarray) -> list[float]:
    found: list[float] = []
    for v in range(plan.n_nodes):
        first, last = plan.in_ptr[v], plan.in_ptr[v + 1]
        t = np.array([weight[e] * a[plan.in_source[e]] for e in range(first, last)])
        d = np.empty(len(t))
        if plan.aggregation[v] >= 0:
            plan.aggregations[plan.aggregation[v]].df(t, d)
        found += d.tolist()
    return found


@given(networks(), st.integers(0, 2**32 - 1))
def test_every_edge_has_the_slope_of_its_aggregation(net: fg.Network, seed: int) -> None:
    plan, rng = lower(net), np.random.default_rng(seed)
    a = rng.normal(size=plan.n_nodes)
    weight = plan.weight.copy()
    weight[rng.random(len(weight)) < 0.2] = 0.0
    found = plan.term_slopes(weight, a)
    assert found.shape == (plan.n_edges,)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, by_definition(plan, weight, a))


def squares(t: np.ndarray) -> float:
    m = 0.0
    for x in t:
        m += x * x
    return float(m)


def dsquares(t: np.ndarray, d: np.ndarray) -> None:
    for k in range(len(t)):
        d[k] = 2.0 * t[k]


@pytest.mark.parametrize("name", ["squares", "sum", "mean"])
def test_a_function_of_the_users_is_what_it_computes_and_not_what_it_is_called(name: str) -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_input("y")
    net.add_neuron("h", {"x": 0.5, "y": 0.0}, activation="identity", aggregation=Aggregation(name, squares, dsquares))
    net.set_outputs(["h"])
    plan = lower(net)
    assert plan.term_slopes(plan.weight, np.array([3.0, 1.0, 0.0])).tolist() == [3.0, 0.0]
    assert np.isnan(plan.coefficient[2:]).all()
    program = fg.compile(net, executor="python", loss="squared_error")
    silent = fg.inspection.health(program, [[0.0, 1.0], [3.0, 1.0]], [[0.0], [0.0]]).silent
    assert silent == (("y", "h"),)  # its weight is 0, and 2·w·a·a with it


def test_a_slope_at_numbers_that_are_not_finite_is_the_derivatives_own() -> None:
    net = fg.Network()
    net.add_input("x")
    net.add_input("y")
    net.add_neuron("h", {"x": 1.0, "y": 1.0}, aggregation="max")
    net.set_outputs(["h"])
    plan = lower(net)
    for a in ([np.inf, 1.0, 0.0], [np.nan, 1.0, 0.0], [-np.inf, np.inf, 0.0]):
        np.testing.assert_array_equal(
            plan.term_slopes(plan.weight, np.array(a)), by_definition(plan, plan.weight, np.array(a))
        )
