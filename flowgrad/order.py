"""The order of a graph's nodes: topological levels, the canonical order, and the cycle where there is none.

Everything here works on rows: node k of n, edges as two integer arrays `source` and `target`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.integer[Any]]

_SMALL = 300_000  # edges up to which Python lists are faster than NumPy, whose call overhead recurs at every level
_NARROW = 24  # nodes; in larger graphs a frontier of fewer nodes is processed by a Python loop, a wider one by NumPy


def offsets(group: Rows, n: int) -> npt.NDArray[np.int64]:
    """Compute the row pointers of a CSR, (n+1,) int64: the first item of each of n groups once sorted by group."""
    ptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=n), out=ptr[1:])
    return ptr


def grouped(group: Rows, n: int) -> npt.NDArray[np.int64]:
    """Sort items stably by group 0 … n−1: (E,) int64 item numbers; NumPy uses a radix sort for 16-bit keys."""
    return np.argsort(group.astype(np.uint16) if n <= 1 << 16 else group, kind="stable")


def ranges(starts: Rows, counts: Rows) -> npt.NDArray[np.int64]:
    """Concatenate the integer ranges `starts[k] … starts[k]+counts[k]−1`.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(counts)
    shift = np.repeat(starts - ends + counts, counts)
    return shift + np.arange(len(shift))


