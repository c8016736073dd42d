"""Jobs: which threads run a job, and the state when it returns, by a kernel that counts.

`docs/threads.md` lists the promises with their tests.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numba.core import types

from flowgrad.executors._numba import jobs, threads
from flowgrad.executors._numba.compiled import address, entry, kernel
from flowgrad.executors._numba.memory import call_address, fetch_add, pause, record_at
from flowgrad.executors._numba.phases import DONE, wait_until
from flowgrad.executors._numba.records import JOB, record

LONG = 30.0
"""Seconds for which nothing here waits, unless something is wrong."""
I = types.int64
COUNT = record(
    *(JOB.names or ()),
    # addresses of words: items taken and, behind it, items done; threads that entered and that left; how often each
    # item was done and each slot was entered; the word that ends all waiting
    "taken entered gone items seen slot stop",
    # number of items; number of threads that wait for each other before they begin; pauses an item
    "n meet nap",
)
count_at: Any = record_at(COUNT)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@kernel
def start(spec: Any, job: int) -> None:
    call_address(count_at(job).run_shared, count_at(job).table, job)


@kernel
def count(spec: Any, job: int, slot: int) -> None:
    c = count_at(job)
    fetch_add(c.slot + 8 * slot, 1)
    fetch_add(c.entered, 1)
    wait_until(c.entered, c.meet, c.stop)
    item = fetch_add(c.taken, 1)
    while item < c.n:
        fetch_add(c.seen + 8 * item, 1)
        for _ in range(c.nap):
            pause()
        fetch_add(c.taken + DONE, 1)
        item = fetch_add(c.taken, 1)
    wait_until(c.taken + DONE, c.n, c.stop)
    fetch_add(c.gone, 1)


class Count(jobs.Job):
    """Items that are counted, on so many slots; `meet` threads wait for each other before they begin."""

    def __init__(self, items: int = 20, slots: int = 2, meet: int = 0, nap: int = 0) -> None:
        super().__init__(COUNT)
        self.items, self.slots = items, slots
        self.words = np.zeros(8, np.int64)
        self.seen, self.slot = np.zeros(items, np.int64), np.zeros(slots, np.int64)
        word = self.words.ctypes.data
        self.set(taken=word, entered=word + 16, gone=word + 24, stop=word + 32, n=items, meet=meet, nap=nap)
        self.set(seen=self.seen.ctypes.data, slot=self.slot.ctypes.data, slots=slots)
        self.set(body=address(count, jobs.SPEC.type, I, I))

    def stop(self) -> None:
        self.words[4] = 1

    def run(self) -> Count:
        """If threads are to meet, helpers are woken until they have: on a busy machine one may poll too early."""
        run, over = entry(start, jobs.SPEC.type, I), threading.Event()

        def watch() -> None:
            end = time.monotonic() + LONG
            while not over.wait(0.002):
                if self.words[2] < self.record["meet"]:
                    jobs.wake(self.slots - 1)
                if time.monotonic() > end:
                    self.stop()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        jobs.wake(self.slots - 1)
        run(jobs.SPEC, self.address)
        over.set()
        watcher.join()
        return self

    def is_whole(self) -> bool:
        """Every item was done once, no slot was entered twice, and every thread that entered has left."""
        once = (self.seen == 1).all() and (self.slot <= 1).all() and self.slot[0] == 1
        return bool(once) and self.words[2] == self.words[3] == self.joined + 1 and not self.words[4]


@pytest.fixture(autouse=True)
def fresh(empty_pool: None) -> Iterator[None]:
    """Each test has a pool of its own, and leaves no job in the table."""
    yield
    first = (jobs.table_in(jobs.TABLE) - jobs.TABLE.ctypes.data) // 8
    states, finished = (jobs.TABLE[first + k : first + 8 * jobs.ENTRIES : 8] for k in (0, 1))
    assert not states.any()
    assert not finished.any()


@contextmanager
def in_progress(job: Count, threads: int) -> Iterator[threading.Thread]:
    """Run a job in another thread; as it waits for one more thread than comes, it goes on until the context ends."""
    caller = threading.Thread(target=job.run)
    caller.start()
    try:
        until(lambda: job.words[2] == threads)
        yield caller
    finally:
        job.stop()
        caller.join(LONG)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.001)


# ---- which threads join ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 8, 64])
def test_all_is_done_once_on_any_number_of_threads(n: int) -> None:
    for items in (0, 1, 200):
        assert Count(items, n).run().is_whole()


@pytest.mark.parametrize("n", [2, 3, 64])
def test_all_slots_run_at_once(n: int) -> None:
    """The threads wait for each other, so each slot has one of its own."""
    job = Count(10, n, meet=n).run()
    assert job.is_whole()
    assert job.joined == n - 1
    assert (job.slot == 1).all()


def test_a_helper_that_polls_joins_without_being_woken() -> None:
    """Job after job, and each makes it poll as long as before: here long enough for a busy machine."""
    memory, run = np.zeros_like(jobs.TABLE), entry(start, jobs.SPEC.type, I)
    table, polls = jobs.table_in(memory), 5_000_000
    helper = threading.Thread(target=entry(jobs.poll, jobs.SPEC.type, I, I, I), args=(jobs.SPEC, table, polls, 1))
    helper.start()
    for _ in range(20):
        job = Count(10, 2, meet=2)
        job.set(table=table)
        watch = threading.Timer(LONG, job.stop)
        watch.daemon = True
        watch.start()
        run(jobs.SPEC, job.address)
        watch.cancel()
        assert job.is_whole()
        assert job.joined == 1
    helper.join()
    assert not threads._helpers


def test_two_jobs_are_published_at_once() -> None:
    """A second job finds its helper while the first one goes on."""
    with in_progress(Count(2, 3, meet=4), threads=3) as caller:
        assert Count(10, 4, meet=2).run().is_whole()  # helper 3 is free
        assert caller.is_alive()


def test_a_caller_that_finds_no_free_entry_works_alone() -> None:
    memory = np.zeros_like(jobs.TABLE)
    first = (jobs.table_in(memory) - memory.ctypes.data) // 8
    memory[first : first + 8 * jobs.ENTRIES : 8] = 1
    job = Count(4, 2)
    job.set(table=jobs.table_in(memory), joined=1)
    entry(start, jobs.SPEC.type, I)(jobs.SPEC, job.address)
    assert job.is_whole()
    assert job.joined == 0


def test_a_helper_reads_a_job_after_it_has_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """In between, the caller may have returned, and another one may have published as many slots."""
    memory, ran = np.zeros_like(jobs.TABLE), []
    place = jobs.table_in(memory)
    at = (place - memory.ctypes.data) // 8
    memory[at : at + 4] = 2, 0, 111, 2  # state, finished, job, slots
    swap = jobs.swap

    def late(address: int, old: int, new: int) -> int:
        memory[at + 2] = 222
        return swap(address, old, new)

    class Body:
        body = 7

    monkeypatch.setattr(jobs, "swap", late)
    monkeypatch.setattr(jobs, "job_at", lambda job: Body)
    monkeypatch.setattr(jobs, "call_address", lambda body, job, slot: ran.append((body, job, slot)))
    jobs.poll.py_func(jobs.SPEC, place, 1, 1)
    assert ran == [(7, 222, 1)]
    assert memory[at : at + 2].tolist() == [1, 1]


@pytest.mark.parametrize("slots", [2, 3, 8])
def test_a_helper_leaves_jobs_of_fewer_slots_to_the_others(slots: int) -> None:
    """So that after a call that has woken many, as many go on polling as later calls have use for."""
    joined = []
    for helper in range(1, 9):
        memory, job = np.zeros_like(jobs.TABLE), Count(1, slots)
        place = jobs.table_in(memory)
        at = (place - memory.ctypes.data) // 8
        memory[at : at + 4] = slots, 0, job.address, slots  # state, finished, job, slots
        entry(jobs.poll, jobs.SPEC.type, I, I, I)(jobs.SPEC, place, 1, helper)
        if memory[at] != slots:
            joined.append(helper)
    assert joined == list(range(1, slots))


def test_helpers_sleep_when_no_job_comes() -> None:
    Count(10, 4, meet=4).run()
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1


def test_a_call_goes_on_alone_while_helpers_are_busy_with_another_callers() -> None:
    with in_progress(Count(2, 2, meet=3), threads=2) as caller:
        for _ in range(50):
            job = Count(5).run()
            assert job.is_whole()
            assert job.joined == 0
        assert caller.is_alive()
        assert threads._tasks.qsize() <= 1  # past tasks do not accumulate
    assert not caller.is_alive()
    assert Count(10, 2, meet=2).run().is_whole()


def test_a_late_helper_finds_no_work() -> None:
    """The job that it was woken for is over; the next one is run as usual."""
    for _ in range(50):
        assert Count(1, 2).run().is_whole()
    assert Count(10, 2, meet=2).run().is_whole()


def test_more_callers_at_once_than_jobs_can_be_posted() -> None:
    wrong: list[Count] = []
    meet = threading.Barrier(2 * jobs.ENTRIES)

    def call(k: int) -> None:
        meet.wait(LONG)
        for _ in range(20):
            job = Count(10 + k, 2 + k % 3, nap=50).run()
            if not job.is_whole():
                wrong.append(job)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(2 * jobs.ENTRIES)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong
    assert set(threads._helpers) <= {1, 2, 3}


def test_helpers_are_woken_if_fewer_poll_than_a_call_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[int] = []
    monkeypatch.setattr(threads, "wake", lambda helpers, task: woken.append(helpers))
    monkeypatch.setattr(jobs, "_polling", lambda: None)
    monkeypatch.setattr(jobs, "_count", [0])
    for polling, helpers in ((0, 0), (0, 1), (1, 1), (1, 2), (3, 2)):
        jobs._count[0] = polling
        jobs.wake(helpers)
    assert woken == [1, 2]


def test_helpers_that_poll_are_counted() -> None:
    with in_progress(Count(2, 3, meet=4), threads=3):
        assert jobs._count[0] == 2
    until(lambda: jobs._count[0] == 0)


# ---- forks --------------------------------------------------------------------------------------------------


def compute_anew() -> None:
    assert not jobs.TABLE.any()
    assert Count(20, 3, meet=3).run().is_whole()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_forked_during_a_call_has_a_free_table(in_child: Any) -> None:
    busy = Count(2, 2, meet=3)
    with in_progress(busy, threads=2) as caller:
        assert in_child(compute_anew) == 0
        assert caller.is_alive()
    assert busy.words[2] == busy.words[3]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_at_any_moment_of_jobs_leave_children_that_compute(request: pytest.FixtureRequest, in_child: Any) -> None:
    stop, wrong = threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            if not Count(5, 3, nap=20).run().is_whole():
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
