"""`flowgrad cv`: cross-validate a configuration, with repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flowgrad.atomic import put
from flowgrad.cli import _options
from flowgrad.cli._config import executor_of, options_of
from flowgrad.cli._console import console, echo, ends, say, table
from flowgrad.cli._experiment import Experiment, ends_of, pictures, prepare_whole, read
from flowgrad.crossval import CrossValidation, Fold, cross_validate
from flowgrad.errors import ConfigError
from flowgrad.metrics import Interval
from flowgrad.tables.table import write


def entry(
    config: Annotated[
        Path, typer.Argument(help="TOML file as for flowgrad train, or a run folder.", show_default=False)
    ],
    folds: Annotated[
        int, typer.Option(metavar="N", help="Number of folds, 2 or more; each is held out once per repeat.")
    ] = 5,
    repeats: Annotated[int, typer.Option(metavar="N", help="Number of repeats, each with new folds.")] = 1,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column by which rows are grouped, such as a patient's id; a group is not split between folds.",
            show_default=False,
        ),
    ] = None,
    stratify: Annotated[
        bool | None,
        typer.Option(
            "--stratify/--no-stratify",
            help="Keep the proportions of classes in each fold; default: if there are classes.",
            show_default=False,
        ),
    ] = None,
    epochs: _options.Epochs = None,
    set_: _options.Set = None,
    workers: _options.Workers = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the results of all folds; default: runs/NAME-cv.", show_default=False
        ),
    ] = None,
) -> int:
    """Cross-validate a training: train on all folds but one and evaluate on that one, for each fold and repeat.

    Each training begins with new weights and does not use its test fold, nor does its scaling. All samples of
    data.file take part; data.test is ignored, and data.validation, as a fraction, is held out of the other folds.
    Each fold is saved when it is done: after Ctrl-C the same command resumes and gives the same files, and further
    repeats are added to those that are there.
    """
    for option, value, least in (("--folds", folds, 2), ("--repeats", repeats, 1), ("--workers", workers, 1)):
        if value is not None and value < least:
            raise ConfigError(f"{option} {value}: must be an integer, {least} or more")
    name = config.resolve().name if config.is_dir() else config.stem
    settings, _ = read(config, {"train.epochs": epochs} | options_of(set_))
    folder = out if out is not None else Path("runs", f"{name}-cv")
    experiment, groups = prepare_whole(settings, group)
    try:
        found = _validated(experiment, groups, folder, folds=folds, repeats=repeats, stratify=stratify, workers=workers)
    except KeyboardInterrupt:
        say(f"interrupted; the folds that are done are in {folder}")
        say("the same command goes on from there")
        return 130
    _print(found)
    _write(folder, name, experiment, found, group)
    say(f"kept: {folder}  (figures.csv, folds.csv, predictions.csv, a file a fold)")
    if not pictures():
        say("no folds.png: it needs matplotlib: pip install 'flowgrad[plot]'")
    return 0


def _validated(experiment: Experiment, groups: list[str] | None, folder: Path, **options: Any) -> CrossValidation:
    """Cross-validate, with a progress bar on a terminal, else with a line per fold."""
    model, parts, settings = experiment.model, experiment.parts, experiment.settings
    data, section = settings["data"], settings["train"]
    given = experiment.arguments(experiment.compile())
    validation = given.pop("validation") or data["validation"]
    for name in ("seed", "metrics"):
        given.pop(name)
    echo(model.network)
    say(f"{len(parts.train):,} samples, {options['folds']} folds, {options['repeats']} repeats", "dim")
    on_terminal = console().is_terminal

    def line(fold: Fold) -> None:
        if not on_terminal:
            say(f"repeat {fold.repeat}, fold {fold.number}: {fold.epochs} epochs, loss {fold.loss:.4g}")

    return cross_validate(
        model,
        parts.train.X,
        parts.train.T,
        groups=groups,
        sample_weight=given.pop("sample_weight", None),
        standardize=data["standardize"],
        standardize_targets=data["standardize_targets"],
        validation=validation,
        metrics=section["metrics"] or (),
        fit=given,
        seed=data["seed"],
        executor=executor_of(section["executor"]),
        dtype=section["dtype"],
        folder=folder,
        progress=on_terminal,
        on_fold=line,
        **options,
    )


def _print(found: CrossValidation) -> None:
    rows = [
        (f["metric"], f["mean"], f["sd"], ends(f['low'], f['high']), f["pooled"],
         ends(f['pooled_low'], f['pooled_high']))
        for f in found.figures()
    ]  # fmt: skip
    table(("metric", "mean of folds", "sd", "95 % interval", "all answers", "95 % interval"), rows)
    undefined = [f["metric"] for f in found.figures() if f["folds"] < len(found.done)]
    if undefined:
        say(f"not defined in every fold: {', '.join(undefined)}; the mean is of the others")


def _write(folder: Path, name: str, experiment: Experiment, found: CrossValidation, group: str | None) -> None:
    figures, by_fold = found.figures(), found.by_fold()
    for stem, records in (("figures", figures), ("folds", by_fold)):
        write(folder / f"{stem}.csv", {key: [row[key] for row in records] for key in records[0]})
    write(folder / "predictions.csv", found.predictions())
    experiment.begin(folder, folder)
    last = found.done[-1]
    summary = {
        "test": {f["metric"]: f["mean"] for f in figures},
        "intervals": {f["metric"]: ends_of(Interval(f["mean"], f["low"], f["high"])) for f in figures},
        "folds": last.number,
        "repeats": last.repeat,
        "group": group,
        "epochs": max(fold.epochs for fold in found.done),
        "samples": len(found.T),
        "nodes": experiment.model.network.columns.n_nodes,
        "edges": experiment.model.network.columns.n_edges,
        "parameters": len(last.theta),
    }
    put(folder / "summary.json", [json.dumps(summary, indent=1, ensure_ascii=False).encode() + b"\n"])
    if pictures():
        from flowgrad.displays import _curves

        _curves.folds(folder / "folds.png", figures, by_fold, f"{name}: cross-validation")
