"""The pool of threads: how many a call may use, helpers that sleep, and what interrupts, forks and exits leave.

What stands for compiled work sleeps without the GIL; what helpers do once they are awake is tested in `test_jobs`.
`docs/threads.md` lists the promises with their tests.
"""

from __future__ import annotations

import gc
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flowgrad.executors._numba import threads

LONG = 30.0
"""Seconds for which nothing here waits, unless something is wrong."""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")


class Work:
    """What stands for a call of compiled code: it sleeps in short pieces until it is stopped or done."""

    def __init__(self, pieces: int = 20, seconds: float = 0.0) -> None:
        self.pieces, self.seconds = pieces, seconds
        self.stopped = self.inside = False
        self.done = 0
        self.thread = 0

    def __call__(self) -> None:
        self.inside, self.thread = True, threading.get_ident()
        try:
            while not self.stopped and self.done < self.pieces:
                time.sleep(self.seconds)
                self.done += 1
        finally:
            self.inside = False

    def stop(self) -> None:
        self.stopped = True

    def aside(self) -> Work:
        threads.run_aside(self, self.stop)
        return self

    def is_whole(self) -> bool:
        return self.done == self.pieces and not self.inside


def leave(_: int) -> None:
    """A task that ends a helper."""
    raise SystemExit


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pool without helpers, for each test; all its threads leave at the end, which shows that none is stuck."""
    start, started, left = threads.start_new_thread, [], []

    def counted(target: Callable[[int], None], args: tuple[int]) -> int:
        def body(number: int) -> None:
            try:
                target(number)
            finally:
                left.append(number)

        ident = start(body, args)
        started.append(ident)
        return ident

    def all_left() -> bool:
        if threads._helpers and threads._tasks.empty():
            threads._tasks.put(leave)
        return not threads._helpers and len(left) >= len(started)  # an interrupt may have come before it was counted

    monkeypatch.setattr(threads, "start_new_thread", counted)
    monkeypatch.setattr(threads, "_helpers", {})
    monkeypatch.setattr(threads, "_tasks", SimpleQueue())
    yield
    until(all_left)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.001)


def with_helpers(n: int) -> None:
    """Have so many helpers that are awake at once, and then sleep."""
    meet, met = threading.Barrier(n + 1), []
    threads.wake(n, lambda _: None)
    until(threads._tasks.empty)  # those of before among them
    threads.wake(n, lambda _: met.append(meet.wait(LONG)))
    meet.wait(LONG)
    until(lambda: len(met) == n)
    assert len(threads._helpers) == n


# ---- helpers ------------------------------------------------------------------------------------------------


def test_sixty_four_are_awake_at_once() -> None:
    with_helpers(64)


def test_helpers_sleep_and_are_used_again() -> None:
    with_helpers(3)
    crew = dict(threads._helpers)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    for _ in range(20):
        with_helpers(3)
    assert threads._helpers == crew


def test_there_are_as_many_as_the_greediest_has_asked_for() -> None:
    """The number is not the sum over callers; nobody waits for a busy helper, and tasks do not accumulate."""
    gate, ran = threading.Event(), []
    callers = [threading.Thread(target=wake_often, args=(2 + k % 3, gate, ran)) for k in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG)
    assert not any(caller.is_alive() for caller in callers)
    assert threads._tasks.qsize() <= 16 * 4
    gate.set()
    until(threads._tasks.empty)
    assert set(threads._helpers) == {1, 2, 3, 4}
    assert ran


def wake_often(helpers: int, gate: threading.Event, ran: list[bool]) -> None:
    for _ in range(20):
        threads.wake(helpers, lambda _: ran.append(gate.wait(LONG)))


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_system_that_gives_no_more_threads(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threads.start_new_thread, [None] * given

    def refused(*args: Any) -> int:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        return start(*args)

    monkeypatch.setattr(threads, "start_new_thread", refused)
    for _ in range(10):
        threads.wake(3, lambda _: None)
        assert threads._tasks.qsize() <= 3
        until(lambda: not threads._helpers or threads._tasks.empty())
    until(lambda: len(threads._helpers) == given)
    assert given or Work().aside().is_whole()
    monkeypatch.setattr(threads, "start_new_thread", start)
    with_helpers(3)  # it gives again


# ---- a call that hears signals --------------------------------------------------------------------------------


def test_a_call_aside_is_on_a_thread_of_its_own() -> None:
    work = Work().aside()
    assert work.is_whole()
    assert work.thread != threading.get_ident()


@pytest.mark.parametrize("error", [MemoryError, SystemExit])
def test_an_error_aside_reaches_the_caller(error: type[BaseException]) -> None:
    def work() -> None:
        raise error("of the call")

    with pytest.raises(error, match="of the call"):
        threads.run_aside(work, lambda: None)
    assert Work().aside().is_whole()


# ---- interrupts ---------------------------------------------------------------------------------------------


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, whatever the shell has told this process.

    No garbage is collected meanwhile: Hypothesis listens to that, and an interrupt of its function is lost.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)


def interrupt_once(condition: Callable[[], object], times: int = 1) -> threading.Thread:
    """Press Ctrl-C, from another thread, when the condition holds; again a moment later."""

    def press() -> None:
        until(condition)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@needs_timer
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_aside_is_heard_and_stops_the_work() -> None:
    work = Work(10**9, 0.01)
    thread = interrupt_once(lambda: work.inside)
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work.aside()
    assert time.monotonic() - before < 5  # the pool's part is 0.05, the work's 0.01
    assert work.stopped
    assert not work.inside
    thread.join()
    assert Work().aside().is_whole()


@needs_timer
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("stops", ["and asks", "and is interrupted"])
def test_interrupts_while_work_is_slow_to_stop_leave_nobody_inside(stops: str) -> None:
    """Stopping it may be interrupted as well."""
    work, asked = Work(10**9, 0.3), []

    def stop() -> None:
        asked.append(True)
        if stops == "and is interrupted" and len(asked) < 3:
            raise KeyboardInterrupt
        work.stop()

    thread = interrupt_once(lambda: work.inside, times=5)
    with pytest.raises(KeyboardInterrupt):
        threads.run_aside(work, stop)
    assert work.stopped
    assert not work.inside
    thread.join()


@pytest.mark.parametrize("started", [False, True])
def test_an_interrupt_while_a_thread_is_started_costs_no_later_call(
    started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threads.start_new_thread

    def interrupted(*args: Any) -> int:
        monkeypatch.setattr(threads, "start_new_thread", start)
        if started:
            start(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "start_new_thread", interrupted)
    work = Work()
    with pytest.raises(KeyboardInterrupt):
        work.aside()
    assert not work.inside
    monkeypatch.setattr(threads, "start_new_thread", interrupted)
    with pytest.raises(KeyboardInterrupt):
        threads.wake(2, lambda _: None)
    with_helpers(2)
    assert Work().aside().is_whole()


@needs_timer
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("times", [1, 3])
def test_interrupts_at_any_moment_leave_nobody_inside_and_the_next_call_right(
    times: int, request: pytest.FixtureRequest
) -> None:
    """On the main thread, between any two steps; the second and third right after the first."""
    rng, left, hits = random.Random(0), 0, 0

    def interrupt(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 2e-4) if left else 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(400 if request.config.getoption("--soak") else 100):
            work = Work(10, 1e-5)
            try:
                left = times
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 2e-3))
                threads.wake(2, lambda _: None)
                work.aside()
                left = 0
            except KeyboardInterrupt:
                left = 0
                hits += 1
            assert not work.inside
            assert Work(10, 1e-5).aside().is_whole()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits > 5


# ---- forks and ends of processes ----------------------------------------------------------------------------


def compute_anew() -> None:
    assert not threads._helpers
    assert threads._tasks.empty()
    with_helpers(2)
    assert Work(20, 1e-4).aside().is_whole()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_forked_child_has_helpers_of_its_own(moment: str, in_child: Any) -> None:
    """Forked before helpers exist, while one is busy and another task is queued, or after."""
    if moment == "before":
        assert in_child(compute_anew) == 0
    gate = threading.Event()
    with_helpers(1)
    threads.wake(1, lambda _: gate.wait(LONG))
    until(threads._tasks.empty)
    if moment == "during":
        threads.wake(1, lambda _: None)
        assert in_child(compute_anew) == 0
    gate.set()
    if moment == "after":
        assert in_child(compute_anew) == 0
    with_helpers(1)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_at_any_moment_of_calls_leave_children_that_compute(
    request: pytest.FixtureRequest, in_child: Any
) -> None:
    stop, wrong = threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            threads.wake(3, lambda _: None)
            if not Work(5, 1e-5).aside().is_whole():
                wrong.append(True)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        assert not any(in_child(compute_anew) for _ in range(30 if request.config.getoption("--soak") else 8))
    finally:
        stop.set()
        for caller in callers:
            caller.join(LONG)
    assert not wrong


def test_tests_that_the_page_names_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "threads.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(test_\w+)`", page))
    assert listed <= {
        name
        for path in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text())
    }
