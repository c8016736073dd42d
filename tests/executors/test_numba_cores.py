"""Where helpers run: threads are moved between cores, put to sleep and woken, by compiled code and by its twins."""

from __future__ import annotations

import atexit
import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("numba")

from flowgrad.executors._numba import cores, engine, pool, running
from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.memory import put_i64

needs_linux = pytest.mark.skipif(not cores.System().complete, reason="needs Linux")


def away(system: int, thread: int, _: int) -> None:
    cores.send_away(system, thread, cores.this_core(system))


def here(system: int, thread: int, _: int) -> None:
    cores.bring_to(system, thread, cores.this_core(system))


def times(system: int, thread: int, found: int) -> None:
    put_i64(found, 2, cores.core_time(system, found, thread))
    put_i64(found, 3, cores.wall_time(system, found))


Twin = Callable[[int, int, int], None]


@pytest.fixture(params=["compiled", "twin"])
def form(request: pytest.FixtureRequest) -> Callable[[Twin], Twin]:
    """Functions as machine code, and as they stand here."""
    if request.param == "twin":
        return lambda f: f
    return lambda f: pool.native(function(f"{__name__}.{f.__name__}", f))


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A thread that sleeps."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    mine = os.sched_getaffinity(0)
    yield thread.native_id or 0
    os.sched_setaffinity(0, mine)
    done.set()
    thread.join()


@needs_linux
def test_a_thread_is_sent_away_and_brought_back(form: Any, sleeper: int) -> None:
    system, mine = cores.System(), os.sched_getaffinity(0)
    if len(mine) < 2:
        pytest.skip("needs two cores")
    for core in (min(mine), max(mine)):
        os.sched_setaffinity(0, {core})
        form(here)(system.address, sleeper, 0)
        assert os.sched_getaffinity(sleeper) == {core}
        form(away)(system.address, sleeper, 0)  # there is no other core
        assert os.sched_getaffinity(sleeper) == {core}
    os.sched_setaffinity(0, {min(mine), max(mine)})
    form(away)(system.address, sleeper, 0)
    assert os.sched_getaffinity(sleeper) < {min(mine), max(mine)}
    assert len(os.sched_getaffinity(sleeper)) == 1


@needs_linux
def test_sets_of_cores_of_any_number() -> None:
    """By functions that stand for those of a machine of a thousand cores."""
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)
    asked: list[set[int]] = []
    core, mine = 0, {0}

    def members(at: int) -> set[int]:
        mask = int.from_bytes((ctypes.c_char * cores.MASK).from_address(at).raw, "little")
        return {k for k in range(8 * cores.MASK) if mask >> k & 1}

    @kind
    def getcpu(at: int, _: int, __: int) -> None:
        ctypes.c_int32.from_address(at).value = core

    @kind
    def get(_: int, size: int, at: int) -> None:
        mask = sum(1 << k for k in mine)
        ctypes.memmove(at, mask.to_bytes(size, "little"), size)

    @kind
    def put(_: int, __: int, at: int) -> None:
        asked.append(members(at))  # of no core, the system refuses and changes nothing

    system = cores.System()
    for name, f in (("getcpu", getcpu), ("sched_getaffinity", get), ("sched_setaffinity", put)):
        system._record[name] = ctypes.cast(f, ctypes.c_void_p).value
    run = [pool.native(function(f"{__name__}.{f.__name__}", f)) for f in (away, here)]
    for core in (0, 30, 31, 32, 63, 64, 1000, 1023):
        for mine in ({core}, {7}, {core, 31}, {core, 5, 63, 1023}, set(range(1024))):
            asked.clear()
            for f in run:
                f(system.address, 1, 0)
            assert asked == [mine - {core}, {core}]


@needs_linux
def test_times(form: Any) -> None:
    system, found = cores.System(), np.zeros(4, np.int64)
    before = time.thread_time_ns(), time.monotonic_ns()
    form(times)(system.address, threading.get_native_id(), found.ctypes.data)
    after = time.thread_time_ns(), time.monotonic_ns()
    for k in range(2):
        assert before[k] <= found[2 + k] <= after[k]


def test_short_slices_leave_priority_and_policy_alone() -> None:
    seen: list[tuple[int, int]] = []

    def look() -> None:
        for _ in range(2):
            seen.append((os.getpriority(os.PRIO_PROCESS, threading.get_native_id()), os.sched_getscheduler(0)))
            cores.ask_for_short_slices()

    if cores._library() is None:
        pytest.skip("needs Linux")
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen[0] == seen[1]


