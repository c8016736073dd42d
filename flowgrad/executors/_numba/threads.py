"""Threads that help with a call: how many there may be, and one call's work run by several at once.

Helpers are daemon threads that sleep on a queue of invitations. An invitation is a call and a slot of it; nobody waits
for one to be taken up: the caller does the work itself, and when that is done, invitations not yet taken up are void.
No lock of ours is held at any moment, so that an interrupt, a fork or the end of the interpreter can come between any
two steps. All state is in `_crew` and `_invitations`, which a forked child starts anew.
"""

from __future__ import annotations

import math
import os
import sys
from _thread import get_ident, start_new_thread
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue

Work = Callable[[int], None]
"""Takes pieces of a call's work, with the buffers of a slot, until none is left; without the GIL."""
GLANCE = 0.05
"""Seconds after which a thread that waits looks around: a signal may have been delivered to another thread."""

_crew: dict[int, int] = {}
"""Helpers that live: their numbers, from 1, and the identifiers of their threads."""
_invitations: SimpleQueue[tuple[_Call, int]] = SimpleQueue()


# ---- how many -----------------------------------------------------------------------------------------------


def available() -> int:
    """Return the number of threads that a call may use where its user names none; at least 1.

    It is the smallest of NUMBA_NUM_THREADS, what Numba has been told if it is imported already (`numba.config`,
    `numba.set_num_threads`), the cgroup's CPU quota (rounded up), and the CPUs that this thread may run on.
    """
    return max(1, math.ceil(min(_asked_of_numba(), _quota(), _processors())))


def _asked_of_numba() -> float:
    """Return the threads that Numba may use; infinity where nobody has said so."""
    said = [os.environ.get("NUMBA_NUM_THREADS", "")]
    config = getattr(sys.modules.get("numba"), "config", None)
    said.append(getattr(config, "NUMBA_NUM_THREADS", ""))
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if getattr(parallel, "_is_initialized", False):  # else the question would start Numba's own threads
        said.append(parallel.get_num_threads())  # type: ignore[union-attr]
    numbers = [math.inf]
    for each in said:
        with suppress(ValueError):  # Numba warns of what is no number, and goes on without
            numbers.append(int(each))
    return min(numbers)


def _processors() -> int:
    """Return the number of CPUs that this thread may run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path = Path("/")) -> float:
    """Return the CPUs' worth of time that this process's cgroups (Linux, version 1 or 2) grant; infinity without limit.

    Args:
        root: the folder that holds `proc/self/cgroup` and `sys/fs/cgroup`.
    """
    granted = [math.inf]
    for group in _groups(root):
        for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
            with suppress(OSError, ValueError):  # a file that is not there, or says "max"
                quota, period = (int(word) for name in names for word in (group / name).read_text().split())
                if quota > 0 and period > 0:
                    granted.append(quota / period)
    return min(granted)


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's cgroups for CPU time, innermost first.

    A container often sees its own group as the root of the hierarchy, under whatever path the host gave it: folders
    of such a path are not there, the root is.
    """
    mount, lines = root / "sys/fs/cgroup", ""
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8", "surrogateescape")
    for _, controllers, path in (line.split(":", 2) for line in lines.splitlines() if line.count(":") >= 2):
        group = PurePosixPath("/", *(part for part in path.split("/") if part not in ("", "..")))
        if not controllers:
            places = ["", "unified"]  # of version 2; the second beside version 1
        elif "cpu" in controllers.split(","):
            places = [controllers, "cpu"]
        else:
            continue
        for place in places:
            yield from (mount / place / folder.relative_to("/") for folder in (group, *group.parents))


# ---- a call -------------------------------------------------------------------------------------------------


