"""Evaluate an epoch: metrics over the training data, loss and metrics over the validation data, at the current θ.

Of samples in storage, all outputs and targets (N, O) are in memory at once; inputs are read chunk by chunk.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from flowgrad.fitting.descent import Descent
from flowgrad.fitting.samples import Data
from flowgrad.history import Row
from flowgrad.metrics import Metric
from flowgrad.program import Program
from flowgrad.registry import is_own

Array = npt.NDArray[Any]


def measured(descent: Descent, measures: Iterable[Metric], data: Data, held: Data | None, epoch: int) -> Row:
    """Return columns of the History by name: metrics of `data`; with `held`, val_loss and its metrics.

    Raises:
        NonFiniteError: the validation loss is not finite.
    """
    row: Row = {}
    program, measures = descent.program, tuple(measures)
    loss = program._need_loss()
    name = loss.name if is_own("losses", loss) else loss
    if measures:
        y, t = _judged(program, data)
        with np.errstate(all="ignore"):  # an overflow here appears in the loss of the next step
            row |= {m.name: m.f(y, t, name) for m in measures}
    if held is not None:
        y, t = _judged(program, held)
        row["val_loss"] = _loss_of(program, y, t, held.s)
        if not np.isfinite(row["val_loss"]):
            _stop(descent, f"epoch {epoch}, after step {descent.steps}, validation", y, t, held)
        row |= {f"val_{m.name}": m.f(y, t, name) for m in measures}
    return row


def _judged(program: Program, data: Data) -> tuple[Array, Array]:
    """Return the outputs (N, O) float64 and the targets (N, O) of all samples."""
    y, t = list[Array](), list[Array]()
    with closing(data.chunks()) as chunks:
        for chunk in chunks:
            y.append(program.predict(chunk.x).astype(np.float64))
            t.append(chunk.t)
    return (y[0], t[0]) if len(y) == 1 else (np.concatenate(y), np.concatenate(t))


def _loss_of(program: Program, y: Array, t: Array, s: Array | None) -> float:
    """Return the reduced loss (4) of outputs y (B, O) float64, targets t (B, O) and weights s (B,)."""
    total = float(program._need_loss().evaluate(y, t.astype(np.float64), s)[0].sum())
    return total if program.reduction == "sum" else total / (len(y) if s is None else float(s.sum()))


def _stop(descent: Descent, when: str, y: Array, t: Array, held: Data) -> NoReturn:
    """Raise NonFiniteError, with the chunk that holds the first sample whose loss is not finite."""
    with np.errstate(all="ignore"):
        wrong = ~np.isfinite(descent.program._need_loss().evaluate(y, t.astype(np.float64), held.s)[0]).all(axis=1)
    first = int(wrong.argmax())
    with closing(held.chunks()) as chunks:
        for chunk in chunks:
            if first < len(chunk):
                break
            first -= len(chunk)
    descent.stop(when, chunk)
