"""`flowgrad predict`: what a network answers to samples."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli import _data, _job, _options, _tables
from flowgrad.cli._config import reading_of
from flowgrad.cli._console import console, say, table
from flowgrad.cli._missing import fitted
from flowgrad.cli._model import Model, column_names, open_network
from flowgrad.cli._tables import Table
from flowgrad.maths.losses import Loss, identity

SHOWN = 20  # rows on a terminal


def entry(
    network: _options.Model,
    data: _options.Data,
    out: _options.Out = None,
    raw: Annotated[bool, typer.Option("--raw", help="The outputs as they are: logits, log rates.")] = False,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    orient: _options.Orient = None,
    labels: _options.Labels = None,
    key: _options.Key = None,
    surplus: _options.Surplus = None,
    missing: _options.Missing = None,
) -> None:
    """Predict: one row of answers for each sample.

    Of a run with classes the answers are the class and the probability p(CLASS) of each. Else they are what the run's
    loss predicts: a probability p(NAME) under binary_cross_entropy and cross_entropy, a rate rate(NAME) under poisson,
    the output itself under other losses. Samples are scaled as they were in training. Columns of targets or labels may
    be there; with --out the figures on them are printed.
    """
    reading = reading_of({"orient": orient, "labels": labels, "key": key, "surplus": surplus, "missing": missing})
    samples = Table(data, reading)
    model = fitted(open_network(network, ignore or ()), samples)
    roles = model.roles
    answers = _data.answered(samples, roles)
    known = _data.read(samples, roles, answers=answers)
    scaled = _data.Samples(model.scaled(known.X), known.T)
    program = fg.compile(model.network, executor=executor, loss=model.loss or "squared_error")
    columns = answers_of(model, program.predict(scaled.X), raw)
    show(columns, out)
    if out is not None and answers:
        table((f"on {data.name}", "value"), list(_job.figures(program, scaled).items()))


def answers_of(model: Model, y: Any, raw: bool = False) -> dict[str, Any]:
    """Columns of answers: outputs; what the loss's link makes of them; or class and probabilities."""
    roles, y = model.roles, np.asarray(y, np.float64)
    if roles.label is not None and not raw:
        p = probabilities(model.record, y)
        chosen = [roles.classes[k] for k in p.argmax(axis=1).tolist()]
        return {roles.label: chosen} | {f"p({name})": p[:, k] for k, name in enumerate(roles.classes)}
    names = column_names(model.network.outputs) if roles.label or not roles.targets else roles.targets
    if raw or model.loss is None:
        return dict(zip(names, y.T, strict=True))
    predicted = model.record.link(y)
    return {called(model.record, name): column for name, column in zip(names, predicted.T, strict=True)}


def called(loss: Loss, name: str) -> str:
    """The column of what an output predicts: `p(y)`, a probability; `rate(y)`; `y` where it is the output itself."""
    if loss.logits:
        return f"p({name})"
    return name if loss.link is identity else f"{loss.link.__name__}({name})"


def probabilities(loss: Loss, y: Any) -> Any:
    """(B, classes): of each class one output's, or of two the complement and the one output's."""
    if y.shape[1] > 1:
        return loss.link(y)
    return np.concatenate([loss.link(-y), loss.link(y)], axis=1)  # 1 − p would cancel the digits of a small one


def show(columns: Mapping[str, Any], out: Path | None) -> None:
    """A CSV in a file, or on stdout; on a terminal a table of the first rows."""
    rows = len(next(iter(columns.values())))
    if out is not None:
        _tables.write(out, columns)
        say(f"{rows:,} rows: {out}")
    elif not console().is_terminal:
        _tables.write_rows(sys.stdout, columns)
    else:
        first = [list(c[:SHOWN].tolist() if isinstance(c, np.ndarray) else c[:SHOWN]) for c in columns.values()]
        table(tuple(columns), zip(*first, strict=True))
        if rows > SHOWN:
            say(f"{rows - SHOWN:,} more rows: --out FILE writes them all")
