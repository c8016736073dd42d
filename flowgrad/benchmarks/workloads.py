"""Define the workloads. Each makes its network from a seed, checks that rivals agree, and measures one step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from flowgrad.benchmarks.measure import OURS, Result, interleave, several
from flowgrad.benchmarks.rivals import Absent, CStep, numpy_perceptron, torch_perceptron
from flowgrad.choice import executors
from flowgrad.errors import FlowgradError
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import Program, compile
from flowgrad.topologies import layered, random_dag, union

PATIENCE = 5.0  # seconds for one executor; its first step, which may compile, counts where it took longer
Ways = dict[str, Callable[[], Any]]


def _program(net: Network, threads: int, loss: str = "squared_error", dtype: str = "float32") -> Program:
    return compile(net, executor="numba", dtype=dtype, loss=loss, threads=threads)


def _tanh_dag(n_neurons: int, window: int, seed: int = 0) -> Network:
    """Make a random DAG of tanh neurons with about ten in-edges each."""
    n_inputs = max(100, n_neurons // 100)
    return random_dag(n_inputs, n_neurons, fan_in=10, window=window, output_activation="tanh", seed=seed)


def _data(net: Network, batch: int, seed: int = 1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((batch, len(net.inputs))).astype(np.float32)
    return X, (0.5 * rng.standard_normal((batch, len(net.outputs)))).astype(np.float32)


def _with(ways: Ways, absent: dict[str, str], name: str, make: Callable[[], Callable[[], Any]]) -> None:
    """Add a rival to `ways`, or the reason that it cannot run to `absent`."""
    try:
        ways[name] = make()
    except Absent as reason:
        absent[name] = str(reason)


def _agree(a: float, b: float, what: str) -> None:
    if not abs(a - b) <= 1e-3 * abs(b):
        raise FlowgradError(f"{what}: losses differ, {a} and {b}: the comparison means nothing")


def perceptron(threads: int, rounds: int) -> list[Result]:
    """W1: a perceptron 784-512-256-10 given as half a million single edges, batch 128, cross-entropy."""
    sizes = [784, 512, 256, 10]
    net = layered(sizes, activation="sigmoid")
    program, rng = _program(net, threads, "cross_entropy"), np.random.default_rng(0)
    X, classes = rng.standard_normal((128, 784)).astype(np.float32), rng.integers(0, 10, 128)
    weights, first = [], 0
    for n, m in pairwise(sizes):
        weights.append(net.columns.weights[first : first + n * m].reshape(m, n).T.astype(np.float32).copy())
        first += n * m
    by_hand, absent = numpy_perceptron(weights, X, classes), dict[str, str]()
    _agree(program.value_and_grad(program.theta, X, classes)[0], by_hand(), "W1")
    ways: Ways = {OURS: lambda: program.value_and_grad(program.theta, X, classes), "NumPy": by_hand}
    _with(ways, absent, "PyTorch", lambda: torch_perceptron(sizes, X, classes, threads))
    return [Result("W1", "perceptron of 536k single edges, batch 128", interleave(ways, rounds), absent)]


def irregular(threads: int, rounds: int) -> list[Result]:
    """W2: 100,000 tanh neurons, a million edges, batch 64; and with no locality at all."""
    return [
        _dag_step("W2", "irregular, 1M edges, batch 64", _tanh_dag(99_000, 5_000), 64, threads, rounds),
        _dag_step("W2 far", "the same without locality", _tanh_dag(99_000, 100_000), 64, threads, rounds),
    ]


def small(threads: int, rounds: int) -> list[Result]:
    """W2b: 10,000 edges, batch 1 and batch 64, the call's overhead included."""
    net = _tanh_dag(1_000, 200)
    return [
        _dag_step(f"W2b {batch}", f"irregular, 10k edges, batch {batch}", net, batch, threads, 10 * rounds)
        for batch in (1, 64)
    ]


def _dag_step(name: str, what: str, net: Network, batch: int, threads: int, rounds: int) -> Result:
    program, (X, T), absent = _program(net, threads), _data(net, batch), dict[str, str]()
    ways: Ways = {OURS: lambda: program.value_and_grad(program.theta, X, T)}
    _with(ways, absent, "C", lambda: CStep(program.plan, X, T, threads))
    if "C" in ways:
        _agree(ways[OURS]()[0], ways["C"](), name)
    double = _program(net, threads, dtype="float64")
    X64, T64 = X.astype(float), T.astype(float)
    ways["flowgrad, float64"] = lambda: double.value_and_grad(double.theta, X64, T64)
    return Result(name, what, interleave(ways, rounds), absent)


