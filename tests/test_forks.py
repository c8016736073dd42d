"""A forked child computes, whatever the threads of its parent were doing: no lock that they held stays locked."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import locks
from flowgrad.cli._followed import Followed
from flowgrad.executors._numba import compiled
from flowgrad.recycling import SMALLEST, Recycler

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Another thread holds the lock."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


def setting(executor: str, seed: int = 0, activation: Any = "tanh") -> tuple[fg.Program, np.ndarray, np.ndarray]:
    net = fg.topologies.layered([6, 40, 3], activation=activation, seed=seed)
    rng = np.random.default_rng(seed)
    program = fg.compile(net, executor=executor, loss="squared_error")
    return program, rng.standard_normal((400, 6)), rng.standard_normal((400, 3))


def gradient(program: fg.Program, X: Any, T: Any) -> np.ndarray:
    return program.backward(program.forward(X), T).theta


def own_function() -> fg.Activation:
    """An activation that no executor has compiled before."""
    return fg.Activation("own", lambda z: 0.5 * z, lambda z: 0.5)


RECYCLER = Recycler()
FOLLOWED = Followed(lambda: None, Path("."), None, 0)  # type: ignore[arg-type,return-value]  # nothing of it is used
HOLDERS: dict[str, Callable[[], Any]] = {
    "a recycler": lambda: RECYCLER._lock,
    "a page": lambda: FOLLOWED._lock,
    "metrics": lambda: FOLLOWED._metrics._lock,
    "the machine": lambda: compiled.lock,
    "numba": lambda: _foreign(0),
    "llvm": lambda: _foreign(1),
}


def _foreign(k: int) -> Any:
    module, name = locks.FOREIGN[k]
    return attrgetter(name)(sys.modules[module])


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_lock_that_another_thread_holds_is_free_in_the_child(
    holder: str, monkeypatch: pytest.MonkeyPatch, in_child: Any
) -> None:
    gradient(*setting("numba", activation=own_function()))  # Numba is loaded
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    lock = HOLDERS[holder]()

    def work() -> None:
        assert lock.acquire(timeout=10)
        lock.release()
        gradient(*setting("numba", activation=own_function()))

    with held(lock):
        assert in_child(work) == 0
        assert not lock.acquire(timeout=0.05)  # and in the parent it is as it was
    assert lock.acquire(timeout=10)
    lock.release()


def test_a_child_computes_while_another_thread_holds_every_lock_of_a_program(executor: str, in_child: Any) -> None:
    program, X, T = setting(executor)
    want = gradient(program, X, T)
    mine = [lock for lock in locks._renewed if lock is not None]
    taken = [lock for lock in mine if lock.acquire(blocking=False)]

    def work() -> None:
        np.testing.assert_array_equal(gradient(program, X, T), want)

    status: list[int] = []
    thread = threading.Thread(target=lambda: status.append(in_child(work)))  # the locks are this thread's
    thread.start()
    thread.join(120)
    for lock in taken:
        lock.release()
    assert status == [0]


def test_the_thread_that_forks_keeps_what_it_holds(in_child: Any) -> None:
    """In the child as well: there it is the one thread."""
    reentrant = locks.reentrant_lock()

    def work() -> None:
        other = threading.Thread(target=lambda: found.append(reentrant.acquire(timeout=0.05)))
        found: list[bool] = []
        other.start()
        other.join()
        assert found == [False]
        reentrant.release()
        assert not reentrant._is_owned()

    with reentrant:
        assert in_child(work) == 0


def test_a_fork_waits_until_others_have_compiled(in_child: Any) -> None:
    """What they are at could not be used half done."""
    taken, ended = threading.Event(), []

    def compile() -> None:
        with compiled.lock:
            taken.set()
            time.sleep(0.3)
            ended.append(True)

    thread = threading.Thread(target=compile)
    thread.start()
    assert taken.wait(60)
    assert in_child(lambda: ended[0]) == 0
    thread.join()


def test_locks_are_held_weakly() -> None:
    lock, reentrant = locks.lock(), locks.reentrant_lock()
    gone = weakref.ref(lock), weakref.ref(reentrant)
    del lock, reentrant
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_forks_while_others_compute_and_compile(executor: str, request: pytest.FixtureRequest, in_child: Any) -> None:
    """Recycled arrays, Numba and LLVM at any moment of theirs; every child gets its gradient, to the bit."""
    forks = 12 * request.config.getoption("--soak") or 4
    setting_ = program, X, T = setting(executor)
    want, stop, wrong = gradient(*setting_), threading.Event(), []
    assert program.forward(X).a.array.nbytes > SMALLEST  # or nothing is recycled

    def compute(k: int) -> None:
        while not stop.is_set():
            found = gradient(program, X, T) if k else gradient(*setting(executor, 1, own_function()))
            if k and not np.array_equal(found, want):
                wrong.append(k)

    def work() -> None:
        np.testing.assert_array_equal(gradient(program, X, T), want)

    def fresh() -> None:
        work()
        assert np.isfinite(gradient(*setting(executor, 2, own_function()))).all()

    threads = [threading.Thread(target=compute, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    try:
        found = [in_child(work if k % 4 else fresh) for k in range(forks)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert found == [0] * forks
    assert not wrong


def test_no_module_makes_locks_of_its_own() -> None:
    """They would not be renewed."""
    package = Path(fg.__file__).parent
    makers = ("threading.Lock(", "threading.RLock(", "threading.Condition(", "allocate_lock(", "import Lock")
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(maker in path.read_text(encoding="utf-8") for maker in makers)
    ]
    assert found == ["locks.py"]
