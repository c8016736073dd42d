"""Results of cross-validation: folds and their models, metrics with intervals, and outputs for held-out samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, brief
from flowgrad.executor import Array
from flowgrad.figures import answers, figures, on_the_data
from flowgrad.frames import frame
from flowgrad.inspection.intervals import student
from flowgrad.inspection.jobs import Job
from flowgrad.metrics import Interval, Metric
from flowgrad.model import Model
from flowgrad.program import compile
from flowgrad.scaling import Scaling


@dataclass(frozen=True)
class Fold:
    """One training: its repeat and fold, from 1, and what came of it.

    rows      (n,) the samples that were held out
    y         (n, O) float64 what the network answers to them: logits, log rates, or targets on the data's scale
    theta     (P,) the trained parameters
    scaling   (2, I) mean and scale of the inputs on the training samples, or (0, I); `target_scaling` likewise (·, O)
    epochs    how many were run; loss: of the last one
    """

    repeat: int
    number: int
    rows: Array
    y: Array
    theta: Array
    scaling: Array
    target_scaling: Array
    epochs: int
    loss: float

    @property
    def job(self) -> Job:
        """The job that trained this fold; its file is named by it."""
        return "fold", self.repeat, self.number

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that the file of this fold keeps, by name."""
        names = ("rows", "y", "theta", "scaling", "target_scaling", "epochs", "loss")
        return {name: np.asarray(getattr(self, name)) for name in names}

    @classmethod
    def restored(cls, job: Job, arrays: Mapping[str, Array]) -> Fold:
        """Make the fold of a job from the arrays that `Fold.arrays` returned."""
        kept = {name: arrays[name] for name in ("rows", "y", "theta", "scaling", "target_scaling")}
        return cls(job[1], job[2], **kept, epochs=int(arrays["epochs"]), loss=float(arrays["loss"]))


@dataclass(frozen=True, repr=False)
class CrossValidation:
    """What `cross_validate` found, of B samples.

    model    as it was given, untrained
    T        (B, O) targets, or (B,) class indices
    done     R · K folds, one after the other, repeat by repeat
    metrics  the metrics that judge it
    groups   (B,) or None
    """

    model: Model
    T: Array
    done: tuple[Fold, ...]
    metrics: tuple[Metric, ...]
    groups: Array | None = None

    def model_of(self, repeat: int, number: int) -> Model:
        """Give the model that was trained without this fold, with its scaling; repeat and number count from 1.

        Raises:
            ConfigError: there is no such repeat or fold.
        """
        fold = next((each for each in self.done if (each.repeat, each.number) == (repeat, number)), None)
        if fold is None:
            last = self.done[-1]
            raise ConfigError(
                f"no fold {brief(number)} of repeat {brief(repeat)}: 1 … {last.number} of 1 … {last.repeat}"
            )
        network = compile(self.model.network, executor="python").network(fold.theta)
        inputs, targets = (Scaling(*given) if len(given) else None for given in (fold.scaling, fold.target_scaling))
        return replace(self.model, network=network, scaling=inputs, target_scaling=targets)

    @cached_property
    def outputs(self) -> Array:
        """(R, B, O) float64: the network's outputs for each sample while it was held out, in each repeat."""
        found = np.empty((self.done[-1].repeat, len(self.T), self.done[0].y.shape[1]))
        for fold in self.done:
            found[fold.repeat - 1, fold.rows] = fold.y
        return found

    @cached_property
    def _by_fold(self) -> list[dict[str, Any]]:
        rows = []
        for fold in self.done:
            y, t = on_the_data(self.model, fold.y, self.T[fold.rows])
            n = len(fold.rows)
            row: dict[str, Any] = {"repeat": fold.repeat, "fold": fold.number, "train": len(self.T) - n, "test": n}
            row |= {"epochs": fold.epochs, "loss": fold.loss}
            loss = self.model.loss or self.model.record
            rows.append(row | {m.name: float(m.f(y, t, loss)) for m in self.metrics})
        return rows

    def by_fold(self) -> list[dict[str, Any]]:
        """Give a dict a fold: repeat and fold from 1, sizes of the other folds and of this, epochs, loss, metrics."""
        return [dict(row) for row in self._by_fold]

    def figures(self) -> list[dict[str, Any]]:
        """Give a dict a metric.

        mean, sd              over the folds for which it is defined, `folds` in number
        low, high             95 % interval of the mean, for models trained on other samples, by Student's t; variance
                              with n_test/n_train added to 1/folds, as folds share samples (Nadeau & Bengio 2003)
        pooled                metric of all outputs together, each sample as often as there are repeats
        pooled_low, _high     its 95 % interval over samples or groups drawn anew (`metrics.interval`)
        """
        together = self._pooled
        return [
            {"metric": m.name, **self._mean(m), "pooled": found.value, "pooled_low": found.low,
             "pooled_high": found.high}
            for m, found in zip(self.metrics, together, strict=True)
        ]  # fmt: skip

    @cached_property
    def _pooled(self) -> tuple[Interval, ...]:
        repeats, B, O = self.outputs.shape
        groups = np.arange(B) if self.groups is None else self.groups
        again = np.concatenate([self.T] * repeats)
        found = figures(self.model, self.outputs.reshape(-1, O), again, self.metrics, np.tile(groups, repeats))
        return tuple(found[m.name] for m in self.metrics)

    def _mean(self, metric: Metric) -> dict[str, float]:
        values = np.array([row[metric.name] for row in self._by_fold])
        known = np.isfinite(values)
        n, nan = int(known.sum()), math.nan
        if n < 2:
            return {"mean": nan, "sd": nan, "low": nan, "high": nan, "folds": n}
        mean, sd = float(values[known].mean()), float(values[known].std(ddof=1))
        test = np.mean([row["test"] / row["train"] for row in self._by_fold])
        reach = student(n - 1) * sd * math.sqrt(1 / n + float(test))
        low, high = np.clip([mean - reach, mean + reach], *metric.bounds).tolist()
        return {"mean": mean, "sd": sd, "low": low, "high": high, "folds": n}

    def predictions(self) -> dict[str, Any]:
        """Give columns, a row a sample and repeat: sample and repeat from 1, fold, true target, model's predictions."""
        repeats, B, O = self.outputs.shape
        fold = np.empty((repeats, B), np.intp)
        for each in self.done:
            fold[each.repeat - 1, each.rows] = each.number
        columns: dict[str, Any] = {
            "sample": np.tile(np.arange(1, B + 1), repeats),
            "repeat": np.repeat(np.arange(1, repeats + 1), B),
            "fold": fold.ravel(),
        }
        if self.T.ndim == 1:
            columns["true"] = [self.model.classes[k] for k in self.T.tolist()] * repeats
        else:
            true = zip(self.model.targets, self.T.T, strict=True)
            columns |= {f"true {name}": np.tile(column, repeats) for name, column in true}
        return columns | answers(self.model, self.outputs.reshape(-1, O))

    def to_frame(self) -> Any:
        """Give `by_fold` as a pandas or polars frame.

        Raises:
            MissingDependencyError: neither is installed.
        """
        return frame({name: [row[name] for row in self._by_fold] for name in self._by_fold[0]})

    def __repr__(self) -> str:
        last = self.done[-1]
        lines = [f"cross-validation: {last.number} folds, {last.repeat} repeats, {len(self.T):,} samples"]
        lines += [f"{f['metric']} {f['mean']:.4g} [{f['low']:.4g}, {f['high']:.4g}]" for f in self.figures()]
        return "\n".join(lines)
