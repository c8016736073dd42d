"""Create networks of a given topology (layered, random, randomly wired, an edge list), and unite several networks.

All functions but `union` have these arguments:

    activation         activation of the hidden neurons: a name (`flowgrad list activations`) or an `Activation`
    output_activation  activation of the outputs
    seed               seed of the generators that draw a random graph and the weights; an integer ≥ 0
    initializer        rule for the standard deviation of the weights: a name (`flowgrad list initializers`) or an
                       `Initializer`. Default: for each edge, the initializer of its target's activation

They raise UnknownNameError if an activation or initializer does not exist, and GraphError if it is of the wrong type.
`entries` maps the names that `flowgrad list topologies` shows to functions; another package adds a topology as an entry
point of the group `flowgrad.topologies`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence, Set
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad import unions
from flowgrad.arguments import chance, hashable, instance, whole
from flowgrad.errors import ConfigError, DataError, GraphError, brief, listing
from flowgrad.network import Network
from flowgrad.sizes import NUMBERED, fits

if TYPE_CHECKING:
    from flowgrad.maths.activation import Activation
    from flowgrad.maths.initializers import Initializer


def _numbered(
    source: npt.NDArray[Any],
    target: npt.NDArray[Any],
    n_inputs: int,
    outputs: npt.NDArray[Any],
    n: int,
    activation: str | Activation,
    output_activation: str | Activation,
    seed: int,
    initializer: str | Initializer | None,
) -> Network:
    """Make a network of nodes 0 … n−1, the first `n_inputs` of them inputs; weights are drawn from the seed."""
    return Network.from_arrays(
        source,
        target,
        activation=activation,
        inputs=np.arange(n_inputs),
        outputs=outputs,
        n_nodes=n,
        seed=seed,
        output_activation=output_activation,
        initializer=initializer,
    )


def layered(
    sizes: Sequence[int],
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    skips: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a multi-layer perceptron, in which every neuron reads all nodes of the layer before it.

    Node ids are 0 … Σ sizes − 1, layer by layer. The other arguments are described in `flowgrad.topologies`.

    Args:
        sizes: numbers of nodes of the layers, integers ≥ 1, the inputs first and the outputs last; at least two.
        skips: number of further layers, before the previous one, whose nodes every neuron also reads; an integer ≥ 0.

    Raises:
        ConfigError: `sizes` or `skips` is out of range, or the network does not fit into memory.

    >>> layered([3, 4, 2])
    Network(9 nodes, 20 edges, depth 2, 3 inputs: 0, 1, 2, 2 outputs: 7, 8)
    >>> layered([3, 4, 2], skips=1).columns.n_edges
    26
    """
    widths = [whole(f"sizes[{k}]", size, 1) for k, size in enumerate(sizes)]
    if len(widths) < 2:
        raise ConfigError(f"sizes={brief(list(sizes))}: a layered network has two layers or more")
    skips = whole("skips", skips, 0)
    starts = list(accumulate(widths, initial=0))
    edges = sum((starts[to] - starts[max(0, to - 1 - skips)]) * n for to, n in enumerate(widths) if to)
    fits(f"sizes=[{listing(widths, limit=5)}]", starts[-1], edges)
    layers = [np.arange(a, b) for a, b in pairwise(starts)]
    source, target = [], []
    for to, layer in enumerate(layers[1:], start=1):
        before = np.concatenate(layers[max(0, to - 1 - skips) : to])
        target.append(np.repeat(layer, len(before)))
        source.append(np.tile(before, len(layer)))
    ends = np.concatenate(source), np.concatenate(target)
    outputs, n = layers[-1], sum(widths)
    return _numbered(*ends, widths[0], outputs, n, activation, output_activation, seed, initializer)


