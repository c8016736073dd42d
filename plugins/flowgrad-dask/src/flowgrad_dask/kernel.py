"""Implement the kernel of the executor "dask": batches are cut into shards, which the workers of a crew compute."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from flowgrad.executor import Adjoint, Array, Executor, Live, Request, Saved
from flowgrad.maths.dropout import Dropout
from flowgrad_dask.crew import Crew
from flowgrad_dask.engine import Rows
from flowgrad_dask.shards import Job, bounds, compiled, drawn

if TYPE_CHECKING:
    from distributed import Client

    from flowgrad.network import Network
    from flowgrad_dask.cluster import Cluster

T = TypeVar("T")


class DaskKernel:
    """Compute the passes of one network on a cluster.

    `forward` and `backward`, which return values of every neuron, run in this process.

    Args:
        executor, shards, timeout, attempts: as for `flowgrad_dask.DaskExecutor`.
    """

    def __init__(
        self,
        network: Network,
        request: Request,
        cluster: Cluster,
        *,
        executor: str | Executor,
        shards: int,
        timeout: float,
        attempts: int,
    ) -> None:
        self.cluster, self.shards, self.timeout, self.attempts = cluster, shards, timeout, attempts
        self.job = Job(uuid.uuid4().hex, network, executor, request.dtype.name, request.loss, request.threads)
        self.here = compiled(self.job, request.threads)
        self._forward: Callable[..., Saved] = self.here.kernel.forward  # with a Dropout where that is declared
        self._crew: Crew | None = None

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Run forward by the inner executor, in this process."""
        return self._forward(theta, x) if dropout is None else self._forward(theta, x, dropout)

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Run backward by the inner executor, in this process."""
        return self.here.kernel.backward(theta, saved, dy, live)

    def predict(self, theta: Array, x: Array) -> Array:
        """Compute the outputs (B, O), each shard on a worker.

        Raises:
            ClusterError: the scheduler is lost, there are no workers, or the time or the attempts are used up.
        """
        shards = self._shards(x, None, None)
        return np.concatenate(self._asked(lambda crew, deadline: crew.outputs(theta, shards, deadline)))

    def value_and_grad(
        self,
        theta: Array,
        x: Array,
        t: Array,
        sample_weight: Array | None,
        scale: float,
        out: Array,
        dropout: Dropout | None = None,
    ) -> float:
        """Compute the loss and its gradient over all shards; draws of dropout do not depend on the shards.

        Raises:
            ClusterError: the scheduler is lost, there are no workers, or the time or the attempts are used up.
        """
        shards, draws = self._shards(x, t, sample_weight), drawn(dropout, len(x), self.shards)
        return self._asked(lambda crew, deadline: crew.gradient(theta, shards, scale, out, deadline, draws))

    def _shards(self, x: Array, t: Array | None, s: Array | None) -> list[Rows]:
        return [(x[k], None if t is None else t[k], None if s is None else s[k]) for k in bounds(len(x), self.shards)]

    def _asked(self, call: Callable[[Crew, float], Coroutine[Any, Any, T]]) -> T:
        deadline = time.monotonic() + self.timeout

        async def work(client: Client) -> T:
            if self._crew is None or self._crew.client is not client:
                self._crew = Crew(client, self.cluster, self.job, self.attempts)
            return await call(self._crew, deadline)

        return self.cluster.call(work)
