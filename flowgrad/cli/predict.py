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
from flowgrad.cli._console import console, say, table
from flowgrad.cli._model import Model, column_names, open_network
from flowgrad.cli._tables import Table
from flowgrad.registry import find

SHOWN = 20  # rows on a terminal


def entry(
    network: _options.Model,
    data: _options.Data,
    out: _options.Out = None,
    raw: Annotated[bool, typer.Option("--raw", help="The outputs as they are, also of a classifier.")] = False,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
) -> None:
    """Predict: one row of answers for each sample.

    Of a run with classes the answers are the class and the probability of each class. Samples are scaled as
    they were in training. Columns of targets or labels may be there; with --out the figures on them are printed.
    """
    model, samples = open_network(network, ignore or ()), Table(data)
    roles = model.roles
    answers = roles.label in samples.names if roles.label else set(roles.targets) <= set(samples.names)
    known = _data.read(samples, roles, answers=answers)
    scaled = _data.Samples(model.scaled(known.X), known.T)
    program = fg.compile(model.network, executor=executor, loss=model.loss or "squared_error")
    columns = answers_of(model, program.predict(scaled.X), raw)
    show(columns, out)
    if out is not None and answers:
        table((f"on {data.name}", "value"), list(_job.figures(program, scaled).items()))


def answers_of(model: Model, y: Any, raw: bool = False) -> dict[str, Any]:
    """Columns of answers: outputs, or class and probabilities."""
    roles = model.roles
    if raw or roles.label is None:
        names = column_names(model.network.outputs) if roles.label or not roles.targets else roles.targets
        return dict(zip(names, y.T, strict=True))
    p = probabilities(y.astype(np.float64))
    chosen = [roles.classes[k] for k in p.argmax(axis=1).tolist()]
    return {roles.label: chosen} | {f"p({name})": p[:, k] for k, name in enumerate(roles.classes)}


def probabilities(y: Any) -> Any:
    """(B, classes): softmax of the logits, or of one logit σ(y) and its complement."""
    if y.shape[1] > 1:
        return find("losses", "cross_entropy").link(y)
    of_one = find("losses", "binary_cross_entropy").link
    return np.concatenate([of_one(-y), of_one(y)], axis=1)


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
