"""Metrics: one number that says how well outputs fit targets. Larger is not always better; see each.

    f(y, t, loss, sample_weight=None)
                    y (B, O) float64 as the network gives it; t (B, O) targets; `loss` the name of the program's loss,
                    or the Loss itself where it is a user's own; weights (B,): 2 is the sample given twice

Metrics speak of what the loss predicts, its link: probabilities under cross_entropy and binary_cross_entropy, rates
under poisson, y itself otherwise. The link is applied here. A NaN among predictions or targets makes a metric NaN;
ties share what they decide, half a pair each.

Names stand for those in `entries`; names of another package are entry points of the group `flowgrad.metrics`, each a
Metric. `interval` gives a metric with its confidence interval.
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
