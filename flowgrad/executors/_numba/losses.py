"""Kernels of losses over one tile: equations (4) and (9), in float64, over the outputs' rows of lanes.

A kernel adds the tile's summed loss to that of its chunk, and stores the base cases ∂L/∂y_n in rows of G. The factor
1/B is not included: callers apply it to the sums. A built-in loss is the formula of `flowgrad.maths.losses`, evaluated
over rows; a user's own is called lane by lane.

The scratch buffers at a tile's `lse` and `share` hold one row of float64 each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from flowgrad.executors._numba import primitives
from flowgrad.executors._numba.blocks import same_row, symbolic
from flowgrad.executors._numba.compiled import address, inline, kernel
from flowgrad.executors._numba.formula import by_formula, by_lane, formula
from flowgrad.executors._numba.memory import f64_at, i32_at, put_f64
from flowgrad.executors._numba.powers import exp
from flowgrad.executors._numba.records import net_at, tile_at
from flowgrad.executors._numba.rows import real, wide
from flowgrad.executors._numba.simd import (
    choose,
    keep,
    lanes_of,
    load,
    load_wide,
    plain,
    put_real,
    real_at,
    size_of,
    splat,
    store,
)
from flowgrad.executors._numba.spec import Spec, SpecType, Vector
from flowgrad.maths.losses import Loss
from flowgrad.registry import find, is_own

I = types.int64


def address_of(loss: Loss, dtype: np.dtype[Any], lanes: int) -> int:
    """Return the address of a loss's kernel, with the arguments (spec, net, tile, t, t_step, t_next, sample_weight)."""
    own = is_own("losses", loss)
    spec = Spec(dtype, lanes, loss=loss.name) if own else Spec(dtype, lanes, f=formula(loss.f), df=formula(loss.df))
    return address(coupled if loss.coupled else separate, spec.type, I, I, I, I, I, I)


# ---- formulas of losses over rows of float64 ------------------------------------------------------------------


def _loss(spec: Any) -> Any:
    return find("losses", dict(spec.functions)["loss"])


def _as_row(spec: Any, *rows: Any) -> Any:
    own = isinstance(spec, SpecType) and "loss" in dict(spec.functions)
    return rows[0] if own and isinstance(rows[0], Vector) else None


@symbolic(_as_row)
def value(spec: Any, *rows: Any) -> Any:
    """Return l_n, (4), from rows (y, t), or (y, t, lse) for a coupled loss."""
    with np.errstate(all="ignore"):
        return by_lane(spec.functions["f"].f, *rows) if "f" in dict(spec.functions) else _loss(spec).f(*rows)


@symbolic(_as_row)
def slope(spec: Any, *rows: Any) -> Any:
    """Return the base case ∂(Σ_k l_k)/∂y_n, (9), from rows (y, t), or (y, t, lse, mass) for a coupled loss."""
    with np.errstate(all="ignore"):
        return by_lane(spec.functions["df"].f, *rows) if "df" in dict(spec.functions) else _loss(spec).df(*rows)


by_formula(value, "f")
by_formula(slope, "df")
raised = symbolic(same_row)(exp)
logarithm = symbolic(same_row)(primitives.log)
logarithm_above_one = symbolic(same_row)(primitives.log1p)


# ---- kernels --------------------------------------------------------------------------------------------------


@inline
def open_shares(spec: Any, w: Any, sample_weight: int) -> None:
    """Store the weight of each of the tile's samples at w.share, as float64; 0 in lanes without a sample."""
    for lane in range(lanes_of(spec)):
        share = 0.0
        if lane < w.count:
            share = np.float64(real_at(spec, sample_weight, w.begin + lane)) if sample_weight != 0 else 1.0
        put_f64(w.share, lane, share)


@inline
def targets(spec: Any, w: Any, room: int, t: int, t_step: int) -> Any:
    """Gather one output's targets into the row at `room`, and return it as float64; 0 in lanes without a sample."""
    store(room, splat(spec, 0.0))
    for lane in range(w.count):
        put_real(spec, room, lane, real_at(spec, t + (w.begin + lane) * t_step, 0))
    return wide(spec, load(spec, room))


@inline
def close_total(spec: Any, w: Any, total: Any) -> None:
    """Add the losses of the tile's samples, the lanes of `total`, in order to the loss of its chunk."""
    store(w.lse, total)
    loss = f64_at(w.loss, 0)
    for lane in range(w.count):
        loss += f64_at(w.lse, lane)
    put_f64(w.loss, 0, loss)


@kernel
def separate(form: Any, net: int, tile: int, t: int, t_step: int, t_next: int, sample_weight: int) -> None:
    """Evaluate a loss whose terms l_n depend on y_n and t_n alone.

    Args:
        form: Spec with the loss, or with its scalar formulas.
        t: address of the targets (B, O); t_step, t_next: bytes from sample to sample and from output to output.
        sample_weight: address of (B,) reals, or 0: every sample then has weight 1.
    """
    spec = plain(form)
    n, w, size = net_at(net), tile_at(tile), size_of(spec)
    open_shares(spec, w, sample_weight)
    share, mask, total = load_wide(spec, w.share), load(spec, w.mask), wide(spec, splat(spec, 0.0))
    for k in range(n.outputs):
        base = w.G + (k + 1) * size
        x = targets(spec, w, base, t + k * t_next, t_step)
        y = wide(spec, load(spec, w.A + i32_at(n.output, k) * size))
        total = total + share * value(form, y, x)
        store(base, keep(real(spec, share * slope(form, y, x)), mask))
    close_total(spec, w, total)


@kernel
def coupled(form: Any, net: int, tile: int, t: int, t_step: int, t_next: int, sample_weight: int) -> None:
    """Evaluate a loss whose terms depend on differences between a sample's outputs; arguments as in `separate`.

    Each sample's largest y_n is subtracted first; lse = log Σ_n e^{y_n} of the differences, as in `log_partition`.
    """
    spec = plain(form)
    n, w, size = net_at(net), tile_at(tile), size_of(spec)
    open_shares(spec, w, sample_weight)
    share, mask, zeros = load_wide(spec, w.share), load(spec, w.mask), wide(spec, splat(spec, 0.0))
    top, first, mass = zeros - np.inf, zeros, zeros
    for k in range(n.outputs):
        y = wide(spec, load(spec, w.A + i32_at(n.output, k) * size))
        above = choose(
            top == top, choose(y > top, y, choose(y == y, top, y)), top
        )  # the first NaN so far, else the first largest y
        first = choose(above == top, first, choose(top == top, float(k), first))
        top = above
        mass = mass + targets(spec, w, w.G + (k + 1) * size, t + k * t_next, t_step)
    finite = top - top == 0.0
    shift, others, largest = choose(finite, top, zeros), zeros, zeros
    for k in range(n.outputs):
        e = raised(wide(spec, load(spec, w.A + i32_at(n.output, k) * size)) - shift)
        others = others + choose(first == float(k), zeros, e)
        largest = choose(first == float(k), e, largest)
    lse, total = choose(finite, logarithm_above_one(others), logarithm(others + largest)), zeros
    for k in range(n.outputs):
        base = w.G + (k + 1) * size
        y, x = wide(spec, load(spec, w.A + i32_at(n.output, k) * size)) - shift, wide(spec, load(spec, base))
        total = total + share * value(form, y, x, lse)
        store(base, keep(real(spec, share * slope(form, y, x, lse, mass)), mask))
    close_total(spec, w, total)
