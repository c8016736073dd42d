"""Ordering of the nodes of each level so that few edges cross, and the count of crossings.

Sugiyama, Tagawa & Toda (1981), "Methods for visual understanding of hierarchical system structures": sweeps through the
levels, forwards and backwards in turn, sort each level by the mean place of its neighbours in the level sorted just
before; the order with the fewest crossings counted is kept. The starting orders of a small graph are swept together, as
copies of the graph side by side, and the worse half is dropped at each count. The result is deterministic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

SWEEPS = 24  # largest number of sweeps from one start
COUNT = 3, 5  # sweeps between two counts of crossings (small graph, others); odd, so that both directions are counted
PATIENCE = 2, 1  # consecutive counts without a gain after which the sweeps end (small graph, others)
GAIN = 0.05  # a gain: crossings fall by more than this share
WORK = 2_000_000  # edges (plus 100 a level) that all sweeps of a start may visit; at least two sweeps
CAREFUL = 50_000  # edges up to which sweeps start from a depth-first order; larger graphs: from the order as given
SMALL = 1000  # edges up to which a graph is small: both starts are tried, with first sweeps in both directions
SLAB = 1 << 21  # pairs compared at once in each copy, to bound memory

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Levels:
    """A graph of N nodes in levels, whose M edges all lead from one level to the next.

    level (N,) int64; source, target (M,) int64
    group (N,) int64 number of the group, whose members stay adjacent; −1 for a node without group
    """

    level: Longs
    source: Longs
    target: Longs
    group: Longs

    @cached_property
    def first(self) -> Longs:
        """(levels + 1,) offset of each level in an order of all nodes by level, and N."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.level))]).astype(np.int64)

    def places(self, order: Any) -> Longs:
        """Return the (N,) place of each node: levels one after the other, nodes within a level in the given order."""
        order = np.asarray(order)
        place = np.empty(len(self.level), np.int64)
        place[order[np.argsort(self.level[order], kind="stable")]] = np.arange(len(self.level))
        return place


