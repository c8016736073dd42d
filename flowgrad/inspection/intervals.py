"""95 % confidence intervals of means over a few runs: of a share, or of the correlation over all pairs of runs.

Their coverage was checked by simulation for `FEWEST` runs or more (tests/inspection/test_intervals.py). Runs are
assumed to be independent draws; two conditions of one seed may depend on each other.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from flowgrad.errors import ConfigError
from flowgrad.executor import Array
from flowgrad.metrics import Interval

FEWEST = 7  # runs; with fewer, coverage falls outside 92 … 98 % if the noise of the runs spans few dimensions
LEVEL = 0.95
OPEN = 1e-12  # distance that values keep from the ends of the scale, where artanh and logit are infinite


def enough(runs: int) -> int:
    """Check that the number of runs is sufficient for an interval, and return it.

    Raises:
        ConfigError: it is below `FEWEST`.
    """
    if runs < FEWEST:
        raise ConfigError(f"{runs} seeds are too few for a 95 % interval that holds: give {FEWEST} or more")
    return runs


def mean_of_pairs(matrix: Array, nodes: int) -> Interval:
    """Return the mean of the off-diagonal entries, and an interval for its expectation over two further runs.

    A U-statistic of order 2: its standard error is the jackknife's, which leaves out one run at a time (Arvesen
    1969), with Student's t of R − 1 degrees of freedom on Fisher's z = artanh ρ. Three amendments:

    - the jackknife's variance is too large by 2σ²/((R − 1)(R − 2)), where σ² is the variance of a pair's correlation
      beyond the sum of the effects of its two runs (Efron & Stein 1981). If all of it is subtracted, the estimate
      varies too much for 95 % coverage; a third is subtracted, a fraction found by simulation;
    - the variance is never below σ²/(R(R − 1)), half the variance of the mean of pairs whose runs have no effects: the
      jackknife's variance is 0 by accident if the runs split into two equal halves;
    - ρ of V nodes is discrete: exchanging two adjacent ranks lowers it by δ = 12/(V³ − V). Even if all runs agree, a
      further run may differ by one such step, with probability 1/(R + 2) by Laplace's rule of succession; each end is
      moved by the expected loss of ρ, and the variance is raised accordingly.

    In simulations the interval covers 93 to 98 % for `FEWEST` runs or more; 97 to 99 % if runs are uncorrelated; more
    than 98 % with fewer than about ten nodes, where ρ takes few values; and 50 to 94 % if runs fall into groups of
    unequal frequency, since a few runs may miss a group.

    Args:
        matrix: (R, R) symmetric, correlations of run i and run j in [−1, 1]; the diagonal is ignored.
        nodes: V, the length of the rankings that were correlated.

    Raises:
        ConfigError: R is below `FEWEST`.

    >>> mean_of_pairs(np.ones((7, 7)), 10)
    Interval(value=1.0, low=0.9..., high=1.0)
    """
    R = enough(len(matrix))
    pairs = ~np.eye(R, dtype=bool)
    of_run = np.where(pairs, matrix, 0.0).sum(axis=1) / (R - 1)
    value = float(of_run.mean())
    effect = (R - 1) / (R - 2) * (of_run - value)
    rest = (matrix - value - effect[:, None] - effect)[pairs]
    own = float(rest @ rest) / (R * (R - 3))  # σ²
    step, differs = 12 / (nodes**3 - nodes), 1 / (R + 2)
    one_of_two = 2 * differs * (1 - differs)
    jackknife = 4 / R * float(effect.var(ddof=1)) - 2 / 3 * own / ((R - 1) * (R - 2))
    variance = max(jackknife, own / (R * (R - 1))) + 2 * step * step * one_of_two / R
    reach = student(R - 1) * math.sqrt(variance)
    low = _moved(value - one_of_two * step, -reach)
    return Interval(value, min(low, value), max(_moved(value + one_of_two * step, reach), value))


def _moved(value: float, reach: float) -> float:
    """Move ρ by `reach`, converted to Fisher's scale by its slope at ρ: tanh(artanh ρ + reach / (1 − ρ²))."""
    inside = min(1 - OPEN, max(OPEN - 1, value))
    return math.tanh(math.atanh(inside) + reach / (1 - inside * inside))


def mean_of_shares(values: Array) -> tuple[Array, Array]:
    """Return (V,) low and high: 95 % intervals for the expectation of each column of shares (R, V), in [0, 1].

    The interval is Student's t on the logit of the mean, with its standard error by the delta method. For a constant
    column its width is 0.

    Raises:
        ConfigError: R is below `FEWEST`.
    """
    R = enough(len(values))
    mean = values.mean(axis=0)
    inside = np.clip(mean, OPEN, 1 - OPEN)
    scale = inside * (1 - inside)
    logit, reach = np.log(inside / (1 - inside)), student(R - 1) * values.std(axis=0, ddof=1) / math.sqrt(R) / scale
    low, high = (0.5 * (1 + np.tanh(0.5 * (logit + side * reach))) for side in (-1, 1))
    fixed = np.ptp(values, axis=0) == 0
    return np.where(fixed, mean, np.minimum(low, mean)), np.where(fixed, mean, np.maximum(high, mean))


@cache
def student(freedom: int) -> float:
    """Return the two-sided 95 % quantile of Student's t: P(|T| ≤ t) = 0.95 with `freedom` degrees of freedom.

    By bisection of the finite series of Abramowitz & Stegun, 26.7.3 and 26.7.4.

    >>> round(student(5), 4), round(student(9), 4)
    (2.5706, 2.2622)
    """
    low, high = 1.0, 16.0
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _within(middle, freedom) < LEVEL else (low, middle)
    return high


def _within(t: float, freedom: int) -> float:
    """Return P(|T| ≤ t)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd, square = freedom % 2, math.cos(angle) ** 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= (k - 1) / k * square
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
