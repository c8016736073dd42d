"""Define the executor "dask": value_and_grad and predict in shards on a cluster. Importing it does not import Dask."""

from __future__ import annotations

import atexit
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flowgrad.arguments import real, whole
from flowgrad.choice import executor_info
from flowgrad.errors import ConfigError, brief
from flowgrad.executor import Answer, Executor, ExecutorInfo, Kernel, Request
from flowgrad.registry import find

if TYPE_CHECKING:
    from distributed import Client

    from flowgrad.network import Network

INFO = ExecutorInfo(
    "dask",
    "shards of the batch on the workers of a Dask cluster",
    needs=("distributed",),
    install="pip install flowgrad-dask",
    dropout=True,
    protocol=2,
)


def info() -> ExecutorInfo:
    """Return the capabilities of the executor "dask", without importing Dask."""
    return INFO


class DaskExecutor:
    """Compute batches in shards on a Dask cluster.

    `value_and_grad` and `predict` run on the workers; `forward` and `backward`, which return values of every neuron,
    run in the caller's process, on the same inner executor. The name "dask" stands for an executor with default
    arguments, whose LocalCluster is started when it is first needed.

    An executor can be pickled and copied, before and after use: the copy connects to the same scheduler when first
    needed. In a `with` statement it is closed at the end.

    Args:
        scheduler: address of a scheduler, such as "tcp://host:8786", or a `distributed.Client`, which the caller
            closes. None starts a LocalCluster of one-thread processes; scripts then need `if __name__ == "__main__":`.
        workers: number of processes of the LocalCluster, an integer ≥ 1. Default: the number of cores.
        shards: number of shards of a batch, an integer ≥ 1, whatever the number of workers. The bits of results depend
            on it alone. A multiple of the number of workers is best.
        executor: the inner executor, which computes the shards: "auto", a name or an Executor.
        timeout: time limit of one call in seconds, above 0; a call that takes longer raises ClusterError.
        attempts: number of attempts, an integer ≥ 1, to compute a shard or to add up a step within a call, if workers
            die; then ClusterError is raised.

    Raises:
        ConfigError: a number is out of range; `scheduler` is neither an address nor a Client, or is an asynchronous
            Client.
    """

    info = INFO

    def __init__(
        self,
        scheduler: str | Client | None = None,
        workers: int | None = None,
        shards: int = 8,
        executor: str | Executor = "auto",
        timeout: float = 600.0,
        attempts: int = 3,
    ) -> None:
        from flowgrad_dask.cluster import Cluster

        for name, value in (("workers", workers), ("shards", shards), ("attempts", attempts)):
            if value is not None or name != "workers":
                whole(name, value, 1)
        real("timeout", timeout, 0, open_low=True)
        _check_scheduler(scheduler)
        if executor != "auto":  # it can do what its inner executor can; `auto` can do what INFO declares
            declared = executor_info(executor) if isinstance(executor, str) else executor.info
            self.info = replace(
                INFO,
                dtypes=declared.dtypes,
                activations=declared.activations,
                aggregations=declared.aggregations,
                custom_functions=declared.custom_functions,
                per_output=declared.per_output,
                dropout=declared.dropout,
                input_gradients=declared.input_gradients,
                deterministic=declared.deterministic,
            )
        self.shards, self.inner, self.timeout, self.attempts = shards, executor, timeout, attempts
        self.cluster = Cluster(scheduler, workers, timeout)
        atexit.register(self.close)

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason why the inner executor cannot run this network and request."""
        if self.inner == "auto":
            return True
        inner: Any = find("executors", self.inner) if isinstance(self.inner, str) else self.inner
        if inner.info.name == INFO.name:
            return "its inner executor is itself"
        for answer in (inner.info.available(), inner.info.supports(network, request)):
            if answer is not True:
                return f"its inner executor {inner.info.name!r}: {answer}"
        answer = inner.can_run(network, request)
        return True if answer is True else f"its inner executor {inner.info.name!r}: {answer}"

    def compile(self, network: Network, request: Request) -> Kernel:
        """Build the kernel of a network, which is sent to the workers in the first step."""
        from flowgrad_dask.kernel import DaskKernel

        return DaskKernel(
            network,
            request,
            self.cluster,
            executor=self.inner,
            shards=self.shards,
            timeout=self.timeout,
            attempts=self.attempts,
        )

    def close(self) -> None:
        """Close the connection and the LocalCluster; the next step opens them again.

        A Client that the caller gave stays open.
        """
        self.cluster.close()

    def __enter__(self) -> DaskExecutor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        rest = (self.cluster.workers, self.shards, self.inner, self.timeout, self.attempts)
        return type(self), (self.cluster.address, *rest)

    def __repr__(self) -> str:
        return f"DaskExecutor({self.cluster.address or 'LocalCluster'}, {self.shards} shards, {self.inner!r})"


def _check_scheduler(given: Any) -> None:
    """Raise ConfigError unless the argument is an address, a Client that is not asynchronous, or None."""
    if given is None or isinstance(given, str):
        return
    from distributed import Client

    if not isinstance(given, Client):
        raise ConfigError(f"scheduler={brief(given)}: must be an address, a distributed.Client or None")
    if given.asynchronous:
        raise ConfigError("scheduler: an asynchronous Client cannot be waited for: give Client(address)")


entry = DaskExecutor()
