"""`flowgrad paths`: compute the effect of one neuron on another, over all paths and by the strongest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import say, table
from flowgrad.cli._opened import opened
from flowgrad.inspection import path_attribution
from flowgrad.model import column_name
from flowgrad.tables.table import write


@_options.with_tables
def entry(
    network: _options.Network,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Name of the first neuron of the paths.", show_default=False)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="Name of the last neuron of the paths.", show_default=False)
    ],
    data: _options.Data,
    top: Annotated[int, typer.Option(metavar="N", help="Number of the strongest paths to show.")] = 10,
    sample: Annotated[int, typer.Option(help="Row of the samples, from 0.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the paths to this CSV file.", show_default=False)
    ] = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Compute how one neuron affects another at one sample: over all paths together, and over the strongest ones.

    The product of a path is that of ∂a/∂a over its edges. The number of paths, their sum and the strongest ones are
    exact, by dynamic programming, for any number of paths.
    """
    _options.check_apart(out, network, data, tables["labels"])
    o = opened(
        network, data, "none", executor=executor, read_as=read_as, option=option, ignore=ignore,
        tables=tables,
    )  # fmt: skip
    found = path_attribution(o.program, o.X, o.node(source), o.node(target), k=top, sample=sample)
    rows = [(path.product, " → ".join(map(column_name, path.nodes))) for path in found.paths]
    if out is not None:
        write(out, {"product": [p for p, _ in rows], "path": [way for _, way in rows]})
        say(f"{len(rows):,} paths: {out}")
    else:
        table(("product", "path"), rows)
    noun = "path" if found.n_paths == 1 else "paths"
    say(f"{found.n_paths:,} {noun} in all, ∂a/∂a = {found.total:.6g}; {_listed(found.share, len(rows))}")


def _listed(share: float, n: int) -> str:
    """Compare the listed paths with the total, in a sentence; Σ|product| may exceed it, since paths may cancel."""
    if not n:
        return "none of them carries anything"
    return f"those {n} have Σ|product| = {share:.3g} of |∂a/∂a|"
