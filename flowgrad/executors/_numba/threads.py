"""Pool of threads: the number of threads that a call may use, the helper threads, and calls that can be interrupted.

Helpers are daemon threads that sleep on a queue of tasks; `jobs` says which task they get. The pool holds no locks, so
an interrupt, a fork or the end of the interpreter may come between any two steps. Its state is `_helpers` and `_tasks`,
which a forked child replaces by empty ones.
"""

from __future__ import annotations

import math
import os
import sys
from _thread import get_ident, start_new_thread
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue

Task = Callable[[], object]
HelperTask = Callable[[int], object]
"""A task of a helper; its argument is the helper's number."""
GLANCE = 0.05
"""Seconds after which a waiting thread runs the handlers of signals: another thread may have been sent the signal."""

_helpers: dict[int, int] = {}
"""Number of every running helper, from 1, and the identifier of its thread."""
_tasks: SimpleQueue[HelperTask] = SimpleQueue()


# ---- how many -----------------------------------------------------------------------------------------------


def available() -> int:
    """Return the number of threads that a call may use where its user names none; at least 1.

    The number is the smallest of the environment variable NUMBA_NUM_THREADS, Numba's own limits if it has been imported
    (`numba.config.NUMBA_NUM_THREADS`, `numba.set_num_threads`), the CPU quota of the cgroup, rounded up, and the number
    of CPUs that this thread may run on.
    """
    return max(1, math.ceil(min(_asked_of_numba(), _quota(), _processors())))


def _asked_of_numba() -> float:
    """Return the number of threads that Numba may use; infinity where no limit was set."""
    said = [os.environ.get("NUMBA_NUM_THREADS", "")]
    config = getattr(sys.modules.get("numba"), "config", None)
    said.append(getattr(config, "NUMBA_NUM_THREADS", ""))
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(parallel, "_is_initialized", False):  # otherwise the call would start Numba's own threads
        said.append(parallel.get_num_threads())  # type: ignore[union-attr]  # initialized: not None
    numbers = [math.inf]
    for each in said:
        with suppress(ValueError):  # Numba warns of a value that is not an integer, and ignores it
            numbers.append(int(each))
    return min(numbers)


