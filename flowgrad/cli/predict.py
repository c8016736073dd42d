"""`flowgrad predict`: what a network answers to samples."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from flowgrad.cli import _options
from flowgrad.cli._answers import is_data, show
from flowgrad.cli._config import reading_of
from flowgrad.cli._console import intervals
from flowgrad.cli._opened import opened
from flowgrad.figures import figures
from flowgrad.maths.losses import Loss, identity
from flowgrad.model import Model, column_names, probabilities


def entry(
    network: _options.Network,
    data: _options.Data,
    out: _options.Out = None,
    raw: Annotated[bool, typer.Option("--raw", help="The outputs as they are: logits, log rates.")] = False,
    top: _options.Rows = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
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
    o = opened(
        network, data, "if there", executor=executor, read_as=read_as, option=option, ignore=ignore,
        quiet=is_data(out), reading=reading,
    )  # fmt: skip
    y = o.program.predict(o.X)
    show(answers_of(o.model, y, raw), out, top)
    if out is not None and o.T is not None:
        intervals(f"on {data.name}", figures(o.model, y, o.T))


def answers_of(model: Model, y: Any, raw: bool = False) -> dict[str, Any]:
    """Columns of answers: outputs; what the loss's link makes of them; or class and probabilities.

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
    """The column of what an output predicts: `p(y)`, a probability; `rate(y)`; `y` where it is the output itself."""
    if loss.logits:
        return f"p({name})"
    return name if loss.link is identity else f"{loss.link.__name__}({name})"
