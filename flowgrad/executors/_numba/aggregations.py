"""Neurons with another aggregation than sum: equation (1) and its gradient, lane by lane, in float64.

O(fan-in) a neuron and sample: `spread` writes one message row an in-edge, and the predecessors pull those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.frame import STRIDE, frame_at, work_at
from flowgrad.executors._numba.memory import f64_at, i32_at, i64_at, put_f64
from flowgrad.executors._numba.vectors import Lanes

Rows = Callable[[int, int, int], None]


def _fill(lanes: Lanes) -> Callable[..., None]:
    SCALE, real_at = lanes.size // STRIDE, lanes.real_at

    def fill(net: Any, tile: Any, first: int, fan_in: int, lane: int) -> None:
        """t_k = w_uv · a_u of every in-edge."""
        for k in range(fan_in):
            a = float(real_at(tile.A + i32_at(net.in_source, first + k) * SCALE, lane))
            put_f64(tile.terms, k, float(real_at(net.weight, first + k)) * a)

    return fill


def gather(lanes: Lanes, f: Callable[[int, int], float]) -> Rows:
    """gather(frame, work, run): z = b + r · f(t) of the run's neurons."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real
    fill = _fill(lanes)

    def rows(frame: int, work: int, run: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for v in range(i32_at(net.run_begin, run), i32_at(net.run_begin, run + 1)):
            first = i64_at(net.in_begin, v)
            fan_in = i64_at(net.in_end, v) - first
            b, r = float(real_at(net.bias, i32_at(net.position, v))), float(real_at(net.response, v))
            for lane in range(N):
                fill(net, tile, first, fan_in, lane)
                put_real(tile.Z, v * N + lane, b + r * f(tile.terms, fan_in))

    return rows


def spread(lanes: Lanes, df: Callable[[int, int, int], None]) -> Rows:
    """spread(frame, work, run): ∂L/∂t_k = r · ∂m/∂t_k · ∂L/∂z of every in-edge, into its message row."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real
    fill = _fill(lanes)

    def rows(frame: int, work: int, run: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for v in range(i32_at(net.run_begin, run), i32_at(net.run_begin, run + 1)):
            first = i64_at(net.in_begin, v)
            fan_in = i64_at(net.in_end, v) - first
            row, r = i32_at(net.message, v), float(real_at(net.response, v))
            for lane in range(tile.count):
                fill(net, tile, first, fan_in, lane)
                df(tile.terms, tile.slopes, fan_in)
                dz = float(real_at(tile.A, v * N + lane))
                for k in range(fan_in):
                    put_real(tile.A, (row + k) * N + lane, r * f64_at(tile.slopes, k) * dz)
            for lane in range(tile.count, N):
                for k in range(fan_in):
                    put_real(tile.A, (row + k) * N + lane, 0.0)

    return rows
