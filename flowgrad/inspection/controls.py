"""Controls for importance: a rewired graph, permuted targets, and inputs that are copies of the targets.

After Fortelny & Bock (Genome Biology 2020) and Esser-Skala & Fortelny (npj Systems Biology and Applications 2023), who
found that importance in biologically wired networks depends on the run and the wiring as much as on the data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowgrad.executor import Array
from flowgrad.network import Network

ROUNDS = 30  # rounds of source swaps; each round pairs up the edges and proposes one swap per pair


def fresh(network: Network, seed: int) -> Network:
    """Return an untrained copy of the network: trainable weights are drawn from the seed, trainable biases are 0."""
    c = network.columns
    weight = np.where(c.edge_trainable, np.nan, c.weights)
    return Network.from_columns(replace(c, weight=weight, bias=np.where(c.trainable, 0.0, c.bias), seed=seed))


def shuffled_graph(network: Network, seed: int) -> Network:
    """Return a network with randomly rewired edges, in which every node keeps its in-degree, out-degree and level.

    Two edges between the same two levels exchange their sources unless that would duplicate an edge; edges from inputs
    exchange with edges from inputs only. Each node therefore keeps its numbers of in-edges and out-edges by level of
    the other end, and the graph stays acyclic. A weight stays with the edge's target.

    >>> net = Network.from_arrays([0, 1, 2, 3], [4, 5, 6, 7])
    >>> sorted(shuffled_graph(net, 1).graph.edges)[0] in {(0, k) for k in range(4, 8)}
    True
    """
    c, rng = network.columns, np.random.default_rng(seed)
    source, target = c.source.astype(np.int64), c.target.astype(np.int64)
    level = c.level.astype(np.int64)
    depth = int(level.max(initial=0)) + 1
    kind = (level[source] * 2 + c.is_input[source]) * depth + level[target]
    for _ in range(ROUNDS):
        order = rng.permutation(len(source))
        order = order[np.argsort(kind[order], kind="stable")]
        first, second = order[:-1:2], order[1::2]
        same = kind[first] == kind[second]
        first, second = first[same], second[same]
        moved = source.copy()
        moved[first], moved[second] = source[second], source[first]
        source = _without_twins(source, moved, target, first, second, c.n_nodes)
    return Network.from_columns(replace(c, source=source.astype(np.int32)))


def _without_twins(source: Array, moved: Array, target: Array, first: Array, second: Array, n: int) -> Array:
    """Undo the swaps that duplicate an edge, and return the resulting (E,) sources."""
    moved = moved.copy()
    while True:
        key = moved * n + target
        _, place, count = np.unique(key, return_inverse=True, return_counts=True)
        twin = count[place] > 1
        undo = (twin[first] | twin[second]) & (moved[first] != source[first])
        if not undo.any():
            return moved
        moved[first[undo]], moved[second[undo]] = source[first[undo]], source[second[undo]]


def shuffled_labels(T: Array, seed: int) -> Array:
    """Return the targets (B, …) with their rows permuted at random."""
    return np.asarray(T[np.random.default_rng(seed).permutation(len(T))])


def deterministic_inputs(T: Array, inputs: int, outputs: int, seed: int) -> Array:
    """Build (B, I) float64 inputs that are copies of the targets, standardized to mean 0 and standard deviation 1.

    Differences in importance between neurons then come from the graph alone. With several outputs, each input copies
    the targets of one output; the seed assigns outputs to inputs at random, each to equally many inputs (± 1).

    Args:
        T: targets, shape (B, O), or class indices (B,), which are converted to one-hot rows if outputs > 1.
        inputs, outputs: numbers of inputs I and outputs O.
        seed: seed of the random assignment.

    >>> deterministic_inputs(np.array([0, 1, 1, 0]), 3, 1, seed=0)[:, 0].tolist()
    [-1.0, 1.0, 1.0, -1.0]
    """
    t = np.asarray(T)
    t = np.eye(outputs)[t] if t.ndim == 1 and outputs > 1 else t.reshape(len(t), -1).astype(np.float64)
    spread = t.std(axis=0)
    said = (t - t.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    which = np.random.default_rng(seed).permutation(np.arange(inputs) % said.shape[1])
    return np.asarray(said[:, which])
