"""`flowgrad train`: train by a TOML file and write a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import numpy as np
import typer

from flowgrad.callback import Callback
from flowgrad.cli import _options
from flowgrad.cli._config import options_of
from flowgrad.cli._console import echo, epochs_shown, intervals, say
from flowgrad.cli._experiment import Experiment, Outcome, pictures, prepare, read
from flowgrad.cli._resumed import check_same
from flowgrad.errors import NonFiniteError
from flowgrad.fitting.checkpoint import Checkpoint, path_in
from flowgrad.history import History, Row
from flowgrad.program import Program
from flowgrad.registry import find
from flowgrad.runs.folder import check_target, clear
from flowgrad.runs.live import Training


def entry(
    config: Annotated[
        Path,
        typer.Argument(
            help="TOML file that describes the network, the data and the training, or a run folder.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder; default: run.folder of the file, else runs/NAME.", show_default=False),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the folder.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in the folder, if there is one.")] = False,
    epochs: _options.Epochs = None,
    executor: Annotated[
        str | None, typer.Option(help="Override train.executor.", show_default=False, metavar="NAME")
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Override train.log: tensorboard or mlflow; may be repeated."),
    ] = None,
    set_: _options.Set = None,
    orient: _options.Orient = None,
    labels: _options.Labels = None,
    key: _options.Key = None,
    surplus: _options.Surplus = None,
    missing: _options.Missing = None,
) -> int:
    """Train a network as a TOML file describes; the result is a run folder.

    The folder holds the network, its weights, metrics.csv, loss.png, the metrics on the test samples and the
    resolved configuration. It is written from the start and kept up to date, so that flowgrad view can follow.
    Ctrl-C, SIGTERM and SIGHUP end training early and keep its state; --resume continues from the last whole epoch.
    Paths in the file are relative to the file.
    """
    options: dict[str, Any] = {"train.epochs": epochs, "train.executor": executor, "train.log": log or None}
    tables = {"orient": orient, "labels": labels and str(labels), "key": key, "surplus": surplus, "missing": missing}
    options |= {f"data.{name}": value for name, value in tables.items()}
    settings, name = read(config, options | options_of(set_))
    folder = out if out is not None else settings["run"]["folder"] and Path(settings["run"]["folder"])
    if (resume or overwrite) and folder is None:
        folder = config if config.is_dir() else Path("runs", name)
    older = _older(folder, overwrite, resume)
    experiment = prepare(settings)
    if older is not None and folder is not None:
        check_same(folder, experiment.relocated(folder))
    _announce(experiment)
    section = experiment.settings["train"]

    with Training(folder, name, overwrite or resume, experiment.model, experiment.begin) as run:

        def start(program: Program) -> None:
            if older is None:
                run.start(program)
            say(f"follow it: flowgrad view {quote(str(run.folder))}")

        def logs(program: Program) -> list[Callback]:
            return [_Kept(run, program, older), *(_callback(each, run.folder) for each in section["log"] or ())]

        with epochs_shown(section["epochs"], done=len(older or ())) as show:
            outcome = experiment.train((show,), start, logs, lambda: path_in(run.folder), older or ())
        kept = run.finish(lambda part: experiment.write(part, run.folder, name, outcome))
    _report(outcome, kept)
    if outcome.error:
        raise NonFiniteError(f"{outcome.error}; kept in {kept}")
    return 130 if outcome.reason == "interrupted" else 0


def _older(folder: Path | None, overwrite: bool, resume: bool) -> list[Row] | None:
    """Return the epochs of the run to resume; None where a new run begins.

    Raises:
        FileError: the run's checkpoint is damaged, or the folder cannot be used for a new run.
    """
    if folder is None:
        return None
    if resume:
        clear(folder)
        saved = Checkpoint(path_in(folder)).load()
        if saved is not None:
            return list(saved["rows"])
    again = resume and not (folder / "summary.json").exists()
    check_target(folder, overwrite or again, ", or say --overwrite")
    return None


class _Kept:
    """Callback that keeps the run folder up to date; reopens an older one once `fit` has accepted its checkpoint."""

    def __init__(self, run: Training, program: Program, older: list[Row] | None) -> None:
        self._run, self._program, self._older = run, program, older

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Reopen the run folder if it is an older one."""
        if self._older is not None:
            say(f"goes on after epoch {len(self._older)}")
            self._run.resume(self._program, self._older)

    def epoch(self, row: Row) -> None:
        """Write an epoch's line and the weights."""
        self._run.epoch(row)

    def end(self, history: History, error: BaseException | None) -> None:
        """Record of which epoch the final weights are."""
        self._run.end(history)


def _callback(name: str, folder: Path) -> Callback:
    """Make a callback for this run; one that has `for_run` gets the run's folder to write its files into."""
    make = find("callbacks", name)
    callback: Callback = make.for_run(folder) if hasattr(make, "for_run") else make()
    if hasattr(callback, "follow"):
        say(f"follow it: {callback.follow}")
    return callback


def _announce(experiment: Experiment) -> None:
    model, parts, start = experiment.model, experiment.parts, experiment.start
    echo(model.network)
    if start is not None and start.key == "file" and not start.trained and model.scaling is not None:
        say("inputs are standardised before these weights read them; data.standardize = false leaves them as they are")
    seed = experiment.settings["network"]["seed"]
    if seed and start is not None and not np.isnan(start.model.network.columns.weight).any():
        say(f"network.seed = {seed} draws nothing: network.{start.key} gives every weight")
    held = f", {len(parts.validation):,} to validate" if parts.validation else ""
    say(f"{len(parts.train):,} samples to train on{held}, {len(parts.test):,} to test; loss {model.loss}")
    if model.classes and len(model.network.outputs) == 1:
        say(f"the output speaks for {model.label} = {model.classes[1]}")


def _report(outcome: Outcome, kept: Path) -> None:
    """Print the summary of a training."""
    seconds = outcome.rows[-1]["seconds"] if outcome.rows else 0.0
    say(f"{len(outcome.rows)} epochs in {seconds:.2f} s on the {outcome.program.executor} executor: {outcome.reason}")
    if "; not " in outcome.program.why:  # a faster executor cannot run here
        say(outcome.program.why)
    intervals("on the test samples", outcome.intervals)
    say(f"run folder: {kept}")
    if not pictures():
        say("no loss.png: it needs matplotlib: pip install 'flowgrad[plot]'")
