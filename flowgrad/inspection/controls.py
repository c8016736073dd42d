"""Controls: what importance looks like where it should say nothing about the data, or nothing but the graph.

After Fortelny & Bock (Genome Biology 2020) and Esser-Skala & Fortelny (npj Systems Biology and Applications 2023), who
found that importance in networks wired by biology depends on the run and on the wiring as much as on the data.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flowgrad.executor import Array
from flowgrad.network import Network

ROUNDS = 30  # of swaps; each proposes one for every second edge


def fresh(network: Network, seed: int) -> Network:
    """The network untrained: new weights from the seed, biases 0, where they are trainable."""
    c = network.columns
    weight = np.where(c.edge_trainable, np.nan, c.weights)
    return Network.from_columns(replace(c, weight=weight, bias=np.where(c.trainable, 0.0, c.bias), seed=seed))


def shuffled_graph(network: Network, seed: int) -> Network:
    """The network with its edges led elsewhere, at random, and every node's degrees kept.

    Two edges between the same two levels exchange their sources, if that makes no edge twice; inputs exchange with
    inputs only. So each node keeps the number of edges that come in, and of those that go out, level by level; the
    graph stays acyclic and no node changes its level. Weights stay with the edge's target.

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
    """The edges after the swaps, less those swaps that would make an edge that is there already."""
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
    """The targets (B, …), dealt anew to the samples."""
    return np.asarray(T[np.random.default_rng(seed).permutation(len(T))])


def deterministic_inputs(T: Array, inputs: int, outputs: int, seed: int) -> Array:
    """(B, I) float64 inputs that all say the answer: every one a target, in units of its standard deviation.

    What then makes one neuron more important than another is the graph alone. Of several outputs, each input says
    one, dealt by the seed as evenly as may be.

    Args:
        T: (B, O), or class indices (B,), which stand for one target an output.

    >>> deterministic_inputs(np.array([0, 1, 1, 0]), 3, 1, seed=0)[:, 0].tolist()
    [-1.0, 1.0, 1.0, -1.0]
    """
    t = np.asarray(T)
    t = np.eye(outputs)[t] if t.ndim == 1 and outputs > 1 else t.reshape(len(t), -1).astype(np.float64)
    spread = t.std(axis=0)
    said = (t - t.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    which = np.random.default_rng(seed).permutation(np.arange(inputs) % said.shape[1])
    return np.asarray(said[:, which])
