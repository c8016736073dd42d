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

    def partition(net: Any, tile: Any) -> None:
        """Of each sample what is taken out of y, log Σ_n e^{y_n} of what is left, and Σ_n t_n (`log_partition`)."""
        for lane in range(tile.count):
            top, first, mass = -np.inf, 0, 0.0
            for n in range(net.outputs):
                y = float(real_at(tile.A + i32_at(net.output, n) * ROW, lane))
                if top == top and (y > top or y != y):
                    top = y
                    first = n
                mass += real_at(net.t + (tile.begin + lane) * net.t_step + n * net.t_next, 0)
            finite = top - top == 0.0
            shift = top if finite else 0.0
            others, largest = 0.0, 0.0
            for n in range(net.outputs):
                e = np.exp(float(real_at(tile.A + i32_at(net.output, n) * ROW, lane)) - shift)
                others += 0.0 if n == first else e
                largest = e if n == first else largest
            put_f64(tile.shift, lane, shift)
            put_f64(tile.lse, lane, np.log1p(others) if finite else np.log(others + largest))
            put_f64(tile.mass, lane, mass)

    if coupled:

        def value(y: float, t: float, shift: float, lse: float) -> float:
            return f(y - shift, t, lse)

        def slope(y: float, t: float, shift: float, lse: float, mass: float) -> float:
            return df(y - shift, t, lse, mass)
    else:

        def value(y: float, t: float, shift: float, lse: float) -> float:
            return f(y, t)

        def slope(y: float, t: float, shift: float, lse: float, mass: float) -> float:
            return df(y, t)

    def rows(frame: int, work: int, _: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for lane in range(tile.count):
            given = net.sample_weight != 0
            put_f64(tile.share, lane, real_at(net.sample_weight, tile.begin + lane) if given else 1.0)
        if coupled:
            partition(net, tile)
        total = 0.0
        for n in range(net.outputs):
            y_row, base = tile.A + i32_at(net.output, n) * ROW, tile.G + (n + 1) * ROW
            t_row = net.t + tile.begin * net.t_step + n * net.t_next
            for lane in range(tile.count):
                y, t = float(real_at(y_row, lane)), float(real_at(t_row + lane * net.t_step, 0))
                shift, share = f64_at(tile.shift, lane), f64_at(tile.share, lane)
                lse, mass = f64_at(tile.lse, lane), f64_at(tile.mass, lane)
                total += share * value(y, t, shift, lse)
                put_real(base, lane, share * net.scale * slope(y, t, shift, lse, mass))
            for lane in range(tile.count, N):
                put_real(base, lane, 0.0)
        put_f64(tile.loss, 0, f64_at(tile.loss, 0) + total)

    return rows
