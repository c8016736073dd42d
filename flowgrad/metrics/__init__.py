"""Metrics, which measure how well outputs fit targets by one number. For some of them larger is better, for others not.

All metrics of this module are called as `f(y, t, loss, sample_weight=None)` and return a float:

    y               (B, O) float64, outputs of the network, to which the loss's link has not been applied
    t               (B, O) targets; or (B,), class indices if there are several outputs, else targets of the one output
    loss            name of the loss, or a Loss
    sample_weight   (B,) finite, ≥ 0; weight 2 has the effect of giving the sample twice. Default: all 1

A metric applies the loss's link to y to get predictions p: probabilities under cross_entropy and binary_cross_entropy,
means under poisson, gamma and negative_binomial, y itself under other losses. If a prediction or target is NaN, the
metric is NaN. In metrics that compare pairs of samples, tied predictions count as half a pair.

`entries` maps names to metrics. Other packages add a Metric by an entry point of the group `flowgrad.metrics`.
`interval` computes a metric with its confidence interval.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowgrad.errors import ConfigError, brief
from flowgrad.metrics.classes import accuracy, auc, average_precision, balanced_accuracy, brier, f1, log_loss, mcc
from flowgrad.metrics.intervals import Interval, interval
from flowgrad.metrics.metric import Metric, predicted, record_of
from flowgrad.metrics.numbers import concordance, mae, pearson, r2, rmse, spearman
from flowgrad.registry import find

__all__ = [
    "Interval",
    "Metric",
    "accuracy",
    "auc",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "concordance",
    "entries",
    "f1",
    "interval",
    "log_loss",
    "mae",
    "mcc",
    "metrics_for",
    "pearson",
    "predicted",
    "r2",
    "record_of",
    "rmse",
    "spearman",
]

entries: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        *(accuracy, auc, average_precision, f1, balanced_accuracy, mcc, log_loss, brier),
        *(pearson, spearman, r2, rmse, mae, concordance),
    )
}


def metrics_for(metrics: Iterable[str | Metric]) -> tuple[Metric, ...]:
    """Return metrics as a tuple of records, with names replaced by the metrics of these names.

    Args:
        metrics: iterable of names (`flowgrad list metrics`) and Metric records.

    Raises:
        UnknownNameError: no metric has this name; the message gives the nearest.
        ConfigError: `metrics` is a single str or not iterable, or an entry is neither a name nor a Metric.

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
