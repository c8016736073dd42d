"""Networks to look at. `networks.py NAME FILE` writes the page of one, by the flowgrad that is installed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import flowgrad as fg

EVIL = "</script><img src=x onerror=alert(1)>"


def teaching() -> fg.Network:
    """Two inputs, three hidden neurons, one with a name that would be markup, two outputs and a long edge."""
    net = fg.Network()
    net.add_input("x1")
    net.add_input("x2")
    net.add_neuron("h1", {"x1": 0.8, "x2": -0.5}, bias=0.1, activation="tanh")
    net.add_neuron(EVIL, {"x1": -0.3, "x2": 0.9}, activation="sigmoid")
    net.add_neuron("h3", {"h1": 1.2, EVIL: -0.7}, activation="tanh")
    net.add_neuron("y1", {"h3": 0.6, "x1": 0.4}, activation="identity")
    net.add_neuron("y2", {"h3": -1.1, EVIL: 0.5}, activation="identity")
    net.set_outputs(["y1", "y2"])
    return net


def large(neurons: int = 20_000, edges: int = 100_000) -> fg.Network:
    """Ten levels, edges at random from each to the next."""
    rng = np.random.default_rng(3)
    size = neurons // 10
    low = rng.integers(0, 9, 2 * edges)
    source, target = low * size + rng.integers(0, size, 2 * edges), (low + 1) * size + rng.integers(0, size, 2 * edges)
    pairs = np.unique(np.stack([source, target], 1), axis=0)
    pairs = rng.permutation(pairs)[:edges]
    outputs = range(9 * size, 10 * size)
    return fg.Network.from_arrays(pairs[:, 0], pairs[:, 1], n_nodes=neurons, inputs=range(size), outputs=outputs)


def many() -> fg.Network:
    """A quarter of the large one, which a browser without a graphics card draws in seconds."""
    return large(5_000, 25_000)


def dense() -> fg.Network:
    """Layers of 24, 16, 16 and 3: three dense blocks, and inputs alike."""
    return fg.topologies.layered([24, 16, 16, 3], activation="tanh", seed=1)


def genes() -> fg.Network:
    """An input column that is broken into four, its names as long as those of genes."""
    return fg.topologies.from_edge_list([(f"g:YAL{k:03}W", f"GO:{k % 7:07}") for k in range(150)])


def broken() -> fg.Network:
    """Its values are infinite and NaN."""
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("h", {"x": 1e300}, activation="identity")
    net.add_neuron("y", {"h": 1e300}, activation="identity")
    net.set_outputs(["y"])
    return net


def options(name: str) -> dict[str, Any]:
    """What the page of a network is saved with."""
    if name == "large":
        return {}  # the page compiles a program of its own
    if name == "broken":
        return {"program": fg.compile(broken(), executor="python"), "X": [[1e300], [float("nan")]]}
    if name != "small":
        return {"program": fg.compile(NETWORKS[name](), executor="python")}
    rows = [{"epoch": k, "loss": 1 / k, "val_loss": 1.2 / k} for k in range(1, 9)]
    program = fg.compile(teaching(), executor="python", loss="squared_error")
    X, T = [[1.0, 0.5], [-0.4, 2.0]], [[0.2, -0.1], [0.5, 0.5]]
    return {"program": program, "X": X, "T": T, "history": rows, "title": "teaching"}


NETWORKS = {"small": teaching, "large": large, "many": many, "dense": dense, "genes": genes, "broken": broken}

if __name__ == "__main__":
    fg.save(NETWORKS[sys.argv[1]](), sys.argv[2], **options(sys.argv[1]))
