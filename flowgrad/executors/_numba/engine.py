"""Calls into machine code for one part of a plan: what they read, and what they run."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from flowgrad.errors import ExecutorError
from flowgrad.executor import Adjoint, Array, Request, Saved
from flowgrad.executors._numba import cores, machine, operands, passes, phases, pool, running, sweeps
from flowgrad.executors._numba.code import Code, code
from flowgrad.executors._numba.frame import AGGREGATED, AHEAD
from flowgrad.executors._numba.layout import RUN_ROWS, WHOLE_ROWS, layout
from flowgrad.executors._numba.memory import LINE
from flowgrad.executors._numba.part import Part
from flowgrad.executors._numba.workspace import ABSENT, PLACE, Phase, Workspace, address, samples
from flowgrad.plan import Plan
from flowgrad.recycling import Recycler

WIDE = 128
"""Bytes of a row of a tile."""
CHUNKS = 8
"""Chunks of tiles at most: each has a gradient of its own until they are added up, in their order."""
LEAST = 32
"""Samples that a chunk has at least, where there are so many: every further gradient goes through memory twice."""
ALONE = 200_000
"""Edges · samples below which a call wakes no other thread."""
LONG = 600_000_000
"""Edges · samples from which on a call of the main thread leaves the work to others, to hear Ctrl-C."""
TAKEN = PLACE["taken"]
"""Where a frame says whether a call was taken."""


class Engine:
    """One part of a network in machine code that was compiled before it, and without knowing it."""

    def __init__(self, plan: Plan, request: Request, part: Part) -> None:
        self.plan, self.dtype, self.loss = plan, request.dtype, request.loss
        self.threads = request.threads or cores.available()
        self.part, self._layout = part, layout(plan, part)
        self._fused = plan.activations[self._layout.fused].name if self._layout.fused >= 0 else ""
        self._response = self._layout.response.astype(self.dtype)
        self._direct, self._weights_size = plan.direct, plan.n_edges * self.dtype.itemsize
        self._bias_offset = self._weights_size - len(plan.inputs) * self.dtype.itemsize
        self._work = int((part.in_end - part.in_begin).sum()) + 8 * part.n_nodes
        self._static = self._frame()
        self._idle: dict[int, list[Workspace]] = {}
        self._recent: list[Workspace] = []
        self._tables: dict[Any, Array] = {}
        self._arrays = Recycler()

    # ---- what is asked of it, as in the protocol; `forward` is for a part that is whole -------------------------

    def forward(self, theta: Array, x: Array) -> Saved:
        """Equations (1)–(3)."""
        V, B = self.plan.n_nodes, len(x)
        z, a = self._arrays.empty((V, B), self.dtype), self._arrays.empty((V, B), self.dtype)
        w = self._borrow(B)
        c = w.code
        if w.use != ("forward", B):
            w.set(activation=self._table(c, "value"), forward=self._sweep(c, sweeps.forward), fused_forward=0)
            w.run(self._gather(c, w), Phase(c.kernel(phases.trace), w.get("tiles")))
            w.use = "forward", B
        w.set_operands(self._parameters(w, theta), samples(x))
        w.set(z=address(z), a=address(a), node_step=z.strides[0])
        self._go(w, B)
        self._put_back(w)
        return Saved(z, a)

    def backward(self, theta: Array, saved: Saved, dy: Array) -> Adjoint:
        """Equations (5)–(10): `saved`, dy and what it gives by node have a row or column each of the part's alone."""
        V, E, B = self.plan.n_nodes, self.plan.n_edges, len(dy)
        n = self._layout.part.n_nodes
        z, dy = np.ascontiguousarray(saved.z), np.ascontiguousarray(dy)
        dz, da = self._arrays.empty((n, B), self.dtype), self._arrays.empty((n, B), self.dtype)
        weight, bias = self._arrays.empty(E, self.dtype), self._arrays.empty(V, self.dtype)
        w = self._borrow(B)
        c = w.code
        if w.use != ("backward", B):
            w.set(activation=self._table(c, "both"), slope=self._table(c, "slope"), bias_from=0)
            w.set(backward=self._sweep(c, sweeps.backward), fused_backward=0)
            for k, work in enumerate(w.works):
                work["DA"] = w.room(f"DA{k}", n * c.lanes.size)
            self._run_both_ways(c, w, phases.adjoint)
            w.use = "backward", B
        gradients = address(weight), address(bias), 0
        w.set_operands(self._parameters(w, theta), y=samples(dy), gradients=gradients)
        w.set(z=address(z), dz=address(dz), da=address(da), node_step=z.strides[0])
        self._go(w, B)
        self._put_back(w)
        return Adjoint(dz, da, weight, bias)

    def predict(self, theta: Array, x: Array) -> Array:
        """The outputs alone; memory for a tile a thread."""
        B = len(x)
        y = self._arrays.empty((B, len(self.plan.outputs)), self.dtype)
        w = self._borrow(B)
        c = w.code
        if w.use != ("predict", B):
            self._set_forward(c, w, "value")
            w.run(self._gather(c, w), Phase(c.kernel(phases.predict), w.get("tiles")))
            w.use = "predict", B
        w.set_operands(self._parameters(w, theta), samples(x), y=samples(y))
        self._go(w, B)
        self._put_back(w)
        return y

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """The summed loss times `scale`, its gradient times `scale` into `out`."""
        B = len(x)
        w = self._borrow(B)
        c = w.code
        if w.use != ("value_and_grad", B):
            self._prepare_gradient(c, w)
            w.use = "value_and_grad", B
        to = address(out)
        w.set_operands(
            self._parameters(w, theta),
            samples(x),
            samples(t),
            ABSENT,
            0 if sample_weight is None else address(sample_weight),
            scale,
            (to, to + self._weights_size, 0) if self._direct else (*w.gradients, to),
        )
        self._go(w, B)
        loss = w.summed_loss() * scale
        self._put_back(w)
        return loss

    def ready_predict(self, theta: Any, x: Any) -> Array | None:
        """`predict` of what is ready, see `operands`; None where it is not, or the last call was another."""
        w = self._last("predict")
        if w is None:
            return None
        y = self._arrays.empty((w.get("batch"), len(self.plan.outputs)), self.dtype)
        taken = self._enter(w, operands.NOTHING, theta, x, y, y)
        self._put_back(w)
        return y if taken else None

    def ready_value_and_grad(self, theta: Any, x: Any, t: Any, out: Any, mean: bool) -> float | None:
        """`value_and_grad` of what is ready, summed or as a mean; None as above."""
        w = self._last("value_and_grad")
        if w is None:
            return None
        taken = self._enter(w, operands.MEAN if mean else operands.SUM, theta, x, t, out)
        loss = w.summed_loss() * (1.0 / w.get("batch") if mean else 1.0) if taken else None
        self._put_back(w)
        return loss

    def _prepare_gradient(self, c: Code, w: Workspace) -> None:
        """What a step reads besides samples and θ."""
        p, size = self.plan, self.dtype.itemsize
        if self.loss is None:
            raise ExecutorError("the kernel was compiled without a loss")
        self._set_forward(c, w, "both")
        partial = w.get("batch") % c.lanes.n != 0
        fused = self._sweep(c, sweeps.fused_backward, partial, self._fused) if self._fused else 0
        w.set(slope=self._table(c, "slope"), backward=self._sweep(c, sweeps.backward, partial), fused_backward=fused)
        w.set(loss=c.loss(self.loss), bias_from=len(p.inputs) if p.direct else 0)
        if not p.direct:
            w.gradients = w.room("grad_weight", p.n_edges * size), w.room("grad_bias", p.n_nodes * size)
        self._run_both_ways(c, w, phases.step, None if p.direct else Phase(c.kernel(passes.fold), 1))

    def _run_both_ways(self, c: Code, w: Workspace, sweep: Any, last: Phase | None = None) -> None:
        """The phases of a backward sweep, and of what it leaves: gradients to be added up and turned back.

        With dense runs, a chunk takes one tile a round, and these are then multiplied.
        """
        l, pieces, chunks = self._layout, w.get("pieces"), self._chunks(w)
        at_once = 1 if len(l.dense) else w.get("tiles")
        added, back = w.get("added_pieces"), w.get("back_pieces")
        w.set(at_once=at_once)
        w.run(
            self._gather(c, w),
            again=(
                Phase(c.kernel(sweep), chunks, c.kernel(passes.meanwhile) if len(l.out_edge) else 0),
                Phase(c.kernel(passes.multiply), len(l.dense)) if len(l.dense) else None,
            ),
            rounds=-(-w.get("tiles") // (chunks * at_once)),
            then=(
                Phase(c.kernel(passes.add_up), pieces, 0, added) if len(l.out_edge) and chunks > 1 else None,
                Phase(c.kernel(passes.turn_back), pieces, 0, back),
                last,
            ),
        )

    # ---- a call ---------------------------------------------------------------------------------------------

    def _borrow(self, batch: int) -> Workspace:
        """A workspace for a batch of this size; `_put_back` when all is well: after an error it may be half filled."""
        wide = WIDE // self.dtype.itemsize
        n = wide // 4 if batch <= wide // 4 else wide
        try:
            w = self._idle[n].pop()
        except LookupError:
            w = self._workspace(code(self.dtype, n))
        if w.get("batch") != batch:
            w.set(batch=batch, tiles=-(-batch // n))
        return w

    def _put_back(self, w: Workspace) -> None:
        """For the next call."""
        idle = self._idle.setdefault(w.code.lanes.n, [])
        idle.append(w)
        self._recent = idle  # last, and never read here: another thread may set it meanwhile

    def _last(self, kind: str) -> Workspace | None:
        """Borrow the workspace of the last call, if that was of this kind, and none that `running.run_aside` is for."""
        idle = self._recent
        try:
            w = idle.pop()
        except IndexError:
            return None
        if w.use[0] == kind and w.threads and operands.readable():
            return w
        idle.append(w)
        return None

    def _enter(self, w: Workspace, wanted: int, theta: Any, x: Any, samples: Any, gradient: Any) -> bool:
        """Run a frame with these operands, as often before with others; False if they are not what it is for."""
        board = running.board(w.threads)
        operands.entrance()(w.address, board, w.threads, wanted, theta, x, samples, gradient)
        return bool(w.frame[TAKEN])

    def _set_forward(self, c: Code, w: Workspace, kind: str) -> None:
        """The sweep that makes a ("value"), or a and what σ'(z) is found from ("both"), of every neuron."""
        fused = self._sweep(c, sweeps.fused_forward, self._fused, kind == "both") if self._fused else 0
        w.set(activation=self._table(c, kind), forward=self._sweep(c, sweeps.forward), fused_forward=fused)

    def _sweep(self, c: Code, make: Any, *settings: Any) -> int:
        """A sweep, which fetches ahead where the rows that an edge needs lie a quarter of a core's own cache away."""
        far = self._layout.reach * c.lanes.size > machine.own_cache() // 4
        return c.kernel(make, AHEAD if far else 0, *settings)

    def _go(self, w: Workspace, batch: int) -> None:
        """Run the frame, on as many threads as it is worth."""
        work = self._work * batch
        threads = 1 if work < ALONE else len(w.works)
        w.stop[0], w.threads = 0, threads if work < LONG else 0
        if work >= LONG and threading.current_thread() is threading.main_thread():
            running.run_aside(w, threads)
        else:
            running.run(w, threads)

    def _workspace(self, c: Code) -> Workspace:
        w = Workspace(c, self._static, min(self.threads, pool.HELPERS + 1))
        l, row = self._layout, c.lanes.size
        for k, work in enumerate(w.works):
            work["A"] = w.room(f"A{k}", l.rows * row)
            work["D"] = w.room(f"D{k}", l.part.n_nodes * row)
            work["stack"] = w.room(f"stack{k}", l.part.n_nodes * row)
            work["G"] = w.room(f"G{k}", l.bases * row)
            work["S"] = w.room(f"S{k}", max(RUN_ROWS, WHOLE_ROWS) * row)
            work["mask"] = w.room(f"mask{k}", row)
            for name in ("shift", "lse", "mass", "share"):
                work[name] = w.room(f"{name}{k}", 8 * c.lanes.n)
            for name in ("terms", "slopes"):
                work[name] = w.room(f"{name}{k}", 8 * l.max_fan_in)
        w.set(gather=self._table(c, "gather"), spread=self._table(c, "spread"))
        if len(l.dense):
            w.set(whole_forward=c.kernel(sweeps.whole_forward), whole_backward=c.kernel(sweeps.whole_backward))
        return w

    # ---- the frame ------------------------------------------------------------------------------------------

    def _frame(self) -> Array:
        """What never changes: sizes and the arrays of the plan and its layout."""
        p, l, part = self.plan, self._layout, self._layout.part
        frame = np.zeros(len(PLACE), np.int64)
        values = {
            "nodes": part.n_nodes,
            "positions": p.n_nodes,
            "inputs": len(p.inputs),
            "outputs": len(part.outputs),
            "edges": p.n_edges,
            "runs": len(l.run_kind),
            "places": len(l.out_edge),
            "bases": l.bases,
            "parameters": p.n_parameters,
            "pieces": len(l.lowest),
            "all_dense": l.all_dense,
            "out_begin": address(l.out_ptr) + 8,
            "array_type": id(np.ndarray),
            "dtype": id(self.dtype),
            "real": self.dtype.itemsize,
            "direct": p.direct,
            "bias_offset": self._bias_offset,
            "weights_size": self._weights_size,
        }
        arrays: dict[str, Array] = {
            "position": part.position,
            "node": part.node,
            "in_begin": part.in_begin,
            "in_end": part.in_end,
            "out_end": l.out_ptr,
            "in_source": l.in_source,
            "out_row": l.out_row,
            "out_edge": l.out_edge,
            "out_place": l.out_place,
            "lowest": l.lowest,
            "run_begin": l.run_begin,
            "run_kind": l.run_kind,
            "run_activation": l.run_activation,
            "run_dense": l.run_dense,
            "dense": l.dense,
            "dense_base": l.dense_base,
            "iota": l.iota,
            "output": l.output,
            "base_row": l.base,
            "message": l.message,
            "response": self._response,
            "weight_slot": p.weight_slot,
            "bias_slot": p.bias_slot,
            "frozen_weight": p.weight,
            "frozen_bias": p.bias,
        }
        for name, value in values.items():
            frame[PLACE[name]] = value
        for name, array in arrays.items():
            assert array.flags.c_contiguous, name
            frame[PLACE[name]] = address(array)
        return frame

    def _table(self, c: Code, kind: str) -> int:
        """The address of a table of functions by code."""
        table = self._tables.get((kind, c.key))
        if table is None:
            used = set(self._layout.run_kind.tolist())
            if kind in ("value", "both"):
                functions = [c.activation(sigma, kind == "both") for sigma in self.plan.activations]
            elif kind == "slope":
                functions = [c.slope(sigma) for sigma in self.plan.activations]
            else:
                make = c.gather if kind == "gather" else c.spread
                functions = [make(g) if AGGREGATED + k in used else 0 for k, g in enumerate(self.plan.aggregations)]
            made = np.array(functions, np.int64)
            table = self._tables.setdefault((kind, c.key), made)  # another thread's may be in use already
        return address(table)

    def _parameters(self, w: Workspace, theta: Array) -> tuple[int, int, int]:
        """Where θ, w and b are: in θ itself, or where a step gathers them."""
        at = address(theta)
        return (at, at, at + self._bias_offset) if self._direct else (at, *w.parameters)

    def _gather(self, c: Code, w: Workspace) -> Phase | None:
        """The phase that makes w and b from θ, where they do not stand in it."""
        p, size = self.plan, self.dtype.itemsize
        if p.direct:
            return None
        w.parameters = w.room("weight", p.n_edges * size), w.room("bias", p.n_nodes * size)
        return Phase(c.kernel(passes.gather), w.get("pieces"))

    def _chunks(self, w: Workspace) -> int:
        """Room for every chunk's gradients, and for the weights by out-edge; gives the number of chunks."""
        l, chunks, size = self._layout, min(-(-w.get("batch") // LEAST), CHUNKS), self.dtype.itemsize
        pieces = len(l.lowest)
        steps = [-(-n * size // 128) * 128 for n in (l.zero + 4, l.part.n_nodes + 4)]  # read in fours
        words = 3 * pieces + chunks * LINE // 8
        progress = w.room("progress", 8 * words)
        w.set(
            turned_pieces=progress,
            added_pieces=progress + 8 * pieces,
            back_pieces=progress + 16 * pieces,
            passed=progress + 24 * pieces,
            progress=words,
            chunks=chunks,
            kept=w.room("kept", chunks * l.kept * w.code.lanes.size),
            kept_step=l.kept * w.code.lanes.size,
            chunk_weight=w.room("chunk_weight", chunks * steps[0]),
            chunk_weight_step=steps[0],
            chunk_bias=w.room("chunk_bias", chunks * steps[1]),
            chunk_bias_step=steps[1],
            turned=w.room("turned", l.zero * size),
        )
        return chunks
