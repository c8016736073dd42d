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
    """A named f(y, t, loss); `loss` is the name of the program's loss, or the Loss where it is a user's own.

    `fit(..., metrics=[Metric("bias", lambda y, t, loss: float((y - t).mean()))])` takes one of your own. Those of
    flowgrad also take `sample_weight`, (B,), and can be called themselves: `metrics.auc(y, t, loss)`; `of` is what
    each makes of a `Judged`, and `bounds` the least and the largest value that it can have.

    Raises:
        ConfigError: the name is no text or empty, or `f` cannot be called.
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
    """Predictions, targets and weights, the argument of flowgrad's metrics.

    p, t      (B, O) float64: what the outputs predict, and targets
    w         (B,) float64: the samples' weights, all above 0
    classes   whether the outputs are read as exclusive classes, rather than each as a class by itself
    censored  whether t are times of survival, negative where censored, and p log hazards
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
    """Make a metric with these bounds of a statistic of a `Judged`; NaN where a prediction or target is NaN."""

    def metric(of: Callable[[Judged], float]) -> Metric:
        def f(y: Any, t: Any, loss: str | Loss, sample_weight: Any = None) -> float:
            return value(of, judged(y, t, loss, sample_weight))

        f.__doc__ = of.__doc__
        return Metric(of.__name__, f, of, (least, most))

    return metric


def value(of: Callable[[Judged], float], seen: Judged) -> float:
    """Return the statistic; NaN where a prediction or a target is NaN."""
    return float("nan") if seen.undefined else defined(of, seen)


def defined(of: Callable[[Judged], float], seen: Judged) -> float:
    """Return the statistic of samples without NaN in predictions and targets."""
    with np.errstate(all="ignore"):
        return float(of(seen))


def mean(values: Array, w: Array) -> Array:
    """Give the weighted mean of values (B,) or of the columns of (B, O): `np.average` without its checks.

    A bootstrap calls this function thousands of times, and the checks would take most of its time.
    """
    return np.asarray((values.T * w).sum(axis=-1) / w.sum())


def judged(y: Any, t: Any, loss: str | Loss, sample_weight: Any = None) -> Judged:
    """Make a `Judged` of outputs y (B, O), targets t (B, O) or (B,), and weights (B,), without samples of weight 0.

    Targets (B,) are class indices where there are several outputs, else the targets of the single output.

    Raises:
        ShapeError: they do not fit together. DataError: no samples, no numbers, or weights below 0.
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
    """The Loss of that name; None of a name that is not registered, whose outputs are taken as predictions."""
    if isinstance(loss, Loss):
        return loss
    found: Loss | None = find("losses", loss) if loss in names("losses") else None
    return found


def predicted(y: Any, loss: str | Loss) -> Array:
    """(B, O) float64: what outputs y (B, O) predict, by the loss's link.

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
