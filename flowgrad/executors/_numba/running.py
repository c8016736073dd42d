"""Frames run: by the caller and its helpers, or by a thread beside, so that the caller hears Ctrl-C."""

from __future__ import annotations

from _thread import start_new_thread
from contextlib import suppress
from functools import cache

from flowgrad.executors._numba import pool
from flowgrad.executors._numba.code import function
from flowgrad.executors._numba.workspace import Workspace
from flowgrad.locks import lock


def addresses() -> tuple[int, int]:
    """Of what a pool is made of."""
    return function("serve", pool.serve), function("rouse", pool.rouse)


@cache
def conductor() -> pool.Native:
    """`pool.conduct`, compiled."""
    return pool.native(function("conduct", pool.conduct))


def board(threads: int) -> int:
    """The board of this process's helpers; 0 where none is wanted."""
    return pool.pool(addresses).board(threads) if threads > 1 else 0


def run(w: Workspace, threads: int) -> None:
    """Run a frame on this thread and, where they are free, helpers."""
    conductor()(w.address, board(threads), threads)


def run_aside(w: Workspace, threads: int) -> None:
    """Run a frame on another thread, so that this one can be interrupted; the frame is at rest when this ends.

    By a bare lock and bare truths: an interrupt may come between any two of them, and would leave a Condition broken.
    """
    entered = given_up = ended = False
    wrong: list[BaseException] = []
    bell = lock()
    bell.acquire()

    def work() -> None:
        nonlocal entered, ended
        entered = True  # and then it looks, as who gives up looks then: one of the two sees the other
        try:
            if not given_up:
                run(w, threads)
        except BaseException as error:
            wrong.append(error)
        finally:
            ended = True
            bell.release()

    try:
        try:
            start_new_thread(work, ())
        except RuntimeError:  # the system has no more threads: nobody can interrupt this one
            run(w, threads)
            return
        while not ended:
            bell.acquire(timeout=0.05)  # a signal may reach another thread than the one that waits
    except BaseException:
        w.stop[0] = 1
        given_up = True
        while entered and not ended:
            with suppress(BaseException):  # of another signal: the frame is as much in use
                bell.acquire(timeout=0.05)
        raise
    if wrong:
        raise wrong[0]
