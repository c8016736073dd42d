"""The pool of threads: how many a call may use, who works in which slot, and what interrupts, forks and exits leave.

What stands for compiled work sleeps without the GIL. `docs/threads.md` lists the promises with their tests.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from flowgrad.executors._numba import threads

LONG = 30.0
"""Seconds for which nothing here waits, unless something is wrong."""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")


class Pieces:
    """Work as kernels do it: pieces from a shared counter; slot 0 returns when all that were taken are done."""

    def __init__(self, pieces: int = 20, seconds: float = 0.0, gate: threading.Event | None = None) -> None:
        self.pieces, self.seconds, self.gate = pieces, seconds, gate
        self.next, self.stopped = itertools.count(), False
        self.done: list[int] = []
        self.taken: list[int] = []
        self.inside: list[int] = []
        self.slots: list[int] = []
        self.entered = threading.Event()

    def __call__(self, slot: int) -> None:
        self.slots.append(slot)
        self.inside.append(slot)
        self.entered.set()
        try:
            while not self.stopped and (piece := next(self.next)) < self.pieces:
                self.taken.append(piece)
                if self.gate and slot:
                    self.gate.wait(LONG)
                time.sleep(self.seconds)
                self.done.append(piece)
            while slot == 0 and not self.stopped and len(self.done) < len(self.taken):
                time.sleep(1e-5)
        finally:
            self.inside.remove(slot)

    def stop(self) -> None:
        self.stopped = True

    def run(self, n: int, aside: bool = False) -> Pieces:
        threads.run(self, n, aside, self.stop)
        return self

    def is_whole(self) -> bool:
        """Every piece was done once, nobody is inside, and no slot was entered twice."""
        whole = sorted(self.done) == list(range(self.pieces)) and not self.inside
        return whole and len(set(self.slots)) == len(self.slots)


class Leave:
    """An invitation that ends a helper."""

    def serve(self, slot: int) -> None:
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
        if threads._crew and threads._invitations.empty():
            threads._invitations.put((Leave(), 0))  # type: ignore[arg-type]
        return not threads._crew and len(left) >= len(started)  # an interrupt may have come before it was counted

    monkeypatch.setattr(threads, "start_new_thread", counted)
    monkeypatch.setattr(threads, "_crew", {})
    monkeypatch.setattr(threads, "_invitations", SimpleQueue())
    yield
    until(all_left)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.001)


def with_helpers(n: int) -> None:
    """Have so many helpers that sleep."""
    meet = threading.Barrier(n + 1)
    threads.run(lambda slot: meet.wait(LONG) and None, n + 1, False, meet.abort)
    assert len(threads._crew) == n


# ---- how many -----------------------------------------------------------------------------------------------


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 processors where nobody has limited anything."""
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    monkeypatch.delitem(sys.modules, "numba.np.ufunc.parallel", raising=False)
    monkeypatch.setattr(threads, "_processors", lambda: 64)
    monkeypatch.setattr(threads, "_quota", lambda: math.inf)


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(
    ("said", "want"), [("3", 3), ("64", 64), ("500", 64), ("1", 1), ("0", 1), ("-2", 1), ("", 64), ("many", 64)]
)
def test_the_environment_limits(said: str, want: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", said)
    assert threads.available() == want


@pytest.mark.usefixtures("unlimited")
def test_what_numba_was_told_limits_once_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace(config=SimpleNamespace(NUMBA_NUM_THREADS=7)))
    assert threads.available() == 7
    parallel = SimpleNamespace(_is_initialized=False, get_num_threads=lambda: 5)
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.parallel", parallel)
    assert threads.available() == 7  # to ask would start its threads
    parallel._is_initialized = True
    assert threads.available() == 5
    monkeypatch.setitem(sys.modules, "numba", SimpleNamespace())  # while another thread imports it
    assert threads.available() == 5


