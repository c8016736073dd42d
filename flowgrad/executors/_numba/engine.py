"""Engine: calls into machine code for one part of a plan."""

from __future__ import annotations

import threading
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
from numba.core import config, types

from flowgrad.errors import ExecutorError
from flowgrad.executor import Adjoint, Array, Request, Saved
from flowgrad.executors._numba import jobs, steps, threads
from flowgrad.executors._numba.compiled import address, entry
from flowgrad.executors._numba.keeping import NOTHING, Keeping
from flowgrad.executors._numba.layout import layout
from flowgrad.executors._numba.network import FUSING, GRADIENTS, Net
from flowgrad.executors._numba.panels import LONGEST
from flowgrad.executors._numba.part import Part
from flowgrad.executors._numba.records import BACKWARD, DROP, FUSE, MANY, WIDE
from flowgrad.executors._numba.spec import Spec
from flowgrad.executors._numba.workspace import Workspace
from flowgrad.maths.dropout import Dropout
from flowgrad.plan import Plan
from flowgrad.recycling import Recycler

LEAST = 32
"""Least number of samples in a chunk, if the batch has as many: each chunk's gradient is written and read once more."""
FEW = 8
"""Number of chunks of a batch, subject to LEAST; large batches have up to MANY, subject to MEMORY."""
MEMORY = 1 << 28
"""Greatest size in bytes of the chunks' gradients if there are more than FEW."""
PIECE, PIECES = 1 << 12, 64
"""Least number of edges in a work item of a pass over the parameters, and greatest number of items."""
LITTLE = 1_000_000
"""Edges · samples below which a call runs on its caller's thread alone: it would end before a helper has woken."""
PACES = 64
"""Greatest number of uses whose pace is remembered."""
LONG = 600_000_000
"""Edges · samples from which on a call of the main thread runs on other threads, so that Ctrl-C is handled."""
I = types.int64


