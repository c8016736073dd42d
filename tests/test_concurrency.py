"""Many callers at once, and the same bits every time."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import flowgrad as fg


def network(seed: int = 0) -> fg.Network:
    """Irregular, with aggregations that take another road than sums, of which one needs room of each thread's own."""
    rng = np.random.default_rng(seed)
    net = fg.Network()
    names: list[Any] = [f"x{k}" for k in range(6)]
    for name in names:
        net.add_input(name)
    for k in range(60):
        sources = rng.choice(len(names), min(len(names), int(rng.integers(1, 8))), replace=False)
        net.add_neuron(
            k,
            {names[s]: float(rng.standard_normal()) for s in sources},
            bias=float(rng.standard_normal()),
            activation=("tanh", "tanh", "relu", "gelu")[k % 4],
            aggregation=("sum", "sum", "sum", "mean", "max", "median")[k % 6],
        )
        names.append(k)
    net.set_outputs(names[-3:])
    return net


def setting(executor: str, rows: int = 100, **options: Any) -> tuple[fg.Program, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    program = fg.compile(network(), executor=executor, loss="squared_error", **options)
    return program, rng.standard_normal((rows, 6)), rng.standard_normal((rows, 3))


def everything(program: fg.Program, X: Any, T: Any) -> list[np.ndarray]:
    """Every number that a program gives."""
    acts = program.forward(X)
    grads = program.backward(acts, T, sample_weight=np.arange(1, len(X) + 1), per_output=True)
    loss, g = program.value_and_grad(program.theta, X, T)
    return [
        acts.z.array,
        acts.a.array,
        acts.output,
        program.predict(X),
        grads.theta,
        grads.dz.array,
        grads.da.array,
        grads.weight.array,
        grads.bias.array,
        np.array(list(grads.per_output.values())),
        np.array([loss, grads.loss]),
        g,
    ]


def identical(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sixteen_threads_on_one_program(executor: str) -> None:
    """Each with its own batch and θ; every answer is what it is alone."""
    program, X, T = setting(executor, rows=40)
    thetas = [program.theta * (1 + 0.01 * k) for k in range(16)]

    def call(k: int) -> list[np.ndarray]:
        rows = 2 * k + 5
        acts = program.forward(X[:rows], thetas[k])
        grads = program.backward(acts, T[:rows])
        loss, g = program.value_and_grad(thetas[k], X[:rows], T[:rows])
        return [acts.a.array, acts.output, grads.theta, grads.dz.array, np.array([loss]), g]

    alone = [call(k) for k in range(16)]
    barrier = threading.Barrier(16)
    rounds = 2 if executor == "python" else 25

    def together(k: int) -> list[list[np.ndarray]]:
        barrier.wait(timeout=60)
        return [call(k) for _ in range(rounds)]

    with ThreadPoolExecutor(16) as pool:
        for k, found in enumerate(pool.map(together, range(16))):
            for again in found:
                identical(alone[k], again)


def scaled(factor: float) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """z times a factor, and its derivative."""
    return lambda z: factor * z, lambda z: factor


def through(sigma: fg.Activation) -> fg.Network:
    """y = σ(x)"""
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0}, activation=sigma)
    net.set_outputs(["y"])
    return net


def test_sixteen_threads_that_compile(executor: str) -> None:
    """The first compile of a kernel may be asked for by all at once: four functions that no other test compiles."""
    barrier = threading.Barrier(16)
    nets = [through(fg.Activation("own", *scaled(0.125 + k))) for k in range(4)]

    def call(k: int) -> np.ndarray:
        barrier.wait(timeout=60)
        program = fg.compile(nets[k % 4], executor=executor, loss="squared_error", dtype=("float32", "float64")[k % 2])
        return program.value_and_grad(program.theta, np.ones((33, 1)), np.ones((33, 1)))[1]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(call, range(16)))
    for k in range(4, 16):
        np.testing.assert_array_equal(found[k], found[k % 4])
    for k in range(4):  # ∂L/∂w = (y − 1)·y with y = (⅛ + k)·x and x = 1
        assert found[k][0] == pytest.approx((k - 0.875) * (k + 0.125))


