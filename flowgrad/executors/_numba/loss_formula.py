"""Kernels of losses by their scalar formulas, as `losses` describes them: number by number, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.executors._numba.compiled import kernel
from flowgrad.executors._numba.memory import f64_at, i32_at, put_f64
from flowgrad.executors._numba.records import net_at, tile_at
from flowgrad.executors._numba.scalar import called
from flowgrad.executors._numba.simd import lanes_of, put_real, real_at, size_of

f, df = called("f"), called("df")
"""A spec's formulas."""


@kernel
def separate(spec: Any, net: int, tile: int, t: int, t_step: int, t_next: int, sample_weight: int) -> None:
    """A loss whose terms l_n read y_n and t_n alone, number by number.

    Args:
        t: address of targets (B, O), with the bytes from sample to sample and from output to output.
        sample_weight: address of (B,) reals, or 0: every sample then counts once.
    """
    n, w, lanes = net_at(net), tile_at(tile), lanes_of(spec)
    total = 0.0
    for k in range(n.outputs):
        y_row, base = w.A + i32_at(n.output, k) * size_of(spec), w.G + (k + 1) * size_of(spec)
        for lane in range(w.count):
            share = np.float64(real_at(spec, sample_weight, w.begin + lane)) if sample_weight != 0 else 1.0
            y = np.float64(real_at(spec, y_row, lane))
            wanted = np.float64(real_at(spec, t + (w.begin + lane) * t_step + k * t_next, 0))
            total += share * float(f(spec, y, wanted))
            put_real(spec, base, lane, share * float(df(spec, y, wanted)))
        for lane in range(w.count, lanes):
            put_real(spec, base, lane, 0.0)
    put_f64(w.loss, 0, f64_at(w.loss, 0) + total)


@kernel
def coupled(spec: Any, net: int, tile: int, t: int, t_step: int, t_next: int, sample_weight: int) -> None:
    """A loss whose terms read the differences between a sample's outputs; the arguments are those of `separate`.

    Of each sample the largest y is subtracted; lse = log Σ_n e^{y_n} of what is left, as in `losses.log_partition`.
    """
    n, w, lanes = net_at(net), tile_at(tile), lanes_of(spec)
    total = 0.0
    for lane in range(w.count):
        share = np.float64(real_at(spec, sample_weight, w.begin + lane)) if sample_weight != 0 else 1.0
        targets, top, first, mass = t + (w.begin + lane) * t_step, -np.inf, 0, 0.0
        for k in range(n.outputs):
            y = np.float64(real_at(spec, w.A + i32_at(n.output, k) * size_of(spec), lane))
            if top == top and (y > top or y != y):
                top, first = y, k
            mass += np.float64(real_at(spec, targets + k * t_next, 0))
        finite = top - top == 0.0
        shift, others, largest = top if finite else 0.0, 0.0, 0.0
        for k in range(n.outputs):
            e = np.exp(np.float64(real_at(spec, w.A + i32_at(n.output, k) * size_of(spec), lane)) - shift)
            others += 0.0 if k == first else e
            largest = e if k == first else largest
        lse = np.log1p(others) if finite else np.log(others + largest)
        for k in range(n.outputs):
            y = np.float64(real_at(spec, w.A + i32_at(n.output, k) * size_of(spec), lane)) - shift
            wanted = np.float64(real_at(spec, targets + k * t_next, 0))
            total += share * float(f(spec, y, wanted, lse))
            put_real(spec, w.G + (k + 1) * size_of(spec), lane, share * float(df(spec, y, wanted, lse, mass)))
    for k in range(n.outputs):
        for lane in range(w.count, lanes):
            put_real(spec, w.G + (k + 1) * size_of(spec), lane, 0.0)
    put_f64(w.loss, 0, f64_at(w.loss, 0) + total)
