"""Cost of the backward pass with and without a cache: calls of plain recursion, and visits of edges."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowgrad.arguments import instance, whole
from flowgrad.errors import ConfigError, UnknownNameError, brief, suggest
from flowgrad.executor import Array
from flowgrad.frames import frame
from flowgrad.inspection.local import local_derivatives
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.program import compile

MEASURED_EDGES = 100_000  # edges up to which recursion is run; the Python executor beside it is too slow beyond


@dataclass(frozen=True)
class PlainRun:
    """Measurement of plain recursion for ∂(Σ_n y_n)/∂x of every input x, at one random sample.

    calls       number of calls until the recursion ended or reached the limit
    finished    whether it ended without exceeding the limit
    seconds     wall time, in seconds
    difference  largest absolute difference between its results and those of `Program.backward`, relative to the largest
                of these in absolute value; NaN if it did not end
    cached      cache writes, edge visits and cache reuses that the Python executor counted in its backward pass at the
                same sample
    """

    calls: int
    finished: bool
    seconds: float
    difference: float
    cached: dict[str, int]


@dataclass(frozen=True)
class ReuseReport:
    """Exact numbers of paths and of backward's operations without and with a cache, as counted by `reuse_report`.

    All counts are Python integers of any size.

    paths         number of paths from an input to an output
    calls         number of calls of plain recursion for ∂L/∂x of every input: a call for a node calls its successors
                  in turn, so that there is one call per path that begins at an input, wherever the path ends
    calls_all     number of calls of plain recursion for ∂L/∂a of every node, the values that backward computes
    edge_visits   number of edges that backward with a cache visits: each edge once
    cache_writes  number of ∂L/∂z that it writes: one per node
    cache_reuses  number of its reads of a ∂L/∂z that was read before
    run           measurement of plain recursion; None if `limit` was 0 or the network has more than 100,000 edges
    nodes         ids, in the order of `net.nodes`
    reads         V numbers of reads of each node's cached ∂L/∂z: one by each predecessor
    """

    paths: int
    calls: int
    calls_all: int
    edge_visits: int
    cache_writes: int
    cache_reuses: int
    run: PlainRun | None
    nodes: tuple[Hashable, ...]
    reads: tuple[int, ...]
    _through: dict[Hashable, int] = field(repr=False)
    _calls: tuple[int, ...] = field(repr=False)

    def records(self) -> list[dict[str, Any]]:
        """Return one dict for each node, in descending order of calls.

        node     id of the node
        paths    number of paths from inputs to outputs through the node
        calls    number of calls of plain recursion for this node, when it computes ∂L/∂x of all inputs
        reads    number of reads of the node's cached ∂L/∂z
        reused   number of these reads after the first
        """
        rows = [
            {"node": v, "paths": self._through[v], "calls": calls, "reads": reads, "reused": max(0, reads - 1)}
            for v, calls, reads in zip(self.nodes, self._calls, self.reads, strict=True)
        ]
        return sorted(rows, key=lambda row: -row["calls"])

    def to_frame(self) -> Any:
        """Return the records as a pandas data frame, or a polars one if pandas is not installed.

        The columns paths and calls hold Python integers of any size.

        Raises:
            MissingDependencyError: neither is installed.
        """
        rows = self.records()
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return frame(columns | {name: np.array(columns[name], object) for name in ("paths", "calls")})

    def through(self, node: Hashable) -> int:
        """Return the number of paths from inputs to outputs that go through the node.

        Raises:
            UnknownNameError: node is not a node of the network.
        """
        if node not in self._through:
            raise UnknownNameError(f"{brief(node)} is no node of the network{suggest(node, self._through)}")
        return self._through[node]

    @property
    def sentence(self) -> str:
        """Comparison of plain recursion with the cached backward pass, in one sentence."""
        if self.calls_all <= self.edge_visits + self.cache_writes:
            return (
                f"No ∂L/∂z is wanted twice here: plain recursion makes {_count(self.calls_all)} calls, "
                f"the cache visits {_count(self.edge_visits)} edges."
            )
        return (
            f"Plain recursion would make {_count(self.calls_all)} calls for every neuron's gradient; with each ∂L/∂z "
            f"written once, backward visits each of {_count(self.edge_visits)} edges once and reads a cached value "
            f"again {_count(self.cache_reuses)} times."
        )

    def table(self) -> str:
        """Return the counts as text, one name and value per line, followed by `sentence`."""
        rows = [
            ("paths from inputs to outputs", _count(self.paths)),
            ("plain recursion: calls for the inputs", _count(self.calls)),
            ("plain recursion: calls for every neuron", _count(self.calls_all)),
        ]
        if self.run is not None:
            made = _count(self.run.calls)
            if self.run.finished:
                rows.append(("plain recursion, run: calls counted", made))
                rows.append(("plain recursion, run: difference from backward", f"{self.run.difference:.1e}"))
            else:
                whole_time = _duration(self.run.seconds, self.calls, self.run.calls)
                rows.append(("plain recursion, run: calls until stopped", f"{made}; all of them: {whole_time}"))
        rows += [
            ("with the cache: edge visits", _count(self.edge_visits)),
            ("with the cache: values written", _count(self.cache_writes)),
            ("with the cache: values read again", _count(self.cache_reuses)),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join([*(f"{name:<{width}}  {value}" for name, value in rows), self.sentence])

    def __repr__(self) -> str:
        return f"ReuseReport({_count(self.paths)} paths, {_count(self.calls)} calls, {self.edge_visits:,} edge visits)"


def reuse_report(network: Network, *, limit: int = 200_000, seed: int = 0) -> ReuseReport:
    """Count the paths of a network, and the operations of the backward pass by plain recursion and with a cache.

    Plain recursion evaluates (10) anew for every path. Its calls are counted without making them; in addition it is
    run at one random sample and timed, on networks of up to 100,000 edges.

    Args:
        network: the network to count in.
        limit: number of calls after which the measured run is stopped, an integer ≥ 0; 0 omits the run.
        seed: seed of the random sample at which it runs, an integer ≥ 0.

    Raises:
        ConfigError: network is not a Network; limit or seed is not an integer ≥ 0.
        GraphError, UnknownNameError: the network is incomplete or invalid: it has no outputs, for example.

    >>> net = Network()
    >>> net.add_input("x")
    >>> for k in range(60):  # a ladder of diamonds: two ways from every rung to the next
    ...     below = f"n{k - 1}" if k else "x"
    ...     net.add_neuron(f"left{k}", [below])
    ...     net.add_neuron(f"right{k}", [below])
    ...     net.add_neuron(f"n{k}", [f"left{k}", f"right{k}"])
    >>> report = reuse_report(net, limit=0)
    >>> report.paths == 2**60, report.edge_visits
    (True, 240)
    """
    instance("reuse_report", network, Network, ConfigError)
    limit, seed = whole("limit", limit, 0), whole("seed", seed, 0)
    plan = lower(network)
    outs = np.split(plan.out_target, plan.out_ptr[1:-1])
    successors = [s.tolist() for s in outs]
    to_outputs, calls, from_inputs = _paths(plan, successors)
    inputs = plan.inputs.tolist()
    through = (a * b for a, b in zip(from_inputs, to_outputs, strict=True))
    measured = limit and plan.n_edges <= MEASURED_EDGES
    return ReuseReport(
        paths=sum(to_outputs[v] for v in inputs),
        calls=sum(calls[v] for v in inputs),
        calls_all=sum(calls),
        edge_visits=plan.n_edges,
        cache_writes=plan.n_nodes,
        cache_reuses=plan.n_edges - int((np.diff(plan.in_ptr) > 0).sum()),
        run=_run(network, plan, successors, limit, seed) if measured else None,
        nodes=network.nodes,
        reads=tuple(np.diff(plan.in_ptr).tolist()),
        _through=dict(zip(network.nodes, through, strict=True)),
        _calls=tuple(from_inputs),  # recursion calls a node once for every path on which it is reached
    )


def _paths(plan: Plan, successors: list[list[int]]) -> tuple[list[int], list[int], list[int]]:
    """Count each node's paths to outputs, to any node (its calls), and from inputs; a single node counts as a path."""
    V = plan.n_nodes
    to_outputs, calls, from_inputs = [0] * V, [1] * V, [0] * V
    for v in plan.outputs.tolist():
        to_outputs[v] = 1
    for v in plan.inputs.tolist():
        from_inputs[v] = 1
    for v in range(V):
        for s in successors[v]:
            from_inputs[s] += from_inputs[v]
    for v in reversed(range(V)):
        for s in successors[v]:
            to_outputs[v] += to_outputs[s]
            calls[v] += calls[s]
    return to_outputs, calls, from_inputs


