"""Rank statistics: Spearman correlation, probability of one sample exceeding another, signed-rank test."""

from __future__ import annotations

import numpy as np

from flowgrad.executor import Array


def ranks(values: Array) -> Array:
    """Return (…, V) float64 ranks from 1 along the last axis, the smallest first; equal values share their mean rank.

    >>> ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    given = np.asarray(values, np.float64)
    order = np.argsort(given, axis=-1)
    rising = np.take_along_axis(given, order, axis=-1)
    before, after = rising[..., :-1], rising[..., 1:]
    apart = (before != after) & ~(np.isnan(before) & np.isnan(after))  # NaN sort last and share one rank
    place, edge = np.arange(given.shape[-1]), np.ones((*given.shape[:-1], 1), bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, apart], -1), place, 0), axis=-1)
    last = np.where(np.concatenate([apart, edge], -1), place, place.size)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    found = np.empty_like(given)
    np.put_along_axis(found, order, (first + last) / 2 + 1.0, axis=-1)
    return found


def correlations(a: Array, b: Array) -> Array:
    """Return (M, N) Spearman correlations of each row of a (M, V) with each row of b (N, V).

    The correlation with a constant row, which has no ranking, is set to 0.

    >>> correlations(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 20.0, 90.0], [3.0, 2.0, 1.0]])).round(9).tolist()
    [[1.0, -1.0]]
    """
    first, second = (_unit(ranks(np.atleast_2d(values))) for values in (a, b))
    return np.asarray(np.clip(first @ second.T, -1.0, 1.0))


def _unit(rows: Array) -> Array:
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def above(a: Array, b: Array) -> Array:
    """Estimate for each column, (V,), the probability that a draw from a exceeds a draw from b; ties count half.

    Pairs within the same row are excluded, since they share their seed and may depend on each other.

    Args:
        a, b: (R, V) draws, two rows at least.

    >>> above(np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])).tolist()
    [0.5]
    """
    R = len(a)
    together = ranks(np.concatenate([a, b]).T)  # (V, 2 R)
    wins = together[:, :R].sum(axis=1) - R * (R + 1) / 2
    return np.asarray((wins - (np.sign(a - b) + 1).sum(axis=0) / 2) / (R * (R - 1)))


def signed_rank(a: Array, b: Array) -> Array:
    """Return (V,) two-sided p-values of Wilcoxon's signed-rank test (1945) of the differences a − b, by column.

    The p-value is exact, by the distribution of the sum of ranks over all signs of the differences. Ties share their
    mean rank, and differences of 0 are excluded. It is 1 if all differences are 0, and never below 2^(1 − R).

    Args:
        a, b: (R, V) draws; row k of both belongs to one seed.

    >>> signed_rank(np.array([[5.0], [6.0], [7.0]]), np.array([[4.0], [3.0], [2.0]])).tolist()
    [0.25]
    """
    found, spread = np.ones(a.shape[1]), dict[tuple[int, ...], Array]()
    for v, given in enumerate((a - b).T):
        d = given[given != 0]
        if d.size:
            twice = (2 * ranks(np.abs(d))).astype(np.int64)  # integers: mean ranks are multiples of ½
            key = tuple(sorted(twice.tolist()))
            if key not in spread:
                spread[key] = _sums(key)
            off = abs(2 * int(twice[d > 0].sum()) - sum(key))
            sums = np.arange(len(spread[key]))
            found[v] = min(1.0, float(spread[key][np.abs(2 * sums - sum(key)) >= off].sum()))
    return found


def _sums(numbers: tuple[int, ...]) -> Array:
    """Return the probability of each sum 0 … Σ numbers, where each number is added with probability ½."""
    chance = np.zeros(sum(numbers) + 1)
    chance[0] = 1.0
    for n in numbers:
        chance[n:] = 0.5 * (chance[n:] + chance[: len(chance) - n])
        chance[:n] *= 0.5
    return chance