QUOTAS: dict[str, tuple[str, dict[str, str], float]] = {
    "version 2": ("0::/a/b", {"a/b/cpu.max": "300000 100000"}, 3),
    "version 2, a part of a CPU": ("0::/a", {"a/cpu.max": "150000 100000"}, 1.5),
    "version 2, no limit": ("0::/a", {"a/cpu.max": "max 100000"}, math.inf),
    "version 2, an outer group's": ("0::/a/b", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "200000 100000"}, 2),
    "version 2, in a container": ("0::/", {"cpu.max": "400000 100000"}, 4),
    "version 2, in a container by the host's path": ("0::/docker/abc", {"cpu.max": "400000 100000"}, 4),
    "version 2, above the namespace": ("0::/../../x", {"cpu.max": "400000 100000"}, 4),
    "version 1": (
        "4:memory:/m\n3:cpu,cpuacct:/a\n0::/a",
        {"cpu,cpuacct/a/cpu.cfs_quota_us": "500000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
        5,
    ),
    "version 1, an outer group's": (
        "1:cpu:/a/b",
        {
            "cpu/a/b/cpu.cfs_quota_us": "-1",
            "cpu/a/b/cpu.cfs_period_us": "100000",
            "cpu/a/cpu.cfs_quota_us": "100000",
            "cpu/a/cpu.cfs_period_us": "50000",
        },
        2,
    ),
    "version 1, no limit": ("1:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
    "both": (
        "1:cpu:/\n0::/u",
        {
            "cpu/cpu.cfs_quota_us": "600000",
            "cpu/cpu.cfs_period_us": "100000",
            "unified/u/cpu.max": "500000 100000",
        },
        5,
    ),
    "another group's": ("1:cpuset:/a\n", {"cpuset/a/cpu.max": "100000 100000"}, math.inf),
    "nonsense": ("0::/a", {"a/cpu.max": "", "cpu.max": "1 0"}, math.inf),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_of_cgroups_limits(name: str, tmp_path: Path) -> None:
    groups, files, want = QUOTAS[name]
    for place, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert threads._quota(tmp_path) == want


def test_no_cgroups_are_no_limit(tmp_path: Path) -> None:
    assert threads._quota(tmp_path) == math.inf


@pytest.mark.usefixtures("unlimited")
@pytest.mark.parametrize(("quota", "want"), [(0.2, 1), (1.0, 1), (1.5, 2), (3.0, 3), (100.0, 64)])
def test_a_part_of_a_cpu_is_a_thread(quota: float, want: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_quota", lambda: quota)
    assert threads.available() == want


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_affinity_of_the_thread_limits() -> None:
    found: list[int] = []

    def pinned() -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # of this thread alone
        found.append(threads.available())

    thread = threading.Thread(target=pinned)
    thread.start()
    thread.join()
    assert found == [1]


def test_python_is_asked_for_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert threads._processors() == 5
    monkeypatch.delattr(os, "process_cpu_count")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 4}, raising=False)
    assert threads._processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert threads._processors() == 1


# ---- slots --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 64])
def test_all_is_done_on_any_number_of_threads(n: int, aside: bool) -> None:
    for pieces in (0, 1, 200):
        work = Pieces(pieces).run(n, aside)
        assert work.is_whole()
        assert 0 in work.slots
        assert set(work.slots) <= set(range(n))


def test_sixty_four_slots_work_at_once() -> None:
    with_helpers(63)  # who meet in a barrier


def test_slot_0_is_the_callers_thread_unless_aside() -> None:
    for aside in (False, True):
        found: list[int] = []
        threads.run(lambda slot, found=found: found.append(threading.get_ident()), 1, aside, lambda: None)  # type: ignore[misc]
        assert (found == [threading.get_ident()]) is not aside


def test_helpers_sleep_between_calls_and_are_used_again() -> None:
    with_helpers(3)
    crew = dict(threads._crew)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    for _ in range(20):
        assert Pieces(8, 0.0005).run(4).is_whole()
    assert threads._crew == crew


def test_a_late_helper_finds_no_work() -> None:
    """What it was invited to is over; the next call is served as ever."""
    with_helpers(1)
    busy, gate = busy_helper()
    late = Pieces(5).run(2)
    assert late.slots == [0]
    gate.set()
    busy.join(LONG)
    until(threads._invitations.empty)
    assert late.slots == [0]
    with_helpers(1)


def busy_helper() -> tuple[threading.Thread, threading.Event]:
    """Another caller's thread, in a call whose helper waits for the event."""
    gate = threading.Event()
    work = Pieces(2, 0.01, gate)

    def call() -> None:
        meet = threading.Event()

        def begin(slot: int) -> None:
            if slot == 0:
                meet.wait(LONG)
            else:
                meet.set()
            work(slot)

        threads.run(begin, 2, False, work.stop)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: 1 in work.inside)
    return thread, gate


