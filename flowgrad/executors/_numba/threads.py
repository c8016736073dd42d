"""Pool of threads: how many threads a call may use, and the work of one call run by several of them.

Helpers are daemon threads that sleep on a queue of invitations. An invitation is a call and one of its slots. Nobody
waits until an invitation is accepted: the caller does the work itself, and once it is done, the invitations that no
helper has accepted are void. The pool holds no locks, so an interrupt, a fork or the end of the interpreter may come
between any two steps. Its state is `_crew` and `_invitations`, which a forked child replaces by empty ones.
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

Work = Callable[[int], None]
"""Takes pieces of a call's work until none is left, without the GIL; its argument is a slot, which numbers buffers."""
GLANCE = 0.05
"""Seconds after which a waiting thread runs the handlers of signals: another thread may have been sent the signal."""

_crew: dict[int, int] = {}
"""Number of every running helper, from 1, and the identifier of its thread."""
_invitations: SimpleQueue[tuple[_Call, int]] = SimpleQueue()


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
        said.append(parallel.get_num_threads())  # type: ignore[union-attr]
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


# ---- a call -------------------------------------------------------------------------------------------------


class _Call:
    """The work of one call, and the threads that serve it.

    A thread adds its slot to `inside` before it reads `over`, and the caller sets `over` before it reads `inside`: so
    either the thread sees that the call is over, or the caller sees the thread. A thread that leaves rings `bell`.
    """

    __slots__ = ("at_rest", "bell", "errors", "inside", "over", "stop", "work")

    def __init__(self, work: Work, stop: Callable[[], None]) -> None:
        self.work, self.stop = work, stop
        self.over, self.at_rest = False, False
        self.inside: list[int] = []
        self.errors: list[BaseException] = []
        self.bell: SimpleQueue[None] = SimpleQueue()

    def serve(self, slot: int) -> None:
        """Run the work in a slot, on another thread than the caller's, unless the call is over; keep what it raises."""
        self.inside.append(slot)
        try:
            if not self.over:
                self.work(slot)
        except BaseException as error:
            self.errors.append(error)
            self.stop()  # others may be waiting for the piece that this slot had taken
        finally:
            self.inside.remove(slot)
            self.bell.put(None)

    def listen(self) -> bool:
        """Sleep until a serving thread leaves, at most `GLANCE` seconds; return whether one has left."""
        try:
            self.bell.get(timeout=GLANCE)
        except Empty:
            return False
        return True

    def end(self) -> None:
        """Admit no further thread, and wait for those that are inside."""
        self.over = True
        while self.inside:
            self.listen()
        self.at_rest = True
        del self.work, self.stop  # an invitation may stay in the queue for long: it must not hold the call's memory

    def give_up(self) -> None:
        """Stop the work and end the call, unless it has ended; exceptions of signal handlers meanwhile are dropped."""
        while not self.at_rest:
            with suppress(BaseException):
                self.stop()
            with suppress(BaseException):
                self.end()

    def raise_errors(self) -> None:
        """Raise the first exception of another thread than the caller's, if there is one."""
        if self.errors:
            raise self.errors.pop(0)


def run(work: Work, threads: int, aside: bool, stop: Callable[[], None]) -> None:
    """Run `work(0)` and, on helpers that are free, `work(slot)` for slots up to `threads - 1`, each at most once.

    When this returns or raises, no thread is inside `work`. A slot may start late or never: `work(0)` returns only when
    all the work is done.

    Args:
        work: takes pieces of the work until none is left; in slot 0 it then waits until all pieces are finished.
        threads: number of slots, at least 1.
        aside: run slot 0 on another thread too, so that the main thread can handle signals meanwhile.
        stop: makes `work` return early; called, perhaps several times, when an exception was raised.

    Raises:
        BaseException: what `work` has raised on any thread, or a signal's handler on this one (KeyboardInterrupt).
    """
    if sys.is_finalizing() or (threads < 2 and not aside):  # when finalizing, no other thread gets the GIL
        work(0)
    elif aside:
        _run_aside(work, threads, stop)
    else:
        _run_here(work, threads, stop)


def _run_here(work: Work, threads: int, stop: Callable[[], None]) -> None:
    """Run slot 0 on this thread."""
    call = _Call(work, stop)

    def everything() -> None:
        _invite(call, threads)
        work(0)
        call.end()

    _guarded(call, everything)


def _run_aside(work: Work, threads: int, stop: Callable[[], None]) -> None:
    """Run slot 0 on a new thread, as helpers may all be busy; on this one if the system gives no more threads."""
    call = _Call(lambda _: _run_here(work, threads, stop), stop)

    def everything() -> None:
        if _start(call.serve, 0):
            while not call.listen():
                pass
        else:
            _run_here(work, threads, stop)
        call.end()

    _guarded(call, everything)


def _guarded(call: _Call, everything: Callable[[], None], interrupts: int = 4) -> None:
    """Run a call and end it, whatever is raised; raise what other threads have raised.

    A second interrupt may come on entry to `give_up`, before its `suppress` is in place; the frame above then calls
    `give_up` again. So it takes more than `interrupts + 1` further interrupts, each at such a moment, to leave early.
    """
    try:
        if interrupts:
            _guarded(call, everything, interrupts - 1)
        else:
            everything()
            call.raise_errors()
    finally:
        call.give_up()


# ---- helpers ------------------------------------------------------------------------------------------------


def _invite(call: _Call, threads: int) -> None:
    """Invite helpers to slots 1 to `threads - 1`; first start helpers where fewer than that are running."""
    for k in range(1, threads):
        if k not in _crew and not _start(_help, k):
            break
    if _invitations.qsize() >= threads:  # helpers are busy, or are waiting for the GIL
        _drop_void()
    for slot in range(1, threads):
        _invitations.put((call, slot))


def _drop_void() -> None:
    """Remove the invitations of calls that are over, so that the queue stays short while helpers are busy."""
    with suppress(Empty):
        for _ in range(_invitations.qsize()):
            invitation = _invitations.get_nowait()
            if not invitation[0].over:
                _invitations.put(invitation)


def _start(target: Callable[[int], None], number: int) -> bool:
    """Start a daemon thread; False if the system gives no more, or the interpreter is shutting down.

    `start_new_thread` cannot be interrupted half-way. `threading.Thread.start` can: it may then raise a RuntimeError of
    its locks instead of KeyboardInterrupt, with the thread running.
    """
    try:
        start_new_thread(target, (number,))
    except RuntimeError:
        return False
    return True


def _help(k: int) -> None:
    """Serve invitations for ever, as helper k; return at once if helper k is running already."""
    me = get_ident()
    if _crew.setdefault(k, me) != me:
        return
    try:
        while True:
            call, slot = _invitations.get()
            call.serve(slot)
    finally:
        del _crew[k]


def _start_anew() -> None:
    """Empty the pool, in a forked child, where the parent's helpers do not exist."""
    global _invitations
    _crew.clear()
    _invitations = SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
