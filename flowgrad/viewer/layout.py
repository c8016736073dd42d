"""Where neurons stand: topological levels as columns, crossings reduced by barycentre sweeps. No randomness.

Sugiyama, Tagawa & Toda (1981): an edge over several levels is cut into pieces by dummy nodes, then each level is
sorted by the mean place of its neighbours, forwards and backwards in turn; the best order that was met is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.plan import Plan

SWEEPS = 24
ROWS = 12  # members from which a group of a broken column has rows of its own
RELAX = 12  # rounds in which heights are drawn to their neighbours'
DUMMIES = 1500  # with more of them long edges are drawn straight
EXACT = 1200  # pieces of edges up to which crossings are counted, pair by pair; beyond, lengths are compared

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Groups = list[tuple[int, int]]


@dataclass(frozen=True)
class Layout:
    """x, y (V,) float64 in units of the distance between two neurons of a column; y grows downwards.

    bends  edge number → the (x, y) that a long edge passes on its way, level by level
    """

    x: Floats
    y: Floats
    bends: dict[int, list[tuple[float, float]]]


def layout(plan: Plan) -> Layout:
    """Places of all V nodes and the bends of long edges; the same for the same plan, to the bit."""
    V = plan.n_nodes
    level, source, target, of_edge = _pieces(plan)
    together = groups(plan)
    order = _together(level, _sweep(level, source, target), together)
    x, y = _places(level, order, source, target, together)
    bends: dict[int, list[tuple[float, float]]] = {}
    for k, e in enumerate(of_edge):
        bends.setdefault(e, []).append((float(x[V + k]), float(y[V + k])))
    return Layout(x[:V], y[:V], bends)


def crossings(level: Any, source: Any, target: Any, rank: Any) -> int:
    """How many pairs of edges between the same two levels cross, counted pair by pair.

    Args:
        level, rank: (N,) column of each node and its place in it.
        source, target: (M,) nodes at the ends of each edge.
    """
    found = 0
    for column in np.unique(level[source]).tolist():
        here = level[source] == column
        s, t = rank[source[here]], rank[target[here]]
        found += int(((s[:, None] < s[None, :]) & (t[:, None] > t[None, :])).sum())
    return found


def _pieces(plan: Plan) -> tuple[Longs, Longs, Longs, list[int]]:
    """Levels of nodes and dummies, the pieces of edges between them, and the edge of each dummy."""
    level = plan.level.astype(np.int64)
    source = plan.in_source.astype(np.int64)
    target = np.repeat(np.arange(plan.n_nodes), np.diff(plan.in_ptr))
    span = level[target] - level[source]
    if not 0 < int(np.maximum(span - 1, 0).sum()) <= DUMMIES:
        return level, source, target, []
    levels, s, t, of_edge = level.tolist(), list[int](), list[int](), list[int]()
    for e, (u, v) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        for between in range(levels[u] + 1, levels[v]):
            s.append(u)
            t.append(len(levels))
            u = len(levels)
            levels.append(between)
            of_edge.append(e)
        s.append(u)
        t.append(v)
    return np.array(levels), np.array(s), np.array(t), of_edge


def _sweep(level: Longs, source: Longs, target: Longs) -> Longs:
    """(N,) the rank of every node in its column."""
    rank = _ranks(level, np.arange(len(level)))
    best, least = rank, _cost(level, source, target, rank)
    for k in range(SWEEPS):
        a, b = (source, target) if k % 2 == 0 else (target, source)
        middle = _centred(level, rank)
        near = np.bincount(b, minlength=len(level))
        mean = np.bincount(b, middle[a], minlength=len(level)) / np.maximum(near, 1)
        key = np.where(near > 0, mean, middle)
        rank = _ranks(level, np.lexsort((rank, key)))
        cost = _cost(level, source, target, rank)
        if cost < least:
            best, least = rank, cost
    return best


def _together(level: Longs, rank: Longs, together: Groups) -> Longs:
    """The ranks with each group's members side by side, at their mean place."""
    key = rank.astype(float)
    for first, end in together:
        key[first:end] = key[first:end].mean()
    return _ranks(level, np.lexsort((rank, key)))