@pytest.mark.parametrize("aside", [False, True])
def test_a_busy_helper_is_not_waited_for(aside: bool) -> None:
    with_helpers(1)
    busy, gate = busy_helper()
    try:
        for _ in range(50):
            work = Pieces(5).run(2, aside)
            assert work.is_whole()
            assert work.slots == [0]
        assert busy.is_alive()
        assert len(threads._crew) == 1
        assert threads._invitations.qsize() <= 3  # those of the past do not pile up
    finally:
        gate.set()
        busy.join(LONG)


def test_an_invitation_that_nobody_takes_up_keeps_no_memory() -> None:
    with_helpers(1)
    busy, gate = busy_helper()
    try:
        work = Pieces(5)
        seen = weakref.ref(work)
        work.run(2)
        assert not threads._invitations.empty()
        del work
        gc.collect()
        assert seen() is None
    finally:
        gate.set()
        busy.join(LONG)


def test_helpers_keep_no_memory_of_the_last_call() -> None:
    work = Pieces(20, 0.001).run(3)
    seen = weakref.ref(work)
    del work
    until(lambda: gc.collect() is not None and seen() is None)


@pytest.mark.parametrize("aside", [False, True])
def test_sixteen_callers_at_once(aside: bool) -> None:
    wrong: list[Pieces] = []
    meet = threading.Barrier(16)

    def call(k: int) -> None:
        meet.wait(LONG)
        for _ in range(20):
            work = Pieces(10 + k, 1e-5).run(2 + k % 3, aside)
            if not work.is_whole():
                wrong.append(work)

    callers = [threading.Thread(target=call, args=(k,)) for k in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG)
    assert not any(caller.is_alive() for caller in callers)
    assert not wrong
    until(lambda: set(threads._crew) <= {1, 2, 3})  # as many as the greediest has asked for, not as all together
    assert threads._crew


