"""`flowgrad view`: serve the page of a network or a run to this machine's browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from flowgrad.cli import _options
from flowgrad.cli._console import say
from flowgrad.cli._followed import Followed
from flowgrad.cli._opened import open_network
from flowgrad.errors import ConfigError
from flowgrad.model import Model
from flowgrad.viewer.page import page
from flowgrad.viewer.server import Server


@_options.with_tables
def entry(
    network: _options.Network,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Samples; default: those of the run, else drawn at random.", show_default=False
        ),
    ] = None,
    sample: Annotated[int, typer.Option(help="Row of the samples to show first, from 0.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 chooses a free one.")] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
    *,
    tables: _options.Tables,
) -> None:
    """Explore a network in the browser: values, gradients, equations, step by step.

    The page is served on 127.0.0.1 under a random address until Ctrl-C, and loads nothing from other hosts. If a
    run is still training, the page follows it: its losses and values are updated.
    """

    def model(quiet: bool = True) -> Model:
        return open_network(network, read_as=read_as, option=option, ignore=ignore, quiet=quiet, followed=True)

    model(quiet=False)
    followed = Followed(model, network, data, sample, executor, tables)
    followed.record()  # raises errors before anything is served
    answers = {"state": followed.state, "values": followed.values}
    try:
        started = Server(lambda live: page(followed.record(), live=live), answers, port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"port {port} of 127.0.0.1: {reason}; without --port a free one is taken") from None
    with started as server:
        say(server.url)
        if not no_browser:
            webbrowser.open(server.url)
        server.serve_forever()
