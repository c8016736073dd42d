"""Compute shards on a worker: hold programs, θ, shards of a batch, and partial sums until they are fetched.

The kernel's process and other workers call the handlers below directly, without the scheduler: one message and one
answer, where a task takes six messages. A handler whose data are gone answers `lost`, and the caller sends them again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from flowgrad.executor import Array
from flowgrad.maths.dropout import Dropout
from flowgrad.program import Program
from flowgrad_dask.shards import Job, Part, Span, add, compiled, gradient, pairs

if TYPE_CHECKING:
    from distributed import Worker

PROGRAMS = 16  # programs that a worker keeps at most
SPARE = 16  # gradient arrays (P,) that a program keeps for reuse at most
STEPS = 64  # steps whose parts a program keeps at most, should `flowgrad_forget` not arrive
PATIENCE = 60.0  # seconds that a shard waits for its θ
Tree = Any  # a leaf (address, shard), or a pair of trees: the order in which gradients are added
Rows = tuple[Array, Array | None, Array | None]  # x (B, I), t (B, O) and the sample weights (B,) of a shard


def owner(tree: Tree) -> str:
    """Return the address of the worker that adds up a tree: the one that holds its leftmost leaf."""
    while not isinstance(tree[1], int):
        tree = tree[0]
    address: str = tree[0]
    return address


def span(tree: Tree) -> Span:
    """Return the first and the last shard of a tree."""
    first = last = tree
    while not isinstance(first[1], int):
        first = first[0]
    while not isinstance(last[1], int):
        last = last[1]
    return first[1], last[1]


class Kept:
    """The data that a worker holds for one program.

    `theta` by version; `rows` by shard, with their version; `parts` by step: sums of neighbouring shards as far as both
    are here; `spare`: arrays (P,) to reuse for parts, since allocating one costs as much as adding into it.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.spare: list[Array] = []
        self.theta: dict[int, Array] = {}
        self.arrived = asyncio.Condition()
        self.rows: dict[int, tuple[int, Rows]] = {}
        self.parts: OrderedDict[int, dict[Span, Part]] = OrderedDict()

    async def theta_of(self, version: int) -> Array | None:
        """Wait for a version of θ; None if it does not arrive within PATIENCE seconds."""
        async with self.arrived:
            try:
                await asyncio.wait_for(self.arrived.wait_for(lambda: version in self.theta), PATIENCE)
            except TimeoutError:
                return None
            return self.theta[version]

    def blank(self) -> Array:
        """Return an uninitialised array (P,), a spare one if there is any."""
        try:
            return self.spare.pop()
        except IndexError:
            return np.empty(self.program.plan.n_parameters, self.program.dtype)

    def compute(
        self,
        parts: dict[Span, Part],
        shard: int,
        shards: int,
        theta: Array,
        rows: Rows,
        scale: float,
        dropout: Dropout | None,
    ) -> None:
        """Compute one shard's part; then add it, in place, to each part present that the tree pairs it with."""
        x, t, s = rows
        assert t is not None
        at: Span = (shard, shard)
        parts[at] = gradient(self.program, theta, x, t, s, scale, self.blank(), dropout)
        while at in pairs(shards):
            left, right, both = pairs(shards)[at]
            if left not in parts or right not in parts:
                break
            one, other = parts.pop(left), parts.pop(right)
            parts[both] = add(one, other, out=one[1])
            self.spare.append(other[1])
            at = both

    def forget(self, step: int) -> None:
        """Drop the parts of a step; their arrays are reused."""
        found = self.parts.pop(step, {})
        self.spare += [part[1] for part in found.values()]
        del self.spare[SPARE:]