# ---- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("error", [MemoryError, SystemExit])
def test_an_error_in_work_reaches_the_caller(where: int, aside: bool, error: type[BaseException]) -> None:
    """Who works beside it is told to stop, as the piece that was taken is never done."""
    with_helpers(1)
    meet, stopped = threading.Barrier(2), threading.Event()

    def work(slot: int) -> None:
        meet.wait(LONG)
        if slot == where:
            raise error(f"of slot {slot}")
        assert stopped.wait(LONG)

    with pytest.raises(error, match=f"of slot {where}"):
        threads.run(work, 2, aside, stopped.set)
    assert Pieces().run(2, aside).is_whole()
    with_helpers(1)


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_system_that_gives_no_more_threads(given: int, aside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threads.start_new_thread, [None] * given

    def refused(*args: Any) -> int:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        return start(*args)

    monkeypatch.setattr(threads, "start_new_thread", refused)
    for _ in range(10):
        assert Pieces().run(4, aside).is_whole()
        assert threads._invitations.qsize() <= 6  # those of the past do not pile up
    monkeypatch.setattr(threads, "start_new_thread", start)
    with_helpers(3)  # it gives again


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
    with_helpers(2)
    work = Pieces(10**9, 0.01)
    thread = interrupt_once(lambda: len(work.inside) == 3)
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        work.run(3, aside=True)
    assert time.monotonic() - before < 5  # the pool's part is 0.05, the work's 0.01
    assert work.stopped
    assert not work.inside
    thread.join()
    assert Pieces().run(3, aside=True).is_whole()


@needs_timer
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("stops", ["and asks", "and is interrupted"])
def test_interrupts_while_helpers_are_waited_for_leave_nobody_inside(stops: str) -> None:
    """The work is slow to stop, and stopping it may be interrupted as well."""
    with_helpers(2)
    work, asked = Pieces(10**9, 0.3), []

    def stop() -> None:
        asked.append(True)
        if stops == "and is interrupted" and len(asked) < 3:
            raise KeyboardInterrupt
        work.stop()

    thread = interrupt_once(lambda: len(work.inside) == 3, times=5)
    with pytest.raises(KeyboardInterrupt):
        threads.run(work, 3, True, stop)
    assert work.stopped
    assert not work.inside
    thread.join()


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_an_interrupt_while_a_thread_is_started_costs_no_later_call(
    started: bool, aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threads.start_new_thread

    def interrupted(*args: Any) -> int:
        monkeypatch.setattr(threads, "start_new_thread", start)
        if started:
            start(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(threads, "start_new_thread", interrupted)
    work = Pieces()
    with pytest.raises(KeyboardInterrupt):
        work.run(3, aside)
    assert not work.inside
    with_helpers(2)
    assert Pieces().run(3, aside).is_whole()


@needs_timer
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_interrupts_at_any_moment_leave_nobody_inside_and_the_next_call_right(
    times: int, aside: bool, request: pytest.FixtureRequest
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
            work = Pieces(10, 1e-5)
            try:
                left = times
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 2e-3))
                work.run(3, aside)
                left = 0
            except KeyboardInterrupt:
                left = 0
                hits += 1
            assert not [slot for slot in work.inside if slot or aside]  # Python's own slot 0 may be cut off anywhere
            assert len(set(work.slots)) == len(work.slots)
            assert Pieces(10, 1e-5).run(3, aside).is_whole()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits > 5


# ---- forks and ends of processes ----------------------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit status, 0 where it returned in time."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LONG))
        work()
        os._exit(0)
    finally:
        os._exit(1)


def compute_anew() -> None:
    assert not threads._crew
    assert threads._invitations.empty()
    with_helpers(2)
    for aside in (False, True):
        assert Pieces(20, 1e-4).run(3, aside).is_whole()


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("moment", ["before", "during", "after"])
def test_a_forked_child_has_helpers_of_its_own(moment: str) -> None:
    """Forked before, while or after another thread has called; the parent's call goes on."""
    if moment == "before":
        assert in_child(compute_anew) == 0
    with_helpers(1)
    busy, gate = busy_helper()
    if moment == "during":
        Pieces().run(2)  # an invitation of the parent lies about
        assert in_child(compute_anew) == 0
        assert busy.is_alive()
    gate.set()
    busy.join(LONG)
    if moment == "after":
        assert in_child(compute_anew) == 0
    with_helpers(1)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_at_any_moment_of_calls_leave_children_that_compute(request: pytest.FixtureRequest) -> None:
    stop, wrong = threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            if not Pieces(5, 1e-5).run(3).is_whole():
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


def test_every_way_of_multiprocessing(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, threading, warnings
            from flowgrad.executors._numba import threads
            def work(_):
                meet = threading.Barrier(3)
                threads.run(lambda slot: meet.wait(20), 3, False, meet.abort)
                return len(threads._crew)
            if __name__ == "__main__":
                warnings.simplefilter("ignore")
                work(0)
                for method in multiprocessing.get_all_start_methods():
                    with multiprocessing.get_context(method).Pool(2) as pool:
                        assert pool.map(work, range(4)) == [2] * 4, method
            """
        )
    )
    finishes([sys.executable, str(script)])


def finishes(command: list[str], status: int = 0) -> tuple[str, str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


def succeeds(script: str, status: int = 0) -> tuple[str, str]:
    """Run a script in a process of its own; what it prints, and its errors."""
    return finishes([sys.executable, "-c", textwrap.dedent(script)], status)


BEGIN = """
    import atexit, ctypes, os, signal, sys, threading, time
    from flowgrad.executors._numba import threads
    usleep = (ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("kernel32")).usleep
    def call(seconds, n=3, aside=False, stop=lambda: None):
        threads.run(lambda slot: usleep(int(seconds * 1e6)) and None, n, aside, stop)
    call(0.01)
"""
needs_usleep = pytest.mark.skipif(os.name != "posix", reason="needs usleep")


@needs_usleep
@pytest.mark.parametrize("aside", [False, True])
def test_a_process_ends_while_daemon_threads_call(aside: bool) -> None:
    """One in a long call, which is not waited for, and some in many short ones."""
    before = time.monotonic()
    end = f"""
    def often(n):
        while True:
            call(0.0001, n, {aside})
    for target, args in ((call, (100, 3, {aside})), (often, (2,)), (often, (3,)), (often, (4,))):
        threading.Thread(target=target, args=args, daemon=True).start()
    time.sleep(0.2)
    print("end")
    """
    assert succeeds(BEGIN + end) == ("end\n", "")
    assert time.monotonic() - before < 60


@needs_usleep
def test_a_process_ends_when_its_threads_have_called() -> None:
    """And what is called by handlers at exit, and by objects that die with the interpreter, is done."""
    end = """
    done = []
    def work(slot):
        if slot == 0:
            done.append(slot)
    class Last:
        def __del__(self, run=threads.run, work=work, done=done, write=os.write, finalizing=sys.is_finalizing):
            for aside in (False, True):
                run(work, 3, aside, lambda: None)
            write(1, b"object %d %d\\n" % (len(done), finalizing()))
    def at_exit():
        for aside in (False, True):
            call(0.01, 5, aside)
        os.write(1, b"handler\\n")
    def thread():
        for k in range(20):
            call(0.01, 2 + k)
        os.write(1, b"thread\\n")
    atexit.register(at_exit)
    last = sys.modules["last"] = Last()
    threading.Thread(target=thread).start()
    """
    assert succeeds(BEGIN + end) == ("thread\nhandler\nobject 2 1\n", "")


@needs_usleep
@needs_timer
def test_a_process_ends_after_an_interrupt() -> None:
    end = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = []
    def work(slot):
        while not stopped:
            usleep(1000)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    threads.run(work, 3, True, lambda: stopped.append(True))
    """
    errors = succeeds(BEGIN + end, -signal.SIGINT)[1]
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")


def test_beside_numba_its_limits_are_heard_and_a_process_ends_while_compiled_code_runs() -> None:
    """Asking starts none of Numba's threads. The code runs in daemon threads and helpers, on arrays of theirs alone."""
    pytest.importorskip("numba")
    out = succeeds(
        """
        import os, threading, time
        os.environ["NUMBA_NUM_THREADS"] = "4"
        import numba, numba.np.ufunc.parallel as parallel, numpy as np
        from flowgrad.executors._numba import threads
        assert threads._asked_of_numba() == 4 and not parallel._is_initialized
        numba.set_num_threads(2)
        assert threads._asked_of_numba() == 2
        @numba.njit("void(float64[::1], int64)", nogil=True)
        def kernel(a, slot):
            for k in range(10_000_000_000):
                a[0] = a[1] + slot
                a[1] = a[0] * k
        def call():
            rooms = [np.zeros(100_000) for _ in range(2)]
            threads.run(lambda slot: kernel(rooms[slot], slot), 2, False, lambda: None)
        threading.Thread(target=call, daemon=True).start()
        time.sleep(0.3)
        """
    )
    assert out == ("", "")


def test_the_module_needs_no_numba() -> None:
    script = "import sys, flowgrad.executors._numba.threads as t; t.available(); print('numba' in sys.modules)"
    assert succeeds(script) == ("False\n", "")


def test_tests_that_the_page_names_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "threads.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(test_\w+)`", page))
    assert listed <= set(globals())
