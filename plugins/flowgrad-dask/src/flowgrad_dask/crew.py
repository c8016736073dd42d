"""Run one program on a cluster's workers: track what each worker holds and computes, and replace those that die.

A `Crew` lives on the event loop of the Dask client: its methods are coroutines of that loop, so that it needs no
lock. Results depend on the shards alone, bit for bit, and not on which worker computes a shard, or how often.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from flowgrad.executor import Array
from flowgrad.maths.dropout import Dropout
from flowgrad_dask.cluster import POLL, Cluster, ClusterError, Lost, over_memory
from flowgrad_dask.engine import Rows, Tree, halves, install, owner, same
from flowgrad_dask.shards import Job, Part, tree
from flowgrad_dask.versions import compare

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2  # shards that are assigned to a worker at once: one that it computes, one that waits there
REMEMBERED = 2**30  # largest batch, in bytes, that is copied, so that an equal next batch is not sent again


@dataclass
class Has:
    """What one worker holds: the program, once `ready` is done; versions of θ; rows, as (batch version, shard)."""

    ready: asyncio.Task[None] | None = None
    theta: set[int] = field(default_factory=set)
    rows: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Step:
    """One call: its shards of rows, its arguments, and the worker that has computed each shard."""

    number: int
    theta: Array
    version: int  # of θ
    batch: int  # version of the rows
    shards: Sequence[Rows]
    scale: float | None
    deadline: float
    again: bool  # whether the rows look like those of the step before
    draws: Sequence[Dropout | None]  # of each shard
    holders: dict[int, str] = field(default_factory=dict)
    outputs: dict[int, Array] = field(default_factory=dict)
    deaths: dict[int, list[str]] = field(default_factory=dict)  # shard → workers that died of it


@dataclass(frozen=True)
class Spread:
    """A transfer of θ to some workers, under way."""

    to: frozenset[str]
    task: asyncio.Task[None]


class Crew:
    """All workers of one client, for one job."""

    def __init__(self, client: Client, cluster: Cluster, job: Job, attempts: int) -> None:
        self.client, self.cluster, self.job, self.attempts = client, cluster, job, attempts
        self.has: dict[str, Has] = {}
        self.number, self.live = count(), dict[int, int]()
        self.theta: tuple[int, Array] | None = None
        self.batch: tuple[int, Sequence[Rows]] | None = None
        self.glance: list[bytes] = []
        self.partings: set[asyncio.Task[None]] = set()

    # ---- the two calls --------------------------------------------------------------------------------------

    async def gradient(
        self,
        theta: Array,
        shards: Sequence[Rows],
        scale: float,
        out: Array,
        deadline: float,
        draws: Sequence[Dropout | None],
    ) -> float:
        """Sum loss and gradient over all shards, by a tree fixed by their number; the gradient goes into `out` (P,)."""
        step = self._step(theta, shards, scale, deadline, draws)
        try:
            for _ in range(self.attempts):
                await self._run(step)
                try:
                    return await self._within(step, self._reduced(step, out))
                except OSError as error:
                    if isinstance(error, ClusterError):
                        raise
                    alive = await self.cluster.names(self.client, deadline, anew=True)
                    gone = {k for k, at in step.holders.items() if at not in alive}
                    step.holders = {k: at for k, at in step.holders.items() if gone and k not in gone}
            raise ClusterError(f"workers died in each of {self.attempts} attempts at adding up one step")
        finally:
            self._over(step)

    async def outputs(self, theta: Array, shards: Sequence[Rows], deadline: float) -> list[Array]:
        """Compute the outputs (B, O) of each shard."""
        step = self._step(theta, shards, None, deadline, [None] * len(shards))
        try:
            await self._run(step)
            return [step.outputs[k] for k in range(len(shards))]
        finally:
            self._over(step)

    def _step(
        self,
        theta: Array,
        shards: Sequence[Rows],
        scale: float | None,
        deadline: float,
        draws: Sequence[Dropout | None],
    ) -> Step:
        """Make a Step; θ and the batch get new versions unless their bits equal those of the previous call."""
        before, glance = self.theta, _glance(shards)
        version = before[0] if before is not None and same(before[1], theta) else next(self.number)
        self.live[version] = self.live.get(version, 0) + 1
        again, self.glance = glance == self.glance, glance
        batch = self._version(shards)
        return Step(next(self.number), theta, version, batch, shards, scale, deadline, again, draws)

    def _version(self, shards: Sequence[Rows]) -> int:
        before = self.batch
        if before is None or len(before[1]) != len(shards):
            return next(self.number)
        pairs = zip(before[1], shards, strict=True)
        alike = all(same(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))
        return before[0] if alike else next(self.number)

    def _remember(self, step: Step) -> None:
        """Copy θ, and a batch that seems repeated, while the workers compute; the next call is compared with them."""
        if self.theta is None or self.theta[0] != step.version:
            self.theta = step.version, step.theta.copy()
        if self.batch is not None and self.batch[0] == step.batch:
            return
        size = sum(array.nbytes for rows in step.shards for array in rows if array is not None)
        keep = step.again and size <= REMEMBERED
        self.batch = (step.batch, [_copied(rows) for rows in step.shards]) if keep else None

    def _over(self, step: Step) -> None:
        self.live[step.version] -= 1
        if not self.live[step.version]:
            del self.live[step.version]
        if step.scale is not None:
            for address in set(step.holders.values()):
                task = asyncio.ensure_future(self._forget(address, step.number))
                self.partings.add(task)
                task.add_done_callback(self.partings.discard)

    async def _forget(self, address: str, step: int) -> None:
        try:
            await self.client.rpc(address).flowgrad_forget(key=self.job.key, step=step)
        except OSError:
            self.has.pop(address, None)

    # ---- shards to workers ----------------------------------------------------------------------------------

    async def _run(self, step: Step) -> None:
        """Run the step until every shard has been computed by a worker that is still alive.

        Each worker starts with neighbouring shards, AHEAD at a time, and takes from other queues when its own is empty.
        """
        alive = await self.cluster.names(self.client, step.deadline)
        todo = [k for k in range(len(step.shards)) if k not in step.holders]
        queues = {a: deque(some) for a, some in zip(alive, _parted(todo, len(alive)), strict=True)}
        spread = Spread(frozenset(alive), asyncio.ensure_future(self._spread(step, alive)))
        running: dict[asyncio.Task[None], tuple[str, int]] = {}
        try:
            while True:
                most = AHEAD if spread.task.done() else 1  # θ before second shards
                for address in queues:
                    at_work = sum(at == address for at, _ in running.values())
                    for _ in range(most - at_work):
                        k = _next(queues, address)
                        if k is not None:
                            running[asyncio.ensure_future(self._one(step, address, k, spread))] = address, k
                if not running:
                    return
                if time.monotonic() > step.deadline:
                    late = sorted(f"{k} at {at}" for at, k in running.values())
                    raise ClusterError(f"{len(late)} shards did not end in time; the first is {late[0]}")
                if spread.task.done():
                    self._remember(step)
                watched = {*running, *(() if spread.task.done() else (spread.task,))}
                done, _ = await asyncio.wait(watched, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
                lost = self._settled(step, running, done - {spread.task})
                if lost or not done:
                    await self._mourn(step, running, queues, lost)
        finally:
            _drop(spread.task, *running)

    def _settled(self, step: Step, running: dict[asyncio.Task[None], tuple[str, int]], done: Any) -> set[str]:
        """Record the worker of each finished shard; return the workers that were lost. Raises the work's own error."""
        lost = set()
        for task in done:
            address, k = running.pop(task)
            error = task.exception()
            if error is None:
                step.holders[k] = address
            elif isinstance(error, OSError) and not isinstance(error, ClusterError):
                lost.add(address)
                step.deaths.setdefault(k, []).append(address)
            else:
                raise error
        return lost

    async def _mourn(
        self,
        step: Step,
        running: dict[asyncio.Task[None], tuple[str, int]],
        queues: dict[str, deque[int]],
        lost: set[str],
    ) -> None:
        """Reassign the shards of lost workers to those that are alive, new ones among them.

        Raises:
            ClusterError: a shard has lost its worker as often as it may, with the reason where it is known.
        """
        for k, died in step.deaths.items():
            if len(died) >= self.attempts:
                why = await over_memory(self.client, died)
                raise ClusterError(f"{why}shard {k} lost its worker in each of {self.attempts} attempts")
        alive = await self.cluster.names(self.client, step.deadline, anew=True)
        staying = [address for address in alive if address not in lost] or alive
        if not lost and set(staying) == set(queues):
            return
        for address in {*self.has} - {*staying}:
            del self.has[address]
        for task, (address, _) in list(running.items()):
            if address not in staying:
                _drop(task)
                del running[task]
        step.holders = {k: at for k, at in step.holders.items() if at in staying}
        under_way = {k for _, k in running.values()} | set(step.holders)
        queues.clear()
        queues.update({address: deque() for address in staying})
        for n, k in enumerate(k for k in range(len(step.shards)) if k not in under_way):
            queues[staying[n % len(staying)]].append(k)

    async def _one(self, step: Step, address: str, shard: int, spread: Spread) -> None:
        """Compute one shard on one worker; send the program, θ and rows that the worker lacks."""
        from distributed.protocol import to_serialize

        for _ in range(2):
            has = await self._ready(address)
            if step.version not in has.theta and (address not in spread.to or spread.task.done()):
                await self._send_theta(step, [address])
            there = (step.batch, shard) in has.rows
            x, t, s = step.shards[shard]
            rows = None if there else [None if array is None else to_serialize(array) for array in (x, t, s)]
            answer = await self.client.rpc(address).flowgrad_run(
                key=self.job.key,
                step=step.number,
                shard=shard,
                shards=len(step.shards),
                theta=step.version,
                coming=step.version not in has.theta,
                version=step.batch,
                rows=rows,
                scale=step.scale,
                dropout=None if step.draws[shard] is None else to_serialize(step.draws[shard]),
            )
            if "lost" not in answer:
                has.rows = {(batch, k) for batch, k in has.rows if k != shard} | {(step.batch, shard)}
                if step.scale is None:
                    step.outputs[shard] = answer["outputs"]
                return
            self.has.pop(address, None)
        raise Lost(f"the worker at {address} does not keep what it is sent: {answer['lost']}")

    async def _ready(self, address: str) -> Has:
        """Return the record of a worker, once the worker has the program."""
        has = self.has.setdefault(address, Has())
        if has.ready is None:
            has.ready = asyncio.ensure_future(self._introduce(address))
        try:
            await asyncio.shield(has.ready)
        except Exception:
            self.has.pop(address, None)
            raise
        return has

    async def _introduce(self, address: str) -> None:
        """Check a worker's packages, install the engine there, and send the program.

        Raises:
            ClusterError: the worker lacks a package, or has one whose messages are not read here.
            Lost: the worker is gone.
        """
        from distributed.protocol import to_serialize

        await compare(self.client, address)
        installed = await self.client.run(install, workers=[address], on_error="return")
        if installed.get(address, Lost()) is not None:
            raise Lost(f"the worker at {address} is gone: {installed.get(address)}")
        await self.client.rpc(address).flowgrad_job(job=to_serialize(self.job))

    # ---- θ to workers, gradients from them ------------------------------------------------------------------

    async def _spread(self, step: Step, addresses: Sequence[str]) -> None:
        """Send θ to all workers that lack it; workers forward it to each other, halving the list."""
        ready = await asyncio.gather(*(self._ready(address) for address in addresses), return_exceptions=True)
        able = zip(addresses, ready, strict=True)
        wanting = [a for a, has in able if isinstance(has, Has) and step.version not in has.theta]
        while wanting:
            unreached = await asyncio.gather(*(self._send_theta(step, half) for half in halves(wanting)))
            wanting = [address for some in unreached for address in some]

    async def _send_theta(self, step: Step, addresses: list[str]) -> list[str]:
        """Send θ to the first worker, which forwards it to the rest; return those not reached, the first left out."""
        from distributed.protocol import to_serialize

        message = {"key": self.job.key, "version": step.version, "live": list(self.live), "onward": addresses[1:]}
        try:
            answer = await self.client.rpc(addresses[0]).flowgrad_theta(theta=to_serialize(step.theta), **message)
        except OSError:
            return addresses[1:]
        unreached = list(answer["unreached"])
        if addresses[0] in unreached:  # it no longer has the program
            self.has.pop(addresses[0], None)
            unreached.remove(addresses[0])
        for address in set(addresses) - set(unreached):
            if address in self.has:
                self.has[address].theta = {v for v in self.has[address].theta if v in self.live} | {step.version}
        return unreached

    async def _reduced(self, step: Step, out: Array) -> float:
        """Sum the tree of parts: fetch its two halves from their owners, which fetch theirs, and add the two here."""
        leaves: list[Tree] = [(step.holders[k], k) for k in range(len(step.shards))]
        whole: Tree = tree(leaves, lambda one, other: (one, other))
        if isinstance(whole[1], int) or owner(whole[0]) == owner(whole[1]):
            value, out[...] = await self._part(step, whole)
            return value
        (value, g), (other, h) = await asyncio.gather(*(self._part(step, half) for half in whole))
        np.add(g, h, out=out)
        return value + other

    async def _part(self, step: Step, of: Tree) -> Part:
        answer = await self.client.rpc(owner(of)).flowgrad_part(key=self.job.key, step=step.number, tree=of)
        if "lost" in answer:
            raise Lost("a part of the sum is gone")
        return answer["loss"], answer["gradient"]

    async def _within(self, step: Step, work: Coroutine[Any, Any, float]) -> float:
        """Await the result of the work; raise Lost as soon as a worker that holds a shard of it is gone."""
        task = asyncio.ensure_future(work)
        try:
            while True:
                done, _ = await asyncio.wait([task], timeout=POLL)
                if done:
                    return task.result()
                alive = await self.cluster.names(self.client, step.deadline, anew=True)
                if not set(step.holders.values()) <= set(alive):
                    raise Lost("a worker is gone")
                if time.monotonic() > step.deadline:
                    raise ClusterError("the reduction did not end in time")
        finally:
            _drop(task)


def _glance(shards: Sequence[Rows]) -> list[bytes]:
    """Take the first bytes of each shard, 256 at most: where they differ, the batch does."""
    return [x[:1].tobytes()[:256] for x, _, _ in shards]


def _copied(rows: Rows) -> Rows:
    x, t, s = rows
    return x.copy(), None if t is None else t.copy(), None if s is None else s.copy()


def _parted(items: list[int], n: int) -> list[list[int]]:
    """Split the items into n runs of neighbours, of nearly equal length."""
    return [items[k * len(items) // n : (k + 1) * len(items) // n] for k in range(n)]


def _drop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks whose results are no longer needed, and retrieve their errors, so that asyncio logs none."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def _next(queues: dict[str, deque[int]], address: str) -> int | None:
    """Pop the next shard for a worker: the first of its own queue, else the last of the longest queue, else None."""
    if queues[address]:
        return queues[address].popleft()
    longest = max(queues.values(), key=len)
    return longest.pop() if longest else None
