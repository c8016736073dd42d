"""`flowgrad convert`: a network from one file format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import flowgrad as fg
from flowgrad.cli._console import say


def entry(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The file to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TO", help="The file to write.", show_default=False)],
    read_as: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="Left out: by the suffix.", show_default=False)
    ] = None,
    write_as: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Left out: by the suffix.", show_default=False)
    ] = None,
) -> None:
    """Convert a network from one file format to another.

    What a format cannot keep is refused by name, or is not its purpose: an edge list keeps edges and weights,
    a picture shows. flowgrad list formats says which there are.
    """
    network = fg.load(source, format=read_as)
    fg.save(network, target, format=write_as)
    say(f"{network!r}: {target}")
