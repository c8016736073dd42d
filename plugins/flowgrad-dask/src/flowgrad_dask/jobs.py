"""Run whole jobs on a cluster: seeds, folds, populations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from flowgrad_dask.cluster import ClusterError, failed, over_memory, settle
from flowgrad_dask.executor import DaskExecutor

SLICE = 0.2  # seconds between two reports of progress


def map_jobs(
    function: Callable[..., Any],
    jobs: Iterable[Any],
    shared: tuple[Any, ...] = (),
    on: DaskExecutor | None = None,
    progress: Callable[[int, int], None] | None = None,
    timeout: float = 86_400.0,
) -> list[Any]:
    """Compute `[function(job, *shared) for job in jobs]` on the workers of a cluster.

    Args:
        function: the function to call; it is pickled and sent to the workers.
        jobs: first arguments of the calls.
        shared: further arguments, common to all jobs (data, a network), which are sent to each worker once.
        on: the executor whose cluster runs the jobs. Default: the executor "dask".
        progress: callable that is called with (number of finished jobs, number of jobs) as jobs end. Default: none.
        timeout: time limit for all jobs together, in seconds.

    Returns:
        The results, in the order of the jobs.

    Raises:
        ClusterError: the scheduler is lost, there are no workers, the time is over, or the worker of a job died in each
            of `on.attempts` attempts.
        Errors of the function: that of the first job, in their order, that failed.
    """
    from flowgrad_dask.executor import entry

    executor = on or entry
    deadline = time.monotonic() + timeout
    executor.cluster.wait_for_workers(deadline)
    client = executor.cluster.client
    common = [client.scatter(item, broadcast=True, hash=False) for item in shared]
    items = list(jobs)
    futures = [client.submit(function, item, *common, pure=False) for item in items]
    told, killed = -1, list[str]()
    for attempt in range(1, executor.attempts + 1):
        while any(f.status == "pending" for f in futures):
            settled = time.monotonic() + SLICE
            try:
                settle(client, futures, min(settled, deadline), "jobs")
            except ClusterError:
                if client.status != "running" or time.monotonic() > deadline:
                    raise
            told = _tell(progress, futures, told)
        told = _tell(progress, futures, told)
        lost = [k for k, f in enumerate(futures) if failed(f, deadline, killed)]
        if not lost:
            return [f.result(timeout=max(1.0, deadline - time.monotonic())) for f in futures]
        if attempt < executor.attempts:
            executor.cluster.wait_for_workers(deadline)
            common = [client.scatter(item, broadcast=True, hash=False) for item in shared]
            for k in lost:
                futures[k] = client.submit(function, items[k], *common, pure=False)
    why = executor.cluster.call(lambda client: over_memory(client, killed))
    raise ClusterError(f"{why}job {lost[0]} lost its worker in each of {executor.attempts} attempts")


def _tell(progress: Callable[[int, int], None] | None, futures: list[Any], told: int) -> int:
    done = [f.status for f in futures].count("finished")
    if progress is not None and done != told:
        progress(done, len(futures))
    return done
