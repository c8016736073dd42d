"""`flowgrad convert`: convert a network from one file format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._console import say, share_shown
from flowgrad.cli._opened import open_network
from flowgrad.errors import ConfigError
from flowgrad.files import format_of
from flowgrad.registry import names


def entry(
    network: _options.Network,
    target: Annotated[Path | None, typer.Argument(metavar="TO", help="The file to write.", show_default=False)] = None,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write, instead of TO.", show_default=False)
    ] = None,
    format: _options.Format = None,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
) -> None:
    """Convert a network from one file format to another.

    A network that the format cannot represent is refused, and the message names the cause; edge lists and pictures
    keep less by design. Of a run or a model, .fgm keeps everything; any other format holds the network that takes
    the raw columns. flowgrad list formats lists the formats.
    """
    if target is not None and to is not None and format is None and str(to) in names("formats"):
        say(f"--to {to} names a format: --format {to} is its newer name")
        to, format = None, str(to)
    if (target is None) == (to is None):
        raise ConfigError("name the file to write once: flowgrad convert NETWORK TO")
    path = target or to
    assert path is not None
    _options.check_apart(path, network)
    chosen = format_of(path, format, "write")
    model = open_network(network, read_as=read_as, option=option)
    with share_shown(f"writing {path.name}") as progress:
        fg.save(model, path, chosen.name, progress=progress)
    say(f"written: {path}")
    scaling = _options.folded_into(model, chosen)
    if scaling:
        say(scaling)