def random_dag(
    n_inputs: int,
    n_neurons: int,
    fan_in: int = 10,
    window: int | None = None,
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a random network in which every neuron reads `fan_in` of the nodes that precede it.

    Node ids are 0 … n_inputs + n_neurons − 1, the inputs first. The outputs are the neurons that no neuron reads. The
    nodes that a neuron reads are distinct and drawn at random, though not all sets are equally likely. The other
    arguments are described in `flowgrad.topologies`.

    Args:
        n_inputs, n_neurons: numbers of inputs and of neurons, integers ≥ 1.
        fan_in: number of nodes that each neuron reads, an integer ≥ 1. A neuron reads all nodes of its window if
            these are fewer.
        window: number of nodes directly before a neuron from which it reads, an integer ≥ 1. Default: all of them.

    Raises:
        ConfigError: a number is out of range, or the network does not fit into memory.

    >>> random_dag(5, 20, fan_in=3, window=8)
    Network(25 nodes, 60 edges, depth 13, 5 inputs: 0, 1, 2 … (2 more), 4 outputs: 17, 20, 23 … (1 more))
    """
    n_inputs, n_neurons = whole("n_inputs", n_inputs, 1), whole("n_neurons", n_neurons, 1)
    fan_in = whole("fan_in", fan_in, 1)
    window = n_inputs + n_neurons if window is None else whole("window", window, 1)
    fits(f"n_inputs={n_inputs}, n_neurons={n_neurons}, fan_in={fan_in}", n_inputs + n_neurons, n_neurons * fan_in)
    window = min(window, n_inputs + n_neurons)
    rng = np.random.default_rng(seed)
    neuron = np.arange(n_inputs, n_inputs + n_neurons)
    span = np.minimum(neuron, window)
    reads = np.minimum(span, fan_in)
    # sorted draws with repetition from span − reads + 1 values become distinct by adding 0, 1, 2, …
    draws = np.floor(rng.random((n_neurons, fan_in)) * (span - reads + 1)[:, None]).astype(np.int64)
    kept = np.arange(fan_in) < reads[:, None]
    draws[~kept] = np.iinfo(np.int64).max // 2
    draws.sort(axis=1)
    draws += np.arange(fan_in) + (neuron - span)[:, None]
    source, target = draws[kept], np.repeat(neuron, reads)
    n = n_inputs + n_neurons
    sinks = neuron[np.bincount(source, minlength=n)[neuron] == 0]
    return _numbered(source, target, n_inputs, sinks, n, activation, output_activation, seed, initializer)


def _oriented(
    undirected: Any,
    n_inputs: int,
    n_outputs: int,
    activation: str | Activation,
    output_activation: str | Activation,
    seed: int,
    initializer: str | Initializer | None,
) -> Network:
    """Make a randomly wired network: each edge points from the lower to the higher number, as in Xie et al. 2019
    (Exploring Randomly Wired Neural Networks). Every input feeds every node without predecessors, and every node
    without successors feeds every output."""
    n = undirected.number_of_nodes()
    edges = np.sort(np.array(undirected.edges, np.int64).reshape(-1, 2), axis=1)
    edges = edges[np.lexsort((edges[:, 0], edges[:, 1]))]
    first = np.flatnonzero(np.bincount(edges[:, 1], minlength=n) == 0) + n_inputs
    last = np.flatnonzero(np.bincount(edges[:, 0], minlength=n) == 0) + n_inputs
    tied = n_inputs * len(first) + n_outputs * len(last)
    fits(f"n_inputs={n_inputs}, n_outputs={n_outputs}", n_inputs + n + n_outputs, len(edges) + tied)
    inputs, outputs = np.arange(n_inputs), n_inputs + n + np.arange(n_outputs)
    source = [np.tile(inputs, len(first)), edges[:, 0] + n_inputs, np.tile(last, n_outputs)]
    target = [np.repeat(first, n_inputs), edges[:, 1] + n_inputs, np.repeat(outputs, len(last))]
    total = n_inputs + n + n_outputs
    ends = np.concatenate(source), np.concatenate(target)
    return _numbered(*ends, n_inputs, outputs, total, activation, output_activation, seed, initializer)


def _fits(argument: str, n: int, edges: int, n_inputs: int, n_outputs: int) -> None:
    """Check by `fits` the size of a graph that NetworkX generates, edge by edge, with its inputs and outputs."""
    ends = whole("n_inputs", n_inputs, 1) + whole("n_outputs", n_outputs, 1)
    fits(f"{argument}, n_inputs={n_inputs}, n_outputs={n_outputs}", n + ends, edges, each=500)


def watts_strogatz(
    n: int,
    k: int,
    p: float,
    n_inputs: int = 1,
    n_outputs: int = 1,
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a randomly wired network from a small-world graph (Watts & Strogatz 1998).

    Each edge of the graph points from the lower to the higher number (Xie et al. 2019, Exploring Randomly Wired Neural
    Networks). Every input feeds each of the n neurons without predecessors, and each of them without successors feeds
    every output. Node ids are 0 … n_inputs + n + n_outputs − 1: inputs, neurons, outputs. The other arguments are
    described in `flowgrad.topologies`.

    Args:
        n: number of hidden neurons, an integer ≥ 3.
        k: number of nearest neighbours in a ring to which each neuron is joined, an integer, 2 ≤ k < n; an odd k
            counts as k − 1.
        p: probability that an edge is rewired to a random neuron.
        n_inputs, n_outputs: numbers of inputs and outputs, integers ≥ 1, which are added to the graph.

    Raises:
        ConfigError: a number is out of range, or the network does not fit into memory.

    >>> watts_strogatz(32, 4, 0.75, n_inputs=3).inputs
    (0, 1, 2)
    """
    import networkx as nx

    n, k = whole("n", n, 3), whole("k", k, 2)
    if k >= n:
        raise ConfigError(f"k={k}: must be below n={n}")
    _fits(f"n={n}, k={k}", n, n * (k // 2), n_inputs, n_outputs)
    graph = nx.watts_strogatz_graph(n, k, chance("p", p), seed=seed)
    return _oriented(graph, n_inputs, n_outputs, activation, output_activation, seed, initializer)


def erdos_renyi(
    n: int,
    p: float,
    n_inputs: int = 1,
    n_outputs: int = 1,
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a randomly wired network from a random graph G(n, p) (Gilbert 1959; Erdős & Rényi 1959).

    Each edge of the graph points from the lower to the higher number (Xie et al. 2019, Exploring Randomly Wired Neural
    Networks). Every input feeds each of the n neurons without predecessors, and each of them without successors feeds
    every output. Node ids are 0 … n_inputs + n + n_outputs − 1: inputs, neurons, outputs. The other arguments are
    described in `flowgrad.topologies`.

    Args:
        n: number of hidden neurons, an integer ≥ 1.
        p: probability of each of the n(n − 1)/2 possible edges.
        n_inputs, n_outputs: numbers of inputs and outputs, integers ≥ 1, which are added to the graph.

    Raises:
        ConfigError: a number is out of range, the network does not fit into memory, or n > 65,536: there are then
            more than 2³¹ − 1 possible edges, which are drawn one by one.
    """
    import networkx as nx

    n, p = whole("n", n, 1), chance("p", p)
    pairs = n * (n - 1) // 2
    _fits(f"n={n}, p={p}", n, math.ceil(p * min(pairs, 10**18)), n_inputs, n_outputs)
    if pairs > NUMBERED:
        raise ConfigError(f"n={n}: {pairs:,} pairs of neurons are looked at one by one: at most {NUMBERED:,}")
    graph = nx.gnp_random_graph(n, p, seed=seed)
    return _oriented(graph, n_inputs, n_outputs, activation, output_activation, seed, initializer)


def barabasi_albert(
    n: int,
    m: int,
    n_inputs: int = 1,
    n_outputs: int = 1,
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a randomly wired network from a preferential-attachment graph (Barabási & Albert 1999).

    Each edge of the graph points from the lower to the higher number (Xie et al. 2019, Exploring Randomly Wired Neural
    Networks). Every input feeds each of the n neurons without predecessors, and each of them without successors feeds
    every output. Node ids are 0 … n_inputs + n + n_outputs − 1: inputs, neurons, outputs. The other arguments are
    described in `flowgrad.topologies`.

    Args:
        n: number of hidden neurons, an integer ≥ 2.
        m: number of earlier neurons to which each further neuron is joined, with probabilities proportional to their
            degrees; an integer, 1 ≤ m < n.
        n_inputs, n_outputs: numbers of inputs and outputs, integers ≥ 1, which are added to the graph.

    Raises:
        ConfigError: a number is out of range, or the network does not fit into memory.
    """
    import networkx as nx

    n, m = whole("n", n, 2), whole("m", m, 1)
    if m >= n:
        raise ConfigError(f"m={m}: must be below n={n}")
    _fits(f"n={n}, m={m}", n, m * (n - m), n_inputs, n_outputs)
    graph = nx.barabasi_albert_graph(n, m, seed=seed)
    return _oriented(graph, n_inputs, n_outputs, activation, output_activation, seed, initializer)


def from_edge_list(
    edges: Iterable[Sequence[Any]],
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | None = None,
    activation: str | Activation = "tanh",
    output_activation: str | Activation = "identity",
    seed: int = 0,
    *,
    initializer: str | Initializer | None = None,
) -> Network:
    """Create a network from rows (source, target) or (source, target, weight).

    The other arguments and errors are those of `Network.from_networkx`.

    Args:
        edges: an iterable of sequences with 2 or 3 entries, in any mixture. Ids are any hashable objects except None.
            A weight is a finite number; weights that are not given are drawn from `seed`.

    Raises:
        GraphError: a row has another length or type, an id is None or not hashable, or an edge is given twice.

    >>> from_edge_list([("gene", "term"), ("term", "root", 2.0)])
    Network(3 nodes, 2 edges, depth 2, 1 input: gene, 1 output: root)
    """
    import networkx as nx

    graph: nx.DiGraph[Any] = nx.DiGraph()
    if not isinstance(edges, Iterable):
        raise GraphError(f"edges={brief(edges)}: give a list of (source, target) or (source, target, weight)")
    for row, edge in enumerate(edges, start=1):
        ordered = isinstance(edge, Collection) and not isinstance(edge, (str, bytes, Set, Mapping))
        if not ordered or len(edge) not in (2, 3):
            raise GraphError(f"edge {row} is {brief(edge)}: must be (source, target) or (source, target, weight)")
        source, target = edge[0], edge[1]
        for end in (source, target):
            if end is None or not hashable(end):
                raise GraphError(f"edge {row} names the node {brief(end)}: ids must be hashable, and not None")
        if graph.has_edge(source, target):
            twice = f"edge {brief(source)} → {brief(target)} is given twice"
            raise GraphError(f"{twice}, the second time as edge {row}")
        graph.add_edge(source, target, **({"weight": edge[2]} if len(edge) == 3 else {}))
    functions = activation, output_activation
    return Network.from_networkx(graph, inputs, outputs, *functions, seed, initializer=initializer)


entries: dict[str, Callable[..., Network]] = {
    f.__name__: f for f in (layered, random_dag, watts_strogatz, erdos_renyi, barabasi_albert)
}


# ---- many networks are one ----------------------------------------------------------------------------------


def union(networks: Iterable[Network], share_inputs: bool = True) -> Network:
    """Unite several networks into one, which evaluates, differentiates and trains all of them together.

    Node `id` of network k, from 0, gets the id (k, id), and its shared parameter `name` becomes (k, name). Outputs are
    in the order of the networks, and within each in its own order. `program.theta_slices[k]` are the indices in θ of
    the parameters of network k, in the order of its own θ; `output_slices[k]` are the columns of its outputs.
    Attributes of nodes and edges are kept, and attributes of the graphs are not.

    Args:
        networks: an iterable of one or more networks.
        share_inputs: whether inputs with the same id become one input. Inputs then keep their ids, and are in the
            order of first appearance. If False, each network has its own inputs, with ids (k, id).

    Raises:
        GraphError: there are no networks, or a shared input is an output of two of them.
        DataError: `networks` is no iterable, or an entry is no `Network`.

    >>> a, b = layered([2, 1]), layered([2, 3, 1])
    >>> union([a, b])
    Network(7 nodes, 11 edges, depth 2, 2 inputs: 0, 1, 2 outputs: (0, 2), (1, 5))
    """
    if isinstance(networks, Network) or not isinstance(networks, Iterable):
        raise DataError(f"union wants a list of Networks, not a {type(networks).__name__}")
    parts = [instance("union", net, Network).columns for net in networks]
    if not parts:
        raise GraphError("a union needs one network or more")
    columns = unions.columns(parts, share_inputs)
    if len(np.unique(columns.outputs)) < len(columns.outputs):
        twice = np.flatnonzero(np.bincount(columns.outputs) > 1)[0]
        raise GraphError(
            f"shared input {brief(columns.ids[twice])} is an output of two networks: share_inputs=False keeps both"
        )
    return Network.from_columns(columns)