class Engine:
    """Evaluates one part of a network, by kernels that are compiled for dtype and functions, not for the graph."""

    def __init__(self, plan: Plan, request: Request, part: Part) -> None:
        self.plan, self.dtype, self.loss = plan, request.dtype, request.loss
        self.threads = request.threads or threads.available()
        self.part, self._layout = part, layout(plan, part)
        self._none, self._no_rows = np.zeros(0, self.dtype), np.zeros((0, 0), self.dtype)
        self._work = int((part.in_end - part.in_begin).sum()) + 8 * part.n_nodes
        wide = WIDE // self.dtype.itemsize
        self._widths, self._outputs = (wide // 4, wide), len(plan.outputs)
        self._nets: dict[int, Net] = {}
        self._keepings: dict[int, Keeping] = {}
        self._paces: dict[tuple[str, int, bool], jobs.Pace] = {}
        self._idle: dict[tuple[int, bool], list[Workspace]] = {}
        self._arrays = Recycler()

    # ---- methods of the protocol's Kernel; `forward` requires a part that is the whole plan -------------------------

    def forward(self, theta: Array, x: Array, dropout: Dropout | None = None) -> Saved:
        """Evaluate equations (1)–(3)."""
        V, B = self.plan.n_nodes, len(x)
        z, a = self._arrays.empty((V, B), self.dtype), self._arrays.empty((V, B), self.dtype)
        self._call("trace", B, dropout, theta, x, self._no_rows, fields=_places(z=z, a=a))
        return Saved(z, a, dropout)

    def backward(self, theta: Array, saved: Saved, dy: Array) -> Adjoint:
        """Evaluate equations (5)–(10); `saved`, dy and results by node have those of the part's nodes only."""
        n, B, none, no_rows = self._layout.part.n_nodes, len(dy), self._none, self._no_rows
        z, a = np.ascontiguousarray(saved.z), np.ascontiguousarray(saved.a)
        dz, da = self._arrays.empty((n, B), self.dtype), self._arrays.empty((n, B), self.dtype)
        weight, bias = self._arrays.empty(self.plan.n_edges, self.dtype), np.zeros(self.plan.n_nodes, self.dtype)
        places = _places(z=z, a=a, dz=dz, da=da, grad_weight=weight, grad_bias=bias)
        self._call("adjoint", B, saved.extra, theta, no_rows, dy, none, 1.0, none, no_rows, fields=places)
        return Adjoint(dz, da, weight, bias)

    def predict(self, theta: Array, x: Array) -> Array:
        """Return the outputs (B, O); needs memory for one tile a thread."""
        y = self._arrays.empty((len(x), self._outputs), self.dtype)
        self._call("predict", len(x), None, theta, x, y)
        return y

    def predict_keeping(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Return the outputs (B, O) and the tiles that `vjp` can go on from, as many as memory allows."""
        memory, held = self._keeping(len(x)).open(theta, x)
        if held is NOTHING:
            return self.predict(theta, x), memory
        y = self._arrays.empty((len(x), self._outputs), self.dtype)
        self._call("keep", len(x), None, theta, x, y, fields=held)
        return y, memory

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
        """Return the summed loss times `scale`; write its gradient times `scale` into out (P,)."""
        if self.loss is None:
            raise ExecutorError("the kernel was compiled without a loss")
        share = self._none if sample_weight is None else sample_weight
        return self._call("step", len(x), dropout, theta, x, t, share, scale, out, self._no_rows) * scale

    def vjp(self, theta: Array, x: Array, dy: Array, out: Array, dx: Array | None, kept: Array | None = None) -> None:
        """Write ∂L/∂θ into out (P,) and ∂L/∂x into dx (B, I), given ∂L/∂y of the part's outputs."""
        dx = self._no_rows if dx is None else dx
        held = NOTHING if kept is None else self._keeping(len(x)).take(kept, theta, x)
        self._call("pull", len(x), None, theta, x, dy, self._none, 1.0, out, dx, fields=held)

    # ---- a call ---------------------------------------------------------------------------------------------

    def _lanes(self, batch: int) -> int:
        """Return the number of lanes of a row."""
        return self._widths[batch > self._widths[0]]

    def _keeping(self, batch: int) -> Keeping:
        lanes = self._lanes(batch)
        found = self._keepings.get(lanes)
        return found or self._keepings.setdefault(lanes, Keeping(self._layout, lanes, self.dtype.itemsize))

    def _call(
        self, kind: str, batch: int, dropout: Dropout | None, *operands: Any, fields: dict[str, int] | None = None
    ) -> float:
        """Run an entry of `steps`; return the summed loss, or 0 if the kind of call has none.

        `fields` of the call's record hold for this call alone: every call of its kind sets them.
        """
        lanes, use = self._lanes(batch), (kind, batch, dropout is not None)
        alike = lanes, kind == "keep"  # alternates with "pull" in training, and has no rows of its own
        try:
            w = self._idle[alike].pop()
        except LookupError:
            w = Workspace(self._net(lanes).address, self.threads)
        if w.use != use:
            self._prepare(w, self._net(lanes), *use)
            w.use = use
        if dropout is not None:
            (samples, neurons), (least, inputs) = dropout.keys, dropout.least
            w.set(drop_samples=samples, drop_neurons=neurons, drop_least=least, drop_inputs=inputs)
            w.set(drop_first=dropout.first)
        if fields is not None:
            w.set(**fields)
        w.begin()
        work = self._work * batch
        if work >= LONG and threading.current_thread() is threading.main_thread():
            w.set(slots=w.slots)
            jobs.wake(w.slots - 1)
            threads.run_aside(partial(w.entry, w.spec, w.address, *operands), w.halt)
        elif w.slots > 1:
            self._share(w, use, operands)
        else:
            w.entry(w.spec, w.address, *operands)
        loss = w.summed_loss() if kind == "step" else 0.0
        self._idle.setdefault(alike, []).append(w)  # not after an error: it may be half filled
        return loss

    def _share(self, w: Workspace, use: tuple[str, int, bool], operands: tuple[Any, ...]) -> None:
        """Run an entry on several threads, unless calls of this use are faster on one."""
        if len(self._paces) > PACES:
            self._paces.clear()
        pace = self._paces.get(use) or self._paces.setdefault(use, jobs.Pace())
        slots, begin = pace.slots(w.slots), perf_counter()
        w.set(slots=slots)
        jobs.wake(slots - 1)
        w.entry(w.spec, w.address, *operands)
        pace.took(perf_counter() - begin, w.joined)

    def _net(self, lanes: int) -> Net:
        if lanes not in self._nets:
            self._nets.setdefault(lanes, Net(self.plan, self.dtype, lanes, self._layout, self.loss))
        return self._nets[lanes]

    def _prepare(self, w: Workspace, net: Net, kind: str, batch: int, drops: bool) -> None:
        """Provide code and memory for calls of a kind with this batch size."""
        net.need(kind, drops)
        w.entry, w.spec, body = entry_of(kind, self.dtype.char)
        w.slots = (
            min(self.threads, -(-batch // net.lanes)) if self._work * batch >= LITTLE and not config.DISABLE_JIT else 1
        )
        w.set(body=body, slots=1)
        lanes, size = net.lanes, self.dtype.itemsize
        tiles = -(-batch // lanes)
        chunks = self._chunks(batch, tiles) if kind in GRADIENTS else 0
        # with dense runs a chunk has one tile a round, and ∂L/∂w of the runs is computed after each round
        longest = -(-tiles // max(chunks, 1))
        at_once = 1 if self._layout.sizes["dense_runs"] else longest
        rounds = -(-longest // at_once) if chunks else 0
        w.set(batch=batch, tiles=tiles, chunks=chunks, at_once=at_once, rounds=rounds)
        how = FUSE | BACKWARD if kind == "keep" else FUSE if kind in FUSING else 0
        w.set(how=DROP if drops else how, pulled=kind in ("pull", "adjoint"), z=0)
        w.set(**self._keeping(batch).fields, **NOTHING)
        w.set(pieces=min(max(self.plan.n_edges // PIECE, 1), PIECES))
        w.set_phases(2 * rounds + 5)
        if not self.plan.direct:
            for name, count in (("weight", self.plan.n_edges), ("bias", self.plan.n_nodes)):
                w.set(**{name: w.room(name, count * size), f"grad_{name}": w.room(f"grad_{name}", count * size)})
        self._tiles(w, net, kind, batch, drops)
        if chunks:
            self._chunk_memory(w, net, chunks)

    def _chunks(self, batch: int, tiles: int) -> int:
        """Return the number of chunks; it depends on graph and batch alone, so no result depends on the threads."""
        many = min(MANY, max(MEMORY // max(self._layout.zero * self.dtype.itemsize, 1), FEW))
        return min(tiles, max(min(-(-batch // LEAST), FEW), min(batch // (2 * LEAST), many)))

    def _tiles(self, w: Workspace, net: Net, kind: str, batch: int, drops: bool) -> None:
        """Provide the rows of each thread's tile."""
        l, row = self._layout, net.lanes * self.dtype.itemsize
        rows = {"A": l.rows, "D": l.part.n_nodes, "stack": l.part.n_nodes + 1, "G": l.sizes["bases"]}
        rows |= {"S": LONGEST, "mask": 1}
        if kind == "keep" and self._keeping(batch).holds(batch):
            rows |= {"A": 0, "D": 0, "stack": 0}
        if drops:
            rows |= {"draws": 1}
        for k, tile in enumerate(w.tiles[: w.slots]):
            for name, count in rows.items():
                tile[name] = w.room(f"{name}{k}", count * row)
            tile["DA"] = w.room(f"DA{k}", l.part.n_nodes * row) if kind in ("trace", "adjoint") else 0
            for name in ("lse", "share"):
                tile[name] = w.room(f"{name}{k}", 8 * net.lanes)
            tile["terms"] = w.room(f"terms{k}", net.scratch)

    def _chunk_memory(self, w: Workspace, net: Net, chunks: int) -> None:
        """Provide memory for the chunks' gradients, and for the weights by place."""
        l, size = self._layout, self.dtype.itemsize
        row = net.lanes * size
        steps = [-(-n * size // 128) * 128 for n in (l.zero + 4, l.part.n_nodes + 4)]  # read in fours
        w.set(
            kept=w.room("kept", chunks * l.kept * row),
            kept_step=chunks * row,
            chunk_weight=w.room("chunk_weight", chunks * steps[0]),
            chunk_weight_step=steps[0],
            chunk_bias=w.room("chunk_bias", chunks * steps[1]),
            chunk_bias_step=steps[1],
            out_weight=w.room("out_weight", l.zero * size),
        )
        w.set_losses(chunks)


def _places(**arrays: Array) -> dict[str, int]:
    """Return the addresses of arrays."""
    return {name: array.ctypes.data for name, array in arrays.items()}


@cache
def entry_of(kind: str, char: str) -> tuple[Any, Spec, int]:
    """Return the entry of `steps` for a kind of call and a dtype, its Spec, and the address of the body."""
    spec = Spec(np.dtype(char), WIDE // np.dtype(char).itemsize)
    one, two = types.Array(spec.type.real, 1, "C"), types.Array(spec.type.real, 2, "A")
    if kind in GRADIENTS:
        run = entry(steps.step, spec.type, I, one, two, two, one, types.float64, one, two)
    else:
        run = entry(steps.predict, spec.type, I, one, two, two)
    return run, spec, address(steps.run_phases, spec.type, I, I)
