"""Losses whose terms read the whole batch: Cox's partial likelihood of times of survival.

    f(y, t, s)     s_b · l_n, (B, O), of outputs and targets (B, O) and the samples' weights s (B, 1)
    df(y, t, s)    ∂(Σ_b Σ_k s_b · l_k)/∂y_n, (B, O)

They are evaluated by NumPy between forward and backward, on every executor, since no sample has a term of its own. The
batch that is given is the population: mini-batches are risk sets of their own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgrad.maths.losses import Array, Loss

Ints = npt.NDArray[np.intp]


def log_hazard(y: Array) -> Array:
    """y: the link of `cox`, the logarithm of a sample's hazard beside that of another."""
    return y


def cox(y: Array, t: Array, s: Array) -> Array:
    """s_b l_n = s_b (log Σ_{j at risk at t_b} s_j e^{y_j} − y_b) of events, 0 of samples that are censored (Cox 1972).

    A target is a time: t > 0 of an event, −t of a sample that was seen without one until t (or 0). At risk at t are
    those with |t_j| ≥ t. Events at one time have the same risk set (Breslow 1974), so that a weight of 2 is the sample
    given twice.
    """
    at_risk = _summed(y + np.log(s), -np.abs(t))
    return np.asarray(np.where(np.isnan(t), np.nan, np.where(t > 0, s * (at_risk - y), 0.0)), y.dtype)


def dcox(y: Array, t: Array, s: Array) -> Array:
    """s_b e^{y_b} Σ_{events i, t_i ≤ |t_b|} s_i / Σ_{j at risk at t_i} s_j e^{y_j}, less s_b of an event."""
    event = t > 0
    at_risk = _summed(y + np.log(s), -np.abs(t))
    hazard = _summed(np.where(event, np.log(s) - at_risk, -np.inf), np.abs(t))
    slope = s * (np.exp(y + hazard) - event)
    return np.asarray(np.where(np.isnan(t), np.nan, slope), y.dtype)


def _summed(terms: Array, key: Array) -> Array:
    """(B, O) log Σ e^{terms_j} over the samples j with key_j ≤ key_b, column by column; a NaN reaches all behind it."""
    found = np.empty(terms.shape)
    for column, by, out in zip(terms.T, key.T, found.T, strict=True):
        order = np.argsort(by, kind="stable")
        sums, ordered = np.logaddexp.accumulate(column[order].astype(np.float64)), by[order]
        last = np.append(np.flatnonzero(np.diff(ordered) != 0), len(order) - 1)  # of those with the same key
        out[order] = sums[last[np.searchsorted(last, np.arange(len(order)))]]
    return found


entries: dict[str, Loss] = {
    "cox": Loss("cox", cox, dcox, link=log_hazard, of_batch=True, censored=True),
}
