"""Metrics: one number that says how well outputs fit targets. Larger is not always better; see each.

    f(y, t, loss)   y, t (B, O) float: outputs and targets; `loss` the name of the program's loss

Where the outputs are logits, `loss` says so: a metric that wants classes takes the largest logit under
cross_entropy, the sign of each logit under binary_cross_entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, UnknownNameError, suggest

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Metric:
    """A named f(y, t, loss)."""

    name: str
    f: Callable[[Array, Array, str], float]

    def __repr__(self) -> str:
        return f"Metric({self.name!r})"


def accuracy(y: Array, t: Array, loss: str) -> float:
    """The share of right answers, 0 … 1.

    binary_cross_entropy: of all outputs and samples, y > 0 where t > ½. Otherwise, of the samples: the largest
    output at the largest target, or with a single output y > ½ where t > ½.
    """
    if loss == "binary_cross_entropy":
        return float(np.mean((y > 0) == (t > 0.5)))
    if y.shape[1] == 1:
        return float(np.mean((y > 0.5) == (t > 0.5)))
    return float(np.mean(y.argmax(axis=1) == t.argmax(axis=1)))


def auc(y: Array, t: Array, loss: str) -> float:
    """Area under the ROC curve, 0 … 1: how often a sample with t > ½ has the larger y, ties half.

    By the ranks (Mann & Whitney 1947); the mean over the outputs that have both kinds of samples, else NaN.
    """
    areas = []
    for column, wanted in zip(y.T, t.T > 0.5, strict=True):
        P, N = int(wanted.sum()), int((~wanted).sum())
        if P and N:
            _, place, count = np.unique(column, return_inverse=True, return_counts=True)
            rank = (np.cumsum(count) - 0.5 * (count - 1))[place]
            areas.append((rank[wanted].sum() - 0.5 * P * (P + 1)) / (P * N))
    return float(np.mean(areas)) if areas else float("nan")


def pearson(y: Array, t: Array, loss: str) -> float:
    """Pearson's r, −1 … 1; the mean over the outputs; NaN where one of the two does not vary."""
    dy, dt = y - y.mean(axis=0), t - t.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (dy * dt).sum(axis=0) / np.sqrt((dy * dy).sum(axis=0) * (dt * dt).sum(axis=0))
    return float(r.mean())


def r2(y: Array, t: Array, loss: str) -> float:
    """1 − Σ(y−t)²/Σ(t−t̄)², at most 1; the mean over the outputs; NaN or −inf where t does not vary."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = ((y - t) ** 2).sum(axis=0) / ((t - t.mean(axis=0)) ** 2).sum(axis=0)
    return float(1.0 - share.mean())


def rmse(y: Array, t: Array, loss: str) -> float:
    """√(mean (y−t)²), over samples and outputs."""
    return float(np.sqrt(np.mean((y - t) ** 2)))


def mae(y: Array, t: Array, loss: str) -> float:
    """mean |y−t|, over samples and outputs."""
    return float(np.mean(np.abs(y - t)))


entries: dict[str, Metric] = {f.__name__: Metric(f.__name__, f) for f in (accuracy, auc, pearson, r2, rmse, mae)}


def metrics_for(metrics: Iterable[str | Metric]) -> tuple[Metric, ...]:
    """The metrics that names, or the records themselves, stand for.

    Raises:
        UnknownNameError: no such name; the message gives the nearest.
        ConfigError: something else than a list of names and records.

    >>> metrics_for(["rmse"])
    (Metric('rmse'),)
    """
    if isinstance(metrics, (str, bytes)) or not isinstance(metrics, Iterable):
        raise ConfigError(f"metrics={metrics!r}: give a list of names")
    found = []
    for metric in metrics:
        if isinstance(metric, str) and metric not in entries:
            raise UnknownNameError(f"unknown metric {metric!r}{suggest(metric, entries)}")
        if not isinstance(metric, (str, Metric)):
            raise ConfigError(f"metrics holds {metric!r}: give names or Metric records")
        found.append(entries[metric] if isinstance(metric, str) else metric)
    return tuple(found)