def _run(network: Network, plan: Plan, successors: list[list[int]], limit: int, seed: int) -> PlainRun:
    """Run plain recursion, and backward on the Python executor, at one random sample."""
    program = compile(network, executor="python")
    acts = program.forward(np.random.default_rng(seed).normal(size=(1, len(plan.inputs))))
    grads = program.backward(acts, cotangent=np.ones((1, len(plan.outputs))))
    slopes = _slopes(plan, acts.z.array[:, 0], acts.a.array[:, 0])
    base = np.zeros(plan.n_nodes)
    base[plan.outputs] = 1.0
    total, values, start = 0, [], time.perf_counter()
    for v in plan.inputs.tolist():
        made, value = plain_recursion(v, successors, slopes, base.tolist(), limit - total)
        total += made
        values.append(value)
        if value is None:
            break
    seconds = time.perf_counter() - start
    finished = values[-1] is not None
    gap = math.nan
    if finished:
        expected = grads.input.array[0]
        gap = float(np.abs(np.array(values) - expected).max() / (np.abs(expected).max() or 1.0))
    return PlainRun(total, finished, seconds, gap, dict(grads.counts or {}))


def _slopes(plan: Plan, z: Array, a: Array) -> list[list[float]]:
    """Return, for every node v, ∂a_s/∂a_v of each of its successors s."""
    weight, _ = plan.parameters(plan.theta)
    slope = local_derivatives(plan, weight, z, a)
    return [e.tolist() for e in np.split(slope[plan.out_edge], plan.out_ptr[1:-1])]