class _Call:
    """One call's work, and who is at it beside the caller.

    Who enters first says so and then looks whether the call is over; the caller says that it is over and then looks who
    is inside: one of the two sees the other.
    """

    __slots__ = ("at_rest", "bell", "errors", "inside", "over", "stop", "work")

    def __init__(self, work: Work, stop: Callable[[], None]) -> None:
        self.work, self.stop = work, stop
        self.over, self.at_rest = False, False
        self.inside: list[int] = []
        self.errors: list[BaseException] = []
        self.bell: SimpleQueue[None] = SimpleQueue()

    def serve(self, slot: int) -> None:
        """Work in a slot, on a helper's thread, unless the call is over."""
        self.inside.append(slot)
        try:
            if not self.over:
                self.work(slot)
        except BaseException as error:
            self.errors.append(error)
            self.stop()  # others may wait for the piece that this one had taken
        finally:
            self.inside.remove(slot)
            self.bell.put(None)

    def listen(self) -> bool:
        """Sleep until a thread that served leaves, but no longer than a moment; return whether one has left."""
        try:
            self.bell.get(timeout=GLANCE)
        except Empty:
            return False
        return True

    def end(self) -> None:
        """Let nobody in any more, and wait for those who are inside."""
        self.over = True
        while self.inside:
            self.listen()
        self.at_rest = True
        del self.work, self.stop  # an invitation may lie for long, and is to keep no memory

    def give_up(self) -> None:
        """Stop the work and end the call, unless it is at rest; interrupts meanwhile change nothing."""
        while not self.at_rest:
            with suppress(BaseException):
                self.stop()
            with suppress(BaseException):
                self.end()

    def raise_errors(self) -> None:
        """Raise what a helper has raised."""
        if self.errors:
            raise self.errors.pop(0)


def run(work: Work, threads: int, aside: bool, stop: Callable[[], None]) -> None:
    """Run `work(slot)` in slot 0 and, on helpers that are free, in slots up to `threads - 1`, each at most once.

    When this returns or raises, no thread is inside `work`. A slot may be entered late, or never: when `work(0)` has
    returned, all is done.

    Args:
        work: takes pieces of the work until none is left, and returns when all that were taken are done.
        threads: slots, at least 1.
        aside: run slot 0 on another thread as well; this one, if it is the main thread, handles signals meanwhile.
        stop: asks `work` to return early; called, perhaps more than once, when an exception has come.

    Raises:
        BaseException: what `work` has raised on any thread, or a signal's handler on this one (KeyboardInterrupt).
    """
    if sys.is_finalizing() or (threads < 2 and not aside):  # then no other thread would run
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
    """Run slot 0 on a thread of its own: one of the helpers might not come."""
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
    """Run all of a call and leave it at rest; raise what was raised on any thread.

    An interrupt may come on the very step into `give_up`, whose own guard does not stand yet: so many are survived.
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
    """Ask for help in slots from 1, of no more helpers than these slots."""
    for k in range(1, threads):
        if k not in _crew and not _start(_help, k):
            break
    if _invitations.qsize() >= threads:  # helpers are busy, or have not had the GIL for long
        _drop_void()
    for slot in range(1, threads):
        _invitations.put((call, slot))


def _drop_void() -> None:
    """Take out the invitations of calls that are over, so that they neither pile up nor bar new ones."""
    with suppress(Empty):
        for _ in range(_invitations.qsize()):
            invitation = _invitations.get_nowait()
            if not invitation[0].over:
                _invitations.put(invitation)


def _start(target: Callable[[int], None], number: int) -> bool:
    """Start a daemon thread; False where the system has no more, or the process ends.

    In one step: an interrupt within `threading.Thread.start` may turn into a RuntimeError of its locks.
    """
    try:
        start_new_thread(target, (number,))
    except RuntimeError:
        return False
    return True


def _help(k: int) -> None:
    """Take up invitations for ever, as helper number k; return at once if there is one."""
    me = get_ident()
    if _crew.setdefault(k, me) != me:
        return
    try:
        while True:
            call, slot = _invitations.get()
            call.serve(slot)
            del call
    finally:
        del _crew[k]


def _start_anew() -> None:
    """Forget the parent's helpers, in a forked child: none came along."""
    global _invitations
    _crew.clear()
    _invitations = SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
