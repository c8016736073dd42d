"""Figures of merit of a model: metrics of its outputs on the scale of the raw data, with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from flowgrad.maths.losses import Loss, identity
from flowgrad.metrics import Interval, Metric, interval, metrics_for
from flowgrad.metrics.metric import Array
from flowgrad.model import Model, column_names, probabilities

DRAWS, LEAST = 1000, 200  # bootstrap resamples: the default, and the fewest, on large data, where `NUMBERS` limits them
NUMBERS = 20_000_000  # samples drawn over all resamples


def metrics_of(model: Model, more: Iterable[str | Metric] = ()) -> tuple[Metric, ...]:
    """List the metrics that evaluate a model, and `more`, without duplicates.

    Classes: accuracy and auc; times of survival: concordance; other targets: rmse and pearson.
    """
    names = ("concordance",) if model.record.censored else ("accuracy", "auc") if model.classes else ("rmse", "pearson")
    return tuple(dict.fromkeys((*metrics_for(names), *metrics_for(more))))


def on_the_data(model: Model, y: Any, T: Any) -> tuple[Array, Array]:
    """Convert outputs and targets to (B, O) float64 for metrics: on the scale of the raw data, classes one-hot.

    Args:
        y: (B, O), the network's outputs; T: class indices (B,), or targets (B, O) on the scale of the outputs.
    """
    y, T = np.asarray(y, np.float64), np.asarray(T)
    if T.ndim == 1:
        return y, np.eye(y.shape[1])[T] if y.shape[1] > 1 else T[:, None].astype(np.float64)
    if model.target_scaling is not None:
        return model.target_scaling.back(y), model.target_scaling.back(T)
    return y, T.astype(np.float64)


def figures(
    model: Model, y: Any, T: Any, metrics: Iterable[str | Metric] = (), groups: Any = None
) -> dict[str, Interval]:
    """Compute the metrics of a model's outputs by name, each with its 95 % interval by the bootstrap over samples.

    They are computed on predictions of the loss: probabilities, rates, or targets on the scale of the raw data.

    Args:
        y, T: as for `on_the_data`; metrics: further ones; groups: (B,), as for `metrics.interval`.
    """
    y, t = on_the_data(model, y, T)
    draws = max(LEAST, min(DRAWS, NUMBERS // len(y)))
    loss = model.record if not isinstance(model.loss, str) else model.loss
    return {m.name: interval(m, y, t, loss, groups=groups, resamples=draws) for m in metrics_of(model, metrics)}


def answers(model: Model, y: Any, raw: bool = False) -> dict[str, Any]:
    """Make columns of predictions by name: outputs after the loss's link, or class and class probabilities.

    Args:
        y: (B, O), the network's outputs.
        raw: return outputs before the link, rescaled to raw targets where the model has a target scaling.
    """
    y = np.asarray(y, np.float64)
    if model.classes and not raw:
        p = probabilities(model.record, y)
        chosen = [model.classes[k] for k in p.argmax(axis=1).tolist()]
        return {str(model.label): chosen} | {f"p({name})": p[:, k] for k, name in enumerate(model.classes)}
    if model.target_scaling is not None:
        y = model.target_scaling.back(y)
    names = column_names(model.network.outputs) if model.classes else model.targets
    if raw or model.loss is None:
        return dict(zip(names, y.T, strict=True))
    predicted = model.record.link(y)
    return {called(model.record, name): column for name, column in zip(names, predicted.T, strict=True)}


def called(loss: Loss, name: str) -> str:
    """Name the column of an output's prediction: `p(y)`, a probability; `rate(y)`; `y`, the output itself."""
    if loss.logits:
        return f"p({name})"
    return name if loss.link is identity else f"{loss.link.__name__}({name})"
