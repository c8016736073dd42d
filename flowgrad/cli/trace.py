"""`flowgrad trace`: write every step of forward and backward at one sample as JSON Lines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import say
from flowgrad.cli._opened import opened
from flowgrad.inspection import replay, trace, write_trace


@_options.with_tables
def entry(
    network: _options.Network,
    data: _options.Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="File of the steps, one per line.")] = Path("trace.jsonl"),
    sample: Annotated[int, typer.Option(help="Row of the samples, from 0.")] = 0,
    loss: _options.Loss = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Write every step of forward and backward at one sample, with each value read and written.

    The file is in JSON Lines. It is then verified step by step, by the formulas alone: each value read must be the
    one that an earlier step wrote, and each value written must follow from those read.
    """
    _options.check_apart(out, network, data, tables["labels"])
    o = opened(
        network, data, "needed", loss=loss, executor=executor, read_as=read_as, option=option, ignore=ignore,
        tables=tables,
    )  # fmt: skip
    write_trace(out, trace(o.program, o.X, o.T, sample=sample))
    steps = replay(out)
    say(f"{steps:,} steps in {out}, played again: every value follows from those before it")
