"""Manage the connection to a Dask cluster; every call returns or raises in finite time."""

from __future__ import annotations

import asyncio
import multiprocessing.process
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from flowgrad.errors import FlowgradError
from flowgrad.locks import lock

if TYPE_CHECKING:
    from distributed import Client, Future

POLL = 0.5  # seconds between checks of the scheduler while waiting
FRESH = 1.0  # seconds for which a list of the workers is cached
# Thresholds of malloc in bytes. Each step allocates the same sizes: a worker that returns every array to the system, as
# Dask's do by default, spends a tenth of a step on page faults.
MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
T = TypeVar("T")


class ClusterError(FlowgradError, ConnectionError):
    """The cluster is lost, has no workers, or did not answer in time."""


class Lost(OSError):
    """A worker, or data that it held, is lost."""


class Cluster:
    """Hold a Dask client, which is connected when first needed.

    It is the client that the caller gave, a client of the scheduler at an address, or one of a new LocalCluster.
    """

    def __init__(self, scheduler: str | Client | None, workers: int | None, timeout: float) -> None:
        self.scheduler, self.workers, self.timeout = scheduler, workers, timeout
        self._client: Client | None = None
        self._local: Any = None
        self._lock = lock()
        self._names: tuple[float, list[str]] = (0.0, [])

    @property
    def address(self) -> str | None:
        """Address of the scheduler, for other processes; None if no LocalCluster was started yet."""
        if isinstance(self.scheduler, str):
            return self.scheduler
        if self.scheduler is not None:
            return str(self.scheduler.scheduler.address)
        return None if self._local is None else str(self._local.scheduler_address)

    @property
    def client(self) -> Client:
        """The Dask client, connected on first use.

        Raises:
            ClusterError: no scheduler answers at the address, it was lost, or no worker process starts.
        """
        with self._lock:
            if self._client is None:
                self._client = self._connect()
                self._names = (0.0, [])
            check(self._client)
            return self._client

    def _connect(self) -> Client:
        from distributed import Client
        from distributed.comm import resolve_address

        wait = min(self.timeout, 30.0)
        if isinstance(self.scheduler, str):
            try:
                resolve_address(self.scheduler)  # a Client that stops here would be noisy
                return _connected(self.scheduler, wait)
            except (OSError, ValueError) as error:
                raise ClusterError(
                    f"no Dask scheduler answers at {self.scheduler} within {wait:g} s: {error}"
                ) from error
        if self.scheduler is not None:
            return self.scheduler
        self._local = _local_cluster(self.workers)
        return Client(self._local, timeout=wait, set_as_default=False)

    def call(self, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the client's event loop and return its result.

        Raises:
            ClusterError: the scheduler was lost meanwhile.
            Any error of the coroutine.
        """
        client = self.client
        running = asyncio.run_coroutine_threadsafe(work(client), client.loop.asyncio_loop)
        try:
            while True:
                try:
                    return running.result(POLL)
                except TimeoutError:
                    if running.done():
                        raise
                    check(client)
        finally:
            running.cancel()

    async def names(self, client: Client, deadline: float, anew: bool = False) -> list[str]:
        """Return the workers' addresses, sorted, once there is at least one. Runs on the client's event loop.

        Raises:
            ClusterError: no worker came before the deadline, or the scheduler is gone.
        """
        asked, found = self._names
        if found and not anew and time.monotonic() - asked < FRESH:
            return found
        while True:
            check(client)
            try:
                found = sorted(await asyncio.wait_for(client.nthreads(), min(self.timeout, 30.0)))
            except (OSError, TimeoutError) as error:
                raise ClusterError(f"the Dask scheduler does not answer: {error}") from error
            if found:
                self._names = time.monotonic(), found
                return found
            if time.monotonic() > deadline:
                raise ClusterError(f"the Dask cluster has had no workers for {self.timeout:g} s")
            await asyncio.sleep(0.1)

    def wait_for_workers(self, deadline: float) -> list[str]:
        """Return the workers' addresses as `names` does, but without its cache, and from any thread."""
        return self.call(lambda client: self.names(client, deadline, anew=True))

    def close(self) -> None:
        """Close the connection and the LocalCluster; a client that the caller gave stays open."""
        with self._lock:
            for thing in (self._client, self._local):
                if thing is not None and thing is not self.scheduler:
                    thing.close(timeout=5)
            self._client = self._local = None


def _connected(address: str, wait: float) -> Client:
    """Connect a Client; on failure stop the thread of its event loop, which `Client()` leaves running, and raise."""
    from distributed import Client

    client = Client.__new__(Client)
    try:
        client.__init__(address, timeout=wait, set_as_default=False)
    except BaseException:
        client._loop_runner.stop()
        raise
    return client


def _local_cluster(workers: int | None) -> Any:
    """Start a LocalCluster of processes with one thread each.

    Raises:
        ClusterError: its processes do not start.
    """
    import logging

    import dask
    from distributed import LocalCluster

    process = multiprocessing.process.current_process()
    if getattr(process, "_inheriting", False):
        raise SystemExit(1)  # a worker that imports an unguarded script; its parent gets the RuntimeError caught below
    if process.daemon:
        raise ClusterError(
            "a LocalCluster cannot start in a worker process, as those of a cross-validation are: give the address of "
            "a scheduler, or say workers=1"
        )
    with dask.config.set({f"distributed.nanny.pre-spawn-environ.{k}": v for k, v in MEMORY.items()}):
        try:
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                silence_logs=logging.CRITICAL,
            )
        except RuntimeError as error:
            raise ClusterError(
                "the worker processes of a LocalCluster import the script that starts it, which must therefore do so "
                f'under `if __name__ == "__main__":`; they did not start: {error}'
            ) from None


