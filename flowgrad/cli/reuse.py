"""`flowgrad reuse`: count paths, and what the cache saves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import say
from flowgrad.cli._opened import open_network
from flowgrad.inspection import reuse_report
from flowgrad.model import column_name
from flowgrad.tables.table import write


def entry(
    network: _options.Network,
    limit: Annotated[
        int, typer.Option(metavar="N", help="Greatest number of calls of plain recursion to execute; 0 for none.")
    ] = 200_000,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a CSV file with one row per neuron.", show_default=False),
    ] = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
) -> None:
    """Count the paths of a network, exactly, and what backward saves by computing each gradient once.

    Plain recursion computes the gradient of a neuron again for every path that leads to it; it is executed as far
    as that is feasible, its calls are counted and its result is compared. With the cache every edge is visited
    once.
    """
    _options.check_apart(out, network)
    report = reuse_report(open_network(network, read_as=read_as, option=option).network, limit=limit)
    say(report.table())
    if out is not None:
        records = report.records()
        write(out, {k: [column_name(r[k]) if k == "node" else r[k] for r in records] for k in records[0]})
        say(f"{len(records):,} rows: {out}")
