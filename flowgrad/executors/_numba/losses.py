"""Losses and base cases over one tile: equations (4) and (9), from the formulas of maths/losses, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowgrad.executors._numba.frame import frame_at, work_at
from flowgrad.executors._numba.memory import f64_at, i32_at, put_f64
from flowgrad.executors._numba.vectors import Lanes


def loss(
    lanes: Lanes,
    f: Callable[..., float],
    df: Callable[..., float],
    coupled: bool,
) -> Callable[[int, int, int], None]:
    """loss(frame, work, _): the tile's loss added to its chunk's, the base cases ∂L/∂y_n into G."""
    N, ROW, real_at, put_real = lanes.n, lanes.size, lanes.real_at, lanes.put_real

    def log_sum_exp(net: Any, tile: Any) -> None:
        """log Σ_n e^{y_n}, the largest taken out first, and Σ_n t_n of each sample (maths.losses.logsumexp)."""
        for lane in range(tile.count):
            top, mass = -np.inf, 0.0
            for n in range(net.outputs):
                y = float(real_at(tile.A + i32_at(net.output, n) * ROW, lane))
                if y > top or y != y:
                    top = y
                mass += real_at(net.t + (tile.begin + lane) * net.t_step + n * net.t_next, 0)
            shift = top if top - top == 0.0 else 0.0
            total = 0.0
            for n in range(net.outputs):
                total += np.exp(float(real_at(tile.A + i32_at(net.output, n) * ROW, lane)) - shift)
            put_f64(tile.lse, lane, np.log(total) + shift)
            put_f64(tile.mass, lane, mass)

    def rows(frame: int, work: int, _: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for lane in range(tile.count):
            given = net.sample_weight != 0
            put_f64(tile.share, lane, real_at(net.sample_weight, tile.begin + lane) if given else 1.0)
            put_f64(tile.lse, lane, -np.inf)
            put_f64(tile.mass, lane, 0.0)
        if coupled:
            log_sum_exp(net, tile)
        total = 0.0
        for n in range(net.outputs):
            y_row, base = tile.A + i32_at(net.output, n) * ROW, tile.G + (n + 1) * ROW
            t_row = net.t + tile.begin * net.t_step + n * net.t_next
            for lane in range(tile.count):
                y, t = float(real_at(y_row, lane)), float(real_at(t_row + lane * net.t_step, 0))
                lse, mass, share = f64_at(tile.lse, lane), f64_at(tile.mass, lane), f64_at(tile.share, lane)
                total += share * f(y, t, lse)
                put_real(base, lane, share * net.scale * df(y, t, lse, mass))
            for lane in range(tile.count, N):
                put_real(base, lane, 0.0)
        put_f64(tile.loss, 0, f64_at(tile.loss, 0) + total)

    return rows
