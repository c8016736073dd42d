"""Confidence intervals of metrics over the evaluated samples: by the bootstrap, and of the AUC by DeLong's method.

They describe the variation over samples of the same distribution for one trained network, not over repeated training.
Their coverage is tested by simulation (tests/training/test_metric_intervals.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from flowgrad.arguments import plain, real, whole
from flowgrad.errors import ConfigError, ShapeError, UnknownNameError, brief, suggest
from flowgrad.maths.losses import Loss
from flowgrad.metrics.classes import auc
from flowgrad.metrics.metric import Array, Judged, Metric, defined, judged
from flowgrad.registry import find

METHODS = ("auto", "bootstrap", "delong")


class Interval(NamedTuple):
    """A number with its confidence interval: `value`, `low` and `high`, three floats."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def interval(
    metric: str | Metric,
    y: Any,
    t: Any,
    loss: str | Loss,
    *,
    sample_weight: Any = None,
    groups: Any = None,
    level: float = 0.95,
    method: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Compute a metric and its confidence interval over samples of the same distribution.

    Args:
        metric: name of a metric (`flowgrad list metrics`), or a Metric.
        y: (B, O) outputs of the network, to which the loss's link has not been applied.
        t: (B, O) targets; or (B,), class indices if there are several outputs, else targets of the one output.
        loss: name of the loss, or a Loss.
        sample_weight: (B,) finite, ≥ 0; a sample of weight 2 counts as two that are always drawn together.
            Default: all 1. Only the metrics of flowgrad take weights.
        groups: (B,) group of each sample, values of any sortable type. Samples of one group, such as those of one
            patient, are drawn together. Default: each sample is a group of its own.
        level: confidence level, 0 < level < 1.
        method: "bootstrap", "delong" or "auto", which is "delong" for auc and "bootstrap" for other metrics.
            "bootstrap" draws as many samples (or groups) as there are, with replacement, `resamples` times, and takes
            percentiles of the metric; they are widened for small samples by the ratio of Student's t and the normal
            distribution (Hesterberg 2015). Draws for which the metric is not finite are ignored, and the interval is
            extended to contain the value. "delong", for auc alone, uses the method of DeLong, DeLong & Clarke-Pearson
            (1988), with groups that of Obuchowski (1997), on the logit scale; if the estimated variance is 0, as where
            all pairs are ordered correctly, Newcombe's fifth method (2006).
        resamples: number of bootstrap draws, an integer ≥ 20.
        seed: seed of the bootstrap's generator, an integer ≥ 0; equal seeds give equal intervals.

    Returns:
        value, low, high. low and high are NaN if the metric is not finite. By the bootstrap they are NaN also if there
        is only one sample or group, if the metric is undefined for half of the draws or more, or if it is equal for
        all draws; hence an accuracy of 1 has no bootstrap interval.

    Raises:
        UnknownNameError: no such metric or method.
        ConfigError: `metric` is neither a name nor a Metric, "delong" for another metric than auc, weights for a metric
            that is not flowgrad's, or `level`, `resamples` or `seed` out of range.
        ShapeError: shapes of y, t, weights and groups do not fit together, or there are no samples.
        DataError: y or t does not hold real numbers, or a class index or weight is invalid.

    >>> y, t = np.array([[2.0], [1.0], [-1.0], [0.5], [-2.0], [-0.3]]), np.array([1, 1, 0, 0, 0, 1])
    >>> print(interval("auc", y, t, "binary_cross_entropy"))
    0.89 [0.26, 0.99]
    """
    record: Metric = find("metrics", metric) if isinstance(metric, str) else metric
    if not isinstance(record, Metric):
        raise ConfigError(f"metric={brief(metric)}: give a name or a Metric")
    if method not in METHODS:
        raise UnknownNameError(f"unknown method {brief(method)}{suggest(method, METHODS)}")
    level = real("level", level, 0, 1, open_low=True)
    count, rng = whole("resamples", resamples, 20), np.random.default_rng(whole("seed", seed, 0))
    by_rank = record == auc
    if method == "delong" and not by_rank:
        raise ConfigError(f"method='delong': it is for auc, not for {brief(record.name)}")
    seen, unit = judged(y, t, loss, sample_weight), _units(groups, len(np.asarray(y)))
    if sample_weight is not None:
        unit = np.unique(unit[np.flatnonzero(sample_weight)], return_inverse=True)[1]
    if by_rank and method != "bootstrap":
        return delong(seen, unit, level)
    evaluate = _evaluation(record, y, t, loss, seen, sample_weight)
    return _bootstrap(evaluate, unit, level, count, rng)


def _units(groups: Any, B: int) -> Array:
    """Return the number (B,) of each sample's group, counted from 0; without groups, 0 … B−1."""
    if groups is None:
        return np.arange(B)
    given = plain(groups, "groups")
    if given.shape != (B,):
        raise ShapeError(f"groups has shape {given.shape}: must be ({B},), one a sample")
    return np.unique(given, return_inverse=True)[1]


