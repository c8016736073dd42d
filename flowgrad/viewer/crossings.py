"""Orders the nodes of each level so that few edges cross, and counts the crossings.

Sugiyama, Tagawa & Toda (1981), "Methods for visual understanding of hierarchical system structures": one level after
the other is sorted by the mean place of its neighbours in the level that was sorted just before, forwards through all
levels and backwards in turn; the best order counted is kept. The starts of a small graph are swept at once, as copies
of the graph side by side, and the worse half of them is given up at each count. No randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

SWEEPS = 24  # at most, of one start
COUNT = 3, 5  # sweeps from one count of the crossings to the next, odd so that both directions are met …
PATIENCE = 2, 1  # … and counts without much gain after which the sweeps end; each for a small graph and for others
GAIN = 0.05  # share of the crossings that is much
WORK = 2_000_000  # edges that the sweeps of one start may visit: a large graph gets fewer of them, and at least two
CAREFUL = 50_000  # edges up to which the start is depth first, and not the order as given …
SMALL = 1000  # … and up to which both are tried, the first sweep of each either way
SLAB = 1 << 21  # pairs that are compared at once

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Levels:
    """A graph of N nodes in levels, whose M edges all lead from a level to the next.

    level (N,) int64; source, target (M,) int64
    group (N,) int64 nodes of the same group stand side by side; −1 for a node that stands alone
    """

    level: Longs
    source: Longs
    target: Longs
    group: Longs

    @cached_property
    def first(self) -> Longs:
        """(levels + 1,) where each level begins in an order of all nodes by level."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.level))]).astype(np.int64)

    def places(self, order: Any) -> Longs:
        """(N,) the place of each node, level after level, where the nodes of a level stand in this order."""
        order = np.asarray(order)
        place = np.empty(len(self.level), np.int64)
        place[order[np.argsort(self.level[order], kind="stable")]] = np.arange(len(self.level))
        return place