class Engine:
    """The message handlers of one worker, and one thread that computes while messages are handled."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.thread = ThreadPoolExecutor(1, "flowgrad")
        self.kept: OrderedDict[str, Kept] = OrderedDict()
        for handler in (self.flowgrad_job, self.flowgrad_theta, self.flowgrad_run, self.flowgrad_part):
            worker.handlers[handler.__name__] = handler
        worker.handlers["flowgrad_forget"] = self.flowgrad_forget

    async def _computed(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *args)

    async def flowgrad_job(self, job: Job) -> dict[str, Any]:
        """Compile a program, unless the worker has it already."""
        if job.key not in self.kept:
            program = await self._computed(compiled, job, self.worker.state.nthreads)
            self.kept.setdefault(job.key, Kept(program))
            while len(self.kept) > PROGRAMS:
                self.kept.popitem(last=False)
        return {}

    async def flowgrad_theta(
        self, key: str, version: int, theta: Array, live: list[int], onward: list[str]
    ) -> dict[str, Any]:
        """Store θ, drop versions not in `live`, forward θ to `onward`; the answer lists the addresses not reached."""
        from distributed.protocol import to_serialize

        if key not in self.kept:
            return {"unreached": [self.worker.address, *onward]}
        kept = self.kept[key]
        async with kept.arrived:
            # a higher version is a newer θ that overtook this message, whose `live` cannot list it
            staying = {v: old for v, old in kept.theta.items() if v in live or v > version}
            kept.theta = staying | {version: theta}
            kept.arrived.notify_all()

        async def tell(some: list[str]) -> list[str]:
            message = {"key": key, "version": version, "theta": to_serialize(theta), "live": live, "onward": some[1:]}
            try:
                answer: dict[str, Any] = await self.worker.rpc(some[0]).flowgrad_theta(**message)
            except OSError:
                return some
            return list(answer["unreached"])

        found = await asyncio.gather(*(tell(half) for half in halves(onward)))
        return {"unreached": [address for some in found for address in some]}

    async def flowgrad_run(
        self,
        key: str,
        step: int,
        shard: int,
        shards: int,
        theta: int,
        coming: bool,
        version: int,
        rows: list[Any] | None,
        scale: float | None,
        dropout: Dropout | None,
    ) -> dict[str, Any]:
        """Compute one shard: keep its gradient as a part of the step, or, without a scale, answer its outputs."""
        from distributed.protocol import to_serialize

        kept = self.kept.get(key)
        if kept is None:
            return {"lost": "program"}
        self.kept.move_to_end(key)
        if rows is not None:
            kept.rows[shard] = version, (rows[0], rows[1], rows[2])
        has, own = kept.rows.get(shard, (None, None))
        if has != version or own is None:
            return {"lost": "rows"}
        th = await kept.theta_of(theta) if coming else kept.theta.get(theta)
        if th is None:
            return {"lost": "theta"}
        if scale is None:
            return {"outputs": to_serialize(await self._computed(kept.program.predict, own[0], th))}
        parts = kept.parts.setdefault(step, {})
        while len(kept.parts) > STEPS:
            kept.parts.popitem(last=False)
        await self._computed(kept.compute, parts, shard, shards, th, own, scale, dropout)
        return {}

    async def flowgrad_part(self, key: str, step: int, tree: Tree) -> dict[str, Any]:
        """Answer the sum of a tree of parts, fetching those that other workers hold."""
        from distributed.protocol import to_serialize

        found = await self._part(key, step, tree)
        return {"lost": "parts"} if found is None else {"loss": found[0], "gradient": to_serialize(found[1])}

    async def _part(self, key: str, step: int, tree: Tree) -> Part | None:
        address = owner(tree)
        if address != self.worker.address:
            answer = await self.worker.rpc(address).flowgrad_part(key=key, step=step, tree=tree)
            return None if "lost" in answer else (answer["loss"], answer["gradient"])
        kept = self.kept.get(key)
        if kept is None or step not in kept.parts:
            return None
        parts, at = kept.parts[step], span(tree)
        if at not in parts:
            if isinstance(tree[1], int):
                return None
            one, other = await asyncio.gather(*(self._part(key, step, half) for half in tree))
            if one is None or other is None:
                return None
            parts[at] = await self._computed(add, one, other, kept.blank())
        return parts[at]

    async def flowgrad_forget(self, key: str, step: int) -> dict[str, Any]:
        """Drop the parts of a step that is over."""
        if key in self.kept:
            self.kept[key].forget(step)
        return {}


def halves(addresses: list[str]) -> list[list[str]]:
    """Split a list into at most two halves, none empty, the first the longer.

    >>> halves(["a", "b", "c"]), halves(["a"]), halves([])
    ([['a', 'b'], ['c']], [['a']], [])
    """
    middle = (len(addresses) + 1) // 2
    return [some for some in (addresses[:middle], addresses[middle:]) if some]


def install(dask_worker: Worker) -> None:
    """Give a worker its engine, once; for `Client.run`, which passes the worker by the argument's name."""
    if "flowgrad_run" not in dask_worker.handlers:
        Engine(dask_worker)


def programs_here(dask_worker: Worker) -> list[str]:
    """Return the keys of the programs that a worker keeps."""
    handler: Any = dask_worker.handlers["flowgrad_run"]
    return list(handler.__self__.kept)


def same(one: Array | None, other: Array | None) -> bool:
    """Return whether two arrays have the same bits."""
    if one is None or other is None or one is other:
        return one is other
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    a, b = (np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (one, other))
    return bool(np.array_equal(a[:4096], b[:4096]) and np.array_equal(_words(a), _words(b)))  # most differ early


def _words(data: Array) -> Array:
    """View bytes as uint64 or uint32 where their number is a multiple of 8 or 4, to compare them faster."""
    return data.view(np.uint64) if data.size % 8 == 0 else data.view(np.uint32) if data.size % 4 == 0 else data
