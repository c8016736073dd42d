"""Path attribution: ∂a_target/∂a_source, in total and of the strongest paths, without enumerating all paths."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import instance, row, whole
from flowgrad.errors import ConfigError, DataError, brief, show
from flowgrad.executor import Array
from flowgrad.inspection.given import samples
from flowgrad.inspection.local import local_derivatives
from flowgrad.plan import Plan
from flowgrad.program import Program

Way = tuple[int, float, float, int, int]
"""A path from the source: −exponent and −mantissa of |product|, sign, previous node, index in `best` of that node.

|product| is mantissa · 2^exponent with ½ ≤ mantissa < 1, so that no product overflows or underflows, and ascending
tuples are descending products.
"""
ONE: Way = (-1, -0.5, 1.0, -1, -1)


@dataclass(frozen=True)
class Path:
    """One path: the ids of its nodes, from source to target, and the product of ∂a_v/∂a_u over its edges u → v."""

    nodes: tuple[Hashable, ...]
    product: float


@dataclass(frozen=True, repr=False)
class PathAttribution:
    """Sum over all paths between two nodes, and the strongest paths, as computed by `path_attribution` at one sample.

    source, target   ids of the two nodes
    total            ∂a_target/∂a_source, the sum of the products of all paths
    n_paths          exact number of paths, an integer of any size; 0 if no path leads from source to target
    paths            up to k paths in descending order of |product|, without paths that have a factor 0; ties are in
                     the order of in-edges at the last node where the paths differ
    """

    source: Hashable
    target: Hashable
    total: float
    n_paths: int
    paths: tuple[Path, ...]

    @property
    def share(self) -> float:
        """Σ |product| of the listed paths, divided by |total|; it can exceed 1, up to inf, where paths cancel."""
        listed = sum(abs(p.product) for p in self.paths)
        return listed / abs(self.total) if self.total else float("inf") if listed else 0.0

    def __repr__(self) -> str:
        head = f"{show(self.source)} → {show(self.target)}: {self.n_paths:,} paths, ∂a/∂a = {self.total:.6g}"
        rows = (f"  {p.product:+.6g}  {' → '.join(map(show, p.nodes))}" for p in self.paths)
        return "\n".join((head, *rows))


def path_attribution(
    program: Program, X: Any, source: Hashable, target: Hashable, *, theta: Any = None, sample: int = 0, k: int = 10
) -> PathAttribution:
    """Compute how `source` influences `target` at one sample: over all paths, and over each of the k strongest.

    The product of a path is Π ∂a_v/∂a_u over its edges u → v, multiplied from the source on; the sum over all paths is
    ∂a_target/∂a_source, equation (10). Dynamic programming over the nodes between the two takes O(E k log k) time,
    however many paths there are. Paths are ordered by their rounded products: rounding is monotone, so that the k
    strongest paths to a node extend the k strongest paths to its predecessors.

    Args:
        X: inputs, shape (B, I), or a mapping or data frame by input name.
        source, target: ids of the nodes where the paths begin and end.
        theta: parameters, shape (P,). Default: `program.theta`.
        sample: the row of X to use, an integer in 0 … B − 1.
        k: largest number of paths to return, an integer ≥ 1.

    Raises:
        UnknownNameError: source or target is not a node of the network.
        ConfigError: program is not a Program; X is a Network, Program, Activations or Gradients; k is not an
            integer ≥ 1.
        DataError: sample is out of range; ∂a_target/∂a_source is NaN or infinite.
        ShapeError, DataError, UnknownNameError: X or theta does not fit, as in `Program.forward`.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 0, 1], [1, 2, 2], weight=[0.5, 3.0, -2.0], activation="identity")
    >>> path_attribution(fg.compile(net, executor="python"), [[1.0]], 0, 2)
    0 → 2: 2 paths, ∂a/∂a = 2
      +3  0 → 2
      -1  0 → 1 → 2
    """
    instance("path_attribution", program, Program, ConfigError)
    samples("path_attribution", X=X)
    k = whole("k", k, 1)
    u, v = program.labels.node(source), program.labels.node(target)
    acts = program.forward(X, theta)
    sample = row("sample", sample, acts.a.array.shape[1])
    plan = program.plan
    weight, _ = plan.parameters(acts.theta.astype(np.float64))
    z, a = (values.array[:, sample].astype(np.float64) for values in (acts.z, acts.a))
    slope = local_derivatives(plan, weight, z, a)
    totals, counts, best = _forward(plan, slope, u, v, k)
    if not np.isfinite(totals[v]):
        raise DataError(
            f"∂a/∂a from {brief(source)} to {brief(target)} is {totals[v]} at sample {sample}: no paths to order"
        )
    paths = tuple(_walk(program, best, v, way) for way in best.get(v, []))
    return PathAttribution(source, target, float(totals[v]), counts[v], paths)


def _forward(plan: Plan, slope: Array, u: int, v: int, k: int) -> tuple[Array, list[int], dict[int, list[Way]]]:
    """Compute, in topological order from u to v, each node's total, number of paths and k strongest paths from u."""
    totals, counts = np.zeros(plan.n_nodes), [0] * plan.n_nodes
    best: dict[int, list[Way]] = {u: [ONE]}
    totals[u], counts[u] = 1.0, 1
    wanted = _before(plan, v)
    for node in range(u + 1, v + 1):
        if node not in wanted:
            continue
        ways: list[Way] = []
        for e in range(plan.in_ptr[node], plan.in_ptr[node + 1]):
            s = int(plan.in_source[e])
            counts[node] += counts[s]
            if counts[s]:  # else 0 · inf of an edge on no path would be NaN
                totals[node] += totals[s] * slope[e]
            if slope[e] != 0.0 and np.isfinite(slope[e]):
                ways += [_longer(way, slope[e], s, place) for place, way in enumerate(best.get(s, []))]
        if ways:
            best[node] = heapq.nsmallest(k, ways, key=lambda way: way[:2])
    return totals, counts, best


def _longer(way: Way, slope: float, node: int, place: int) -> Way:
    """Extend a path, entry `place` of `best[node]`, by an edge with ∂a/∂a = `slope`."""
    mantissa, exponent = math.frexp(-way[1] * math.fabs(slope))
    return way[0] - exponent, -mantissa, math.copysign(way[2], way[2] * slope), node, place


def _before(plan: Plan, v: int) -> set[int]:
    """Return v and all nodes upstream of it."""
    found, todo = {v}, [v]
    while todo:
        node = todo.pop()
        for s in plan.in_source[plan.in_ptr[node] : plan.in_ptr[node + 1]].tolist():
            if s not in found:
                found.add(s)
                todo.append(s)
    return found


def _walk(program: Program, best: dict[int, list[Way]], node: int, way: Way) -> Path:
    exponent, mantissa, sign, _, _ = way
    nodes = [program.labels.nodes[node]]
    while way[3] >= 0:
        nodes.append(program.labels.nodes[way[3]])
        way = best[way[3]][way[4]]
    with np.errstate(over="ignore"):
        return Path(tuple(reversed(nodes)), sign * float(np.ldexp(-mantissa, -exponent)))
