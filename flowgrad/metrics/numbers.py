"""Metrics of regression: errors, explained variance, correlations, and concordance of the orders.

For several outputs each metric is the mean over the outputs ("uniform_average"). Values are scaled to a magnitude of 1
before they are squared, so that no square overflows.
"""

from __future__ import annotations

import math

import numpy as np

from flowgrad.metrics.metric import Array, Judged, mean, measure


@measure(-math.inf, 1)
def r2(seen: Judged) -> float:
    """Coefficient of determination, 1 − Σ(p − t)²/Σ(t − t̄)², ≤ 1; NaN for a single sample.

    For several outputs it is the mean over the outputs. A constant target counts as 1 if all predictions equal it,
    else as 0.
    """
    p, t, w = seen.p, seen.t, seen.w[:, None]
    if len(p) < 2:
        return float("nan")
    apart = np.where(t.max(axis=0) == t.min(axis=0), 0.0, t - mean(t, seen.w))
    scale = np.abs(apart).max(axis=0)
    scale = np.where(scale == 0.0, 1.0, scale)
    error = (w * ((p - t) / scale) ** 2).sum(axis=0)
    spread = (w * (apart / scale) ** 2).sum(axis=0)
    constant = np.where((p == t).all(axis=0), 1.0, 0.0)
    return float(np.where(spread == 0.0, constant, 1.0 - error / spread).mean())


@measure(0, math.inf)
def rmse(seen: Judged) -> float:
    """Root mean squared error, √(mean (p − t)²), ≥ 0; for several outputs the mean of the roots."""
    error = np.abs(seen.p - seen.t)
    largest = error.max(axis=0)
    scale = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
    return float((scale * np.sqrt(mean((error / scale) ** 2, seen.w))).mean())


@measure(0, math.inf)
def mae(seen: Judged) -> float:
    """Mean absolute error, |p − t| averaged over samples and outputs, ≥ 0."""
    return float(mean(np.abs(seen.p - seen.t), seen.w).mean())


@measure(-1, 1)
def pearson(seen: Judged) -> float:
    """Pearson correlation of predictions and targets, −1 … 1, averaged over outputs; NaN if one of them is constant."""
    return _correlation(seen.p, seen.t, seen.w)


@measure(-1, 1)
def spearman(seen: Judged) -> float:
    """Spearman rank correlation, −1 … 1, with mean ranks for ties; NaN if predictions or targets are constant.

    For several outputs it is the mean over the outputs.
    """
    return _correlation(_ranks(seen.p, seen.w), _ranks(seen.t, seen.w), seen.w)


def _correlation(p: Array, t: Array, w: Array) -> float:
    dp, dt, w = _about_the_mean(p, w), _about_the_mean(t, w), w[:, None]
    r = (w * dp * dt).sum(axis=0) / (np.sqrt((w * dp * dp).sum(axis=0)) * np.sqrt((w * dt * dt).sum(axis=0)))
    return float(np.clip(r, -1.0, 1.0).mean())


def _about_the_mean(values: Array, w: Array) -> Array:
    """Subtract its weighted mean from each column and scale it to a largest magnitude of 1; a constant column is 0."""
    scaled = values / np.abs(values).max(axis=0)
    apart = scaled - mean(scaled, w)
    apart = apart / np.abs(apart).max(axis=0)
    return np.where(values.max(axis=0) == values.min(axis=0), 0.0, apart)


def _ranks(values: Array, w: Array) -> Array:
    """Return for each value, by column, the weight of smaller values plus half that of equal ones: mean rank less ½."""
    found = np.empty_like(values)
    for column, out in zip(values.T, found.T, strict=True):
        _, place = np.unique(column, return_inverse=True)
        there = np.bincount(place, w)
        out[:] = (np.cumsum(there) - 0.5 * there)[place]
    return found


@measure(0, 1)
def concordance(seen: Judged) -> float:
    """Proportion of pairs of samples whose predictions have the same order as their targets, 0 … 1 (Harrell 1982).

    Tied predictions count as ½, and pairs with equal targets are not counted. For survival times (`Loss.censored`) a
    pair is counted if its earlier time is an event, or if at equal times one is an event and the other censored; it
    is concordant if the earlier, or the event, has the larger predicted hazard. For several outputs it is the mean
    over the outputs; NaN if no pair of an output is counted.
    """
    return float(np.mean([_concordance(p, t, seen.w, seen.censored) for p, t in zip(seen.p.T, seen.t.T, strict=True)]))


def _concordance(p: Array, t: Array, w: Array, censored: bool) -> float:
    first = w  # weights of the samples with the smaller target
    if censored:
        event = t > 0
        first = np.where(event, w, 0.0)
        t, p = 2.0 * np.unique(np.abs(t), return_inverse=True)[1] + ~event, -p
    _, later = np.unique(t, return_inverse=True)
    below, same, every = _pairs(later, p, first, w)
    return float((every - below - 0.5 * same) / every) if every else float("nan")


def _pairs(later: Array, p: Array, first: Array, second: Array) -> tuple[float, float, float]:
    """Sum the weights of the pairs (i, j) with later_i < later_j: where p_j < p_i, where p_j = p_i, and of all.

    A pair is counted at the highest bit in which later_i and later_j differ. Samples that agree above a bit form a
    block, in the order of p, whose halves are compared by running sums: O(B log B), a pass over all samples a bit.

    Args:
        later: (B,) integers, 0 or more; p: (B,).
        first, second: (B,) the weight of a pair is first_i · second_j.
    """
    below = same = every = 0.0
    order = np.argsort(p, kind="stable")
    for bit in reversed(range(int(later.max()).bit_length())):
        half, value = later[order] >> bit, p[order]
        high, apart = half & 1, np.diff(half >> 1) != 0
        start, end = _runs(apart)
        tied, last = _runs(apart | (np.diff(value) != 0))
        low = first[order] * (1 - high)
        sums = np.concatenate([[0.0], np.cumsum(second[order] * high)])
        below += float(low @ (sums[tied] - sums[start]))
        same += float(low @ (sums[last] - sums[tied]))
        every += float(low @ (sums[end] - sums[start]))
        ones = np.concatenate([[0], np.cumsum(high)])
        behind = ones[:-1] - ones[start]  # of the block's upper half, so far
        lower = (end - start) - (ones[end] - ones[start])
        place = np.where(high == 1, start + lower + behind, np.arange(len(order)) - behind)
        order[place] = order.copy()
    return below, same, every


def _runs(new: Array) -> tuple[Array, Array]:
    """Return begin and end (B,) of the run of each place; `new` (B − 1,): whether a run begins at the next place."""
    begins = np.concatenate([[True], new])
    edges = np.append(np.flatnonzero(begins), len(begins))
    run = np.cumsum(begins)
    return edges[run - 1], edges[run]
