"""Node importance, exact, beside the finite differences of KPNN, in one run.

    python examples/kpnn/importance.py [--samples 100] [--genes 4795] [--hidden 2204] [--edges 77000]

A knowledge-primed network (Fortelny & Bock, Genome Biology 2020) asks of every hidden neuron what its activation does
to the output: KPNN moves it by ±0.001 after its sigmoid, runs the whole network forward for each of the two, and takes
the mean of the difference over the cells. Here the same is done through the public names, on flowgrad's own forward
pass, beside `node_importance`, which asks one reverse pass. README.md says how the graph is drawn.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

import flowgrad as fg
from flowgrad.inspection import node_importance

EPSILON = 1e-3  # KPNN's --numGradEpsilon
LEVELS = 6  # of hidden neurons: transcription factors first, the receptor's neighbours last


@dataclass(frozen=True)
class Wiring:
    """Edges between numbered nodes: genes, then hidden neurons by level, then the output."""

    source: np.ndarray
    target: np.ndarray
    genes: int
    hidden: int

    @property
    def n_nodes(self) -> int:
        return self.genes + self.hidden + 1


def wiring(genes: int, hidden: int, edges: int, seed: int = 0) -> Wiring:
    """A graph like KPNN's: genes under transcription factors under signalling proteins under one output.

    Half of the hidden neurons are transcription factors; each level above has half of the one below. Every node is
    read by at least one neuron above it and every neuron reads one of the level below. The other edges are drawn
    with weights 1/(rank + 5) for who reads and who is read, so that a few proteins have very many neighbours: two
    thirds lead from genes to transcription factors, the rest from any hidden neuron to one of a higher level.
    """
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(1, LEVELS + 1)
    sizes = np.maximum(1, np.round(hidden * share / share.sum()).astype(int))
    sizes[0] += hidden - sizes.sum()
    level = np.concatenate([np.zeros(genes, int), np.repeat(np.arange(1, LEVELS + 1), sizes), [LEVELS + 1]])
    n = genes + hidden + 1
    of_level = [np.flatnonzero(level == k) for k in range(LEVELS + 2)]
    attraction = np.empty(n)
    for nodes in of_level:
        attraction[nodes] = 1.0 / (rng.permutation(len(nodes)) + 5.0)

    def drawn(nodes: np.ndarray, count: int) -> np.ndarray:
        return rng.choice(nodes, count, p=attraction[nodes] / attraction[nodes].sum())

    pairs = {(int(u), int(v)) for k in range(1, LEVELS + 2) for v in of_level[k] for u in drawn(of_level[k - 1], 1)}
    read = {u for u, _ in pairs}
    for u in range(n - 1):
        if u not in read:
            pairs.add((u, int(drawn(of_level[level[u] + 1], 1)[0])))
    from_genes = 2 * (edges - len(pairs)) // 3
    while len(pairs) < edges:
        count = edges - len(pairs)
        if from_genes > 0:
            new = set(zip(drawn(of_level[0], count).tolist(), drawn(of_level[1], count).tolist(), strict=True))
            new = set(sorted(new - pairs)[:: max(1, -(-len(new) // from_genes))])
            from_genes -= len(new)
        else:
            inner = np.flatnonzero(level > 0)
            ends = drawn(inner, count), drawn(inner, count)
            new = {(u, v) for u, v in zip(*(e.tolist() for e in ends), strict=True) if level[u] < level[v]} - pairs
        pairs |= set(sorted(new)[: edges - len(pairs)])
    source, target = np.array(sorted(pairs)).T
    return Wiring(source, target, genes, hidden)


def network(graph: Wiring, seed: int = 0) -> fg.Network:
    """Sigmoid neurons, the output too: KPNN's y_hat."""
    return fg.Network.from_arrays(
        graph.source,
        graph.target,
        activation="sigmoid",
        inputs=range(graph.genes),
        outputs=[graph.n_nodes - 1],
        n_nodes=graph.n_nodes,
        seed=seed,
    )