def _evaluation(
    record: Metric, y: Any, t: Any, loss: str | Loss, seen: Judged, sample_weight: Any
) -> Callable[[Array], float]:
    """Return a function of counts, (B,) integers, that evaluates the metric with each sample repeated that often."""
    of = record.of
    if of is not None:
        undefined, nan = seen.undefined, float("nan")
        return lambda times: nan if undefined else defined(of, seen.weighted(times))
    if sample_weight is not None:
        raise ConfigError(f"metric {brief(record.name)} is no metric of flowgrad's, and takes no sample_weight")
    outputs, targets = np.asarray(y, np.float64), np.asarray(t)

    def evaluate(times: Array) -> float:
        rows = np.repeat(np.arange(len(times)), times)
        return float(record.f(outputs[rows], targets[rows], loss))

    return evaluate


def _bootstrap(
    evaluate: Callable[[Array], float], unit: Array, level: float, count: int, rng: np.random.Generator
) -> Interval:
    n, nan = int(unit.max()) + 1, float("nan")
    found = evaluate(np.ones(len(unit), np.intp))
    if not math.isfinite(found) or n < 2:
        return Interval(found, nan, nan)
    draws = np.array([evaluate(np.bincount(rng.integers(n, size=n), minlength=n)[unit]) for _ in range(count)])
    defined = draws[np.isfinite(draws)]
    if 2 * len(defined) <= count or defined.min() == defined.max():
        return Interval(found, nan, nan)
    reach = math.sqrt(n / (n - 1)) * _student(n - 1, level)
    tail = NormalDist().cdf(-reach)
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return Interval(found, min(low, found), max(high, found))


def _student(freedom: int, level: float) -> float:
    """Return the t that |T| of Student's distribution stays below with probability `level`, approximately.

    By the expansion in 1/ν, ν = `freedom`, of Abramowitz & Stegun, 26.7.5: to 1 % from ν = 4 on at 95 %.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def delong(seen: Judged, unit: Array, level: float) -> Interval:
    """Return the mean AUC of outputs with samples of both kinds, and DeLong's interval; `unit` (B,): group numbers."""
    nan = float("nan")
    areas: list[float] = []
    effect, fewest = np.zeros(len(seen.w)), (0.0, 0.0)
    for p, wanted in zip(seen.p.T, seen.t.T > 0.5, strict=True):
        _, place = np.unique(p, return_inverse=True)
        P, N = np.bincount(place, seen.w * wanted), np.bincount(place, seen.w * ~wanted)
        if not P.sum() or not N.sum():
            continue
        fewest = (P.sum(), N.sum()) if not areas else (min(fewest[0], P.sum()), min(fewest[1], N.sum()))
        won = np.where(wanted, (np.cumsum(N) - N / 2)[place] / N.sum(), 1 - (np.cumsum(P) - P / 2)[place] / P.sum())
        area = float((seen.w * wanted) @ won / P.sum())
        areas.append(area)
        for kind, total in ((wanted, P.sum()), (~wanted, N.sum())):
            n = len(np.unique(unit[kind]))
            effect += kind * seen.w * (won - area) / total * math.sqrt(n / max(1, n - 1))
    if seen.undefined or not areas:
        return Interval(nan, nan, nan)
    found = float(np.mean(areas))
    if unit.max() == 0:  # one group has no variance to estimate
        return Interval(found, nan, nan)
    error = float(np.linalg.norm(np.bincount(unit, effect))) / len(areas)
    z = NormalDist().inv_cdf(0.5 + level / 2)
    if error == 0:
        return Interval(found, *_newcombe(found, *fewest, z))
    inside = min(1 - 1e-12, max(1e-12, found))
    logit, reach = math.log(inside / (1 - inside)), z * error / (inside * (1 - inside))
    return Interval(found, *(0.5 * (1 + math.tanh((logit + side * reach) / 2)) for side in (-1, 1)))


def _newcombe(area: float, P: float, N: float, z: float) -> tuple[float, float]:
    """Find the two areas at a distance of z of their own standard errors from `area` (Newcombe 2006, method 5)."""

    def error(q: float) -> float:
        half = (P + N) / 2 - 1
        return math.sqrt(q * (1 - q) * (1 + half * (1 - q) / (2 - q) + half * q / (1 + q)) / (P * N))

    ends = []
    for inner, outer in ((area, 0.0), (area, 1.0)):
        for _ in range(60):
            middle = (inner + outer) / 2
            near = abs(middle - area) <= z * error(middle)
            inner, outer = (middle, outer) if near else (inner, middle)
        ends.append(inner)
    return ends[0], ends[1]
