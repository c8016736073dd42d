"""`flowgrad convert`: a network from one file format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._console import say, share_shown


def entry(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="The file to read.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="TO", help="The file to write.", show_default=False)],
    read_as: _options.ReadAs = None,
    write_as: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Left out: by the suffix.", show_default=False)
    ] = None,
    option: _options.Reading = None,
) -> None:
    """Convert a network from one file format to another.

    What a format cannot keep is refused by name, or is not its purpose: an edge list keeps edges and weights,
    a picture shows. flowgrad list formats says which there are.
    """
    with share_shown(f"reading {source.name}") as progress:
        network = fg.load(source, format=read_as, progress=progress, **_options.reading(option))
    with share_shown(f"writing {target.name}") as progress:
        fg.save(network, target, format=write_as, progress=progress)
    say(f"{network!r}: {target}")
