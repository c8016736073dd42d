"""`flowgrad predict`: compute a network's predictions for samples."""

from __future__ import annotations

from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._answers import is_data, show
from flowgrad.cli._console import intervals
from flowgrad.cli._opened import opened
from flowgrad.figures import answers, figures


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.Data,
    out: _options.Out = None,
    raw: Annotated[bool, typer.Option("--raw", help="Report the outputs themselves: logits, log rates.")] = False,
    top: _options.Rows = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Predict: print one row per sample.

    For a run with classes the row has the class and the probability p(CLASS) of each. Otherwise it has what the
    loss of the run predicts: a probability p(NAME) under binary_cross_entropy and cross_entropy, a rate rate(NAME)
    under poisson, gamma and negative_binomial, log_hazard(NAME) under cox, the output itself under other losses.
    Samples are scaled as in training. The file may hold columns of targets or labels; with --out the metrics on
    them are printed.
    """
    _options.check_apart(out, network, data, tables["labels"])
    o = opened(
        network, data, "if there", executor=executor, read_as=read_as, option=option, ignore=ignore,
        quiet=is_data(out), tables=tables, finite=True,
    )  # fmt: skip
    y = o.program.predict(o.X)
    show(answers(o.model, y, raw), out, top)
    if out is not None and o.T is not None:
        intervals(f"on {data.name}", figures(o.model, y, o.T))
