"""Neurons that no output depends on are not computed, and their gradients are 0."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba.part import live as live_part
from flowgrad.executors._numba.part import whole
from flowgrad.plan import lower


def random_net(seed: int, *, dense: bool = False, odd: bool = False) -> fg.Network:
    """Few outputs, so that many neurons are dead; with layers that are whole, or with aggregations and responses."""
    rng = np.random.default_rng(seed)
    n, inputs = 160, 8
    source, target = [], []
    for v in range(inputs, n):
        if dense:
            layer = (v - inputs) // 12
            sources = np.arange(max(inputs + (layer - 1) * 12, 0), inputs + layer * 12) if layer else np.arange(inputs)
        else:
            sources = np.sort(rng.choice(v, min(3, v), replace=False))
        source += sources.tolist()
        target += [v] * len(sources)
    if dense:  # a second net beside the first, of single edges, dead for the most part
        more = 40
        for v in range(n, n + more):
            source += rng.choice(v, 3, replace=False).tolist()
            target += [v] * 3
        n += more
    outputs = [inputs + 12 * 4, n - 1] if dense else [n - 1, n - 2, 60]
    weight = rng.standard_normal(len(source)) / 2
    if not odd:
        return fg.Network.from_arrays(
            source, target, weight=weight, activation="tanh", inputs=range(inputs), outputs=outputs, n_nodes=n
        )
    G: Any = nx.DiGraph()
    for v in range(n):
        aggregation, response = ["sum", "max", "mean"][rng.integers(3)], float(rng.choice([1.0, 0.5]))
        G.add_node(v, activation="tanh", aggregation=aggregation, response=response, bias=float(rng.normal()))
    for u, v, w in zip(source, target, weight, strict=True):
        G.add_edge(u, v, weight=float(w), trainable=bool(rng.random() < 0.9))
        if rng.random() < 0.1:
            G.edges[u, v].update(param="shared", weight=0.5)
    return fg.Network.from_networkx(G, inputs=range(inputs), outputs=outputs)


NETS = [random_net(0), random_net(1), random_net(2, dense=True), random_net(3, odd=True)]


@pytest.mark.parametrize("net", NETS)
def test_the_part_is_what_outputs_depend_on(net: fg.Network) -> None:
    plan = lower(net)
    wanted = plan.live()
    assert wanted is not None
    part, wanted = live_part(plan, wanted), wanted.copy()
    kept = np.zeros(plan.n_nodes, bool)
    kept[part.position] = True
    wanted[plan.inputs] = True
    assert 0.1 < (~kept).mean() < 0.9
    np.testing.assert_array_equal(kept, wanted)
    for v, position in enumerate(part.position):
        e = np.arange(part.in_begin[v], part.in_end[v])
        np.testing.assert_array_equal(part.position[part.in_source[e]], plan.in_source[e])
        assert part.node[position] == v
        k = np.arange(part.out_ptr[v], part.out_ptr[v + 1])
        inside = [
            (t, e)
            for t, e in zip(
                plan.out_target[plan.out_ptr[position] : plan.out_ptr[position + 1]],
                plan.out_edge[plan.out_ptr[position] : plan.out_ptr[position + 1]],
                strict=True,
            )
            if kept[t]
        ]
        assert inside == list(zip(part.position[part.out_target[k]], part.out_edge[k], strict=True))


def test_a_block_is_cut_where_a_neuron_is_dead() -> None:
    """Of 12 with the same 9 sources: 4, 1, 7 go on, and 1 and 7 do not."""
    layer, goes_on = range(9, 21), [9, 10, 11, 12, *range(14, 21)]
    source = [u for _ in layer for u in range(9)] + goes_on
    target = [v for v in layer for _ in range(9)] + [21] * len(goes_on)
    net = fg.Network.from_arrays(source, target, inputs=range(9), outputs=[21], n_nodes=22)
    part = live_part(lower(net), lower(net).live())
    assert part.position.tolist() == [*range(13), *range(14, 22)]
    assert part.blocks.tolist() == [[9, 13], [13, 20]]
    assert whole(lower(net)).blocks.tolist() == [[9, 21]]


def test_a_network_without_dead_neurons_has_no_part() -> None:
    plan = lower(fg.topologies.layered([3, 4, 2]))
    assert plan.live() is None
    assert whole(plan).n_nodes == plan.n_nodes


@pytest.mark.covering(net=dict(enumerate(NETS)), batch=[1, 5, 70], dtype=["float32", "float64"])
def test_results_and_gradients_are_those_of_the_whole(net: fg.Network, batch: int, dtype: str) -> None:
    rng = np.random.default_rng(batch)
    x, t = rng.standard_normal((batch, len(net.inputs))), rng.standard_normal((batch, len(net.outputs)))
    bar = 2e-5 if dtype == "float32" else 1e-12
    want = fg.compile(net, executor="python", loss="squared_error")
    p = fg.compile(net, executor="numba", loss="squared_error", dtype=dtype, threads=2)
    loss, g = want.value_and_grad(want.theta, x, t)
    for _ in range(2):  # the second time over whatever the first left, and over what a trace of all neurons leaves
        found, gradient = p.value_and_grad(p.theta, x, t)
        assert abs(found - loss) <= bar * abs(loss)
        assert abs(gradient - g).max() <= bar * abs(g).max()
        live = lower(net).live()
        assert live is not None
        dead = ~live
        slots = lower(net).bias_slot[dead]
        of_bias = slots[slots >= 0]
        assert len(of_bias) > 10
        assert (gradient[of_bias] == 0.0).all()
        gradient[:] = np.nan  # its memory is used again
        del gradient
        np.testing.assert_allclose(p.predict(x), want.predict(x), rtol=0, atol=bar)
        acts, whole_acts = p.forward(x), want.forward(x)
        np.testing.assert_allclose(acts.a.array, whole_acts.a.array, rtol=0, atol=10 * bar)
        np.testing.assert_allclose(p.backward(acts, t).theta, g, rtol=0, atol=bar * abs(g).max())


@pytest.mark.parametrize("rows", [1, 3, 4, 9])
def test_dead_neurons_that_overflow_beside_a_live_one_of_the_same_sources_change_nothing(rows: int) -> None:
    source = [u for _ in range(8) for u in range(8)] + [u for _ in range(rows) for u in range(8, 16)]
    target = [v for v in range(8, 16 + rows) for _ in range(8)]
    weight = [0.1] * 72 + [500.0] * 8 * (rows - 1)
    kinds = ["tanh"] * 16 + ["exp"] * rows
    net = fg.Network.from_arrays(
        source, target, weight=weight, activation=kinds, inputs=range(8), outputs=[16], n_nodes=16 + rows
    )
    p = fg.compile(net, executor="numba", loss="squared_error")
    _, g = p.value_and_grad(p.theta, np.ones((5, 8)), np.zeros((5, 1)))
    assert np.isfinite(g).all()


def test_a_dead_neuron_that_overflows_changes_nothing() -> None:
    def net(edges: int) -> fg.Network:
        return fg.Network.from_arrays(
            [0, 1, 2, 3][:edges],
            [1, 2, 3, 4][:edges],
            weight=[0.5, 0.5, 500.0, 500.0][:edges],
            activation=["tanh", "tanh", "tanh", "exp", "exp"][: edges + 1],
            inputs=[0],
            outputs=[2],
            n_nodes=edges + 1,
        )

    x, t = np.linspace(1, 2, 9)[:, None], np.zeros((9, 1))
    small, large = (fg.compile(net(n), executor="numba", loss="squared_error") for n in (2, 4))
    loss, g = small.value_and_grad(small.theta, x, t)
    found, gradient = large.value_and_grad(large.theta, x, t)
    assert found == loss
    np.testing.assert_array_equal(gradient, [g[0], g[1], 0, 0, g[2], g[3], 0, 0])
