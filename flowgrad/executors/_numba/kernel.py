"""The Kernel of the protocol: a plan, its layout, and calls into machine code."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from flowgrad.errors import ExecutorError
from flowgrad.executor import Adjoint, Array, Request, Saved
from flowgrad.executors._numba import phases, pool, sweeps
from flowgrad.executors._numba.code import Code, code, function, sigma_functions
from flowgrad.executors._numba.frame import AGGREGATED, FRAME
from flowgrad.executors._numba.layout import layout
from flowgrad.executors._numba.workspace import Workspace
from flowgrad.maths.activations import Activation
from flowgrad.plan import Plan

CHUNKS = 8
"""Chunks of tiles at most: each has a gradient of its own until they are added up, in their order."""
PART = 1 << 15
"""Edges that one item of a pass over the parameters takes, at least."""
ALONE = 200_000
"""Edges · samples below which a call wakes no other thread."""
LONG = 100_000_000
"""Edges · samples from which on a call of the main thread leaves the work to others, to hear Ctrl-C."""


def check_activations(used: tuple[Activation, ...]) -> None:
    """Raise ExecutorError for an activation that cannot be compiled."""
    for sigma in used:
        sigma_functions(sigma)


class NumbaKernel:
    """One network in machine code that was compiled before it, and without knowing it."""

    def __init__(self, plan: Plan, request: Request) -> None:
        check_activations(plan.activations)
        self.plan, self.dtype, self.loss = plan, request.dtype, request.loss
        self.threads = request.threads or pool.available_threads()
        self._layout = layout(plan)
        self._static = self._frame()
        self._idle: dict[int, list[Workspace]] = {}
        self._tables: dict[Any, Array] = {}

    # ---- the protocol ---------------------------------------------------------------------------------------

    def forward(self, theta: Array, x: Array) -> Saved:
        """Equations (1)–(3)."""
        V, B = self.plan.n_nodes, len(x)
        z, a = np.empty((V, B), self.dtype), np.empty((V, B), self.dtype)

        def prepare(c: Code, w: Workspace, tiles: int) -> None:
            self._give_samples(w, x=x)
            w.set(z=z.ctypes.data, a=a.ctypes.data, node_step=z.strides[0])
            w.set(activation=self._table(c, "value"), forward=c.kernel(sweeps.forward))
            w.run(self._gather(c, w, theta), (c.kernel(phases.trace), tiles))

        self._call(B, prepare)
        return Saved(z, a)

    def backward(self, theta: Array, saved: Saved, dy: Array) -> Adjoint:
        """Equations (5)–(10)."""
        V, E, B = self.plan.n_nodes, self.plan.n_edges, len(dy)
        z = np.ascontiguousarray(saved.z)
        dz, da = np.empty((V, B), self.dtype), np.empty((V, B), self.dtype)
        weight, bias = np.empty(E, self.dtype), np.empty(V, self.dtype)

        def prepare(c: Code, w: Workspace, tiles: int) -> None:
            self._give_samples(w, y=dy)
            w.set(z=z.ctypes.data, dz=dz.ctypes.data, da=da.ctypes.data, node_step=z.strides[0])
            w.set(grad_weight=weight.ctypes.data, grad_bias=bias.ctypes.data, bias_from=0)
            chunks = self._chunks(c, w, tiles)
            for k, work in enumerate(w.works):
                work["DA"] = w.room(f"DA{k}", V * c.lanes.size)
            w.set(activation=self._table(c, "both"), backward=c.kernel(sweeps.backward))
            w.run(
                self._gather(c, w, theta),
                (c.kernel(phases.turn), w.frame["parts"]),
                (c.kernel(phases.adjoint), chunks),
                (c.kernel(phases.add_up), w.frame["parts"]),
            )

        self._call(B, prepare)
        return Adjoint(dz, da, weight, bias)

    def predict(self, theta: Array, x: Array) -> Array:
        """The outputs alone; memory for a tile a thread."""
        y = np.empty((len(x), len(self.plan.outputs)), self.dtype)

        def prepare(c: Code, w: Workspace, tiles: int) -> None:
            self._give_samples(w, x=x, y=y)
            w.set(activation=self._table(c, "value"), forward=c.kernel(sweeps.forward))
            w.run(self._gather(c, w, theta), (c.kernel(phases.predict), tiles))

        self._call(len(x), prepare)
        return y

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """The summed loss times `scale`, its gradient times `scale` into `out`."""
        if self.loss is None:
            raise ExecutorError("the kernel was compiled without a loss")
        loss, total = self.loss, 0.0

        def prepare(c: Code, w: Workspace, tiles: int) -> None:
            self._give_samples(w, x=x, t=t)
            s = sample_weight
            w.set(sample_weight=0 if s is None else s.ctypes.data, scale=scale)
            chunks = self._chunks(c, w, tiles)
            w.set(activation=self._table(c, "both"), loss=c.loss(loss))
            w.set(forward=c.kernel(sweeps.forward), backward=c.kernel(sweeps.backward))
            self._give_gradient(w, out)
            w.run(
                self._gather(c, w, theta),
                (c.kernel(phases.turn), w.frame["parts"]),
                (c.kernel(phases.step), chunks),
                (c.kernel(phases.add_up), w.frame["parts"]),
                None if self.plan.direct else (c.kernel(phases.fold), 1),
            )

        def collect(w: Workspace) -> None:
            nonlocal total
            for value in w.loss[: int(w.frame["chunks"])].tolist():
                total += value

        self._call(len(x), prepare, collect)
        return total * scale

    # ---- a call ---------------------------------------------------------------------------------------------

    def _call(
        self,
        batch: int,
        prepare: Callable[[Code, Workspace, int], None],
        collect: Callable[[Workspace], None] = lambda w: None,
    ) -> None:
        """Take a workspace, fill its frame, run it, read from it, and put it back."""
        c = code(self.dtype, self._lanes(batch))
        idle = self._idle.setdefault(c.lanes.n, [])
        try:
            w = idle.pop()
        except IndexError:
            w = self._workspace(c)
        tiles = -(-batch // c.lanes.n)
        w.set(batch=batch, tiles=tiles)
        w.stop[0] = 0
        prepare(c, w, tiles)
        work = (self.plan.n_edges + 8 * self.plan.n_nodes) * batch
        threads = 1 if work < ALONE else min(self.threads, len(w.works))
        if work >= LONG and threading.current_thread() is threading.main_thread():
            _run_aside(w, threads)
        else:
            _run(w, threads)
        collect(w)
        idle.append(w)

    def _lanes(self, batch: int) -> int:
        wide = 128 // self.dtype.itemsize
        return wide // 4 if batch <= wide // 4 else wide

    def _workspace(self, c: Code) -> Workspace:
        w = Workspace(self._static, min(self.threads, 256))
        plan, row = self.plan, c.lanes.size
        w.loss = np.zeros(CHUNKS)
        w.set(chunk_loss=w.loss.ctypes.data)
        for k, work in enumerate(w.works):
            work["A"] = w.room(f"A{k}", plan.n_nodes * row)
            work["D"] = w.room(f"D{k}", self._layout.rows * row)
            work["G"] = w.room(f"G{k}", (len(plan.outputs) + 1) * row)
            work["mask"] = w.room(f"mask{k}", row)
            for name in ("lse", "mass", "share"):
                work[name] = w.room(f"{name}{k}", 8 * c.lanes.n)
            for name in ("terms", "slopes"):
                work[name] = w.room(f"{name}{k}", 8 * self._layout.max_fan_in)
        for name, kind in (("gather", "gather"), ("spread", "spread")):
            w.set(**{name: self._table(c, kind)})
        return w

    # ---- the frame ------------------------------------------------------------------------------------------

    def _frame(self) -> Array:
        """What never changes: sizes and the arrays of the plan and its layout."""
        p, l = self.plan, self._layout
        frame = np.zeros((), FRAME)
        values = {
            "nodes": p.n_nodes,
            "inputs": len(p.inputs),
            "outputs": len(p.outputs),
            "edges": p.n_edges,
            "runs": len(l.run_kind),
            "rows": l.rows,
            "parameters": p.n_parameters,
            "parts": min(max(p.n_edges // PART, 1), 16),
            "in_end": p.in_ptr.ctypes.data + 8,
            "out_end": p.out_ptr.ctypes.data + 8,
        }
        self._response = p.response.astype(self.dtype)
        arrays = {
            "in_begin": p.in_ptr,
            "out_begin": p.out_ptr,
            "in_source": p.in_source,
            "out_row": l.out_row,
            "out_edge": p.out_edge,
            "run_begin": l.run_begin,
            "run_kind": l.run_kind,
            "run_activation": l.run_activation,
            "output": p.outputs,
            "base": l.base,
            "message": l.message,
            "response": self._response,
            "weight_slot": p.weight_slot,
            "bias_slot": p.bias_slot,
            "frozen_weight": p.weight,
            "frozen_bias": p.bias,
        }
        for name, value in values.items():
            frame[name] = value
        for name, array in arrays.items():
            assert array.flags.c_contiguous, name
            frame[name] = array.ctypes.data
        return frame

    def _table(self, c: Code, kind: str) -> int:
        """The address of a table of functions by code."""
        table = self._tables.get((kind, c.key))
        if table is None:
            used = set(self._layout.run_kind.tolist())
            if kind in ("value", "both"):
                functions = [c.activation(sigma, kind == "both") for sigma in self.plan.activations]
            else:
                make = c.gather if kind == "gather" else c.spread
                functions = [make(g) if AGGREGATED + k in used else 0 for k, g in enumerate(self.plan.aggregations)]
            table = self._tables[kind, c.key] = np.array(functions, np.int64)
        return int(table.ctypes.data)

    def _give_samples(self, w: Workspace, **arrays: Array) -> None:
        for name, array in arrays.items():
            w.set(**{name: array.ctypes.data, f"{name}_step": array.strides[0], f"{name}_next": array.strides[1]})

    def _gather(self, c: Code, w: Workspace, theta: Array) -> tuple[int, int] | None:
        """w and b: in θ as they stand, or the phase that gathers them."""
        p, size = self.plan, self.dtype.itemsize
        if p.direct:
            at = theta.ctypes.data
            w.set(weight=at, bias=at + (p.n_edges - len(p.inputs)) * size)
            return None
        w.set(theta=theta.ctypes.data, weight=w.room("weight", p.n_edges * size), bias=w.room("bias", p.n_nodes * size))
        return c.kernel(phases.gather), int(w.frame["parts"])

    def _chunks(self, c: Code, w: Workspace, tiles: int) -> int:
        """Room for every chunk's gradients, and for the weights by out-edge; gives the number of chunks."""
        chunks, size = min(tiles, CHUNKS), self.dtype.itemsize
        steps = [-(-n * size // 128) * 128 for n in (self.plan.n_edges, self.plan.n_nodes)]
        w.set(
            chunks=chunks,
            chunk_weight=w.room("chunk_weight", chunks * steps[0]),
            chunk_weight_step=steps[0],
            chunk_bias=w.room("chunk_bias", chunks * steps[1]),
            chunk_bias_step=steps[1],
            turned=w.room("turned", self.plan.n_edges * size),
        )
        return chunks

    def _give_gradient(self, w: Workspace, out: Array) -> None:
        p, size = self.plan, self.dtype.itemsize
        if p.direct:
            w.set(
                grad_weight=out.ctypes.data,
                grad_bias=out.ctypes.data + p.n_edges * size,
                bias_from=len(p.inputs),
            )
        else:
            w.set(
                grad_theta=out.ctypes.data,
                grad_weight=w.room("grad_weight", p.n_edges * size),
                grad_bias=w.room("grad_bias", p.n_nodes * size),
                bias_from=0,
            )


def _run(w: Workspace, threads: int) -> None:
    """Run a frame on this thread and, where they are free, helpers."""
    helpers = pool.pool(pool.native(function("serve", pool.serve))) if threads > 1 else None
    board = helpers.enter(threads) if helpers else 0
    try:
        pool.native(function("conduct", pool.conduct))(w.address, board, threads)
    finally:
        if helpers and board:
            helpers.leave()


def _run_aside(w: Workspace, threads: int) -> None:
    """Run a frame on another thread, so that this one can be interrupted; the frame is at rest when this returns."""
    done = threading.Semaphore(0)

    def work() -> None:
        try:
            _run(w, threads)
        finally:
            done.release()

    threading.Thread(target=work, name="flowgrad-step", daemon=True).start()
    try:
        done.acquire()
    except BaseException:
        w.stop[0] = 1
        done.acquire()
        raise