def test_buffers_are_never_shared_between_live_activations(executor: str) -> None:
    program, X, _ = setting(executor, rows=9)
    alive = [program.forward(X * k) for k in range(5)]
    kept = [(acts.z.array.copy(), acts.a.array.copy(), acts.output.copy()) for acts in alive]
    del alive[1], alive[2]  # what they held may be used again, what the others hold may not
    del kept[1], kept[2]
    gc.collect()
    for _ in range(3):
        later = program.forward(X + 100.0)
        program.backward(later, np.zeros((9, 3)))
        program.predict(X)
    for acts, (z, a, y) in zip(alive, kept, strict=True):
        np.testing.assert_array_equal(acts.z.array, z)
        np.testing.assert_array_equal(acts.a.array, a)
        np.testing.assert_array_equal(acts.output, y)
        assert not any(np.shares_memory(acts.a.array, other.a.array) for other in alive if other is not acts)


def test_arrays_outlive_the_objects_they_came_from(executor: str) -> None:
    program, X, T = setting(executor, rows=9)
    acts = program.forward(X)
    z, grads = acts.z.array, program.backward(acts, T)
    dz, g = grads.dz.array, grads.theta
    kept = z.copy(), dz.copy(), g.copy()
    del acts, grads
    gc.collect()
    for k in range(5):
        other = program.forward(X + k)
        program.backward(other, T)
        del other
    for one, copy in zip((z, dz, g), kept, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_what_comes_in_is_left_as_it_was(executor: str) -> None:
    program, X, T = setting(executor, rows=7)
    theta, C, s = program.theta.copy(), np.ones((7, 3)), np.arange(1.0, 8.0)
    given = [X, T, theta, C, s]
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    acts = program.forward(X, theta)
    program.backward(acts, T, sample_weight=s, per_output=True)
    program.backward(acts, cotangent=C)
    program.value_and_grad(theta, X, T, sample_weight=s)
    program.predict(X, theta)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    y = acts.output.copy()
    np.testing.assert_array_equal(acts.output, y)


def test_a_program_keeps_its_own_copies(executor: str) -> None:
    program, X, T = setting(executor, rows=7)
    expected = program.backward(program.forward(X), T).theta
    x = X.copy()
    acts = program.forward(x)
    x[...] = np.nan
    np.testing.assert_array_equal(program.backward(acts, T).theta, expected)
    theta = program.theta.copy()
    program.theta = theta
    theta[...] = np.nan
    assert np.isfinite(program.theta).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_every_time(executor: str, dtype: str) -> None:
    program, X, T = setting(executor, rows=33, dtype=dtype)
    first = everything(program, X, T)
    identical(first, everything(program, X, T))
    other, _, _ = setting(executor, rows=33, dtype=dtype)
    identical(first, everything(other, X, T))


@pytest.mark.covering(executor=["numba"], rows=[9, 33, 1000], dtype=["float32", "float64"])
def test_the_same_bits_for_any_number_of_threads(dtype: str, rows: int, executor: str) -> None:
    if executor == "python":
        pytest.skip("one thread only")
    found = []
    for threads in (1, 2, 4, 8):
        program, X, T = setting(executor, rows=rows, dtype=dtype, threads=threads)
        found.append(everything(program, X, T))
    for other in found[1:]:
        identical(found[0], other)


def test_the_same_bits_for_a_large_network_and_any_number_of_threads(executor: str) -> None:
    """Large enough that every thread has work, and the parameters' passes are split."""
    if executor == "python":
        pytest.skip("one thread only")
    net = fg.topologies.layered([64, 512, 256, 10], activation="tanh", seed=2)
    rng = np.random.default_rng(3)
    X, T = rng.standard_normal((700, 64)), rng.integers(0, 10, 700)
    found: list[tuple[float, np.ndarray]] = []
    for threads in (1, 2, 4, 8):
        program = fg.compile(net, executor=executor, loss="cross_entropy", threads=threads)
        found += [program.value_and_grad(program.theta, X, T) for _ in range(2)]
        np.testing.assert_array_equal(program.predict(X), program.predict(X))
    for loss, g in found[1:]:
        assert loss == found[0][0]
        np.testing.assert_array_equal(g, found[0][1])


def test_an_exception_leaves_the_program_usable(executor: str) -> None:
    program, X, T = setting(executor, rows=5)
    first = everything(program, X, T)
    broken: list[Callable[[], Any]] = [
        lambda: program.forward(X[:, :2]),
        lambda: program.backward(program.forward(X), T[:2]),
        lambda: program.value_and_grad(program.theta[:-1], X, T),
    ]
    for call in broken:
        with pytest.raises(fg.FlowgradError):
            call()
    identical(first, everything(program, X, T))