def population(threads: int, rounds: int) -> list[Result]:
    """W3: a thousand small networks of their own shapes at once, 100 samples; each alone is the rival."""
    nets = [random_dag(8, 34, fan_in=4, activation="sigmoid", output_activation="sigmoid", seed=k) for k in range(1000)]
    whole = _program(union(nets), threads)
    X, T = _data(union(nets), 100)
    single, first = [], 0
    for net in nets:
        width = len(net.outputs)
        single.append((_program(net, 1), np.ascontiguousarray(T[:, first : first + width])))
        first += width
    ways: Ways = {
        OURS: lambda: whole.value_and_grad(whole.theta, X, T),
        "one by one": lambda: sum(p.value_and_grad(p.theta, X, t)[0] for p, t in single),
    }
    _agree(ways[OURS]()[0], ways["one by one"](), "W3")
    return [Result("W3", "1,000 networks at once, 100 samples", interleave(ways, rounds))]


def new_topology(threads: int, rounds: int) -> list[Result]:
    """W4: columns of a new graph of 10,000 edges to its first gradient, process warm."""
    columns = [_tanh_dag(1_000, 200, seed=k).columns for k in range(rounds + 2)]
    X, T = zip(*(_data(Network.from_columns(c), 1) for c in columns), strict=True)
    turns = {name: iter(range(rounds + 2)) for name in (OURS, "C, given our plan")}
    absent: dict[str, str] = {}

    def ours() -> float:
        k = next(turns[OURS])
        c = columns[k]
        net = Network.from_arrays(c.source, c.target, c.weights, c.bias, "tanh", c.inputs, c.outputs, c.n_nodes)
        program = _program(net, threads)
        return program.value_and_grad(program.theta, X[k], T[k])[0]

    def theirs() -> float:
        k = next(turns["C, given our plan"])
        c = columns[k]
        net = Network.from_arrays(c.source, c.target, c.weights, c.bias, "tanh", c.inputs, c.outputs, c.n_nodes)
        return CStep(lower(net), X[k], T[k], threads)()

    ways: Ways = {OURS: ours}
    try:
        CStep(lower(Network.from_columns(columns[0])), X[0], T[0], threads)
        ways["C, given our plan"] = theirs
    except Absent as reason:
        absent["C, given our plan"] = str(reason)
    return [Result("W4", "a new 10k-edge topology to its first gradient", interleave(ways, rounds), absent)]


def scaling(threads: int, rounds: int, largest: int = 1_000_000) -> list[Result]:
    """W5: ten thousand to a million edges (ten with --large), batch 64: time per edge and sample."""
    found, edges = [], 10_000
    while edges <= largest:
        n = edges // 10
        net = _tanh_dag(n, min(5_000, n // 5))
        start = time.perf_counter()
        program, (X, T) = _program(net, threads), _data(net, 64)
        built = time.perf_counter() - start
        ways: Ways = {OURS: partial(program.value_and_grad, program.theta, X, T)}
        seconds = interleave(ways, max(3, rounds // 3))
        rate = net.columns.n_edges * 64 / seconds[OURS] / 1e9
        note = f"{rate:.2f} G edge·samples/s; lowered and compiled in {built:.2f} s"
        found.append(Result(f"W5 {edges:,}", f"{net.columns.n_edges:,} edges, batch 64", seconds, note=note))
        edges *= 10
    return found


def each_executor(threads: int, rounds: int) -> list[Result]:
    """Executors: every one that is installed, on W2: 100,000 neurons, a million edges, batch 64, float32."""
    net = _tanh_dag(99_000, 5_000)
    (X, T), absent, seconds, losses = _data(net, 64), dict[str, str](), dict[str, float](), dict[str, float]()
    answers = executors()
    for name in sorted(answers, key=lambda name: name != "numba"):
        if (answer := answers[name]) is not True:
            absent[name] = answer
            continue
        program = compile(net, executor=name, dtype="float32", loss="squared_error")
        step = partial(program.value_and_grad, program.theta, X, T)
        label = OURS if name == "numba" else name
        start = time.perf_counter()
        losses[label] = step()[0]
        first = time.perf_counter() - start
        seconds[label] = first if first > PATIENCE else several(step, rounds, PATIENCE)
    for name, value in losses.items():
        _agree(value, losses[OURS], f"executor {name}")
    return [Result("executors", "one step of W2, flowgrad is numba", seconds, absent)]


WORKLOADS: Mapping[str, Callable[[int, int], list[Result]]] = {
    "w1": perceptron,
    "w2": irregular,
    "w2b": small,
    "w3": population,
    "w4": new_topology,
    "w5": scaling,
    "executors": each_executor,
}
