"""Numbers that describe the size and the shape of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError
from flowgrad.executor import Array
from flowgrad.inspection.local import reached
from flowgrad.network import Network
from flowgrad.plan import Plan, lower


def network_facts(network: Network) -> dict[str, Any]:
    """Return the size and the shape of a network as a dict of numbers, lists and dicts.

    The dict can be written as JSON if the node ids can. Its keys are:

    nodes, inputs, outputs, neurons, edges   numbers of each; neurons are all nodes but the inputs
    parameters, weights, biases   number P of trainable parameters, and numbers of weights and of biases among them
    depth              number of edges on the longest path
    nodes_per_level    list of the number of nodes at each topological level, from level 0, which holds the inputs
    skip_edges         number of edges that skip one level or more
    sources, sinks     numbers of nodes without in-edges and of nodes without out-edges
    weak_components    number of weakly connected components
    fan_in, fan_out    dict from number of in-edges (out-edges) to number of nodes with it, ascending; inputs included
    activations, aggregations   dict from name to number of neurons, the most frequent first
    frozen_weights, frozen_biases   numbers of edges and of neurons whose weight or bias is not trainable
    shared_edges, shared_weights    number of edges that use a shared weight, and number of shared weights
    dead               ids of neurons from which no output can be reached
    constant           ids of neurons that cannot be reached from any input
    blocks             dense blocks, a list of {"neurons": n, "fan_in": k}, in descending order of n · k; in each, two
                       or more neurons sum the same k sources
    block_edges        number of edges in these blocks

    Raises:
        ConfigError: network is not a Network.
        GraphError, UnknownNameError: the network is incomplete or invalid: it has no outputs, for example.

    >>> import flowgrad as fg
    >>> facts = network_facts(fg.topologies.layered([3, 4, 2]))
    >>> facts["edges"], facts["depth"], facts["nodes_per_level"], facts["blocks"][0]
    (20, 2, [3, 4, 2], {'neurons': 4, 'fan_in': 3})
    """
    instance("network_facts", network, Network, ConfigError)
    c, plan = network.columns, lower(network)
    fan_in, fan_out = np.diff(plan.in_ptr), np.diff(plan.out_ptr)
    neuron = plan.activation >= 0
    weights = len(np.unique(plan.weight_slot[plan.weight_slot >= 0]))
    blocks = [(int(last - first), int(fan_in[first])) for first, last in plan.blocks.tolist()]
    return {
        "nodes": plan.n_nodes,
        "inputs": len(plan.inputs),
        "outputs": len(plan.outputs),
        "neurons": int(neuron.sum()),
        "edges": plan.n_edges,
        "depth": network.depth,
        "nodes_per_level": np.bincount(plan.level).tolist(),
        "skip_edges": int((plan.level[plan.in_target] - plan.level[plan.in_source] > 1).sum()),
        "sources": int((fan_in == 0).sum()),
        "sinks": int((fan_out == 0).sum()),
        "weak_components": weak_components(plan.n_nodes, plan.in_source, plan.in_target),
        "fan_in": _histogram(fan_in),
        "fan_out": _histogram(fan_out),
        "activations": _used(plan.activation[neuron], [f.name for f in plan.activations]),
        "aggregations": _used(plan.aggregation[neuron], [f.name for f in plan.aggregations]),
        "parameters": plan.n_parameters,
        "weights": weights,
        "biases": plan.n_parameters - weights,
        "frozen_weights": int((plan.weight_slot < 0).sum()),
        "frozen_biases": int((neuron & (plan.bias_slot < 0)).sum()),
        "shared_edges": int((c.param >= 0).sum()),
        "shared_weights": len(c.params),
        "dead": _ids(network, plan, neuron & ~reached(plan)),
        "constant": _ids(network, plan, neuron & ~_fed(plan)),
        "blocks": [{"neurons": n, "fan_in": k} for n, k in sorted(blocks, key=lambda b: -b[0] * b[1])],
        "block_edges": sum(n * k for n, k in blocks),
    }


def weak_components(n: int, source: Array, target: Array) -> int:
    """Count the weakly connected components of a graph of n nodes, given as (E,) sources and targets.

    Each node takes the smallest label of its neighbours, then the label of its label, until none changes.

    >>> weak_components(5, np.array([0, 3]), np.array([1, 1]))
    3
    """
    label = np.arange(n)
    while True:
        smaller = label.copy()
        for one, other in ((source, target), (target, source)):
            np.minimum.at(smaller, label[one], label[other])
            np.minimum.at(smaller, one, label[other])
        smaller = smaller[smaller]
        if (smaller == label).all():
            return len(np.unique(label))
        label = smaller


def _fed(plan: Plan) -> Array:
    """Return (V,) bool: True at inputs, and at neurons that can be reached from an input."""
    fed = plan.activation < 0
    for v in np.flatnonzero(~fed).tolist():
        fed[v] = fed[plan.in_source[plan.in_ptr[v] : plan.in_ptr[v + 1]]].any()
    return fed


def _ids(network: Network, plan: Plan, chosen: Array) -> list[Any]:
    ids = network.columns.ids
    return [ids[plan.nodes[k]] for k in np.flatnonzero(chosen).tolist()]


def _histogram(values: Array) -> dict[int, int]:
    sizes, counts = np.unique(values, return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def _used(codes: Array, names: list[str]) -> Mapping[str, int]:
    count: dict[str, int] = {}
    for n, name in zip(np.bincount(codes, minlength=len(names)).tolist(), names, strict=True):
        if n:
            count[name] = count.get(name, 0) + n
    return dict(sorted(count.items(), key=lambda pair: (-pair[1], pair[0])))