def _processors() -> int:
    """Return the number of CPUs that this thread may run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _quota(root: Path = Path("/")) -> float:
    """Return the CPU time per second that the cgroups of this process allow (Linux, v1 and v2); infinity without limit.

    It is read once: a program asks when it is compiled, and a new network may come every few milliseconds.

    Args:
        root: the folder that holds `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    granted = [math.inf]
    for group in _groups(root):
        for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
            with suppress(OSError, ValueError):  # the file does not exist, or contains "max"
                quota, period = (int(word) for name in names for word in (group / name).read_text().split())
                if quota > 0 and period > 0:
                    granted.append(quota / period)
    return min(granted)


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroups that may limit CPU time, innermost first; some may not exist.

    A container often has its own group mounted as the root, while `proc/self/cgroup` still gives the host's path: then
    only the root exists.
    """
    mount, lines = root / "sys/fs/cgroup", ""
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8", "surrogateescape")
    for _, controllers, path in (line.split(":", 2) for line in lines.splitlines() if line.count(":") >= 2):
        group = PurePosixPath("/", *(part for part in path.split("/") if part not in ("", "..")))
        if not controllers:
            places = ["", "unified"]  # version 2; `unified` where version 1 is mounted beside it
        elif "cpu" in controllers.split(","):
            places = [controllers, "cpu"]
        else:
            continue
        for place in places:
            yield from (mount / place / folder.relative_to("/") for folder in (group, *group.parents))


# ---- helpers ------------------------------------------------------------------------------------------------


def wake(helpers: int, task: HelperTask) -> None:
    """Queue a task for this many helpers, less the tasks that are queued already, and start helpers that are missing.

    Returns at once; a helper that is running another task takes this one afterwards. The task must not raise.
    """
    there = 0
    while there < helpers and (there + 1 in _helpers or _start(_run_tasks, there + 1)):
        there += 1
    for _ in range(there - _tasks.qsize()):
        _tasks.put(task)


def _start(target: Callable[[int], None], number: int) -> bool:
    """Start a daemon thread; return False if the system refuses one or the interpreter is shutting down.

    `start_new_thread` cannot be interrupted half-way. `threading.Thread.start` can: it may then raise a RuntimeError of
    its locks instead of KeyboardInterrupt, with the thread running.
    """
    try:
        start_new_thread(target, (number,))
    except RuntimeError:
        return False
    return True


def _run_tasks(k: int) -> None:
    """Run tasks for ever, as helper k; return at once if there is a helper k."""
    me = get_ident()
    if _helpers.setdefault(k, me) != me:
        return
    try:
        while True:
            _tasks.get()(k)
    finally:
        del _helpers[k]


def _start_anew() -> None:
    """Empty the pool, in a forked child, where the parent's helpers do not exist."""
    global _tasks
    _helpers.clear()
    _tasks = SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


# ---- calls that can be interrupted ----------------------------------------------------------------------------


def run_aside(work: Task, stop: Task) -> None:
    """Run `work` on a new thread while this thread, the main one, handles signals.

    `work` runs on this thread if the system refuses another one, or the interpreter is finalizing: no other thread gets
    the GIL then. When this function returns or raises, no thread is inside `work`.

    Args:
        work: a call of compiled code.
        stop: makes `work` return early; called, perhaps several times, when an exception was raised.

    Raises:
        BaseException: raised by `work`, or by a signal handler on this thread (KeyboardInterrupt).
    """
    if sys.is_finalizing():
        work()
        return
    call = _Call(work, stop)

    def everything() -> None:
        if _start(call.serve, 0):
            while not call.has_finished():
                pass
        else:
            work()
        call.end()

    _guarded(call, everything)


class _Call:
    """A task and the state of the thread that runs it.

    The thread sets `inside` before it reads `over`; the caller sets `over` before it reads `inside`. So either the
    thread sees that the call is over, or the caller sees that the thread is inside.
    """

    def __init__(self, work: Task, stop: Task) -> None:
        self.work, self.stop = work, stop
        self.inside, self.over, self.at_rest = False, False, False
        self.errors: list[BaseException] = []
        self.finished: SimpleQueue[None] = SimpleQueue()

    def serve(self, _: int) -> None:
        """Run the task, unless the call is over; keep the exception that it raises."""
        self.inside = True
        try:
            if not self.over:
                self.work()
        except BaseException as error:
            self.errors.append(error)
        finally:
            self.inside = False
            self.finished.put(None)

    def has_finished(self) -> bool:
        """Sleep until the thread has finished, at most `GLANCE` seconds; return whether it has."""
        try:
            self.finished.get(timeout=GLANCE)
        except Empty:
            return False
        return True

    def end(self) -> None:
        """Prevent the task from starting, or wait until it has finished."""
        self.over = True
        while self.inside:
            self.has_finished()
        self.at_rest = True

    def give_up(self) -> None:
        """Stop the task and end the call, unless it has ended; drop exceptions of signal handlers meanwhile."""
        while not self.at_rest:
            with suppress(BaseException):
                self.stop()
            with suppress(BaseException):
                self.end()


def _guarded(call: _Call, everything: Task, interrupts: int = 4) -> None:
    """Run a call and end it, whatever is raised; raise what its thread has raised.

    A second interrupt may come on entry to `give_up`, before its `suppress` is in place; the frame above then calls
    `give_up` again. So it takes more than `interrupts + 1` further interrupts, each at such a moment, to leave early.
    """
    try:
        if interrupts:
            _guarded(call, everything, interrupts - 1)
        else:
            everything()
            if call.errors:
                raise call.errors.pop()
    finally:
        call.give_up()
