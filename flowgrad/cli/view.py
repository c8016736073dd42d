"""`flowgrad view`: the page of a network or a run, served to this machine's browser."""

from __future__ import annotations

import csv
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

import flowgrad as fg
from flowgrad.cli import _data, _options
from flowgrad.cli._console import say
from flowgrad.cli._model import Model, open_network
from flowgrad.cli._tables import Table
from flowgrad.viewer.page import page
from flowgrad.viewer.record import columns_of, record
from flowgrad.viewer.server import Server


def entry(
    network: _options.Model,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Samples; left out: the run's test.csv, else drawn.", show_default=False),
    ] = None,
    sample: Annotated[int, typer.Option(help="Which row of the samples to begin with, from 0.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only say the address.")] = False,
    ignore: _options.Ignore = None,
    executor: _options.Executor = "auto",
) -> None:
    """Walk through a network in the browser: values, gradients, equations, step by step.

    The page is served on 127.0.0.1 under a random address until Ctrl-C, and fetches nothing from anywhere else. The
    loss curve of a run is read again while it is shown.
    """
    model = open_network(network, ignore or ())
    with Server(
        lambda live: page(_record(network, model, data, sample, executor), live=live), lambda: losses(network), port
    ) as server:
        say(server.url)
        if not no_browser:
            webbrowser.open(server.url)
        server.serve_forever()


def losses(run: Path) -> dict[str, list[float | None]] | None:
    """The columns of a run's metrics.csv as it stands now; None where there is none that can be read."""
    try:
        with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
            return columns_of(list(csv.DictReader(file)))
    except (OSError, ValueError, csv.Error):
        return None


def _record(path: Path, model: Model, data: Path | None, sample: int, executor: str) -> dict[str, Any]:
    """The page's data: with targets where the samples hold them."""
    kept = path / "test.csv"
    chosen = data if data is not None else kept if kept.is_file() else None
    program = fg.compile(model.network, executor=executor, loss=model.loss or "squared_error")
    common: dict[str, Any] = {"program": program, "sample": sample, "history": losses(path), "title": path.stem}
    if chosen is None:
        return record(model.network, **common)
    samples, roles = Table(chosen), model.roles
    answers = roles.label in samples.names if roles.label else set(roles.targets) <= set(samples.names)
    known = _data.read(samples, roles, answers=answers)
    return record(model.network, X=model.scaled(known.X), T=known.T if answers else None, **common)
