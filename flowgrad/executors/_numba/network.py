"""Net: the record of a part of a plan that kernels read, with the addresses of its arrays and its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executors._numba import aggregate, backward, forward, losses, parameters, runs, steps
from flowgrad.executors._numba.compiled import address
from flowgrad.executors._numba.layout import Layout
from flowgrad.executors._numba.records import AGGREGATED, AHEAD, FUSED, NET, WIDE
from flowgrad.executors._numba.spec import Spec
from flowgrad.locks import reentrant_lock
from flowgrad.maths.losses import Loss
from flowgrad.plan import Plan

I = types.int64
FAR = 1 << 18
"""Bytes: sweeps prefetch rows if the ends of an edge lie further apart on average, too far for the first caches."""
GRADIENTS, FUSING = ("step", "pull", "adjoint"), ("predict", "keep", "step", "pull")
"""Kinds of calls that sweep backward, and those that fuse the commonest activation, unless they drop neurons."""


class Net:
    """NET record for rows of `lanes` reals. `need` compiles or loads kernels; `scratch`: bytes of a tile's `terms`."""

    def __init__(self, plan: Plan, dtype: np.dtype[Any], lanes: int, layout: Layout, loss: Loss | None) -> None:
        self.plan, self.dtype, self.lanes, self._layout, self._loss = plan, dtype, lanes, layout, loss
        self._record: Any = np.zeros((), NET)
        self._arrays: list[Any] = []
        self._ready: set[tuple[str, bool]] = set()
        self._lock = reentrant_lock()
        self._fill()
        self.address = int(self._record.ctypes.data)
        self.scratch = aggregate.ROOM * lanes * layout.max_fan_in

    def need(self, kind: str, drops: bool) -> None:
        """Compile or load the kernels of calls of this kind, with or without dropout, and record their addresses."""
        if (kind, drops) in self._ready:
            return
        with self._lock:
            gradient, fused = kind in GRADIENTS, kind in FUSING and not drops
            spec = Spec(self.dtype, self.lanes, sigma=self._layout.fused).type
            if kind != "adjoint":
                self._record["forward"] = address(forward.sweep, spec, I, I, I, I, I, I)
            if gradient:
                self._record["backward"] = address(backward.sweep, spec, I, I, I, I, I, I)
            for item in self._items(kind):
                self._record[item.__name__] = address(item, Spec(self.dtype, WIDE // self.dtype.itemsize).type, I, I, I)
            if kind == "step":
                assert self._loss is not None
                self._record["loss"] = losses.address_of(self._loss, self.dtype, self.lanes)
            self._functions(gradient, fused)
            self._ready.add((kind, drops))

    def _items(self, kind: str) -> list[Any]:
        """List the kernels of the items of all phases of a kind of call, but for `backward.multiply`."""
        passes = [parameters.permute, parameters.add, parameters.unpermute] if kind in GRADIENTS else []
        tiles = [steps.step_chunk if kind in GRADIENTS else steps.predict_tile]
        if self.plan.direct:
            return passes + tiles
        return passes + tiles + [parameters.collect] + ([parameters.fold] if kind in ("step", "pull") else [])

    def _functions(self, gradient: bool, fused: bool) -> None:
        """Record the addresses of kernels that sweeps call: of activations not fused, aggregations and dense runs."""
        l, r = self._layout, self._record
        kinds = l.arrays["run_kind"]
        alone = (kinds != FUSED) | (not fused)
        for code in np.unique(l.arrays["run_activation"][alone]).tolist():
            sigma = self.plan.activations[code]
            self._activate[code] = runs.activation(sigma, self.dtype)
        for code in (np.unique(kinds[kinds >= AGGREGATED]) - AGGREGATED).tolist():
            aggregation = self.plan.aggregations[code]
            self._gather[code] = aggregate.gathers(aggregation, self.dtype, self.lanes)
            if gradient:
                self._spread[code] = aggregate.spreads(aggregation, self.dtype, self.lanes, l.max_fan_in)
        if not l.sizes["dense_runs"]:
            return
        spec = Spec(self.dtype, self.lanes).type
        r["whole_forward"] = address(forward.whole_run, spec, I, I, I, I, I)
        if gradient:
            r["whole_backward"] = address(backward.whole_run, spec, I, I, I, I)
            r["multiply"] = address(backward.multiply, spec, I, I, I)

    def _fill(self) -> None:
        """Set the record's sizes and addresses of arrays, which never change; `need` fills the tables of kernels."""
        l, p = self._layout, self.plan
        self._activate = np.zeros(len(p.activations), np.int64)
        self._gather, self._spread = (np.zeros(len(p.aggregations), np.int64) for _ in range(2))
        tables = {"activate": self._activate, "gather": self._gather, "spread": self._spread}
        far = l.reach * self.lanes * self.dtype.itemsize > FAR
        for name, value in (l.sizes | {"lanes": self.lanes, "ahead": AHEAD if far else 0}).items():
            self._record[name] = value
        for name, array in (l.arrays | tables).items():
            array = array.astype(self.dtype) if array.dtype == np.float64 else array
            assert array.flags.c_contiguous, name
            self._arrays.append(array)  # keeps it alive while its address is in use
            self._record[name] = array.ctypes.data
