"""The battery that flowgrad ships for every executor, and what the executor says of itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from flowgrad_jax.tables import forms_of, tables

import flowgrad as fg
from flowgrad.errors import ExecutorError
from flowgrad.plan import lower
from flowgrad.testing import parametrize_with_executor


@parametrize_with_executor("jax")
def test_conformance(check):
    """By its smallest cases; `flowgrad conformance jax` runs the whole battery."""
    check(quick=True)


def test_it_is_listed_and_named_explicitly():
    assert fg.executors()["jax"] is True
    network = fg.topologies.layered([2, 3, 1], seed=1)
    assert fg.compile(network, executor="jax").why == "jax: named explicitly"
    assert fg.compile(network).executor != "jax"


def test_listing_executors_imports_no_jax():
    code = "import sys, flowgrad as fg; assert fg.executors()['jax'] is True; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_what_it_cannot_do_is_refused():
    network = fg.topologies.layered([2, 1])
    with pytest.raises(ExecutorError, match="threads=2: XLA has one number"):
        fg.compile(network, executor="jax", threads=2)
    own = fg.Network()
    own.add_input("x")
    own.add_neuron("y", {"x": 1.0}, activation=fg.Activation("half", lambda z: 0.5 * z, lambda z: 0.5))
    with pytest.raises(ExecutorError, match="it runs no function of a user's own, as 'half' is"):
        fg.compile(own, executor="jax")


@pytest.mark.parametrize(("hidden", "fan_in", "window"), [(3, 1, 3), (200, 5, 30), (900, 3, 900), (64, 60, 64)])
def test_every_edge_stands_in_one_chunk_behind_what_it_reads(hidden, fan_in, window):
    net = fg.topologies.random_dag(5, hidden, fan_in=fan_in, window=window, seed=hidden)
    plan = lower(net)
    chunks = tables(plan, forms_of(plan), np.float64).chunks
    V, E, W = plan.n_nodes, plan.n_edges, chunks.nodes.shape[1]
    assert sorted(chunks.edge[chunks.edge < E]) == list(range(E))
    assert sorted(chunks.nodes[chunks.nodes < V]) == list(range(5, V))
    written = np.full(V, -1)
    for k in range(len(chunks.nodes)):
        real = chunks.into[k] < W
        assert (written[chunks.source[k][real]] < k).all()
        assert (chunks.nodes[k][chunks.into[k][real]] == plan.in_target[chunks.edge[k][real]]).all()
        nodes = chunks.nodes[k][chunks.nodes[k] < V]
        assert len({*plan.activation[nodes].tolist()}) <= 1
        written[nodes] = k
