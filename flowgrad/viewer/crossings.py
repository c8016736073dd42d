"""Orders the nodes of each level so that few edges cross, and counts the crossings.

Sugiyama, Tagawa & Toda (1981), "Methods for visual understanding of hierarchical system structures": one level after
the other is sorted by the mean place of its neighbours in the level that was sorted just before, forwards through all
levels and backwards in turn; the best order met is kept. Neighbours are then exchanged while that takes crossings
away. Crossings are inversions, counted in O(M log N) as in Barth, Jünger & Mutzel (2002). No randomness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

SWEEPS = 40  # at most, of one start; rounds of exchanges
PATIENCE = 3  # sweeps without a gain after which a start is given up
WORK = 2_000_000  # edges that the sweeps of one start may visit: a large graph gets fewer of them, and at least two
CAREFUL = 50_000  # edges up to which a second start is tried and neighbours are exchanged …
SMALL = 2000  # … and a third, and the first sweep either way

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """What one level of n nodes is sorted by: the edges between it and the level before (or behind) it.

    own (M_l,) int64 index into the level's nodes; other (M_l,) int64 node at the edge's other end
    degree (n,) int64 edges of each node
    """

    own: Longs
    other: Longs
    degree: Longs

    def means(self, place: Longs) -> Any:
        """(n,) float64 the mean place of each node's neighbours; 0 where it has none."""
        return np.bincount(self.own, place[self.other], len(self.degree)) / np.maximum(self.degree, 1)


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

    @cached_property
    def members(self) -> list[Longs]:
        """The nodes of each level."""
        return np.split(np.argsort(self.level, kind="stable"), self.first[1:-1])

    def places(self, order: Any) -> Longs:
        """(N,) the place of each node, level after level, where the nodes of a level stand in this order."""
        order = np.asarray(order)
        place = np.empty(len(self.level), np.int64)
        place[order[np.argsort(self.level[order], kind="stable")]] = np.arange(len(self.level))
        return place

    @cached_property
    def units(self) -> list[Longs | None]:
        """Of each level, the number of each node's group, a node alone being one; None where all are alone."""
        found = list[Longs | None]()
        for nodes in self.members:
            group = self.group[nodes]
            own = np.where(group < 0, -1 - np.arange(len(group)), group)
            found.append(None if group.max(initial=-1) < 0 else np.unique(own, return_inverse=True)[1])
        return found

    @cached_property
    def sides(self) -> tuple[list[Side], list[Side]]:
        """Of each level, the edges that go out, to sort it backwards; and those that come in, to sort it forwards."""
        return self._sides(False), self._sides(True)

    def _sides(self, forward: bool) -> list[Side]:
        own, other = (self.target, self.source) if forward else (self.source, self.target)
        index = self.places(np.arange(len(self.level))) - self.first[self.level]
        order = np.argsort(self.level[own], kind="stable")
        cuts = np.searchsorted(self.level[own][order], np.arange(1, len(self.first) - 1))
        parts = zip(np.split(index[own][order], cuts), np.split(other[order], cuts), self.members, strict=True)
        return [Side(a, b, np.bincount(a, minlength=len(nodes))) for a, b, nodes in parts]


def crossings(graph: Levels, place: Longs) -> int:
    """How many pairs of edges cross that lead between the same two levels; `place` is of `Levels.places`."""
    N = len(graph.level)
    target = np.sort(place[graph.source] * N + place[graph.target]) % max(1, N)
    level = np.repeat(np.arange(len(graph.first) - 1), np.diff(graph.first))[target]
    return inversions(level, target - graph.first[level])


def inversions(group: Longs, value: Longs) -> int:
    """How many pairs of the same group stand in the wrong order: the earlier value is larger.

    Args:
        group: (M,) int64, never falling. value: (M,) int64, not negative.

    A pair in the wrong order is told apart by the highest bit in which its values differ: bit by bit from the top,
    values stand grouped by their higher bits, and each 0 counts the 1s before it in its group.
    """
    found, bits = 0, int(value.max(initial=0)).bit_length()
    key = (group << bits) | value
    if len(key) and int(key.max()) < 2**31:
        key = key.astype(np.int32)  # half the memory to walk through
    index = np.arange(len(key), dtype=key.dtype)
    for bit in reversed(range(bits)):
        one = (key >> bit) & 1
        start = np.flatnonzero(np.diff(key >> (bit + 1), prepend=-1))
        size = np.diff(start, append=len(key))
        before = np.cumsum(one, dtype=key.dtype) - one
        ones = np.add.reduceat(one, start, dtype=key.dtype)
        before -= np.repeat(before[start], size)
        zero = one == 0
        found += int(before.sum(where=zero, dtype=np.int64))
        ahead = np.repeat((start + size - ones).astype(key.dtype), size)  # where the 1s of the group begin
        ahead += before
        np.subtract(index, before, out=ahead, where=zero)
        again = np.empty_like(key)
        again[ahead] = key
        key = again
    return found


def arranged(graph: Levels) -> Longs:
    """(N,) places with few crossings, the same for the same graph."""
    M, given = len(graph.source), graph.places(np.arange(len(graph.level)))
    starts = [given]
    if M <= CAREFUL:
        starts.append(_together(graph, graph.places(walk(graph, deepest=True))))
    if M <= SMALL:
        starts.append(_together(graph, graph.places(walk(graph, deepest=False))))
    ways = (False, True) if M <= SMALL else (False,)
    found = [_swept(graph, start, forward) for start in starts for forward in ways]
    best = min(found, key=lambda one: one[0])[1]
    return _exchanged(graph, best) if M <= CAREFUL else best