@pytest.fixture(params=[True, False])
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool of its own, whose helpers sleep in compiled code, and, as where that cannot be, in Python."""
    if not request.param:
        monkeypatch.setattr(cores, "_function", lambda name: 0)
    elif not cores.System().complete:
        pytest.skip("needs Linux")
    monkeypatch.setattr(pool, "_made", None)
    monkeypatch.setattr(engine, "ALONE", 0)
    yield
    if pool._made is not None:
        helpers = pool._made._helpers
        for _ in range(2):
            pool._made.close()
        assert not any(thread.is_alive() for thread, _ in helpers)


def small(threads: int) -> tuple[Callable[[], Any], Any]:
    """A step on so many threads, and what it gives alone."""
    net = fg.topologies.layered([4, 20, 20, 2], activation="tanh", seed=0)
    x, t = np.random.default_rng(0).standard_normal((300, 4)), np.zeros((300, 2))
    alone, program = (fg.compile(net, executor="numba", loss="squared_error", threads=k) for k in (1, threads))
    return lambda: program.value_and_grad(program.theta, x, t), alone.value_and_grad(program.theta, x, t)


def same(found: Any, want: Any) -> None:
    assert found[0] == want[0]
    np.testing.assert_array_equal(found[1], want[1])


@pytest.mark.usefixtures("fresh")
def test_helpers_sleep_and_are_woken() -> None:
    step, want = small(3)
    for _ in range(3):
        for _ in range(20):
            same(step(), want)
        made = pool.pool(running.addresses)
        end = time.monotonic() + 10
        while not all(made._words[pool.ASLEEP // pool.WORD + k] for k in (1, 2)):
            assert time.monotonic() < end, "helpers do not go to sleep"
            time.sleep(0.001)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("started", [True, False])
def test_an_interrupt_while_a_helper_is_hired_costs_no_later_call(
    started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, want = small(3)
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        if started:
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        step()
    for _ in range(20):
        same(step(), want)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("given", [0, 1])
def test_a_system_that_gives_no_more_threads(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, want = small(4)
    start, left = threading.Thread.start, [None] * given

    def refused(thread: threading.Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(thread)

    def none(*_: Any) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    monkeypatch.setattr(running, "start_new_thread", none)
    for long in (engine.LONG, 0):
        monkeypatch.setattr(engine, "LONG", long)
        for _ in range(5):
            same(step(), want)
    assert len(pool.pool(running.addresses)._helpers) == given


def test_an_error_beside_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    step, want = small(1)
    monkeypatch.setattr(engine, "LONG", 0)
    run = running.run

    def fails(*_: Any) -> None:
        raise MemoryError("of a thread")

    monkeypatch.setattr(running, "run", fails)
    with pytest.raises(MemoryError, match="of a thread"):
        step()
    monkeypatch.setattr(running, "run", run)
    same(step(), want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_ends_leaves_its_parents_helpers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[int] = []
    monkeypatch.setattr(pool.Pool, "close", lambda self: closed.append(os.getpid()))
    monkeypatch.setattr(pool, "_made", None)
    made = pool.pool(running.addresses)
    child = os.fork()
    if child == 0:
        atexit._run_exitfuncs()
        os._exit(len(closed) + (pool._made is made))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    atexit.unregister(made.close)


@needs_linux
def test_a_helper_that_a_stranger_has_put_off_its_core_waits_for_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that else would wait for ever sleeps when a call is over."""
    monkeypatch.setattr(pool, "PATIENCE", 1 << 60)
    patient = pool.Pool(function("serve for ever", pool.serve), function("rouse", pool.rouse))
    monkeypatch.setattr(pool, "_made", patient)
    monkeypatch.setattr(engine, "ALONE", 0)
    net = fg.topologies.layered([4, 100, 100, 2], activation="tanh", seed=0)
    x, t = np.random.default_rng(0).standard_normal((64, 4)), np.zeros((64, 2))
    program = fg.compile(net, executor="numba", loss="squared_error", threads=2)
    shy, asleep = pool.SHY // pool.WORD + 1, pool.ASLEEP // pool.WORD + 1
    try:
        for _ in range(20):
            patient._words[shy] = pool.CALM
            program.value_and_grad(program.theta, x, t)
            end = time.monotonic() + 10
            while not patient._words[asleep]:
                assert time.monotonic() < end, "the helper does not go to sleep"
            assert patient._words[shy] < pool.CALM
    finally:
        patient.close()
