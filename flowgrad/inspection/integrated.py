"""Integrated gradients and conductance, (13): gradients along the line from a baseline to each sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.arguments import plain
from flowgrad.errors import ShapeError
from flowgrad.executor import Array
from flowgrad.inspection.passes import Passes
from flowgrad.program import Program

LEVELS = 4  # trapezoid widths that Romberg's extrapolation combines: 1, 2, 4 and 8 steps


def baseline_of(program: Program, given: Any) -> Array:
    """Return the baseline x', (I,), where the line of integration begins; zeros for None.

    Raises:
        ShapeError, DataError, UnknownNameError: it is not a vector of I numbers, or a number for each input by name.
    """
    if given is None:
        return np.zeros(len(program.inputs), program.dtype)
    if isinstance(given, Mapping):
        given = {name: [value] for name, value in given.items()}
    elif np.shape(given) != (len(program.inputs),):
        raise ShapeError(f"baseline has shape {np.shape(given)}: must be ({len(program.inputs)},), a value an input")
    else:
        given = plain(given, "baseline")[None]
    row: Array = batch.table(given, program.inputs, "baseline", "input", program.dtype)[0]
    return row


def along(passes: Passes, start: Array, steps: int) -> Iterator[tuple[slice, int, Array, float]]:
    """Yield, for each part of the samples and output number n: rows, n, c of (13) (V, b), largest completeness gap.

    A part holds about `passes.rows` points of all its lines, but at least one line of steps + 1 points.
    """
    program, x = passes.program, passes.x
    s = np.linspace(0.0, 1.0, steps + 1)[:, None]
    at_once = max(1, passes.rows // (steps + 1))
    for first in range(0, len(x), at_once):
        rows = slice(first, min(first + at_once, len(x)))
        line = start + s * (x[rows, None, :] - start)  # (b, steps + 1, I)
        acts = program.forward(line.reshape(-1, line.shape[2]), passes.theta)
        t = None if passes.t is None else np.repeat(passes.t[rows], steps + 1, axis=0)
        shape = program.plan.n_nodes, len(line), steps + 1
        a = acts.a.array.reshape(shape).astype(np.float64)
        for n in range(len(passes.names)):
            da = passes.backward(acts, range(n, n + 1), t).reshape(shape).astype(np.float64)
            y = passes.value(acts, n, t).reshape(shape[1:])
            with np.errstate(all="ignore"):  # NaN and inf propagate
                c = stieltjes(da, passes.taking_part(a, n))
                missing = np.abs(c[program.plan.inputs].sum(axis=0) - (y[:, -1] - y[:, 0])).max()
            yield rows, n, c, float(missing)


def stieltjes(g: Array, a: Array) -> Array:
    """Integrate ∫ g da along the last axis, m + 1 points, by trapezoids at four widths and Romberg's extrapolation.

    Each sum Σ ½(g_k + g_{k+1})(a_{k+1} − a_k) has an error in even powers of the width where both are smooth; four
    widths leave an error of order 8. No derivative of a is needed, and where g is 1 the sum is exact.

    >>> s = np.linspace(0.0, 1.0, 33)
    >>> float(abs(stieltjes(np.exp(s), np.sin(s)) - (np.exp(1) * (np.sin(1) + np.cos(1)) - 1) / 2)) < 1e-12
    True
    """
    table = []
    for level in range(LEVELS):
        wide, high = a[..., :: 2**level], g[..., :: 2**level]
        table.append(0.5 * ((high[..., 1:] + high[..., :-1]) * np.diff(wide)).sum(axis=-1))
    for order in range(1, LEVELS):
        table = [fine + (fine - coarse) / (4**order - 1) for fine, coarse in pairwise(table)]
    return np.asarray(table[0])