@dataclass(frozen=True)
class Units:
    """What stays side by side in a level: its groups, and its nodes that are in none.

    slots (n,) int64 the places of the level, all copies in turn
    unit (copies · N,) int64 the unit of each node, numbered within the level; of all levels
    count  units, of all copies
    """

    slots: Longs
    unit: Longs
    count: int

    def head(self, part: int) -> Units:
        """The first copies: the half of them for 2."""
        return Units(self.slots[: len(self.slots) // part], self.unit, self.count // part)

    def gather(self, place: Longs, at: Longs) -> None:
        """Puts the members of a unit side by side, at their mean place; `place` and `at` as in `Side.sort`."""
        nodes = at[self.slots]
        unit = self.unit[nodes]
        if np.count_nonzero(unit[1:] != unit[:-1]) == self.count - 1:
            return  # they stand so
        rank = np.empty(self.count, np.int64)
        rank[np.argsort(np.bincount(unit, self.slots) / np.bincount(unit), kind="stable")] = np.arange(self.count)
        nodes = nodes[np.argsort(rank[unit], kind="stable")]
        place[nodes], at[self.slots] = self.slots, nodes


@dataclass(frozen=True)
class Side:
    """What one level is sorted by: the edges between it and the level before (or behind) it, all copies in turn.

    nodes (n,) int64 those with such an edge; the others stay where they are
    near (m,) int64 neighbours of the first node, then of the second …; start (n,) int64 where each node's begin
    degree (n,) int64 neighbours of each node
    units of the whole level
    """

    nodes: Longs
    near: Longs
    start: Longs
    degree: Longs
    units: Units | None

    def head(self, part: int) -> Side:
        """The first copies: the half of them for 2."""
        n, m = len(self.nodes) // part, len(self.near) // part
        units = self.units and self.units.head(part)
        return Side(self.nodes[:n], self.near[:m], self.start[:n], self.degree[:n], units)

    def sort(self, place: Longs, at: Longs) -> None:
        """Sorts the level by the neighbours' mean place; where that is the same, as it was.

        Args:
            place: of each node. at: the node at each place. Both are changed.
        """
        here, bits = place[self.nodes], len(place).bit_length()
        mean = (np.add.reduceat(place[self.near], self.start) << min(20, 62 - 2 * bits)) // self.degree
        _put(here, mean, place, at)
        if self.units:
            self.units.gather(place, at)


def _put(here: Longs, mean: Longs, place: Longs, at: Longs) -> None:
    """Gives the places `here` to the nodes that stand there, in the order of their means, then of their places.

    The places are the lower bits of the keys that are sorted, so that no two are the same.
    """
    bits = len(place).bit_length()
    key = (mean << bits) | here
    key.sort()
    nodes = at[key & ((1 << bits) - 1)]
    here.sort()
    place[nodes], at[here] = here, nodes


def _copied(index: Longs, copies: int, size: int) -> Longs:
    """Indices into arrays of `size`, of which so many copies stand one after the other."""
    return index if copies == 1 else (index + size * np.arange(copies)[:, None]).ravel()


def _sides(graph: Levels, copies: int, forward: bool) -> list[Side]:
    """The levels in the order in which a sweep sorts them; without those that it cannot change."""
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
    """Writes the units of a level's nodes, in all copies, into `unit`; how many they are."""
    if group.max() < 0:
        return copies * len(nodes)
    own = np.where(group < 0, -1 - np.arange(len(group)), group)
    here = np.unique(own, return_inverse=True)[1]
    count = int(here.max()) + 1
    unit[_copied(nodes, copies, N)] = _copied(here, copies, count)
    return copies * count


def crossings(graph: Levels, place: Longs) -> Longs:
    """(copies,) how many pairs of edges cross that lead between the same two levels.

    Args:
        place: (copies · N,) int64, of `Levels.places`, + N in the second copy, + 2 N in the third …
    """
    return inversions(_targets(graph, place))


def _targets(graph: Levels, place: Longs) -> Longs:
    """(copies, M) places of the edges' targets, ordered by the places of their sources, then of themselves."""
    N, bits = len(graph.level), len(place).bit_length()
    copies = len(place) // N
    key = (place[_copied(graph.source, copies, N)] << bits) | place[_copied(graph.target, copies, N)]
    key.sort()
    targets: Longs = (key & ((1 << bits) - 1)).reshape(copies, -1)
    return targets


def _cross(targets: Longs) -> bool:
    return bool((targets[:, 1:] < targets[:, :-1]).any())


def inversions(value: Longs) -> Longs:
    """(copies,) how many pairs of each row of (copies, M) int64 stand in the wrong order: the earlier is larger.

    Positions are divided into √M chunks, and values by rank likewise. Pairs of the same chunk of positions are compared
    one by one, and so are those of the same chunk of values; all others are counted by a table of both, O(M √M) in all.
    """
    copies, M = value.shape
    if not _cross(value):
        return np.zeros(copies, np.int64)
    size = max(8, round(M**0.5))
    chunks, bits = -(-M // size), M.bit_length()
    short = np.int16 if chunks * size < 2**15 else np.int32  # less memory to walk through
    at = np.tile(np.arange(chunks * size, dtype=short), (copies, 1))  # filled up where nothing is in the wrong order
    rank = at.copy()
    at[:, :M] = np.sort((value << bits) | np.arange(M)) & ((1 << bits) - 1)
    rank[np.arange(copies)[:, None], at] = rank[0]
    chunk = at // short(size)
    table = chunk.reshape(-1, size) + chunks * np.arange(copies * chunks)[:, None]
    table = np.bincount(table.ravel(), minlength=copies * chunks**2)
    table = table.reshape(copies, chunks, chunks)  # of chunks of values and of positions
    larger = table[:, ::-1].cumsum(1)[:, ::-1] - table
    far = (table * (larger.cumsum(2) - larger)).sum((1, 2))
    found: Longs = far + _wrong(rank.reshape(copies, -1, size)) + _wrong(chunk.reshape(copies, -1, size))
    return found


def _wrong(rows: Any) -> Longs:
    """(copies,) how many pairs within the rows (copies, chunks, size) stand in the wrong order."""
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
    """(N,) places with few crossings, the same for the same graph."""
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
    """All nodes, depth first from those of the last level, so that each connected part and branch stands together."""
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
    """The places with the fewest crossings that sweeps find from the copies' places, first forwards."""
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
    """Places after each level was sorted by its neighbours' in the level sorted just before."""
    place, at = place.copy(), np.empty_like(place)
    at[place] = np.arange(len(place))
    for side in sides:
        side.sort(place, at)
    return place