class FiniteDifferences:
    """KPNN's method: two passes of the whole network for each hidden neuron.

    Its TensorFlow graph adds ±ε to one neuron's value on the way up. Here every hidden neuron v is followed by an
    identity neuron that reads v alone with weight 1; whoever read v reads that, and its bias is what is added.
    """

    def __init__(self, net: fg.Network, graph: Wiring) -> None:
        hidden = np.arange(graph.genes, graph.genes + graph.hidden)
        moved = graph.n_nodes + np.arange(graph.hidden)  # the neuron that stands behind each
        weight = np.array([net.graph.edges[u, v]["weight"] for u, v in zip(graph.source, graph.target, strict=True)])
        inner = graph.source >= graph.genes
        source = np.where(inner, graph.source - graph.genes + graph.n_nodes, graph.source)
        n = graph.n_nodes + graph.hidden
        behind = fg.Network.from_arrays(
            np.concatenate([source, hidden]),
            np.concatenate([graph.target, moved]),
            weight=np.concatenate([weight, np.ones(graph.hidden)]),
            activation=["sigmoid"] * graph.n_nodes + ["identity"] * graph.hidden,
            inputs=range(graph.genes),
            outputs=[graph.n_nodes - 1],
            n_nodes=n,
        )
        self.program = fg.compile(behind)
        self.slots = [self.program.theta_index.bias[int(v)] for v in moved]

    def importance(self, X: np.ndarray) -> np.ndarray:
        """(hidden,) mean over the cells of (y(a_v + ε) − y(a_v − ε))/2ε."""
        theta, found = self.program.theta.copy(), np.empty(len(self.slots))
        for k, slot in enumerate(self.slots):
            theta[slot] = EPSILON
            above = self.program.predict(X, theta)
            theta[slot] = -EPSILON
            below = self.program.predict(X, theta)
            theta[slot] = 0.0
            found[k] = ((above - below) / (2 * EPSILON)).mean()
        return found


def main() -> None:
    """Both, in turn, and what they say."""
    options = arguments()
    graph = wiring(options.genes, options.hidden, options.edges, options.seed)
    net = network(graph, options.seed)
    program, rival = fg.compile(net), FiniteDifferences(net, graph)
    X = np.random.default_rng(options.seed).random((options.samples, graph.genes))  # genes scaled to 0 … 1
    print(f"{net!r}\n{options.samples} samples, {program.executor} executor", flush=True)
    ours = []
    exact = node_importance(program, X)  # the first call compiles
    rival.program.predict(X)
    for _ in range(3):
        start = time.perf_counter()
        exact = node_importance(program, X)
        ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    theirs = rival.importance(X)
    seconds = time.perf_counter() - start
    for _ in range(3):
        start = time.perf_counter()
        exact = node_importance(program, X)
        ours.append(time.perf_counter() - start)
    mine = exact.gradient[0, graph.genes : graph.genes + graph.hidden]
    report(mine, theirs, float(np.median(ours)), seconds)


def report(mine: np.ndarray, theirs: np.ndarray, ours: float, seconds: float) -> None:
    """Agreement and ratio."""
    worst = np.abs(mine - theirs).max() / np.abs(mine).max()
    ranks = np.corrcoef(np.argsort(np.argsort(mine)), np.argsort(np.argsort(theirs)))[0, 1]
    print(f"finite differences: {2 * len(theirs):,} forward passes for {len(theirs):,} neurons: {seconds:.1f} s")
    print(f"node_importance: one reverse pass for every node, genes too: {1000 * ours:.1f} ms (median of 6)")
    print(f"ratio: {seconds / ours:,.0f}")
    print(f"largest difference: {worst:.1e} of the largest gradient; rank correlation {ranks:.6f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=100, help="cells")
    parser.add_argument("--genes", type=int, default=4795)
    parser.add_argument("--hidden", type=int, default=2204, help="hidden neurons")
    parser.add_argument("--edges", type=int, default=77_000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
