"""Figures: how well a model's outputs fit, by the metrics that suit it, on the data's own scale, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from flowgrad.maths.losses import Loss, identity
from flowgrad.metrics import Interval, Metric, interval, metrics_for
from flowgrad.metrics.metric import Array
from flowgrad.model import Model, column_names, probabilities

DRAWS, LEAST = 1000, 200  # of the bootstrap: that many, and fewer, but the least, where there are many samples:
NUMBERS = 20_000_000  # samples drawn in all


def metrics_of(model: Model, more: Iterable[str | Metric] = ()) -> tuple[Metric, ...]:
    """Give the metrics that judge a model, and `more`, each once.

    Classes: accuracy and auc; times of survival: concordance; other targets: rmse and pearson.
    """
    names = ("concordance",) if model.record.censored else ("accuracy", "auc") if model.classes else ("rmse", "pearson")
    return tuple(dict.fromkeys((*metrics_for(names), *metrics_for(more))))


def on_the_data(model: Model, y: Any, T: Any) -> tuple[Array, Array]:
    """Give outputs and targets (B, O) float64 as metrics take them: on the data's scale, classes one-hot.

    Args:
        y: (B, O), the network's outputs; T: class indices (B,), or targets (B, O) as the network answers them.
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
    """Give the metrics of a model's outputs by name, each with its 95 % interval over samples drawn anew.

    All speak of what the loss predicts: probabilities, rates, or the targets on the data's scale.

    Args:
        y, T: as for `on_the_data`; metrics: beside those of `metrics_of`; groups: (B,), as for `metrics.interval`.
    """
    y, t = on_the_data(model, y, T)
    draws = max(LEAST, min(DRAWS, NUMBERS // len(y)))
    loss = model.record if not isinstance(model.loss, str) else model.loss
    return {m.name: interval(m, y, t, loss, groups=groups, resamples=draws) for m in metrics_of(model, metrics)}


def answers(model: Model, y: Any, raw: bool = False) -> dict[str, Any]:
    """Give columns of answers: outputs; what the loss's link makes of them; or class and probabilities.

    Args:
        y: (B, O), the network's outputs.
        raw: outputs as they are, targets being on the data's scale all the same.
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
    """Give the column of what an output predicts: `p(y)`, a probability; `rate(y)`; `y`, the output itself."""
    if loss.logits:
        return f"p({name})"
    return name if loss.link is identity else f"{loss.link.__name__}({name})"
