"""Neurons with another aggregation than sum: equation (1) and its gradient, lane by lane, in float64.

O(fan-in) a neuron and sample: `spread` writes one message row an in-edge, and the predecessors pull those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgrad.executors._numba.frame import frame_at, work_at
from flowgrad.executors._numba.memory import f64_array, i32_at, i64_at
from flowgrad.executors._numba.sweeps import Inner, as_it_is
from flowgrad.executors._numba.vectors import Lanes

Rows = Callable[[int, int, int], None]


def _fill(lanes: Lanes, inner: Inner) -> Callable[..., None]:
    N, real_at = lanes.n, lanes.real_at

    @inner
    def terms(net: Any, tile: Any, v: int, lane: int, t: Any) -> None:
        """t_k = w_uv · a_u of every in-edge."""
        first = i64_at(net.in_begin, v)
        for k in range(t.size):
            a = float(real_at(tile.A, i32_at(net.in_source, first + k) * N + lane))
            t[k] = float(real_at(net.weight, first + k)) * a

    return terms


def gather(lanes: Lanes, f: Callable[..., float], inner: Inner = as_it_is) -> Rows:
    """gather(frame, work, run): z = b + r · f(t) of the run's neurons."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real
    terms, array = _fill(lanes, inner), inner(f64_array)

    def rows(frame: int, work: int, run: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for v in range(i32_at(net.run_begin, run), i32_at(net.run_begin, run + 1)):
            t = array(tile.terms, i64_at(net.in_end, v) - i64_at(net.in_begin, v))
            b, r = float(real_at(net.bias, v)), float(real_at(net.response, v))
            for lane in range(N):
                terms(net, tile, v, lane, t)
                put_real(tile.Z, v * N + lane, b + r * f(t))

    return rows


def spread(lanes: Lanes, df: Callable[..., None], inner: Inner = as_it_is) -> Rows:
    """spread(frame, work, run): ∂L/∂t_k = r · ∂m/∂t_k · ∂L/∂z of every in-edge, into its message row."""
    N, real_at, put_real = lanes.n, lanes.real_at, lanes.put_real
    terms, array = _fill(lanes, inner), inner(f64_array)

    def rows(frame: int, work: int, run: int) -> None:
        net, tile = frame_at(frame), work_at(work)
        for v in range(i32_at(net.run_begin, run), i32_at(net.run_begin, run + 1)):
            fan_in = i64_at(net.in_end, v) - i64_at(net.in_begin, v)
            t, d = array(tile.terms, fan_in), array(tile.slopes, fan_in)
            first, r = i32_at(net.message, v), float(real_at(net.response, v))
            for lane in range(N):
                if lane < tile.count:
                    terms(net, tile, v, lane, t)
                    df(t, d)
                    dz = float(real_at(tile.D, v * N + lane))
                    for k in range(fan_in):
                        put_real(tile.D, (first + k) * N + lane, r * d[k] * dz)
                else:
                    for k in range(fan_in):
                        put_real(tile.D, (first + k) * N + lane, 0.0)

    return rows
