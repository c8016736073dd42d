"""`flowgrad runs`: list and compare runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowgrad.cli._console import say, table
from flowgrad.errors import UnknownNameError, brief, suggest
from flowgrad.runs.listing import Listed, differences, runs_in
from flowgrad.toml_text import written


def entry(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...",
            help="Run folders, or folders that contain run folders; default: runs.",
            show_default=False,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="FIGURE", help="Sort by this figure, largest first; default: by date.", show_default=False
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top",
            min=1,
            metavar="N",
            help="Number of runs: the newest, or the first with --sort; default: all.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """List runs and compare them: metrics on their test samples, and the settings in which they differ.

    The metrics of a cross-validation are the means over its folds. A run that has not ended, because it is still
    training or was interrupted, has none.
    """
    runs = runs_in(folders or [Path("runs")])
    figures = list(dict.fromkeys(name for run in runs for name in run.figures))
    if sort is not None:
        if sort not in figures:
            raise UnknownNameError(f"no run has a figure {brief(sort)}{suggest(sort, figures)}")
        runs.sort(key=lambda run: -run.figures[sort] if run.figures.get(sort) is not None else float("inf"))
    if top is not None and len(runs) > top:
        say(f"{top} of {len(runs)} runs:")
        runs = runs[:top] if sort is not None else runs[-top:]
    columns = ("run", "date", "network", "epochs", *figures)
    table(columns, [_row(run, figures) for run in runs])
    differ = differences(runs)
    if differ:
        say()
        said = [["–" if value is None else written(value) for value in values] for values in differ.values()]
        table(("run", *differ), list(zip((run.name for run in runs), *said, strict=True)), "where settings differ")
    elif len(runs) > 1:
        say("no setting differs")
    return 0


def _row(run: Listed, figures: list[str]) -> list[str]:
    folds = run.summary.get("folds")
    epochs = f"{run.epochs:,}{'' if run.ended else ', no end'}{f', {folds} folds' if folds else ''}"
    values = [run.figures.get(name) for name in figures]
    date = run.date.isoformat(" ", "minutes")
    return [run.name, date, run.network or "–", epochs, *("–" if v is None else f"{v:.4g}" for v in values)]
