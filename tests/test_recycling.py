"""Memory of results is used again when they have died, and never before."""

from __future__ import annotations

import gc
import threading

import numpy as np

import flowgrad as fg
from flowgrad.recycling import KEPT, SMALLEST, Recycler


def test_a_view_keeps_the_memory_of_its_array() -> None:
    arrays = Recycler()
    first = arrays.empty((400, 100), np.float64)
    at, part = first.ctypes.data, first[3:5].T
    part[...] = 7.0
    del first
    second = arrays.empty((400, 100), np.float64)
    assert second.ctypes.data != at
    second[...] = 0.0
    assert (part == 7.0).all()
    del part
    assert arrays.empty((100, 400), np.float64).ctypes.data == at


def test_shape_dtype_and_small_arrays() -> None:
    arrays = Recycler()
    for shape in ((0, 3), (5,), (300, 200)):
        array = arrays.empty(shape, np.float32)
        assert array.shape == shape
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert arrays.empty(SMALLEST, np.uint8).nbytes == SMALLEST


def test_no_more_waits_than_is_allowed() -> None:
    arrays = Recycler()
    held = [arrays.empty(KEPT // 4, np.uint8) for _ in range(6)]
    held.clear()
    assert sum(map(len, arrays._waiting)) <= KEPT
    array = arrays.empty(KEPT + 1, np.uint8)
    del array
    assert not arrays._waiting


def test_an_array_outlives_its_recycler() -> None:
    arrays = Recycler()
    array = arrays.empty(SMALLEST, np.uint8)
    array[...] = 3
    del arrays
    gc.collect()
    assert (array == 3).all()


def test_many_threads_never_share() -> None:
    arrays, wrong = Recycler(), []

    def work(k: int) -> None:
        for _ in range(200):
            array = arrays.empty(SMALLEST // 8, np.int64)
            array[...] = k
            if not (array == k).all():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(arrays._waiting) <= 2 * 8  # a new array comes before the old one dies


def test_results_of_earlier_calls_stay_as_they_are() -> None:
    net = fg.topologies.layered([4, 200, 200], activation="tanh", seed=0)
    program = fg.compile(net, executor="numba", loss="squared_error")
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(4):
        X, T = rng.standard_normal((100, 4)), rng.standard_normal((100, 200))
        y, (_, g) = program.predict(X), program.value_and_grad(program.theta, X, T)
        acts = program.forward(X)
        kept.append((X, T, y, y.copy(), g, g.copy(), acts, acts.z.array.copy()))
        program.predict(X)  # dies at once
    for _, _, y, y0, g, g0, acts, z0 in kept:
        assert y.tobytes() == y0.tobytes()
        assert g.tobytes() == g0.tobytes()
        assert acts.z.array.tobytes() == z0.tobytes()
