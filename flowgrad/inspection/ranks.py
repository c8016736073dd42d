"""Ranks: how far two orders agree, and how often one sample exceeds another."""

from __future__ import annotations

import math

import numpy as np

from flowgrad.executor import Array


def ranks(values: Array) -> Array:
    """(…, V) float64: ranks from 1 along the last axis, the smallest first; equal values share their mean rank.

    >>> ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    flat = np.asarray(values, np.float64).reshape(-1, np.shape(values)[-1])
    found = np.empty_like(flat)
    for row, out in zip(flat, found, strict=True):
        _, place, count = np.unique(row, return_inverse=True, return_counts=True)
        last = np.cumsum(count)
        out[:] = (last - (count - 1) / 2)[place]
    return found.reshape(np.shape(values))


def correlations(a: Array, b: Array) -> Array:
    """(M, N) Spearman's rank correlation of each row of a (M, V) with each row of b (N, V).

    0 where a row is constant: it has no order to agree with.

    >>> correlations(np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 20.0, 90.0], [3.0, 2.0, 1.0]])).round(9).tolist()
    [[1.0, -1.0]]
    """
    first, second = (_unit(ranks(np.atleast_2d(values))) for values in (a, b))
    return np.asarray(np.clip(first @ second.T, -1.0, 1.0))


def _unit(rows: Array) -> Array:
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def above(a: Array, b: Array) -> tuple[Array, Array]:
    """(V,) the chance that a draw of a exceeds one of b, ties half, and its two-sided p, for each column.

    Mann & Whitney (1947), by the normal approximation with the correction for ties and for continuity.

    Args:
        a, b: (M, V), (N, V) draws.
    """
    m, n = len(a), len(b)
    together = ranks(np.concatenate([a, b]).T)  # (V, M + N)
    u = together[:, :m].sum(axis=1) - m * (m + 1) / 2
    spread = np.empty(len(u))
    for k, row in enumerate(together):
        _, count = np.unique(row, return_counts=True)
        ties = float((count**3 - count).sum())
        spread[k] = math.sqrt(max(0.0, m * n / 12 * ((m + n + 1) - ties / ((m + n) * max(1, m + n - 1)))))
    z = np.maximum(np.abs(u - m * n / 2) - 0.5, 0.0) / np.where(spread > 0, spread, np.inf)
    return u / (m * n), np.array([math.erfc(value / math.sqrt(2)) for value in z.tolist()])