@dataclass(frozen=True)
class Units:
    """Units of a level, whose members stay adjacent: its groups, and single nodes without group.

    slots (n,) int64 places of the level, copy after copy
    unit (copies · N,) int64 unit of each node, numbered within its level; shared by all levels
    count  number of units in all copies
    """

    slots: Longs
    unit: Longs
    count: int

    def head(self, part: int) -> Units:
        """Return the units of the first 1/part of the copies."""
        return Units(self.slots[: len(self.slots) // part], self.unit, self.count // part)

    def gather(self, place: Longs, at: Longs) -> None:
        """Make the members of each unit adjacent, units by their mean place; `place` and `at` as in `Side.sort`."""
        nodes = at[self.slots]
        unit = self.unit[nodes]
        if np.count_nonzero(unit[1:] != unit[:-1]) == self.count - 1:
            return  # already adjacent
        rank = np.empty(self.count, np.int64)
        rank[np.argsort(np.bincount(unit, self.slots) / np.bincount(unit), kind="stable")] = np.arange(self.count)
        nodes = nodes[np.argsort(rank[unit], kind="stable")]
        place[nodes], at[self.slots] = self.slots, nodes


@dataclass(frozen=True)
class Side:
    """Edges by which a sweep sorts a level, those to the level before (or after) it, in CSR form, copy after copy.

    nodes (n,) int64 nodes with such an edge; the others keep their places
    near (m,) int64 neighbours of the first node, then of the second …; start (n,) int64 offset of each node's
    degree (n,) int64 number of neighbours of each node
    units  of the whole level; None where all are single nodes
    """

    nodes: Longs
    near: Longs
    start: Longs
    degree: Longs
    units: Units | None

    def head(self, part: int) -> Side:
        """Return the side of the first 1/part of the copies."""
        n, m = len(self.nodes) // part, len(self.near) // part
        units = self.units and self.units.head(part)
        return Side(self.nodes[:n], self.near[:m], self.start[:n], self.degree[:n], units)

    def sort(self, place: Longs, at: Longs) -> None:
        """Sort the level by the mean place of neighbours; ties keep their order.

        Args:
            place: of each node. at: node at each place. Both are changed in place.
        """
        here, bits = place[self.nodes], len(place).bit_length()
        mean = (np.add.reduceat(place[self.near], self.start) << min(20, 62 - 2 * bits)) // self.degree
        _put(here, mean, place, at)
        if self.units:
            self.units.gather(place, at)


def _put(here: Longs, mean: Longs, place: Longs, at: Longs) -> None:
    """Redistribute the places `here` among the nodes there, in the order of their means, then of their old places.

    The places are the lower bits of the sort keys, so that keys are unique.
    """
    bits = len(place).bit_length()
    key = (mean << bits) | here
    key.sort()
    nodes = at[key & ((1 << bits) - 1)]
    here.sort()
    place[nodes], at[here] = here, nodes


def _copied(index: Longs, copies: int, size: int) -> Longs:
    """Repeat indices into an array of `size` for `copies` consecutive copies of it, each offset by `size`."""
    return index if copies == 1 else (index + size * np.arange(copies)[:, None]).ravel()


def _sides(graph: Levels, copies: int, forward: bool) -> list[Side]:
    """Build the sides of a sweep in its order of levels, without levels in which at most one node has an edge."""
    own, other = (graph.target, graph.source) if forward else (graph.source, graph.target)
    order = np.argsort(graph.places(np.arange(len(graph.level)))[own], kind="stable")
    own, other = own[order], other[order]
    start = np.flatnonzero(np.diff(own, prepend=-1))
    nodes, degree = own[start], np.diff(start, append=len(own))
    cuts = np.searchsorted(graph.level[nodes], np.arange(len(graph.first))).tolist()
    start = np.append(start, len(own))
    members = np.argsort(graph.level, kind="stable")
    N, found = len(graph.level), list[Side]()
    unit = np.zeros(copies * N, np.int64)
    for k, (a, b) in enumerate(pairwise(cuts)):
        if b - a > 1:
            whole, near = members[graph.first[k] : graph.first[k + 1]], other[start[a] : start[b]]
            at = _copied(start[a:b] - start[a], copies, len(near))
            slots = _copied(np.arange(graph.first[k], graph.first[k + 1]), copies, N)
            count = _number(unit, whole, graph.group[whole], copies, N)
            units = Units(slots, unit, count) if count < len(slots) else None
            some = _copied(nodes[a:b], copies, N)
            found.append(Side(some, _copied(near, copies, N), at, _copied(degree[a:b], copies, 0), units))
    return found if forward else found[::-1]


def _number(unit: Longs, nodes: Longs, group: Longs, copies: int, N: int) -> int:
    """Write the unit of each of a level's nodes, in all copies, into `unit`; return the number of units."""
    if group.max() < 0:
        return copies * len(nodes)
    own = np.where(group < 0, -1 - np.arange(len(group)), group)
    here = np.unique(own, return_inverse=True)[1]
    count = int(here.max()) + 1
    unit[_copied(nodes, copies, N)] = _copied(here, copies, count)
    return copies * count


def crossings(graph: Levels, place: Longs) -> Longs:
    """Count in each copy, (copies,), the crossing pairs of edges between the same two levels.

    Args:
        place: (copies · N,) int64, of `Levels.places`, + N in the second copy, + 2 N in the third …
    """
    return inversions(_targets(graph, place))


def _targets(graph: Levels, place: Longs) -> Longs:
    """Return (copies, M) places of the edges' targets, ordered by source place, then by target place."""
    N, bits = len(graph.level), len(place).bit_length()
    copies = len(place) // N
    key = (place[_copied(graph.source, copies, N)] << bits) | place[_copied(graph.target, copies, N)]
    key.sort()
    targets: Longs = (key & ((1 << bits) - 1)).reshape(copies, -1)
    return targets


def _cross(targets: Longs) -> bool:
    return bool((targets[:, 1:] < targets[:, :-1]).any())


def inversions(value: Longs) -> Longs:
    """Count the inversions, pairs whose earlier value is larger, in each row of (copies, M) int64; returns (copies,).

    Positions are divided into √M chunks, and values by rank likewise. Pairs within a chunk of positions or of values
    are compared one by one; all others are counted from a table of chunk by chunk. O(M √M) in all.
    """
    copies, M = value.shape
    if not _cross(value):
        return np.zeros(copies, np.int64)
    size = max(8, round(M**0.5))
    chunks, bits = -(-M // size), M.bit_length()
    short = np.int16 if chunks * size < 2**15 else np.int32  # halves the memory traffic
    at = np.tile(np.arange(chunks * size, dtype=short), (copies, 1))  # padding adds no inversion
    rank = at.copy()
    at[:, :M] = np.sort((value << bits) | np.arange(M)) & ((1 << bits) - 1)
    rank[np.arange(copies)[:, None], at] = rank[0]
    chunk = at // short(size)
    table = chunk.reshape(-1, size) + chunks * np.arange(copies * chunks)[:, None]
    table = np.bincount(table.ravel(), minlength=copies * chunks**2)
    table = table.reshape(copies, chunks, chunks)  # elements by chunk of values and chunk of positions
    larger = table[:, ::-1].cumsum(1)[:, ::-1] - table
    far = (table * (larger.cumsum(2) - larger)).sum((1, 2))
    found: Longs = far + _wrong(rank.reshape(copies, -1, size)) + _wrong(chunk.reshape(copies, -1, size))
    return found


def _wrong(rows: Any) -> Longs:
    """Count the inversions within the rows of (copies, chunks, size); returns (copies,)."""
    copies, chunks, size = rows.shape
    before = np.arange(size)[:, None] < np.arange(size)
    many = max(1, SLAB // size**2)
    found = np.zeros(copies, np.int64)
    for k in range(0, chunks, many):
        part = rows[:, k : k + many]
        wrong = (part[..., :, None] > part[..., None, :]) & before
        found += [np.count_nonzero(one) for one in wrong]
    return found


def arranged(graph: Levels) -> Longs:
    """Return (N,) places with few crossings, deterministic for a graph."""
    N, M = len(graph.level), len(graph.source)
    given = graph.places(np.arange(N))
    if M > CAREFUL:
        return _swept(graph, given, [_sides(graph, 1, forward) for forward in (False, True)])
    if not _cross(_targets(graph, given)):
        return given
    deep = graph.places(walk(graph))
    if M > SMALL:
        return _swept(graph, deep, [_sides(graph, 1, forward) for forward in (False, True)])
    starts = np.concatenate([given, N + deep])
    sides = [_sides(graph, 4, forward) for forward in (False, True)]
    backward = [side.head(2) for side in sides[0]]
    return _swept(graph, np.concatenate([starts, 2 * N + _sweep(backward, starts)]), sides)


def walk(graph: Levels) -> list[int]:
    """List all nodes depth first from those of the last level: components and branches stay contiguous."""
    ends, others = np.concatenate([graph.target, graph.source]), np.concatenate([graph.source, graph.target])
    near = others[np.argsort(ends, kind="stable")[::-1]].tolist()
    end = np.cumsum(np.bincount(ends, minlength=len(graph.level))[::-1])[::-1].tolist()
    end.append(0)
    seen, found = bytearray(len(graph.level)), list[int]()
    for root in np.argsort(-graph.level, kind="stable").tolist():
        if seen[root]:
            continue
        todo = [root]
        while todo:
            v = todo.pop()
            if not seen[v]:
                seen[v] = 1
                found.append(v)
                todo += near[end[v + 1] : end[v]]
    return found


def _swept(graph: Levels, place: Longs, sides: list[list[Side]]) -> Longs:
    """Sweep from the places of all copies, forwards first, and return the (N,) places with the fewest crossings."""
    N, idle, still = len(graph.level), 0, 0
    least, best, rounds = -1, place[:N], _rounds(graph)
    small = len(graph.source) <= SMALL
    for k in range(1, rounds + 1):
        before, place = place, _sweep(sides[k % 2], place)
        still = still + 1 if np.array_equal(before, place) else 0
        last = k == rounds or still == 2
        if k % COUNT[not small] and not last:
            continue
        if last and least < 0 and len(place) == N:
            return place
        found = crossings(graph, place)
        order = np.argsort(found, kind="stable")
        rows = place.reshape(-1, N)
        lowest = int(found[order[0]])
        idle = 0 if least < 0 or lowest < (1 - GAIN) * least else idle + 1
        if least < 0 or lowest < least:
            least, best = lowest, rows[order[0]] - N * int(order[0])
        if last or not least or idle == PATIENCE[not small]:
            break
        if len(found) > 1:
            kept = np.sort(order[: len(found) // 2])
            place = (rows[kept] + N * (np.arange(len(kept)) - kept)[:, None]).ravel()
            sides = [[side.head(2) for side in some] for some in sides]
    return best


def _rounds(graph: Levels) -> int:
    return min(SWEEPS, max(2, WORK // (len(graph.source) + 100 * len(graph.first))))


def _sweep(sides: list[Side], place: Longs) -> Longs:
    """Return the places after one sweep: each level sorted by its neighbours in the level sorted just before."""
    place, at = place.copy(), np.empty_like(place)
    at[place] = np.arange(len(place))
    for side in sides:
        side.sort(place, at)
    return place
