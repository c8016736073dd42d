"""Losses whose terms depend on the whole batch: Cox's partial likelihood of survival times.

    f(y, t, s)     s_b · l_n, (B, O), for outputs and targets (B, O) and sample weights s (B, 1)
    df(y, t, s)    ∂(Σ_b Σ_k s_b · l_k)/∂y_n, (B, O)

On every executor they are evaluated by NumPy between forward and backward, because a sample's term depends on the other
samples. Risk sets consist of samples of the given batch alone, so that each mini-batch has its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowgrad.maths.losses import Array, Loss

Ints = npt.NDArray[np.intp]


def log_hazard(y: Array) -> Array:
    """Return y, the link of `cox`: the difference of two samples' y is the logarithm of their hazard ratio."""
    return y


def cox(y: Array, t: Array, s: Array) -> Array:
    """s_b l_n = s_b (log Σ_{j at risk at t_b} s_j e^{y_j} − y_b) for events, 0 for censored samples (Cox 1972).

    A target t > 0 is the time of an event, and −t (or 0) that of a sample censored at time t. The samples with
    |t_j| ≥ t are at risk at time t. Events at the same time have the same risk set (Breslow 1974), so that a weight
    of 2 has the effect of giving the sample twice.
    """
    at_risk = _summed(y + np.log(s), -np.abs(t))
    return np.asarray(np.where(np.isnan(t), np.nan, np.where(t > 0, s * (at_risk - y), 0.0)), y.dtype)


def dcox(y: Array, t: Array, s: Array) -> Array:
    """s_b e^{y_b} Σ_{events i, t_i ≤ |t_b|} s_i / Σ_{j at risk at t_i} s_j e^{y_j}, minus s_b for an event."""
    event = t > 0
    at_risk = _summed(y + np.log(s), -np.abs(t))
    hazard = _summed(np.where(event, np.log(s) - at_risk, -np.inf), np.abs(t))
    slope = s * (np.exp(y + hazard) - event)
    return np.asarray(np.where(np.isnan(t), np.nan, slope), y.dtype)


def _summed(terms: Array, key: Array) -> Array:
    """Return log Σ_j e^{terms_j} (B, O) over key_j ≤ key_b, by column; a NaN spreads to equal and larger keys."""
    found = np.empty(terms.shape)
    for column, by, out in zip(terms.T, key.T, found.T, strict=True):
        order = np.argsort(by, kind="stable")
        sums, ordered = np.logaddexp.accumulate(column[order].astype(np.float64)), by[order]
        last = np.append(np.flatnonzero(np.diff(ordered) != 0), len(order) - 1)  # place of the last of each key
        out[order] = sums[last[np.searchsorted(last, np.arange(len(order)))]]
    return found


entries: dict[str, Loss] = {
    "cox": Loss("cox", cox, dcox, link=log_hazard, of_batch=True, censored=True),
}
