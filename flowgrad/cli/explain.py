"""`flowgrad explain`: print one neuron's equations with the numbers put in."""

from __future__ import annotations

from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import say
from flowgrad.cli._opened import opened
from flowgrad.inspection import explain


@_options.with_tables
def entry(
    network: _options.Network,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Name of the neuron.", show_default=False)],
    data: _options.Data,
    sample: Annotated[int, typer.Option(help="Row of the samples, from 0.")] = 0,
    top: Annotated[int, typer.Option("--top", metavar="N", help="Number of terms of a sum to show.")] = 12,
    most: Annotated[int | None, typer.Option(hidden=True, help="Older name of --top.")] = None,
    loss: _options.Loss = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Explain one neuron at one sample: the terms of its z, and the cached gradients that it uses.

    Each line is an equation of docs/maths.md with the numbers substituted. The backward half is shown if the
    samples hold the targets.
    """
    o = opened(
        network, data, "if there", loss=loss, executor=executor, read_as=read_as, option=option, ignore=ignore,
        tables=tables,
    )  # fmt: skip
    say(explain(o.program, o.X, o.T, o.node(node), sample=sample, most=top if most is None else most))
