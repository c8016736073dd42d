"""Read groups of operators as one: flowgrad's own way to write a median and the entry of largest magnitude.

median    ReduceMean(Slice(TopK(t))): of the smaller half, sorted, the last entry, or the mean of the last two
max_abs   GatherElements(t, ArgMax(Abs(t))): the first entry of largest magnitude
guarded   Add(r, Sqrt(Neg(ReduceMax(Cast(IsNaN(t)))))): r, one of these or the largest or smallest of t, and NaN where
          an entry of t is: the guard is dropped, since flowgrad's neurons propagate NaN
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from flowgrad.formats._onnx.node import Node
from flowgrad.formats._onnx.values import Constant, Signals, Value, gathered

GUARD = ("IsNaN", "Cast", "ReduceMax", "Neg", "Sqrt")
GUARDED = {
    ("ReduceMax",), ("ReduceMin",), ("TopK", "Slice", "ReduceMean"), ("Abs", "ArgMax", "GatherElements", "Squeeze"),
}  # fmt: skip
KINDS = {("Abs", "ArgMax", "GatherElements"): "max_abs", ("TopK", "Slice", "ReduceMean"): "median"}


@dataclass(frozen=True)
class Pattern:
    """Hold one group: the aggregation, the tensor of terms, and the nodes, from terms to result."""

    aggregation: str
    terms: str
    nodes: tuple[Any, ...]


def patterns(graph: Any, readers: Counter[str]) -> dict[str, Pattern | None]:
    """Map the name of a node's output to the pattern that ends there, or to None inside a pattern."""
    maker = {node.output[0]: node for node in graph.node if node.output}
    found: dict[str, Pattern | None] = {}
    for last in graph.node:
        chain = _chain(last, maker)
        kinds = tuple(node.op_type for node in chain)
        aggregation = KINDS.get(kinds)
        alone = all(readers[node.output[0]] == 1 for node in chain[:-1])
        if (
            aggregation is None
            or not alone
            or not chain[0].input
            or any(readers[name] for node in chain for name in node.output[1:])
        ):
            continue
        terms = chain[0].input[0]
        if aggregation == "max_abs" and last.input[0] != terms:
            continue
        found |= {node.output[0]: None for node in chain[:-1]}
        found[last.output[0]] = Pattern(aggregation, terms, chain)
    return found


def guards(graph: Any, readers: Counter[str]) -> dict[str, Pattern | None]:
    """Do as `patterns` for guarded results: a pattern's nodes are that of the result, then those of the guard."""
    maker = {node.output[0]: node for node in graph.node if node.output}
    found: dict[str, Pattern | None] = {}
    for last in graph.node:
        if last.op_type != "Add" or len(last.input) != 2 or not last.output:
            continue
        guard = _upwards(maker.get(last.input[1]), maker, len(GUARD))
        if tuple(node.op_type for node in guard) != GUARD or any(readers[node.output[0]] != 1 for node in guard):
            continue
        terms, result = guard[0].input[0], maker.get(last.input[0])
        ways = [_upwards(result, maker, n) for n in {len(kinds) for kinds in GUARDED}]
        if any(tuple(n.op_type for n in way) in GUARDED and way[0].input[0] == terms for way in ways if way):
            found |= {node.output[0]: None for node in guard}
            found[last.output[0]] = Pattern("guarded", terms, (result, *guard))
    return found


def _upwards(last: Any, maker: dict[str, Any], n: int) -> tuple[Any, ...]:
    """Return the n nodes up to `last`, each the first input of the next, the second of a GatherElements; else ()."""
    way: list[Any] = []
    while last is not None and len(way) < n:
        way.insert(0, last)
        k = 1 if last.op_type == "GatherElements" else 0
        last = maker.get(last.input[k]) if len(last.input) > k else None
    return tuple(way) if len(way) == n and way[0].input else ()


def _chain(last: Any, maker: dict[str, Any]) -> tuple[Any, ...]:
    """Return three nodes up to `last`, each the first input of the next, the second of a GatherElements; else ()."""
    chain = [last]
    for _ in range(2):
        node = chain[0]
        k = 1 if node.op_type == "GatherElements" else 0
        before = maker.get(node.input[k]) if len(node.input) > k and node.output else None
        if before is None or not before.output:
            return ()
        chain.insert(0, before)
    return tuple(chain)


def read(node: Node, pattern: Pattern, values: dict[str, Value]) -> Value:
    """Return the aggregation over the last axis of the terms; `node` is the last of the pattern.

    Raises:
        FileError: an attribute or a constant does not fit the pattern.
    """
    x = values.get(pattern.terms)
    if pattern.aggregation == "guarded":
        return _unguarded(node, pattern, values)
    if not isinstance(x, Signals) or len(x.shape) < 2 or not x.shape[-1]:
        node.refuse(f"reads {pattern.terms!r}, which is no signal of two axes or more")
    rank = len(x.shape)
    said = [{a.name: a.ints[:] if a.type == 7 else a.i for a in proto.attribute} for proto in pattern.nodes]
    fixed = [[_list(values.get(name)) for name in proto.input[1:]] for proto in pattern.nodes]
    checks = {"max_abs": _is_max_abs, "median": _is_median}
    if not checks[pattern.aggregation](said, fixed, rank, x.shape[-1]):
        node.refuse(f"with {', '.join(p.op_type for p in pattern.nodes[:-1])} before it is no {pattern.aggregation}")
    found = gathered(node.net, x, node.label, pattern.aggregation)
    if pattern.aggregation == "median":
        return found
    return Signals(found.rows[..., None], own=True)


def _unguarded(node: Node, pattern: Pattern, values: dict[str, Value]) -> Value:
    """Return the result without its guard, after a check that the guard covers the result's own terms."""
    x, result = values.get(pattern.terms), values.get(pattern.nodes[0].output[0])
    _, _, _, largest, _, _ = pattern.nodes
    keeps = next((a.i for a in largest.attribute if a.name == "keepdims"), 1)
    axes = _list(values.get(largest.input[1])) if len(largest.input) > 1 else None
    if not isinstance(x, Signals) or result is None or keeps or axes != [len(x.shape) - 1]:
        node.refuse("looks for NaN along other axes than the last, which is not read")
    if result.shape != x.shape[:-1]:
        node.refuse(f"has {result.shape} of {x.shape}: must be one for all along the last axis")
    return result


def _list(value: Value | None) -> list[int] | None:
    return value.values.ravel().tolist() if isinstance(value, Constant) else None


def _is_max_abs(said: list[dict[str, Any]], _: Any, rank: int, K: int) -> bool:
    known = [said[0] == {}, set(said[1]) <= {"axis", "keepdims", "select_last_index"}, set(said[2]) <= {"axis"}]
    axes = said[1].get("axis", 0) % rank == said[2].get("axis", 0) % rank == rank - 1
    return all(known) and axes and said[1].get("keepdims", 1) == 1 and not said[1].get("select_last_index", 0)


def _is_median(said: list[dict[str, Any]], fixed: Any, rank: int, K: int) -> bool:
    known = set(said[0]) <= {"axis", "largest", "sorted"} and not said[1] and set(said[2]) <= {"keepdims"}
    lowest = (said[0].get("largest", 1), said[0].get("sorted", 1)) == (0, 1)
    ranked = said[0].get("axis", -1) % rank == rank - 1 and lowest
    middle = [[K // 2 - 1 + K % 2], [K // 2 + 1], [rank - 1]]
    constants = fixed == [[[K // 2 + 1]], middle, [[rank - 1]]]
    return known and ranked and constants and not said[2].get("keepdims", 1)