def walk(graph: Levels, deepest: bool) -> list[int]:
    """All nodes, depth first, so that each connected part and each branch of it stands together.

    Parts begin at a node of their last level (deepest) or of their first.
    """
    ends, others = np.concatenate([graph.target, graph.source]), np.concatenate([graph.source, graph.target])
    near = np.split(others[np.argsort(ends, kind="stable")], np.cumsum(np.bincount(ends, minlength=len(graph.level))))
    near_to, seen, found = [some[::-1].tolist() for some in near], bytearray(len(graph.level)), list[int]()
    for root in np.argsort(-graph.level if deepest else graph.level, kind="stable").tolist():
        todo = [root]
        while todo:
            v = todo.pop()
            if not seen[v]:
                seen[v] = 1
                found.append(v)
                todo += near_to[v]
    return found


def _swept(graph: Levels, place: Longs, forward: bool) -> tuple[int, Longs]:
    """The fewest crossings that sweeps find from these places, the first one forward or not, and the places."""
    least, best, idle = crossings(graph, place), place, 0
    if not least:
        return least, best
    for _ in range(_rounds(graph)):
        place = _sweep(graph, place, forward)
        forward = not forward
        found = crossings(graph, place)
        idle = 0 if found < least else idle + 1
        if found < least:
            least, best = found, place
        if idle == PATIENCE or not least:
            break
    return least, best


def _rounds(graph: Levels) -> int:
    return min(SWEEPS, max(2, WORK // (len(graph.source) + 100 * len(graph.first))))


def _sweep(graph: Levels, place: Longs, forward: bool) -> Longs:
    """Places after each level was sorted by its neighbours' in the level sorted just before."""
    place, sides = place.copy(), graph.sides[forward]
    levels = range(len(sides)) if forward else reversed(range(len(sides)))
    for k in levels:
        nodes, side = graph.members[k], sides[k]
        if len(nodes) < 2 or not len(side.own):
            continue
        here = place[nodes]
        order = np.argsort(here)
        some = order[side.degree[order] > 0]  # a node without neighbours there stays where it is
        here[some[np.argsort(side.means(place)[some], kind="stable")]] = here[some]
        place[nodes] = _side_by_side(graph.units[k], here)
    return place


def _together(graph: Levels, place: Longs) -> Longs:
    """Places in which each group's members stand side by side."""
    place = place.copy()
    for nodes, unit in zip(graph.members, graph.units, strict=True):
        place[nodes] = _side_by_side(unit, place[nodes])
    return place


def _side_by_side(unit: Longs | None, place: Longs) -> Longs:
    """Places of a level's nodes, those of a unit side by side at their mean place."""
    if unit is None:
        return place
    mean = np.bincount(unit, place) / np.bincount(unit)
    found = np.empty_like(place)
    found[np.lexsort((place, unit, mean[unit]))] = np.sort(place)
    return found


def _exchanged(graph: Levels, place: Longs) -> Longs:
    """Places after neighbours were exchanged while that takes crossings away.

    A pair's crossings depend on its own order alone while the levels beside it stand: of every second level, every
    second pair is decided at once.
    """
    place = place.copy()
    for _ in range(_rounds(graph)):
        gain = sum(_exchange(graph, place, levels, pairs) for levels in (0, 1) for pairs in (0, 1))
        if not gain:
            break
    return place


def _exchange(graph: Levels, place: Longs, levels: int, pairs: int) -> int:
    """Exchanges, in `place`, what is better exchanged; the crossings that this takes away."""
    node = np.argsort(place)
    level = graph.level[node[:-1]]
    at = np.arange(len(level))
    chosen = (level == graph.level[node[1:]]) & (level % 2 == levels) & ((at - graph.first[level]) % 2 == pairs)
    chosen &= graph.group[node[:-1]] == graph.group[node[1:]]
    at = np.flatnonzero(chosen)
    pair, right = np.full(len(node), -1), np.zeros(len(node), np.bool_)
    pair[node[at]] = pair[node[at + 1]] = np.arange(len(at))
    right[node[at + 1]] = True
    gain = _gains(graph, place, pair, right, len(at))
    at, gain = at[gain > 0], gain[gain > 0]
    place[node[at]], place[node[at + 1]] = at + 1, at
    return int(gain.sum())


def _gains(graph: Levels, place: Longs, pair: Longs, right: Any, n: int) -> Longs:
    """(n,) how many crossings each pair of neighbours loses when it is exchanged.

    Args:
        pair: (N,) the pair that a node belongs to, −1 for none. right: (N,) whether it is the pair's second.
    """
    own, other = np.concatenate([graph.target, graph.source]), np.concatenate([graph.source, graph.target])
    out = np.repeat([0, 1], len(graph.source))
    some = pair[own] >= 0
    own, other, out = own[some], place[other[some]], out[some]
    side, second = 2 * pair[own] + out, right[own]  # edges of a pair that lead the same way
    order = np.argsort(side * len(place) + other, kind="stable")
    side, other, second = side[order], other[order], second[order]
    seen = np.concatenate([[0], np.cumsum(second)])  # edges of the second before each edge
    starts = np.diff(side, prepend=-1) != 0
    first, last = _runs(starts)
    first_same, last_same = _runs(starts | (np.diff(other, prepend=-1) != 0))
    now, then = seen[first_same] - seen[first], seen[last + 1] - seen[last_same + 1]
    return np.bincount(side[~second] // 2, (now - then)[~second], n).astype(np.int64)


def _runs(starts: Any) -> tuple[Longs, Longs]:
    """Index of the first and of the last member of each element's run, where runs start as marked."""
    at = np.flatnonzero(starts)
    size = np.diff(at, append=len(starts))
    return np.repeat(at, size), np.repeat(at + size - 1, size)