def plain_recursion(
    v: int, successors: list[list[int]], slopes: list[list[float]], base: list[float], limit: int
) -> tuple[int, float | None]:
    """Compute ∂y/∂a_v by plain recursion, f(v) = base_v + Σ_s slope_vs · f(s), without a cache: one call per path.

    An explicit stack replaces Python's, so that the depth of the graph is not limited.

    Returns:
        the number of calls made, and the value, or None if `limit` calls were not enough.
    """
    calls, stack = 0, [(v, 0, base[v])]
    while stack:
        if stack[-1][1] == 0:
            calls += 1
            if calls > limit:
                return calls - 1, None
        u, k, value = stack.pop()
        if k < len(successors[u]):
            s = successors[u][k]
            stack += [(u, k + 1, value), (s, 0, base[s])]
        elif stack:
            u_above, k_above, above = stack.pop()
            stack.append((u_above, k_above, above + slopes[u_above][k_above - 1] * value))
        else:
            return calls, value
    raise AssertionError("the last frame returns")


def _count(n: int) -> str:
    """Format n with all digits up to 25 of them, else with four digits and a power of ten."""
    if n < 10**25:
        return f"{n:,}"
    power = int((n.bit_length() - 1) * math.log10(2))
    power += n >= 10 ** (power + 1)
    return f"{n // 10 ** (power - 3) / 1000:.3f}e+{power}"


def _duration(seconds: float, calls: int, made: int) -> str:
    """Format the time that `calls` would take when `made` calls took `seconds`."""
    nanoseconds = calls * max(1, round(1e9 * seconds / max(1, made)))
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("hours", 3_600), ("seconds", 1)):
        if nanoseconds >= 2 * size * 10**9 or unit == "seconds":
            return f"{_count(nanoseconds // (size * 10**9))} {unit}"
    raise AssertionError("seconds is the last unit")
