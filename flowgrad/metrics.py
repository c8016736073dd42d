"""Metrics: one number that says how well outputs fit targets. Larger is not always better; see each.

    f(y, t, loss)   y (B, O) float64 as the network gives it; t (B, O) targets; `loss` the name of the program's loss,
                    or the Loss itself where it is a user's own

Metrics speak of what the loss predicts, its link: probabilities under cross_entropy and binary_cross_entropy, rates
under poisson, y itself otherwise. The link is applied here. A NaN among predictions or targets makes a metric NaN.

Names stand for those in `entries`; names of another package are entry points of the group `flowgrad.metrics`, each a
Metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import plain
from flowgrad.errors import ConfigError, brief
from flowgrad.maths.losses import Loss
from flowgrad.registry import find, names

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Metric:
    """A named f(y, t, loss); `loss` is the name of the program's loss, or the Loss where it is a user's own.

    `fit(..., metrics=[Metric("bias", lambda y, t, loss: float((y - t).mean()))])` takes one of your own.

    Raises:
        ConfigError: the name is no text or empty, or `f` cannot be called.
    """

    name: str
    f: Callable[[Array, Array, Any], float]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"the name of a metric is {brief(self.name)}: must be a text, not empty")
        if not callable(self.f):
            raise ConfigError(f"metric {brief(self.name)}: f={brief(self.f)} cannot be called")

    def __repr__(self) -> str:
        return f"Metric({self.name!r})"


def record_of(loss: str | Loss) -> Loss | None:
    """The Loss of that name; None of a name that is not registered, whose outputs are taken as predictions."""
    if isinstance(loss, Loss):
        return loss
    found: Loss | None = find("losses", loss) if loss in names("losses") else None
    return found


def predicted(y: Array, loss: str | Loss) -> Array:
    """(B, O) float64: what outputs y (B, O) predict, by the loss's link.

    >>> predicted(np.zeros((1, 2)), "cross_entropy").tolist()
    [[0.5, 0.5]]
    """
    record, y = record_of(loss), _numbers(y, "y")
    return y if record is None else record.link(y)


def _numbers(values: Array, what: str) -> Array:
    """(B, O) float64; a masked array is refused."""
    return plain(values, what).astype(np.float64, copy=False)


def accuracy(y: Array, t: Array, loss: str | Loss) -> float:
    """The share of right answers, 0 … 1.

    Where each output is a probability of its own (binary_cross_entropy), or there is a single output: of all outputs
    and samples, prediction > ½ where t > ½. Otherwise, of the samples: the largest prediction at the largest target.
    """
    p, t, record = predicted(y, loss), _numbers(t, "t"), record_of(loss)
    if np.isnan(p).any() or np.isnan(t).any():
        return float("nan")
    apart = record is not None and record.logits and not record.coupled
    if apart or p.shape[1] == 1:
        return float(np.mean((p > 0.5) == (t > 0.5)))
    return float(np.mean(p.argmax(axis=1) == t.argmax(axis=1)))


def auc(y: Array, t: Array, loss: str | Loss) -> float:
    """Area under the ROC curve, 0 … 1: how often a sample with t > ½ has the larger prediction, ties half.

    By the ranks (Mann & Whitney 1947); the mean over the outputs that have both kinds of samples, else NaN.
    """
    p, t = predicted(y, loss), _numbers(t, "t")
    if np.isnan(p).any() or np.isnan(t).any():
        return float("nan")
    areas = []
    for column, wanted in zip(p.T, t.T > 0.5, strict=True):
        P, N = int(wanted.sum()), int((~wanted).sum())
        if P and N:
            _, place, count = np.unique(column, return_inverse=True, return_counts=True)
            rank = (np.cumsum(count) - 0.5 * (count - 1))[place]
            areas.append((rank[wanted].sum() - 0.5 * P * (P + 1)) / (P * N))
    return float(np.mean(areas)) if areas else float("nan")


def pearson(y: Array, t: Array, loss: str | Loss) -> float:
    """Pearson's r of predictions and targets, −1 … 1; the mean over the outputs; NaN where one does not vary."""
    dp, dt = _about_the_mean(predicted(y, loss)), _about_the_mean(_numbers(t, "t"))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (dp * dt).sum(axis=0) / np.sqrt((dp * dp).sum(axis=0) * (dt * dt).sum(axis=0))
    return float(np.clip(r, -1.0, 1.0).mean())


def _about_the_mean(values: Array) -> Array:
    """Each column less its mean, its largest magnitude scaled to 1, so that no square overflows; 0 if constant."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled = values / np.abs(values).max(axis=0)
        apart = scaled - scaled.mean(axis=0)
        apart = apart / np.abs(apart).max(axis=0)
    return np.where(values.max(axis=0) == values.min(axis=0), 0.0, apart)


def r2(y: Array, t: Array, loss: str | Loss) -> float:
    """1 − Σ(p−t)²/Σ(t−t̄)², p predictions, at most 1; the mean over the outputs; NaN or −inf where t does not vary."""
    t = _numbers(t, "t")
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.where(t.max(axis=0) == t.min(axis=0), 0.0, t - t.mean(axis=0))
        scale = np.abs(apart).max(axis=0)
        scale = np.where(scale == 0.0, 1.0, scale)
        error = (predicted(y, loss) - t) / scale
        share = (error * error).sum(axis=0) / ((apart / scale) ** 2).sum(axis=0)
    return float(1.0 - share.mean())


def rmse(y: Array, t: Array, loss: str | Loss) -> float:
    """√(mean (p−t)²), p predictions, over samples and outputs."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(predicted(y, loss) - _numbers(t, "t"))
        largest = error.max()
        if not 0.0 < largest < np.inf:
            return float(largest)
        return float(largest * np.sqrt(np.mean((error / largest) ** 2)))


def mae(y: Array, t: Array, loss: str | Loss) -> float:
    """mean |p−t|, p predictions, over samples and outputs."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.mean(np.abs(predicted(y, loss) - _numbers(t, "t"))))


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
        raise ConfigError(f"metrics={brief(metrics)}: give a list of names")
    found = []
    for metric in metrics:
        record = find("metrics", metric) if isinstance(metric, str) else metric
        if not isinstance(record, Metric):
            raise ConfigError(f"metrics holds {brief(metric)}: give names or Metric records")
        found.append(record)
    return tuple(found)