def stretches(follows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Find the maximal runs of two or more of n items: (K, 2), the first item of each run and its last + 1.

    `follows` (n+1,) tells whether item k belongs to the run of item k − 1; the first and the last entry are False.

    >>> stretches(np.array([False, True, True, False, False, True, False])).tolist()
    [[0, 3], [4, 6]]
    """
    edges = np.diff(follows.astype(np.int8))  # at k: +1 where a run begins, −1 where k is its last item
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) + 1], axis=1)


def levels(n: int, source: Rows, target: Rows) -> npt.NDArray[np.int32] | None:
    """Compute each node's longest path from a node without in-edges, (n,) int32, in edges; None if there is a cycle.

    Kahn's algorithm, one frontier at a time: O(V + E), without recursion, so that depth is not limited.
    """
    ptr = offsets(source, n)
    targets = target[grouped(source, n)]
    small = len(source) <= _SMALL
    if small and (source < target).all():
        return _levels_in_order(ptr.tolist(), targets.tolist())
    waiting = np.bincount(target, minlength=n)
    if small:
        return _levels_by_list(ptr.tolist(), targets.tolist(), waiting.tolist())
    targets = targets.astype(np.int64)
    last = np.zeros(n, np.int64)
    level = np.zeros(n, np.int32)
    frontier: Rows = np.flatnonzero(waiting == 0)
    done, depth = len(frontier), 0
    while len(frontier):
        depth += 1
        if len(frontier) < _NARROW:
            frontier = _step_narrow(frontier, ptr, targets, waiting)
        else:
            frontier = _step_wide(frontier, ptr, targets, waiting, last)
        level[frontier] = depth
        done += len(frontier)
    return level if done == n else None


def _levels_in_order(ptr: list[int], targets: list[int]) -> npt.NDArray[np.int32]:
    """Compute levels where every edge has source < target, in one pass; most generated graphs are so numbered."""
    level = [0] * (len(ptr) - 1)
    for v, here in enumerate(level):  # final: all sources of v have lower numbers
        for t in targets[ptr[v] : ptr[v + 1]]:
            if level[t] <= here:
                level[t] = here + 1
    return np.array(level, np.int32)


def _levels_by_list(ptr: list[int], targets: list[int], waiting: list[int]) -> npt.NDArray[np.int32] | None:
    level = [0] * len(waiting)
    frontier = [v for v, count in enumerate(waiting) if not count]
    done = depth = 0
    while frontier:
        done += len(frontier)
        depth += 1
        ready = []
        for v in frontier:
            for t in targets[ptr[v] : ptr[v + 1]]:
                waiting[t] = left = waiting[t] - 1
                if not left:
                    level[t] = depth
                    ready.append(t)
        frontier = ready
    return np.array(level, np.int32) if done == len(level) else None


def _step_narrow(frontier: Rows, ptr: Rows, targets: Rows, waiting: Rows) -> Rows:
    ready = []
    for v in frontier.tolist():
        for t in targets[ptr[v] : ptr[v + 1]].tolist():
            waiting[t] -= 1
            if not waiting[t]:
                ready.append(t)
    return np.array(ready, np.int64)


def _step_wide(frontier: Rows, ptr: Rows, targets: Rows, waiting: Rows, last: Rows) -> Rows:
    reached = targets[ranges(ptr[frontier], ptr[frontier + 1] - ptr[frontier])]
    np.subtract.at(waiting, reached, 1)
    ready: Rows = reached[waiting[reached] == 0]
    place = np.arange(len(ready))
    last[ready] = place  # of a node reached twice, the last index is stored
    first: Rows = ready[last[ready] == place]
    return first


def upstream(start: Rows, ptr: Rows, source: Rows) -> npt.NDArray[np.bool_]:
    """Mark the nodes `start`, and every node from which a path leads to one of them: (n,) bool.

    In-edges of node v are ptr[v] … ptr[v+1]−1, with sources in `source` (E,). O(V + E), one frontier at a time.

    >>> upstream(np.array([2]), np.array([0, 0, 1, 2, 2]), np.array([0, 1])).tolist()  # 0 → 1 → 2, and 3 alone
    [True, True, True, False]
    """
    found = np.zeros(len(ptr) - 1, np.bool_)
    found[start] = True
    frontier: Rows = start
    while len(frontier):
        if len(frontier) < _NARROW:
            before = {u for v in frontier.tolist() for u in source[ptr[v] : ptr[v + 1]].tolist() if not found[u]}
            frontier = np.array(list(before), np.int64)
        else:
            reached = source[ranges(ptr[frontier], ptr[frontier + 1] - ptr[frontier])]
            frontier = np.unique(reached[~found[reached]])
        found[frontier] = True
    return found


def find_cycle(n: int, source: Rows, target: Rows) -> list[int]:
    """Find the rows of a directed cycle, the shortest through one of its nodes; [] if the graph has no cycle."""
    waiting = np.bincount(target, minlength=n).tolist()
    ptr = offsets(source, n).tolist()
    targets = target[grouped(source, n)].tolist()
    ready = [v for v in range(n) if not waiting[v]]
    for v in ready:  # Kahn's algorithm in plain Python: run for invalid graphs only
        for t in targets[ptr[v] : ptr[v + 1]]:
            waiting[t] -= 1
            if not waiting[t]:
                ready.append(t)
    if len(ready) == n:
        return []
    stuck = np.array(waiting) > 0
    inside = stuck[source] & stuck[target]
    previous = dict(zip(target[inside][::-1].tolist(), source[inside][::-1].tolist(), strict=True))
    v, seen = int(np.flatnonzero(stuck)[0]), set[int]()
    while v not in seen:  # every stuck node has a stuck predecessor: walking back ends in a cycle
        seen.add(v)
        v = previous[v]
    return _shortest_through(v, ptr, targets)


def _shortest_through(start: int, ptr: list[int], targets: list[int]) -> list[int]:
    """Find a shortest cycle through `start`, a node on a cycle, by breadth-first search: its rows, `start` first."""
    parent: dict[int, int] = {}
    queue = deque([start])
    while queue:
        u = queue.popleft()
        for t in targets[ptr[u] : ptr[u + 1]]:
            if t == start:
                path = [u]
                while path[-1] != start:
                    path.append(parent[path[-1]])
                return path[::-1]
            if t not in parent:
                parent[t] = u
                queue.append(t)
    raise AssertionError("a node on a cycle reaches itself")


def id_rank(ids: Sequence[Hashable]) -> npt.NDArray[np.int64] | None:
    """Rank ids by type and value, (n,) int64; None where an id has a type without a canonical order.

    Ordered are str, int, float, bytes, bool and tuples of them, independent of insertion order; numbers sort by
    value (2 before 10). For any other type, and for NaN, callers keep the order of insertion.
    """
    n = len(ids)
    if isinstance(ids, range):
        return np.arange(n)
    kinds = set(map(type, ids))
    if kinds == {str} or kinds == {int}:
        by_place = sorted(range(n), key=ids.__getitem__)  # type: ignore[arg-type]  # one type, comparable
    else:
        try:
            keys = [_key(i) for i in ids]
        except TypeError:
            return None
        by_place = sorted(range(n), key=keys.__getitem__)
    rank = np.empty(n, np.int64)
    rank[by_place] = np.arange(n)
    return rank


def _key(value: Any) -> tuple[str, Any]:
    """Make a sort key (type name, value), so that values of two types are never compared."""
    kind = type(value)
    if kind is tuple:
        return "tuple", tuple(map(_key, value))
    if kind not in (str, int, float, bytes, bool) or value != value:
        raise TypeError(f"no canonical order for {kind.__name__}")
    return kind.__name__, value
