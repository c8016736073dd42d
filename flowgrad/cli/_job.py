"""One job of training: samples in, a trained program and its figures out. `train` and `demo` both run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import flowgrad as fg
from flowgrad.callback import Callback
from flowgrad.cli._config import optimizer_of
from flowgrad.cli._data import Samples
from flowgrad.errors import NonFiniteError
from flowgrad.metrics import metrics_for
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.scaling import Scaling

Row = dict[str, float]


@dataclass(frozen=True)
class Parts:
    """Samples by what they are for, their inputs scaled by `scaling`; None where they are as they were measured."""

    train: Samples
    validation: Samples | None
    test: Samples
    scaling: Scaling | None

    @classmethod
    def of(cls, train: Samples, validation: Samples | None, test: Samples, scaling: Scaling | None) -> Parts:
        """Scale the inputs of all parts."""

        def scaled(part: Samples) -> Samples:
            return part if scaling is None else Samples(scaling(part.X), part.T)

        return cls(scaled(train), scaled(validation) if validation else None, scaled(test), scaling)


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    rows      one a finished epoch, as `fg.History.rows`
    reason    why training ended; "stopped" after a number that is not finite, then `error` says where
    figures   name → value on the test samples: accuracy and auc, or rmse and pearson
    """

    program: Program
    rows: list[Row]
    reason: str
    figures: dict[str, float]
    error: str | None = None
    best_epoch: int | None = None


@dataclass(frozen=True)
class Settings:
    """How to train; the section [train] of a configuration, with every key."""

    values: dict[str, Any] = field(default_factory=dict)

    def program(self, network: Network) -> Program:
        """The network compiled as the settings say."""
        v = self.values
        return fg.compile(network, executor=v["executor"], dtype=v["dtype"], loss=v["loss"], threads=v["threads"])

    def arguments(self, program: Program) -> dict[str, Any]:
        """What `fg.fit` is called with."""
        v = self.values
        plain = ("learning_rate", "epochs", "batch_size", "seed", "shuffle", "patience", "schedule")
        l1, l2 = (_penalty(program, v["penalize"], v[name]) for name in ("l1", "l2"))
        given = {name: v[name] for name in plain} | {"optimizer": optimizer_of(v["optimizer"])}
        return given | {"metrics": v["metrics"] or (), "l1": l1, "l2": l2}


def _penalty(program: Program, on: str, factor: float) -> Any:
    """The penalty of all weights, or only of those that leave an input."""
    if on == "weights" or not factor:
        return factor
    slots = program.plan.weight_slot[np.isin(program.plan.in_source, program.plan.inputs)]
    return [(slots[slots >= 0], factor)]


def run(
    network: Network,
    parts: Parts,
    settings: Settings,
    on_epoch: Callable[[Row], object] = lambda row: None,
    start: Callable[[Program], object] = lambda program: None,
    kept: Callable[[Row], object] = lambda row: None,
    logs: Callable[[], Sequence[Callback]] = tuple,
) -> Outcome:
    """Train on the first part, stop by the second, measure on the third.

    `start` is called with the program before its first epoch, then `logs` for the callbacks; after each epoch `kept`,
    then `on_epoch`, with its row.

    Ctrl-C and numbers that are not finite end training; what was reached is in the outcome.
    """
    program = settings.program(network)
    rows: list[Row] = []

    def keep(row: Row) -> None:
        rows.append(row)
        kept(row)
        on_epoch(row)

    held = (parts.validation.X, parts.validation.T) if parts.validation else None
    reason, error, best = "stopped", None, None
    try:
        arguments = settings.arguments(program)
        start(program)
        arguments |= {"validation": held, "on_epoch": keep, "callbacks": logs()}
        history = fg.fit(program, parts.train.X, parts.train.T, **arguments)
        reason, best = history.reason, history.best_epoch
    except NonFiniteError as problem:
        error = str(problem)
    return Outcome(program, rows, reason, figures(program, parts.test), error, best)


def figures(program: Program, samples: Samples) -> dict[str, float]:
    """Accuracy and area under the ROC curve for classes; else root mean square error and Pearson's r.

    All speak of what the loss predicts: probabilities, rates, or the outputs themselves.
    """
    assert program.loss is not None
    y = program.predict(samples.X).astype(np.float64)
    t, classes = samples.T, samples.T.ndim == 1
    if classes:
        t = np.eye(y.shape[1])[t] if y.shape[1] > 1 else t[:, None].astype(np.float64)
    names: Sequence[str] = ("accuracy", "auc") if classes else ("rmse", "pearson")
    return {metric.name: metric.f(y, t, program.loss.name) for metric in metrics_for(names)}
