"""The kernel of the executor "dask": shards out, parts back, what a dead worker held done again."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flowgrad.executor import Adjoint, Array, Request, Saved
from flowgrad.program import compile
from flowgrad_dask.cluster import ClusterError, Lost, failed, gone, settle
from flowgrad_dask.shards import Job, add, bounds, shard_gradient, shard_outputs, tree

if TYPE_CHECKING:
    from distributed import Client, Future

    from flowgrad.network import Network
    from flowgrad_dask.executor import DaskExecutor


class DaskKernel:
    """One network on a cluster. The network goes to the workers once, θ once a call, each shard to its worker."""

    def __init__(self, executor: DaskExecutor, network: Network, request: Request) -> None:
        self.executor, self.cluster = executor, executor.cluster
        self.here = compile(network, executor.inner, request.dtype, request.loss, threads=request.threads)
        name = request.dtype.name
        self.job = Job(uuid.uuid4().hex, network, executor.inner, name, request.loss, request.threads)
        self._sent: tuple[Client, Future] | None = None

    # ---- in this process ------------------------------------------------------------------------------------

    def forward(self, theta: Array, x: Array) -> Saved:
        """By the inner executor, here: its result is every neuron's."""
        return self.here.kernel.forward(theta, x)

    def backward(self, theta: Array, saved: Saved, dy: Array) -> Adjoint:
        """By the inner executor, here."""
        return self.here.kernel.backward(theta, saved, dy)

    # ---- on the cluster -------------------------------------------------------------------------------------

    def predict(self, theta: Array, x: Array) -> Array:
        """(B, O), each shard by a worker."""
        data = [(x[rows],) for rows in bounds(len(x), self.executor.shards)]
        parts = self._run(shard_outputs, theta, data, (), self._gathered)
        return np.concatenate(parts)

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """The loss and its gradient: all shards', or an error; never a part of them.

        Raises:
            ClusterError: the scheduler is lost, no workers, out of time or of attempts.
        """
        s = sample_weight
        data = [(x[k], t[k], None if s is None else s[k]) for k in bounds(len(x), self.executor.shards)]
        value, g = self._run(shard_gradient, theta, data, (scale,), self._added)
        out[...] = g
        return float(value)

    def _run(
        self, task: Callable[..., Any], theta: Array, data: Sequence[Any], rest: tuple[Any, ...], collect: Any
    ) -> Any:
        """The task on every shard, then `collect`; the whole again where data died beyond a shard's own."""
        deadline = time.monotonic() + self.executor.timeout
        for _ in range(self.executor.attempts):
            client = self.cluster.client
            try:
                parts = self._shards(client, task, theta, data, rest, deadline)
                return collect(client, parts, deadline)
            except Lost:
                self._sent = None
            except Exception as error:
                if not gone(error):
                    raise
                self.cluster.client  # noqa: B018  raises where it was the scheduler that went
                self._sent = None
        raise ClusterError(f"workers died in each of {self.executor.attempts} attempts at one step")

    def _shards(
        self,
        client: Client,
        task: Callable[..., Any],
        theta: Array,
        data: Sequence[Any],
        rest: tuple[Any, ...],
        deadline: float,
    ) -> list[Future]:
        """A finished future of every shard."""
        names = self.cluster.names(deadline)
        job = self._job(client)
        everywhere = client.scatter(theta, broadcast=True, hash=False)

        def start(k: int, names: list[str]) -> Future:
            worker = names[k * len(names) // len(data)]
            own = client.scatter(data[k : k + 1], workers=[worker], hash=False)[0]
            place = {"workers": [worker], "allow_other_workers": True}
            return client.submit(task, job, everywhere, own, *rest, pure=False, **place)

        parts = [start(k, names) for k in range(len(data))]
        for _ in range(self.executor.attempts):
            settle(client, parts, deadline, "shards")
            redo = [k for k, part in enumerate(parts) if failed(part, deadline)]
            if not redo:
                return parts
            names = self.cluster.names(deadline)
            for k in redo:
                parts[k] = start(k, names)
        raise Lost

    def _job(self, client: Client) -> Future:
        """The network on the workers: sent once a connection, and again where every copy died."""
        sent = self._sent
        if sent is None or sent[0] is not client or sent[1].status != "finished":
            sent = self._sent = client, client.scatter(self.job, broadcast=True, hash=False)
        return sent[1]

    def _added(self, client: Client, parts: list[Future], deadline: float) -> Any:
        """The sum by a tree of tasks, each where one of its two parts lies."""
        root = tree(parts, lambda a, b: client.submit(add, a, b, pure=False))
        return self._gathered(client, [root], deadline)[0]

    def _gathered(self, client: Client, parts: list[Future], deadline: float) -> list[Any]:
        settle(client, parts, deadline, "the reduction")
        if any(failed(part, deadline) for part in parts):
            raise Lost
        return [part.result(timeout=max(1.0, deadline - time.monotonic())) for part in parts]
