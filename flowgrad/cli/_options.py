"""Arguments and options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    Path,
    typer.Argument(
        metavar="NETWORK", help="A run folder, or a network in any format that flowgrad reads.", show_default=False
    ),
]
Data = Annotated[
    Path, typer.Option(metavar="FILE", help="Samples: CSV with a header, TSV, or .npz.", show_default=False)
]
MaybeData = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Samples; left out: drawn from the seed.", show_default=False),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a CSV there instead of printing.", show_default=False)
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="A column that is nothing to the network; may be repeated.", show_default=False
    ),
]
Executor = Annotated[str, typer.Option(metavar="NAME", help="See flowgrad list executors.")]
Loss = Annotated[
    str | None, typer.Option(metavar="NAME", help="Left out: the run's own, else squared_error.", show_default=False)
]