async def over_memory(client: Client, addresses: Iterable[str]) -> str:
    """Say which of these workers was killed for its use of memory, with the remedy; empty if none was.

    A worker's nanny tells the scheduler by a separate connection, so the event may come late: three tries, 0.2 s apart.
    """
    lost = set(addresses)
    for _ in range(3):
        try:
            events = await asyncio.wait_for(client.scheduler.events(topic="worker-restart-memory"), 5.0)
        except (OSError, TimeoutError):
            return ""
        for _, event in events:
            if event["worker"] in lost:
                return (
                    f"the worker at {event['worker']} went over its memory limit, at {event['rss'] / 1e6:,.0f} MB, "
                    "and was ended: give workers more memory, or cut the batch into more shards; "
                )
        await asyncio.sleep(0.2)
    return ""


def check(client: Client) -> None:
    """Raise ClusterError if the connection to the scheduler is lost."""
    if client.status != "running":
        raise ClusterError(f"the connection to the Dask scheduler is lost: the client is {client.status}")


def settle(client: Client, futures: Iterable[Future], deadline: float, doing: str) -> None:
    """Wait until no future is pending: each has finished, failed or been lost.

    Raises:
        ClusterError: the scheduler was lost, or the deadline passed.
    """
    from distributed import wait

    waiting = list(futures)
    while waiting := [f for f in waiting if f.status == "pending"]:
        check(client)
        if time.monotonic() > deadline:
            raise ClusterError(f"{doing}: {len(waiting)} tasks did not end in time; the first is {waiting[0].key}")
        try:
            with client.as_current():
                wait(waiting, timeout=POLL)
        except Exception as error:  # raised by the wait, not by a task: a future's status says how its task ended
            if not gone(error):
                raise
    check(client)


def gone(error: BaseException) -> bool:
    """Return whether an error means that a worker or its data is lost, rather than that the work itself failed."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    return isinstance(error, (KilledWorker, CancelledError, FutureCancelledError, OSError, TimeoutError)) and not (
        isinstance(error, FlowgradError)
    )


def failed(future: Future, deadline: float, killed: list[str] | None = None) -> bool:
    """Return whether a settled future was lost with its worker; a worker killed by the task is appended to `killed`.

    Raises:
        The error of the work itself, as raised on the worker.
    """
    if future.status == "finished":
        return False
    if future.status == "error":
        from distributed import KilledWorker

        error = future.exception(timeout=max(1.0, deadline - time.monotonic()))
        if isinstance(error, KilledWorker):
            if killed is not None:
                killed.append(error.last_worker.address)
        elif error is not None:
            raise error
    return True
