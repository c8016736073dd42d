"""Jobs on processes of their own: each one's result as it comes; Ctrl-C or an error ends them all at once."""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from flowgrad.errors import ConfigError, FlowgradError


def in_processes(work: Callable[..., Any], jobs: deque[tuple[Any, ...]], processes: int) -> Iterator[Any]:
    """`work(*job)` of every job, in the order in which they are done.

    Args:
        work: sent to each process once, so that it pickles; its result and what it raises come back that way too.
        jobs: arguments; those that are not begun when this is closed are never begun.

    Raises:
        whatever a job raises; ConfigError where `work` cannot be sent; FlowgradError where a process dies.
    """
    context = get_context("spawn")  # a fork would copy the threads' locks and not the threads
    pool: dict[Connection, Any] = {}
    try:
        for _ in range(min(processes, len(jobs))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, work), daemon=True, name="flowgrad-run")
            pool[ours] = process
            _start(process)
            theirs.close()
            ours.send(jobs.popleft())
        busy = set(pool)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                result = _receive(ready, pool[ready])
                if jobs:
                    ready.send(jobs.popleft())
                else:
                    busy.remove(ready)
                yield result
    finally:
        for pipe, process in pool.items():
            pipe.close()
            if process.pid is not None:
                process.terminate()
                process.join()


def _start(process: Any) -> None:
    try:
        process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(f"this cannot be sent to other processes ({error}): say workers=1") from None


def _receive(pipe: Connection, process: Any) -> Any:
    try:
        failed, result = pipe.recv()
    except (EOFError, ConnectionError):
        process.join()
        raise FlowgradError(
            f"a worker process ended by itself, with exit code {process.exitcode}; a script that starts them does so "
            'under if __name__ == "__main__":, and workers=1 starts none'
        ) from None
    if failed:
        raise result
    return result


def _end_with_parent() -> None:
    """End this process when its parent is gone, however that ended: nobody waits for the result of a job then."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(pipe: Connection, work: Callable[..., Any]) -> None:
    """What a process does: jobs, one after the other, until the pipe is closed."""
    for name in ("SIGINT", "SIGHUP"):  # these are for the parent, who ends this process
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = False, work(*job)
        except Exception as error:  # whatever it is, it is the parent's to raise
            answer = True, error
        pipe.send(answer)
