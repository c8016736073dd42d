"""Layout: topological levels as columns, each in an order with few crossings (module `crossings`).

An edge over several levels is cut into pieces by bends, one at each level between, ordered and placed like nodes.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from flowgrad.plan import Plan, lower
from flowgrad.viewer.crossings import Levels, arranged, crossings

if TYPE_CHECKING:
    from flowgrad.network import Network

BENDS = 50_000  # limit for all edges: shorter edges get theirs first; the rest are straight lines, not counted
ROWS = 12  # smallest group that gets rows of its own in a broken column
RELAX = 12  # largest number of rounds that move heights towards those of their neighbours
PULLS = 17_000  # node visits in all these rounds, at least one round
POOLS = 4  # vectorized rounds of pooling in `_rising`, before it pools one by one
THIN = 0.4  # largest height of a bend, in units of a neuron's
THINNEST = 0.1  # smallest, in a column with many bends
TILT = 0.1  # rise of a row over the width of a broken column, so that sorting by y gives the order

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Groups = list[tuple[int, int]]
Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """x, y (V,) float64 in units of the distance between two neurons of a column; y grows downwards.

    bends  edge number → the points (x, y) that a long edge passes, level by level
    """

    x: Floats
    y: Floats
    bends: dict[int, list[Point]]


def layout(plan: Plan) -> Layout:
    """Place all V nodes and the bends of long edges; bit-identical for the same plan."""
    V = plan.n_nodes
    _, of_edge, x, y = _placed(plan)
    bends: dict[int, list[Point]] = {}
    points = zip(x[V:].tolist(), y[V:].tolist(), strict=True)
    for e, point in zip(of_edge.tolist(), points, strict=True):
        bends.setdefault(e, []).append(point)
    return Layout(x[:V], y[:V], bends)


def crossings_of(network: Network) -> int:
    """Count the pairs of edges that cross in the network's picture, between one level and the next.

    An edge over several levels crosses others in each gap between levels. Beyond `BENDS` bends in all, the longest
    edges are drawn straight and are not counted.
    """
    graph, _, _, y = _placed(lower(network))
    return int(crossings(graph, graph.places(np.argsort(y, kind="stable")))[0])


def place(network: Network) -> tuple[dict[Hashable, Point], dict[tuple[Hashable, Hashable], list[Point]]]:
    """Place a network's nodes and edges as the page and `Network.plot` do.

    Returns:
        (x, y) by node id, in units of the distance between two neurons of a column, y growing downwards; and the
        points of its line by edge (source, target): the source's, one at each level between, the target's.
    """
    plan = lower(network)
    found = layout(plan)
    ids = [network.columns.ids[k] for k in plan.nodes.tolist()]
    at = list(zip(found.x.tolist(), found.y.tolist(), strict=True))
    ends = zip(plan.in_source.tolist(), plan.in_target.tolist(), strict=True)
    lines = {(ids[u], ids[v]): [at[u], *found.bends.get(e, ()), at[v]] for e, (u, v) in enumerate(ends)}
    return dict(zip(ids, at, strict=True)), lines


def groups(plan: Plan) -> Groups:
    """Return runs (first, one past last) that may be shown as one: dense blocks, and inputs of equal targets."""
    targets, size = plan.out_target.tobytes(), plan.out_target.itemsize
    cuts = (plan.out_ptr[: len(plan.inputs) + 1].astype(np.int64) * size).tolist()
    ends = [targets[a:b] for a, b in pairwise(cuts)]
    starts = [k for k in range(len(ends)) if k == 0 or ends[k] != ends[k - 1] or not ends[k]]
    alike = zip(starts, [*starts[1:], len(ends)], strict=True)
    return [(int(a), int(b)) for a, b in [*alike, *plan.blocks.tolist()] if b - a > 1]


def _placed(plan: Plan) -> tuple[Levels, Longs, Floats, Floats]:
    """Return the graph in levels, the edge of each bend, and x and y of nodes and bends."""
    together = groups(plan)
    graph, of_edge = _levels(plan, together)
    return graph, of_edge, *_places(graph, plan.n_nodes, arranged(graph), together)


def _levels(plan: Plan, together: Groups) -> tuple[Levels, Longs]:
    """Cut long edges by bends, which are nodes V, V + 1 …; return that graph and the edge of each bend."""
    V, level = plan.n_nodes, plan.level.astype(np.int64)
    source, target = plan.in_source.astype(np.int64), plan.in_target.astype(np.int64)
    span = level[target] - level[source]
    order = np.argsort(span, kind="stable")
    cut = order[np.cumsum(np.maximum(span[order] - 1, 0)) <= BENDS]  # the shortest first
    cut = np.sort(cut[span[cut] > 0])
    n = span[cut] - 1
    of_edge = np.repeat(cut, n)
    step = np.arange(len(of_edge)) - np.repeat(np.cumsum(n) - n, n)
    bend = V + np.arange(len(of_edge))
    first, last = step == 0, step == np.repeat(n, n) - 1
    short = cut[n == 0]
    group = np.full(V + len(bend), -1)
    for k, (a, b) in enumerate(together):
        group[a:b] = k
    return Levels(
        level=np.concatenate([level, level[source[of_edge]] + 1 + step]),
        source=np.concatenate([source[short], np.where(first, source[of_edge], bend - 1), bend[last]]),
        target=np.concatenate([target[short], bend, target[of_edge[last]]]),
        group=group,
    ), of_edge


def _places(graph: Levels, V: int, place: Longs, together: Groups) -> tuple[Floats, Floats]:
    """Compute x and y: a column a level; beyond max(40, 1.2 √V) nodes a level is broken into several.

    A broken level is filled row by row, so that neighbours in rank are neighbours in height; a large group has rows
    of its own, and bends pass between the rows.
    """
    level, levels = graph.level, len(graph.first) - 1
    size = np.bincount(level[:V], minlength=levels)
    thin = np.bincount(level[V:], minlength=levels)
    height = max(40, int(np.ceil(1.2 * np.sqrt(V))))
    parts = np.maximum(1, -(-size // height))
    room = np.ones(len(level))
    room[V:] = np.clip((height - size) / np.maximum(1, thin), THINNEST, THIN)[level[V:]]
    order = np.argsort(place)
    rank = _ranks(level[:V], order[order < V])
    slot = _slots(level[:V], rank, parts, together)
    y = _stacked(level, order, room)
    broken = np.flatnonzero(parts > 1)
    for k in broken.tolist():
        nodes = order[graph.first[k] : graph.first[k + 1]]
        y[nodes] = _rows(nodes < V, slot[np.minimum(nodes, V - 1)], int(parts[k]))
    columns = [c for c in np.split(order, graph.first[1:-1]) if len(c) > 1]
    tallest = max((float(np.ptp(y[c])) for c in columns), default=0.0) + 1
    gap = max(2.6, (1.9 * tallest - float((parts - 1).sum())) / max(1, levels - 1))
    start = np.concatenate([[0.0], np.cumsum(parts[:-1] - 1 + gap)])
    x = start[level] + (parts[level] - 1) / 2
    x[:V] = start[level[:V]] + slot % parts[level[:V]]
    for c in columns:  # stretch short columns to two thirds of the tallest
        y[c] *= max(1.0, 0.67 * (tallest - 1) / max(1.0, float(np.ptp(y[c]))))
    return x, _relaxed(graph, V, [c for c in columns if parts[level[c[0]]] == 1], room, y)


def _stacked(level: Longs, order: Longs, room: Floats) -> Floats:
    """Return (N,) y of nodes stacked in each column, centred on 0."""
    end = np.cumsum(room[order])
    column = level[order]
    high = np.bincount(column, room[order])
    y = np.empty(len(level))
    y[order] = end - room[order] / 2 - (np.cumsum(high) - high / 2)[column]
    return y


def _rows(real: npt.NDArray[np.bool_], slot: Longs, width: int) -> Floats:
    """Return y in a broken column, in its order: neurons by the rows of their slots, bends interpolated."""
    own = slot[real]
    rows = own // width + TILT * (own % width) / width
    at = np.flatnonzero(real)
    y = np.concatenate([rows[:1] - 0.5, rows, rows[-1:] + 0.5])
    found: Floats = np.interp(np.arange(len(real)), np.concatenate([[-1], at, [len(real)]]), y)
    return found - int(own[-1]) // width / 2


def _ranks(level: Longs, order: Longs) -> Longs:
    """Return the rank within its level of each node, for nodes in this order."""
    stable = order[np.argsort(level[order], kind="stable")]
    size = np.bincount(level)
    first = np.cumsum(size) - size
    rank = np.empty(len(level), np.int64)
    rank[stable] = np.arange(len(level)) - first[level[stable]]
    return rank


def _slots(level: Longs, rank: Longs, parts: Longs, together: Groups) -> Longs:
    """Return (V,) ranks with gaps: in broken columns a group of `ROWS` members or more fills whole rows of its own."""
    slot = rank.copy()
    large = [(int(level[a]), int(rank[a:b].min()), b - a) for a, b in together if b - a >= ROWS and parts[level[a]] > 1]
    for column in {k for k, _, _ in large}:
        here, width, shift = level == column, int(parts[column]), 0
        for _, first, size in sorted(one for one in large if one[0] == column):
            for edge in (first, first + size):
                gap = -(edge + shift) % width
                slot[here & (rank >= edge)] += gap
                shift += gap
    return slot


def _relaxed(graph: Levels, V: int, columns: list[Longs], room: Floats, y: Floats) -> Floats:
    """Move y towards the mean of the neighbours, keeping order and room, and centre it; long edges become straight.

    Args:
        columns: nodes of each unbroken column from top to bottom; nodes of the others keep their y.
    """
    if columns:
        node = np.concatenate(columns)
        column = graph.level[node]
        size = np.array([len(c) for c in columns])
        end = np.cumsum(room[node])
        own = end - room[node] / 2 - np.repeat(end[np.cumsum(size) - 1], size)
        pulled = np.zeros(len(y), np.bool_)
        pulled[node] = True
        ends, others = np.concatenate([graph.source, graph.target]), np.concatenate([graph.target, graph.source])
        some = pulled[ends]
        ends, others = ends[some], others[some]
        strength = 3.0 ** ((ends >= V).astype(float) + (others >= V))
        weight = 0.5 * strength / np.maximum(1, np.bincount(ends, strength, len(y)))[ends]
        for _ in range(min(RELAX, max(1, PULLS // len(y)))):
            wish = 0.5 * y + np.bincount(ends, weight * y[others], len(y))
            y[node] = _rising(column, wish[node] - own) + own
    centred: Floats = y - 0.5 * (y.min() + y.max())
    return centred


def _rising(column: Longs, wish: Floats) -> Floats:
    """Fit non-decreasing sequences to `wish` within each column by least squares: isotonic regression, by pooling.

    A decreasing run of means ends up in one pool, so that it is pooled at once; what is left after `POOLS` rounds is
    pooled one by one.
    """
    apart = column * (np.ptp(wish) + 1)
    total = mean = wish + apart
    size = np.ones(len(wish), np.int64)
    for _ in range(POOLS):
        falls = mean[1:] < mean[:-1]
        if not falls.any():
            return np.repeat(mean, size) - apart
        start = np.flatnonzero(np.concatenate([[True], ~falls]))
        total, size = np.add.reduceat(total, start), np.add.reduceat(size, start)
        mean = total / size
    means, sizes = list[float](), list[int]()
    for value, n in zip(mean.tolist(), size.tolist(), strict=True):
        while means and means[-1] > value:
            other, m = means.pop(), sizes.pop()
            value, n = (value * n + other * m) / (n + m), n + m
        means.append(value)
        sizes.append(n)
    return np.repeat(means, sizes) - apart
