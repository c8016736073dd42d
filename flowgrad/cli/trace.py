"""`flowgrad trace`: every step of forward and backward at one sample, as JSON Lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import flowgrad as fg
from flowgrad.cli import _data, _options
from flowgrad.cli._console import say
from flowgrad.cli._model import open_network
from flowgrad.cli._tables import Table
from flowgrad.inspection import replay, trace, write_trace


def entry(
    network: _options.Model,
    data: _options.Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the steps go, a line each.")] = Path("trace.jsonl"),
    sample: Annotated[int, typer.Option(help="Which row of the samples, from 0.")] = 0,
    loss: _options.Loss = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
) -> None:
    """Write every step of forward and backward at one sample, with each value read and written.

    The file is JSON Lines. It is then played again step by step, by the formulas alone: each value read must be
    the one that an earlier step wrote, and each value written must follow.
    """
    model = open_network(network, ignore or ())
    samples = _data.read(Table(data), model.roles)
    program = fg.compile(model.network, executor=executor, loss=loss or model.loss or "squared_error")
    write_trace(out, trace(program, model.scaled(samples.X), samples.T, sample=sample))
    steps = replay(out)
    say(f"{steps:,} steps in {out}, played again: every value follows from those before it")
