"""The record of a metric, and its arguments: predictions by the loss's link, targets, and the samples' weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import plain
from flowgrad.errors import ConfigError, DataError, ShapeError, brief
from flowgrad.maths.losses import Loss
from flowgrad.registry import find, names

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class Metric:
    """A metric with its name; calling it calls `f`, as in `metrics.auc(y, t, loss)`.

    A user's own Metric is used in place of a name, as in
    `fit(..., metrics=[Metric("bias", lambda y, t, loss: float((y - t).mean()))])`.

    Attributes:
        name: non-empty str; the column of the History in which `fit` records the metric.
        f: f(y, t, loss) returns a float. y (B, O) float64 are outputs, to which the loss's link has not been applied;
            t (B, O) are targets; loss is the name of the program's loss, or the Loss if it is a user's own. The metrics
            of flowgrad also take targets (B,) and `sample_weight` (B,).
        of: the function of a `Judged` (predictions, targets and weights) that a metric of flowgrad computes; None for
            a user's own.
        bounds: the smallest and largest possible value. Default: (−inf, inf).

    Raises:
        ConfigError: `name` is not a non-empty str, or `f` is not callable.
    """

    name: str
    f: Callable[..., float]
    of: Callable[[Judged], float] | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"the name of a metric is {brief(self.name)}: must be a text, not empty")
        if not callable(self.f):
            raise ConfigError(f"metric {brief(self.name)}: f={brief(self.f)} cannot be called")

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        return self.f(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Metric({self.name!r})"


@dataclass(frozen=True)
class Judged:
    """Predictions, targets and sample weights, the argument of flowgrad's metrics.

    Attributes:
        p: (B, O) float64, predictions: the outputs after the loss's link.
        t: (B, O) float64, targets.
        w: (B,) float64, sample weights, all > 0.
        classes: whether the outputs stand for exclusive classes, rather than each for a class of its own.
        censored: whether t are survival times, negative where censored, and p log hazards.
    """

    p: Array
    t: Array
    w: Array
    classes: bool
    censored: bool = False

    @property
    def undefined(self) -> bool:
        """Whether a prediction or a target is NaN."""
        return bool(np.isnan(self.p).any() or np.isnan(self.t).any())

    @cached_property
    def predicted(self) -> Array:
        """The predicted classes: (B,) indices of the largest outputs, or (B, O) of 0 and 1 by p > ½."""
        return self.p.argmax(axis=1) if self.classes else (self.p > 0.5).astype(np.intp)

    @cached_property
    def true(self) -> Array:
        """The true classes by the targets t, in the form of `predicted`."""
        return self.t.argmax(axis=1) if self.classes else (self.t > 0.5).astype(np.intp)

    def weighted(self, factor: Array) -> Judged:
        """Return the samples with weights times a factor (B,), without samples of factor 0."""
        kept = np.flatnonzero(factor)
        return replace(self, p=self.p[kept], t=self.t[kept], w=self.w[kept] * factor[kept])


def measure(least: float, most: float) -> Callable[[Callable[[Judged], float]], Metric]:
    """Return a decorator that turns a statistic of a `Judged` into a Metric with these bounds.

    The metric is NaN if a prediction or a target is NaN.
    """

    def metric(of: Callable[[Judged], float]) -> Metric:
        def f(y: Any, t: Any, loss: str | Loss, sample_weight: Any = None) -> float:
            return value(of, judged(y, t, loss, sample_weight))

        f.__doc__ = of.__doc__
        return Metric(of.__name__, f, of, (least, most))

    return metric


def value(of: Callable[[Judged], float], seen: Judged) -> float:
    """Return the statistic, or NaN if a prediction or a target is NaN."""
    return float("nan") if seen.undefined else defined(of, seen)


def defined(of: Callable[[Judged], float], seen: Judged) -> float:
    """Return the statistic for predictions and targets without NaN; NumPy's warnings are suppressed."""
    with np.errstate(all="ignore"):
        return float(of(seen))


def mean(values: Array, w: Array) -> Array:
    """Return the weighted mean of values (B,) or of the columns of (B, O): `np.average` without its checks.

    A bootstrap calls this function thousands of times, and the checks would take most of its time.
    """
    return np.asarray((values.T * w).sum(axis=-1) / w.sum())


def judged(y: Any, t: Any, loss: str | Loss, sample_weight: Any = None) -> Judged:
    """Return a `Judged` of outputs y (B, O), targets t (B, O) or (B,), and weights (B,), without samples of weight 0.

    Targets (B,) are class indices if there are several outputs, else the targets of the single output.

    Raises:
        ShapeError: the shapes do not fit together, or there are no samples.
        DataError: values that are not real numbers, an invalid class index, a negative or infinite or NaN weight, or
            all weights are 0.
    """
    p, record = predicted(y, loss), record_of(loss)
    if p.ndim != 2 or not len(p):
        raise ShapeError(f"y has shape {p.shape}: must be (B, O), a row a sample and a column an output, B 1 or more")
    B, O = p.shape
    t = plain(t, "t")
    if t.ndim == 1 and len(t) == B:
        t = t[:, None] if O == 1 else batch.one_hot(t, O, np.dtype(np.float64))
    if t.shape != p.shape:
        raise ShapeError(f"t has shape {t.shape} and y {p.shape}: they must be the same")
    t = _numbers(t, "t")
    classes = O > 1 and (record is None or record.coupled or not record.logits)
    seen = Judged(p, t, np.ones(B), classes, record is not None and record.censored)
    if sample_weight is None:
        return seen
    s = batch.weights_of_samples(sample_weight, B)
    return seen.weighted(plain(sample_weight, "sample_weight").astype(np.float64)) if s is not None else seen


def record_of(loss: str | Loss) -> Loss | None:
    """Return the Loss of a name, or None for a name that is not registered; a Loss is returned as it is."""
    if isinstance(loss, Loss):
        return loss
    found: Loss | None = find("losses", loss) if loss in names("losses") else None
    return found


def predicted(y: Any, loss: str | Loss) -> Array:
    """Return the predictions of outputs: the loss's link is applied to them.

    Args:
        y: (B, O) outputs of a network, real numbers.
        loss: name of the loss, or a Loss; under a name that is not registered, predictions are the outputs.

    Returns:
        (B, O) float64.

    Raises:
        DataError: y does not hold real numbers.

    >>> predicted(np.zeros((1, 2)), "cross_entropy").tolist()
    [[0.5, 0.5]]
    """
    record, y = record_of(loss), _numbers(y, "y")
    return y if record is None else record.link(y)


def _numbers(values: Any, what: str) -> Array:
    """Convert values to float64; masked arrays and values that are no real numbers raise an error."""
    array = plain(values, what)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} holds {brief(array.dtype.name)}: must be real numbers")
    return array.astype(np.float64, copy=False)
