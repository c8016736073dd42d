"""Jobs on worker processes, with results in order of completion; Ctrl-C or an error ends all workers."""

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
    """Yield `work(*job)` of every job, in order of completion.

    Args:
        work: callable, sent to each process once; it, its results and the exceptions it raises must be picklable.
        jobs: tuples of arguments; jobs not begun when the generator is closed are never begun.

    Raises:
        ConfigError: `work` cannot be pickled.
        FlowgradError: a process ended unexpectedly.
        Errors of a job: as it raised them.
    """
    context = get_context("spawn")  # fork would copy locks that other threads hold, without these threads
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
    """Exit this process when its parent has ended for any reason, since its results are then of no use."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(pipe: Connection, work: Callable[..., Any]) -> None:
    """Run jobs from the pipe one after the other until it is closed; send (failed, result or exception) for each."""
    for name in ("SIGINT", "SIGHUP"):  # the parent handles these, and terminates this process
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
        except Exception as error:  # any exception is raised again in the parent
            answer = True, error
        pipe.send(answer)
