"""`flowgrad stability`: measure importance over many seeds, and compare it with controls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flowgrad.cli import _options
from flowgrad.cli._config import executor_of, options_of
from flowgrad.cli._console import console, echo, say, table
from flowgrad.cli._experiment import Experiment, prepare, read
from flowgrad.errors import ConfigError, UnknownNameError, brief, suggest
from flowgrad.inspection import Stability, importance_stability
from flowgrad.inspection.intervals import FEWEST
from flowgrad.inspection.study import CONTROLS, Run
from flowgrad.model import column_name
from flowgrad.tables.table import write

SHORT = dict(zip(("graph", "labels", "inputs"), CONTROLS, strict=True))


def entry(
    config: Annotated[
        Path, typer.Argument(help="TOML file as for flowgrad train, or a run folder.", show_default=False)
    ],
    seeds: Annotated[int, typer.Option(metavar="N", help=f"Number of runs of each kind, {FEWEST} or more.")] = 10,
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"One of {', '.join(SHORT)}, or none; may be repeated; default: all three.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[str, typer.Option(help="Nodes to compare: hidden or input.")] = "hidden",
    epochs: _options.Epochs = None,
    set_: _options.Set = None,
    workers: _options.Workers = None,
    top: _options.Top = 15,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the results of all runs; default: runs/NAME-stability.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Assess how reliable importance is: train repeatedly, and compare with controls.

    Each run trains from new weights; the controls rewire the edges (degrees kept), permute the labels, or make
    every input informative. Neurons are sorted by the excess of their share over that under the controls. Each run
    is saved when it is done: after Ctrl-C the same command resumes, and further seeds or controls are added to
    those that are there. neurons.csv and conditions.csv hold all figures.
    """
    for option, value, least in (("--seeds", seeds, FEWEST), ("--workers", workers, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{option} {value}: must be an integer, {least} or more")
    name = config.resolve().name if config.is_dir() else config.stem
    settings, _ = read(config, {"train.epochs": epochs} | options_of(set_))
    folder = out if out is not None else Path("runs", f"{name}-stability")
    controls = CONTROLS if control is None else _named(control)
    try:
        found = _study(prepare(settings), seeds, controls, kind, workers, folder)
    except KeyboardInterrupt:
        say(f"interrupted; the runs that are done are in {folder}")
        say("the same command goes on from there")
        return 130
    _print(found, top)
    write(folder / "neurons.csv", _columns(found.records()))
    write(folder / "conditions.csv", _columns(found.conditions()))
    say(f"kept: {folder}  (neurons.csv, conditions.csv, a file a run)")
    return 0


def _named(control: list[str]) -> tuple[str, ...]:
    """Look up controls by their short names; the name `none` adds no control."""
    for given in control:
        if given not in (*SHORT, "none"):
            raise UnknownNameError(f"unknown control {brief(given)}{suggest(given, (*SHORT, 'none'))}")
    return tuple(SHORT[given] for given in control if given != "none")


def _study(
    experiment: Experiment, seeds: int, controls: tuple[str, ...], kind: str, workers: int | None, folder: Path
) -> Stability:
    """Train all runs, with a progress bar on a terminal, else with a line per run."""
    model, parts, section = experiment.model, experiment.parts, experiment.settings["train"]
    options = experiment.arguments(experiment.compile())
    options.pop("seed")
    echo(model.network)
    say(f"{len(parts.train):,} samples, {seeds} seeds", "dim")
    say(", ".join(("trained", *controls)), "dim")
    on_terminal = console().is_terminal

    def line(run: Run) -> None:
        if not on_terminal:
            say(f"{run.condition}, seed {run.seed}: loss {run.loss:.4g}")

    return importance_stability(
        model.network,
        parts.train.X,
        parts.train.T,
        loss=section["loss"],
        seeds=seeds,
        controls=controls,
        kind=kind,
        fit=options,
        executor=executor_of(section["executor"]),
        dtype=section["dtype"],
        folder=folder,
        workers=workers,
        progress=on_terminal,
        on_run=line,
    )


def _print(found: Stability, top: int) -> None:
    def with_interval(row: dict[str, Any], name: str) -> str:
        return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"

    rows = [
        (r["condition"], r["runs"], r["loss"], with_interval(r, "agreement"), with_interval(r, "likeness") * (k > 0))
        for k, r in enumerate(found.conditions())
    ]
    table(("condition", "runs", "loss", "runs agree, ρ", "like trained, ρ"), rows)
    chances = [(f"above {name}", f"> {short}") for short, name in SHORT.items() if name in found.controls]
    strongest = [
        (
            column_name(r["node"]),
            f"{100 * r['share']:.1f} ± {100 * r['share_sd']:.1f}",
            *(f"{100 * r['excess']:+.1f}" for _ in chances[:1]),
            f"{r['rank']:.1f}",
            f"{r['rank_low']:g}–{r['rank_high']:g}",
            *(f"{r[key]:.2f}" for key, _ in chances),
        )
        for r in found.records()[:top]
    ]
    excess = ["excess"] if chances else []
    table(("neuron", "share ± sd", *excess, "rank", "range", *(short for _, short in chances)), strongest)
    if chances:
        say("excess: share (%) less the largest under a control; rows are sorted by it")
        say("> CONTROL: the probability that a run's share is above one of the control")
    for part in found.sentence.split("; "):
        say(part)


def _columns(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [column_name(r[key]) if key == "node" else r[key] for r in records] for key in records[0]}
