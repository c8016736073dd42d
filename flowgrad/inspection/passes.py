"""Reverse passes for single outputs or for the loss; the passes of several outputs run as one batch."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.executor import Array
from flowgrad.inspection.local import base_cases
from flowgrad.program import Program

VALUES = 1_000_000  # largest nodes · samples in one part of X, of at least one sample, to bound memory
ROWS = 256  # rows of a full pass; where a part has fewer samples, several outputs share one pass
TILE = 16  # rows up to which outputs share a pass of a network of any size: the lanes of a tile in float64


class Passes:
    """Reverse passes for N outputs, or for the loss if T is given, over the samples x.

    x       (B, I) inputs, in the program's dtype
    names   N ids of outputs
    rows    number of samples in one part
    """

    def __init__(self, program: Program, x: Array, names: tuple[Hashable, ...], T: Any, theta: Any) -> None:
        self.program, self.x, self.names, self.theta = program, x, names, theta
        self.rows = max(1, VALUES // program.plan.n_nodes)
        self.t: Array | None = None
        if T is None:
            self.places = [program.outputs.index(name) for name in names]
        else:
            loss = program._need_loss()
            self.t = batch.targets(T, program.outputs, len(x), loss, np.dtype(np.float64))
            if loss.of_batch:  # its terms read other samples
                self.rows = len(x)

    def run(self, rows: slice) -> Iterator[tuple[int, Array, Array]]:
        """Yield n, a (V, b) and ∂y_n/∂a (V, b), float64, for each output number n, over these b rows."""
        x = self.x[rows]
        together = max(1, min(ROWS, max(self.rows, TILE)) // len(x)) if self.t is None else 1
        for first in range(0, len(self.names), together):
            group = range(first, min(first + together, len(self.names)))
            if first == 0 or len(group) > 1 or together > 1:
                acts = self.program.forward(np.tile(x, (len(group), 1)), self.theta)
            da = self.backward(acts, group, None if self.t is None else self.t[rows])
            a = acts.a.array[:, : len(x)].astype(np.float64, copy=False)
            for k, n in enumerate(group):
                yield n, self.taking_part(a, n), da[:, k * len(x) : (k + 1) * len(x)].astype(np.float64, copy=False)

    def backward(self, acts: Any, group: range, t: Array | None) -> Array:
        """Return ∂y_n/∂a, (V, g·b): a block of b columns for each of the group's g outputs; with targets ∂L/∂a."""
        if t is not None:
            return self.program.backward(acts, t).da.array
        rows = acts.a.array.shape[1]
        of_row = np.repeat([self.places[n] for n in group], rows // len(group))
        cotangent = (of_row[:, None] == np.arange(len(self.program.outputs))).astype(np.float64)
        da = self.program.backward(acts, cotangent=cotangent).da.array
        if len(group) == 1 or np.isfinite(da).all():
            return da
        alone = np.empty_like(da)  # one output a pass: no 0 · inf at nodes of others
        for place in {self.places[n] for n in group}:
            mine = of_row == place
            only = np.where(mine[:, None], cotangent, 0.0)
            alone[:, mine] = self.program.backward(acts, cotangent=only).da.array[:, mine]
        return alone

    def taking_part(self, a: Array, n: int) -> Array:
        """Return a (V, …); if not all finite, with 0 at nodes without a path to output n, against 0 · inf = NaN."""
        plan = self.program.plan
        wanted = None if self.t is not None else np.arange(len(plan.outputs)) == self.places[n]
        live = plan.live(wanted)
        return a if live is None or np.isfinite(a).all() else np.where(live.reshape(-1, *[1] * (a.ndim - 1)), a, 0.0)

    def value(self, acts: Any, n: int, t: Array | None) -> Array:
        """Return (rows,) float64 y_n, or with targets the loss of each sample."""
        y = acts.output.astype(np.float64)
        if t is None:
            return np.asarray(y[:, self.places[n]])
        return np.asarray(base_cases(self.program, y, t)[1].sum(axis=1))
