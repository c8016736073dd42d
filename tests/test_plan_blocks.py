"""`Plan.blocks`: the dense parts of a network, against a definition written out."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.plan import Plan, lower
from flowgrad.testing.strategies import networks


def by_definition(plan: Plan) -> list[list[int]]:
    """Runs of two or more neurons of which each is like the one before."""

    def sources(v: int) -> list[int] | None:
        neuron = plan.aggregation[v] >= 0
        plain = neuron and plan.aggregations[plan.aggregation[v]].name == "sum" and plan.response[v] == 1.0
        return plan.in_source[plan.in_ptr[v] : plan.in_ptr[v + 1]].tolist() or None if plain else None

    found: list[list[int]] = []
    for v in range(1, plan.n_nodes):
        if sources(v) is None or sources(v) != sources(v - 1):
            continue
        if found and found[-1][1] == v:
            found[-1][1] = v + 1
        else:
            found.append([v - 1, v + 1])
    return found


@given(networks())
def test_blocks_are_neurons_with_the_same_sources(net: fg.Network) -> None:
    plan = lower(net)
    assert plan.blocks.tolist() == by_definition(plan)


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_blocks_of_layers_with_edges_dropped(layers: list[int], seed: int) -> None:
    whole = lower(fg.topologies.layered(layers, seed=0))
    ends = np.cumsum(layers)
    dense = [[a, b] for a, b in itertools.pairwise(ends) if b - a > 1]
    assert whole.blocks.tolist() == dense
    kept = np.random.default_rng(seed).random(whole.n_edges) < 0.8
    kept[0] = True
    net = fg.Network.from_arrays(whole.in_source[kept], whole.in_target[kept], n_nodes=whole.n_nodes)
    assert lower(net).blocks.tolist() == by_definition(lower(net))


def test_scaled_neurons_and_other_aggregations_are_in_no_block() -> None:
    net = fg.Network()
    for name in ("x", "y"):
        net.add_input(name)
    for name, more in [("a", {}), ("b", {}), ("c", {"response": 2.0}), ("d", {}), ("e", {"aggregation": "max"})]:
        net.add_neuron(name, {"x": 1.0, "y": 2.0}, **more)
    net.add_neuron("f", {"y": 1.0, "x": 2.0})
    net.set_outputs(["a", "b", "c", "d", "e", "f"])
    plan = lower(net)
    assert [[net.nodes[plan.nodes[v]] for v in range(*block)] for block in plan.blocks] == [["a", "b"]]