def groups(plan: Plan) -> Groups:
    """Runs (first, one past last) of neurons that may be shown as one: dense blocks, and inputs alike."""
    ends = [plan.out_target[plan.out_ptr[v] : plan.out_ptr[v + 1]].tobytes() for v in range(len(plan.inputs))]
    starts = [k for k in range(len(ends)) if k == 0 or ends[k] != ends[k - 1] or not ends[k]]
    alike = zip(starts, [*starts[1:], len(ends)], strict=True)
    return [(int(a), int(b)) for a, b in [*alike, *plan.blocks.tolist()] if b - a > 1]


def _ranks(level: Longs, order: Longs) -> Longs:
    """Ranks within levels of nodes that stand in this order."""
    stable = order[np.argsort(level[order], kind="stable")]
    size = np.bincount(level)
    first = np.cumsum(size) - size
    rank = np.empty(len(level), np.int64)
    rank[stable] = np.arange(len(level)) - first[level[stable]]
    return rank


def _centred(level: Longs, rank: Longs) -> Floats:
    size = np.bincount(level)[level]
    middle: Floats = rank - (size - 1) / 2
    return middle


def _cost(level: Longs, source: Longs, target: Longs, rank: Longs) -> float:
    if len(source) <= EXACT:
        return crossings(level, source, target, rank)
    share = (rank + 0.5) / np.bincount(level)[level]
    return float(((share[source] - share[target]) ** 2).sum())


def _places(level: Longs, rank: Longs, source: Longs, target: Longs, together: Groups) -> tuple[Floats, Floats]:
    """Columns side by side; one that is much higher than the graph is wide is broken into several.

    A broken column is filled row by row, so that neighbours in rank are neighbours in height; a large group has rows
    of its own.
    """
    size = np.bincount(level)
    height = max(40, int(np.ceil(1.2 * np.sqrt(len(level)))))
    parts = np.maximum(1, -(-size // height))
    slot = _slots(level, rank, parts, together)
    last = np.zeros(len(size), np.int64)
    np.maximum.at(last, level, slot)
    rows = last // parts + 1
    tallest, n = int(rows.max()), len(size)
    gap = max(2.6, (1.9 * tallest - int(parts.sum() - n)) / max(1, n - 1))
    start = np.concatenate([[0.0], np.cumsum(parts[:-1] - 1 + gap)])
    part, row = slot % parts[level], slot // parts[level]
    x, y = (start[level] + part).astype(float), row - (rows[level] - 1) / 2
    return (x, _relaxed(level, rank, source, target, y)) if (parts == 1).all() else (x, y)


def _slots(level: Longs, rank: Longs, parts: Longs, together: Groups) -> Longs:
    """(N,) ranks with gaps: of broken columns every group of `ROWS` members or more begins a row and ends one."""
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


def _relaxed(level: Longs, rank: Longs, source: Longs, target: Longs, y: Floats) -> Floats:
    """Heights drawn to the mean of the neighbours', at least 1 apart in a column, their order kept."""
    columns = [np.flatnonzero(level == k) for k in range(int(level.max()) + 1)]
    columns = [c[np.argsort(rank[c])] for c in columns]
    near = np.maximum(1, np.bincount(np.concatenate([source, target]), minlength=len(level)))
    tallest = max(map(len, columns))
    for c in columns:  # begin spread out: a short column is as high as two thirds of the tallest
        y[c] *= max(1.0, 0.67 * (tallest - 1) / max(1, len(c) - 1))
    for _ in range(RELAX):
        pull = np.bincount(target, y[source], len(level)) + np.bincount(source, y[target], len(level))
        wish = 0.5 * y + 0.5 * pull / near
        for c in columns:
            place = np.arange(len(c), dtype=float)
            y[c] = _rising(wish[c] - place) + place
    centred: Floats = y - 0.5 * (y.min() + y.max())
    return centred


def _rising(wish: Floats) -> Floats:
    """The closest sequence that never falls, in the sum of squares: neighbours that would fall are pooled."""
    means, sizes = list[float](), list[int]()
    for value in wish.tolist():
        mean, size = value, 1
        while means and means[-1] > mean:
            other, n = means.pop(), sizes.pop()
            mean, size = (mean * size + other * n) / (size + n), size + n
        means.append(mean)
        sizes.append(size)
    return np.repeat(means, sizes)
