"""Repeated and concurrent calls: arguments and results stay unchanged, no state remains, no memory leaks."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from flowgrad.network import Network
from flowgrad.program import Program, compile
from flowgrad.testing.battery import NEAR, SMOOTH, Skip, Subject, check
from flowgrad.topologies import layered

WIDTH, ROWS = 32, 64  # neurons and samples of the steps whose memory is measured: one (V, B) array is 22 kB
STEPS = (20, 2000)  # smallest and largest number of steps; FEW in a quick run
FEW = 4
SECONDS = 0.25  # intended duration of the steps
LEAK = 10_000  # allowed growth per step in bytes traced by tracemalloc: one array is 22 kB, fluctuations 1 kB in all
LEAK_NATIVE = 16_000_000  # allowed growth of the process in bytes: one array per step is 45 MB in 2,000 steps


def _irregular(subject: Subject) -> Network:
    """Return a network of eight inputs and forty neurons with three predecessors each; four neurons are outputs."""
    sigma = subject.functions("activations", SMOOTH)
    rng = np.random.default_rng(121)
    net = Network(seed=3)
    for v in range(8):
        net.add_input(v)
    for v in range(8, 48):
        net.add_neuron(v, rng.choice(v, 3, replace=False).tolist(), bias=0.1, activation=sigma[v % len(sigma)])
    net.set_outputs([44, 45, 46, 47])
    return net


def _batch(seed: int, rows: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 8)), rng.standard_normal((rows, 4))


RESULTS = (
    "z",
    "a",
    "∂L/∂z",
    "∂L/∂a",
    "∂L/∂w",
    "∂L/∂b",
    "∂L/∂θ",
    "∂L/∂θ by value_and_grad",
    "loss",
    "predict",
)
"""Names of the arrays that `_all` returns, in its order."""


def _all(subject: Subject, program: Program, X: Any, T: Any) -> list[Any]:
    """Return every array of one forward, backward, value_and_grad and predict."""
    acts = program.forward(X)
    grads, given = program.backward(acts, T), subject.given(program)
    value, g = program.value_and_grad(program.theta, X, T)
    return [
        acts.z.array,
        acts.a.array,
        grads.dz.array[given],
        grads.da.array[given],
        grads.weight.array,
        grads.bias.array,
        grads.theta,
        g,
        np.array([grads.loss, value]),
        program.predict(X),
    ]


@check("calls", least=9)
def inputs_are_not_mutated(subject: Subject) -> None:
    """θ, X, T, cotangents, sample weights and the plan are not modified by any call."""
    net = _irregular(subject)
    for dtype in subject.info.dtypes:
        program = subject.compile(net, dtype, "squared_error")
        X, T = (m.astype(dtype) for m in _batch(1))
        given = {"theta": program.theta.copy(), "X": X, "T": T, "C": T * 2, "s": np.linspace(1, 2, 6).astype(dtype)}
        before = {name: array.copy() for name, array in given.items()}
        for array in given.values():
            array.flags.writeable = False
        acts = program.forward(given["X"], theta=given["theta"])
        z, a = acts.z.array.copy(), acts.a.array.copy()
        program.backward(acts, given["T"], sample_weight=given["s"])
        program.backward(acts, cotangent=given["C"])
        program.value_and_grad(given["theta"], given["X"], given["T"], sample_weight=given["s"])
        program.predict(given["X"], theta=given["theta"])
        for name, array in given.items():
            subject.bits(name, array, before[name])
        subject.bits("z after backward", acts.z.array, z)
        subject.bits("a after backward", acts.a.array, a)
        subject.bits("the program's θ", program.theta, before["theta"])
        subject.true(program.plan == subject.compile(net, dtype).plan, "the plan has changed")


@check("calls", least=13)
def earlier_activations_stay_valid(subject: Subject) -> None:
    """Later calls do not change Activations and Gradients, and backward uses the θ with which Activations were made."""
    program = subject.compile(_irregular(subject), loss="squared_error")
    X, T = _batch(1)
    first = _all(subject, program, X, T)
    acts = program.forward(X)
    kept = _all(subject, program, X, T)
    copies = [array.copy() for array in kept]
    theta = program.theta.copy()
    for seed, rows in ((2, 6), (3, 1), (4, 70), (5, 6)):
        program.theta = theta * 0.5
        _all(subject, program, *_batch(seed, rows))
    for one, copy in zip(kept, copies, strict=True):
        subject.bits("a result, after later calls", one, copy)
    grads = program.backward(acts, T)
    given = subject.given(program)
    dz, da = grads.dz.array[given], grads.da.array[given]
    for what, found, expected in zip(("∂L/∂z", "∂L/∂a"), (dz, da), first[2:4], strict=True):
        subject.same(f"{what} of activations made before θ moved", found, expected, 1e-13)
    subject.same("∂L/∂θ of activations made before θ moved", grads.theta, first[6], 1e-13)


@check("calls", least=60)
def theta_is_read_anew(subject: Subject) -> None:
    """Results do not depend on earlier calls, with θ changed in place or replaced, another batch or batch size."""
    net = _irregular(subject)
    program = subject.compile(net, loss="squared_error")
    theta = program.theta.copy()
    for k, rows in enumerate((6, 6, 1, 64, 6, 2)):
        X, T = _batch(k, rows)
        theta += 0.05 * (k + 1)  # in place: the same array, other numbers
        program.theta[...] = theta
        fresh = compile(net, executor="python", loss="squared_error")
        fresh.theta = theta
        expected = _all(subject, fresh, X, T)
        for what, found, truth in zip(RESULTS, _all(subject, program, X, T), expected, strict=True):
            subject.same(f"{what} in call {k}, of {rows} rows", found, truth, 1e-12)
        subject.same("value_and_grad of θ in place", program.value_and_grad(theta, X, T)[1], expected[7], 1e-12)


@check("calls", least=10)
def programs_are_apart(subject: Subject) -> None:
    """Programs of different networks, and of one network in two dtypes, do not affect each other through a cache."""
    net, other = _irregular(subject), _irregular(subject)
    weights = [(u, v) for u, v in net.graph.edges][:5]
    for u, v in weights:
        subject.true(other.graph.has_edge(u, v), "the same graph twice")
    X, T = _batch(1)
    programs = [subject.compile(net, loss="squared_error"), subject.compile(other, loss="huber")]
    programs += [subject.compile(net, t, "squared_error") for t in subject.info.dtypes]
    programs[1].theta = programs[1].theta * 0.5
    alone = [_all(subject, p, X, T) for p in programs]
    again = [_all(subject, p, X, T) for p in reversed(programs)][::-1]
    for one, two in zip(alone, again, strict=True):
        for a, b in zip(one, two, strict=True):
            subject.same("a program beside others", b, a, NEAR[str(a.dtype)])
    for p, results in zip(programs, alone, strict=True):
        truth = compile(net, executor="python", dtype=p.dtype, loss=p.loss)
        truth.theta = p.theta
        subject.same("∂L/∂θ beside others", results[6], _all(subject, truth, X, T)[6], NEAR[str(p.dtype)])


@check("calls", least=2)
def a_program_keeps_its_network(subject: Subject) -> None:
    """Changes of a network after compile do not affect the program."""
    net = _irregular(subject)
    program = subject.compile(net, loss="squared_error")
    X, T = _batch(1)
    before = program.value_and_grad(program.theta, X, T)
    net.add_neuron("late", {47: 5.0})
    net.set_outputs(["late"])
    after = program.value_and_grad(program.theta, X, T)
    subject.same("loss", after[0], before[0], 1e-13)
    subject.same("∂L/∂θ", after[1], before[1], 1e-13)


@check("calls", least=8)
def any_layout_of_arrays(subject: Subject) -> None:
    """X and T in Fortran order, strided, reversed or as lists give the same results as C-contiguous arrays."""
    program = subject.compile(_irregular(subject), loss="squared_error")
    X, T = _batch(1)
    expected = program.value_and_grad(program.theta, X, T)
    wide = np.zeros((12, 16))
    wide[::2, ::2] = X
    for view, targets in (
        (np.asfortranarray(X), np.asfortranarray(T)),
        (wide[::2, ::2], T),
        (X[::-1].copy()[::-1], T[::-1].copy()[::-1]),
        (X.tolist(), T.tolist()),
    ):
        value, g = program.value_and_grad(program.theta, view, targets)
        subject.same("loss", value, expected[0], 1e-14)
        subject.same("∂L/∂θ", g, expected[1], 1e-14)


# ---- determinism and threads --------------------------------------------------------------------------------


def _deterministic(subject: Subject) -> None:
    if not subject.info.deterministic:
        raise Skip("it does not declare to be deterministic")


@check("determinism", least=200)
def same_bits_from_run_to_run(subject: Subject) -> None:
    """If declared deterministic, the same call gives the same bits when repeated and from a newly compiled program."""
    _deterministic(subject)
    net = _irregular(subject)
    for rows in (1, 6, subject.rows(150)):
        X, T = _batch(7, rows)
        for dtype in subject.info.dtypes:
            program = subject.compile(net, dtype, "squared_error")
            expected = _all(subject, program, X, T)
            for again in (*[program] * (1 if subject.quick else 3), subject.compile(net, dtype, "squared_error")):
                for a, b in zip(expected, _all(subject, again, X, T), strict=True):
                    subject.bits(f"{rows} rows in {dtype}", b, a)


@check("determinism", least=20)
def same_bits_for_any_number_of_threads(subject: Subject) -> None:
    """If declared deterministic, threads=1, 2, 3 and None give the same bits."""
    _deterministic(subject)
    for net, rows in ((_irregular(subject), subject.rows(150)), (_layers(subject), subject.rows(96))):
        rng = np.random.default_rng(8)
        X, T = (rng.standard_normal((rows, len(of))) for of in (net.inputs, net.outputs))
        expected = _all(subject, subject.compile(net, loss="squared_error", threads=1), X, T)
        for threads in (2, 3, None):
            for a, b in zip(
                expected, _all(subject, subject.compile(net, loss="squared_error", threads=threads), X, T), strict=True
            ):
                subject.bits(f"{threads} threads", b, a)


def _layers(subject: Subject) -> Network:
    return layered([8, 24, 16, 4], activation=subject.functions("activations", SMOOTH)[-1], seed=2)


@check("threads", least=100)
def concurrent_callers(subject: Subject) -> None:
    """Four threads that call one program at the same time get the same results as without concurrency."""
    program = subject.compile(_irregular(subject), loss="squared_error")
    batches = [_batch(20 + k, rows) for k, rows in enumerate((1, 3, 40, 6, 17, 2, 64, 5))]
    alone = [_all(subject, program, X, T) for X, T in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: _all(subject, program, *batches[k % 8]), range(16 if subject.quick else 32)))
    for k, results in enumerate(found):
        for a, b in zip(alone[k % 8], results, strict=True):
            if subject.info.deterministic:
                subject.bits("among concurrent callers", b, a)
            else:
                subject.same("among concurrent callers", b, a, 1e-12)


# ---- memory -------------------------------------------------------------------------------------------------


@check("memory", least=4)
def memory_is_flat_over_steps(subject: Subject) -> None:
    """Training steps and forward-backward pairs do not leak memory, in Python's allocators or in the process."""
    net = layered([8, WIDTH // 2, WIDTH // 2, 4], activation=subject.functions("activations", SMOOTH)[0], seed=1)
    program = subject.compile(net, loss="squared_error")
    X, T = _batch(9, ROWS)

    def fused() -> None:
        program.value_and_grad(program.theta, X, T)

    def apart() -> None:
        program.backward(program.forward(X), T)

    for step in (fused, apart):
        start = perf_counter()
        for _ in range(5):
            step()
        steps = FEW if subject.quick else int(np.clip(SECONDS * 5 / (perf_counter() - start), *STEPS))
        gc.collect()
        resident = _resident()
        for _ in range(steps):
            step()
        gc.collect()
        traced_steps = min(steps, STEPS[0])
        grown, traced = _resident() - resident, _traced(step, traced_steps)
        subject.true(traced < LEAK * traced_steps, f"{step.__name__}: {traced:,} bytes more after {traced_steps} steps")
        subject.true(grown < LEAK_NATIVE, f"{step.__name__}: the process grew {grown:,} bytes over {steps} steps")


def _traced(step: Callable[[], None], steps: int) -> int:
    """Return the number of bytes, tracked by tracemalloc, that remain allocated after `steps` steps."""
    outer = tracemalloc.is_tracing()
    if not outer:
        tracemalloc.start()
    try:
        step()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(steps):
            step()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        if not outer:
            tracemalloc.stop()


def _resident() -> int:
    """Return the resident memory of this process in bytes, or 0 if the system has no /proc/self/statm."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
