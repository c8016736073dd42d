"""`flowgrad train`: from a TOML file to a run folder."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from flowgrad.callback import Callback
from flowgrad.cli import _config, _data, _job, _live, _options, _pictures, _run
from flowgrad.cli._console import epochs_shown, say, table
from flowgrad.cli._data import Roles, Samples
from flowgrad.cli._missing import fitted, present
from flowgrad.cli._model import RUN_NETWORK, Model, bare, open_network, save_model, shaped, with_outputs, write_json
from flowgrad.cli._tables import Table, repeated
from flowgrad.errors import ConfigError, NonFiniteError, brief
from flowgrad.files import format_of, load
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.registry import find
from flowgrad.scaling import Scaling, folded
from flowgrad.weights import initializer_for


def entry(
    config: Annotated[Path, typer.Argument(help="What to train, on what, and how: a TOML file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; left out: as the file says, or runs/NAME.", show_default=False)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older run in that folder.")] = False,
    epochs: Annotated[
        int | None, typer.Option(help="Instead of train.epochs.", show_default=False, metavar="N")
    ] = None,
    executor: Annotated[
        str | None, typer.Option(help="Instead of train.executor.", show_default=False, metavar="NAME")
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Instead of train.log: tensorboard, mlflow; may be repeated."),
    ] = None,
    orient: _options.Orient = None,
    labels: _options.Labels = None,
    key: _options.Key = None,
    surplus: _options.Surplus = None,
    missing: _options.Missing = None,
) -> int:
    """Train a network by a TOML file; the result is a run folder.

    The folder holds the network, its weights, metrics.csv, loss.png, the figures on the test samples and the
    resolved configuration. It is there from the start and kept up to date, so that flowgrad view can follow.
    Ctrl-C ends training early and keeps what was reached. Paths in the file are relative to the file.
    """
    settings = _config.read(config)
    resolve(settings, config.parent)
    tables = {"orient": orient, "labels": labels and str(labels), "key": key, "surplus": surplus, "missing": missing}
    settings = _overridden(settings, "train", {"epochs": epochs, "executor": executor, "log": log or None})
    settings = _overridden(settings, "data", tables)
    folder = out if out is not None else settings["run"]["folder"] and Path(settings["run"]["folder"])
    if folder is not None:
        _run.check_target(folder, overwrite)
    model, parts = prepare(settings)
    settings["train"]["loss"] = model.loss
    _announce(model, parts, settings["network"])
    name = config.stem if config.stem != "config" else config.resolve().parent.name

    def text(place: Path) -> str:
        return _config.document(_relocated(settings, place))

    with _live.Training(folder, name, overwrite, model, text) as run:

        def start(program: Program) -> None:
            run.start(program)
            say(f"follow it: flowgrad view {run.folder}")

        def logs() -> list[Callback]:
            return [_callback(each, run.folder) for each in settings["train"]["log"] or ()]

        with epochs_shown(settings["train"]["epochs"]) as show:
            outcome = _job.run(model.network, parts, _job.Settings(settings["train"]), show, start, run.epoch, logs)
        kept = run.finish(_filler(outcome, model, parts, settings, run.folder, name))
    report(outcome, kept)
    if outcome.error:
        raise NonFiniteError(f"{outcome.error}; kept in {kept}")
    return 130 if outcome.reason == "interrupted" else 0


def _callback(name: str, folder: Path) -> Callback:
    """A callback for this run: one that writes files writes them into the run's folder."""
    make = find("callbacks", name)
    callback: Callback = make.for_run(folder) if hasattr(make, "for_run") else make()
    if hasattr(callback, "follow"):
        say(f"follow it: {callback.follow}")
    return callback


def _overridden(settings: _config.Config, section: str, options: Mapping[str, Any]) -> _config.Config:
    """The configuration with a section's options of the command line, which are held to the same rules."""
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        _config.check_value(section, name, value)
    return settings | {section: settings[section] | given}


PATHS = (
    ("network", "file"),
    ("network", "edges"),
    ("data", "file"),
    ("data", "labels"),
    ("data", "test"),
    ("data", "validation"),
    ("run", "folder"),
)


def resolve(settings: _config.Config, base: Path) -> None:
    """Make the configuration's paths, which are relative to its file, relative to where we are."""
    for section, name in PATHS:
        value = settings[section][name]
        if isinstance(value, str):
            settings[section][name] = str(base / value)


def prepare(settings: _config.Config) -> tuple[Model, _job.Parts]:
    """The network, as it begins, with what its data needs; and the samples in their parts."""
    section, data = settings["network"], settings["data"]
    samples = Table(Path(data["file"]), _config.reading_of(data))
    given = None if section["topology"] is not None else _given_for(samples, settings)
    network, roles, loss = _network_and_roles(settings, samples, given)
    narrow = settings["train"]["dtype"] == "float32" and not data["standardize"]
    train, validation, test = _parts(data, samples, roles, np.float32 if narrow else np.float64)
    run = given if _run_of(section) is not None else None
    network, scaling = _standardised(network, run, train.X, data["standardize"])
    parts = _job.Parts.of(train, validation, test, scaling)
    return Model(network, roles, scaling, settings["train"]["loss"] or loss), parts


def _standardised(network: Network, run: Model | None, X: Any, standardize: bool) -> tuple[Network, Scaling | None]:
    """The network that is trained, and the scaling of its inputs; X are the training samples.

    A run goes on with the scaling that its weights were trained under; where it is to scale otherwise, its weights are
    folded, so that it begins as the same function of the columns.
    """
    if run is None or (run.scaling is None and not standardize):
        return network, Scaling.of(X) if standardize else None
    if run.scaling is not None:
        return (network, run.scaling) if standardize else (folded(network, run.scaling), None)
    scaling = Scaling.of(X)
    return folded(network, scaling.inverse()), scaling


def _network_and_roles(settings: _config.Config, samples: Table, given: Model | None) -> tuple[Network, Roles, str]:
    """The network, what each column is to it, and the loss that goes with that."""
    data, section = settings["data"], settings["network"]
    label, ignore = data["label"], tuple(data["ignore"] or ())
    if label is not None:
        samples.need(label, "label")
    if given is not None:
        network = given.network
        own, inputs = bare(network).roles, given.roles.inputs
        targets = () if label else _data.columns_of(samples, data["targets"], own.targets)
        outputs = own.targets
    else:
        targets = () if label else _data.columns_of(samples, _needed(data["targets"]), ())
        taken = {*targets, label, *ignore, data["key"]}
        rest = [name for name in samples.names if name not in taken]
        named = _data.columns_of(samples, data["inputs"], rest)
        inputs = tuple(named[k] for k in present(samples, named))
        outputs = targets or _class_outputs(samples, label)
        network = shaped(section, inputs, outputs)
    _check_count("inputs", inputs, len(network.inputs))
    if label is None:
        _check_count("targets", targets, len(network.outputs))
        return network, Roles(inputs, targets, ignore=ignore), "squared_error"
    classes = _data.classes_of(samples, label, outputs, data["positive"])
    loss = "cross_entropy" if len(outputs) > 1 else "binary_cross_entropy"
    if settings["train"]["loss"] not in (None, loss):
        said = _config.written(settings["train"]["loss"])
        raise ConfigError(f"train.loss = {said}: classes with {_outputs(len(outputs))} are trained with {loss}")
    return network, Roles(inputs, (), label, classes, ignore), loss


def _given_for(samples: Table, settings: _config.Config) -> Model:
    """The network of a run, a file or a list of edges, its inputs named as the columns are that feed them."""
    given = _given(settings["network"])
    inputs = _data.columns_of(samples, settings["data"]["inputs"], bare(given.network).roles.inputs)
    _check_count("inputs", inputs, len(given.network.inputs))
    return fitted(replace(given, roles=replace(given.roles, inputs=inputs)), samples)


def _outputs(n: int) -> str:
    return f"{n} outputs" if n > 1 else "one output"


def _given(section: Mapping[str, Any]) -> Model:
    """The network of a run, a file or a list of edges."""
    if section["file"] is None:
        keys = ("inputs", "outputs", "activation", "output_activation", "seed", "initializer")
        return bare(load(section["edges"], "edgelist", **{key: section[key] for key in keys}))
    model = _from_file(section)
    columns = model.network.columns
    if section["initializer"] is not None and not np.isnan(columns.weight).any():
        said = _config.written(section["initializer"])
        raise ConfigError(f"network.initializer = {said}: {section['file']} gives every weight itself")
    initializer = initializer_for(section["initializer"]) or columns.initializer
    network = Network.from_columns(replace(columns, seed=section["seed"], initializer=initializer))
    if section["output_activation"] is not None:
        network = with_outputs(network, section["output_activation"])
    return replace(model, network=network)


def _from_file(section: Mapping[str, Any]) -> Model:
    """The model of a run or a file; ConfigError where a key beside it says what neither takes."""
    run = _run_of(section)
    options = []
    if section["activation"] is not None:
        said = f"network.activation = {_config.written(section['activation'])}"
        if run is not None:
            raise ConfigError(f"{said}: a run says itself what its neurons are")
        chosen = format_of(Path(section["file"]), section["format"], "read")
        if chosen.read is None or "activation" not in signature(chosen.read).parameters:
            raise ConfigError(f"{said}: a file of format {chosen.name!r} says itself what its neurons are")
        options.append(f'activation="{section["activation"]}"')
    if run is not None and section["format"] is not None:
        raise ConfigError(f"network.format = {_config.written(section['format'])}: {section['file']} is of a run")
    return open_network(run or Path(section["file"]), (), section["format"], options)


def _run_of(section: Mapping[str, Any]) -> Path | None:
    """The run folder that network.file names, by its network too; None where it names none."""
    path = Path(section["file"] or "")
    if section["file"] is not None and path.name == RUN_NETWORK and (path.parent / "model.json").exists():
        return path.parent
    return path if section["file"] is not None and path.is_dir() else None


def _needed(targets: Any) -> Any:
    if targets is None:
        raise ConfigError("data.targets or data.label is missing: a topology takes its outputs from there")
    return targets


def _class_outputs(samples: Table, label: str) -> tuple[str, ...]:
    """Outputs of a topology under a label: one a class, or, of two classes, one for the last."""
    found = sorted(set(samples.text(label)), key=_data._class_order)
    return tuple(found) if len(found) > 2 else (f"{label}={found[-1]}",)


def _check_count(what: str, names: tuple[str, ...], n: int) -> None:
    if len(names) != n:
        raise ConfigError(
            f"data.{what} names {len(names)} columns: the network has {n} {what.replace('targets', 'outputs')}"
        )
    twice = repeated(names)
    if twice is not None:
        raise ConfigError(f"data.{what} names the column {brief(twice)} twice")


def _parts(
    data: Mapping[str, Any], samples: Table, roles: Roles, dtype: Any
) -> tuple[Samples, Samples | None, Samples]:
    """Training, validation and test samples: files of their own, or fractions of the one file."""

    def from_file(path: str) -> Samples:
        return _data.read(Table(Path(path), samples.reading), roles, finite=True, dtype=dtype)

    rest, classes = _data.read(samples, roles, finite=True, dtype=dtype), len(roles.classes)
    if isinstance(data["test"], str):
        test = from_file(data["test"])
    else:
        rest, test = _data.hold_out(rest, data["test"], data["seed"], classes)
    validation = None
    if isinstance(data["validation"], str):
        validation = from_file(data["validation"])
    elif data["validation"] is not None:
        rest, validation = _data.hold_out(rest, data["validation"], data["seed"] + 1, classes)
    return rest, validation, test


def _announce(model: Model, parts: _job.Parts, section: Mapping[str, Any]) -> None:
    say(repr(model.network))
    if section["file"] is not None and _run_of(section) is None and model.scaling is not None:
        say("inputs are standardised before these weights read them; data.standardize = false leaves them as they are")
    held = f", {len(parts.validation):,} to validate" if parts.validation else ""
    say(f"{len(parts.train):,} samples to train on{held}, {len(parts.test):,} to test; loss {model.loss}")
    if model.roles.label and len(model.network.outputs) == 1:
        say(f"the output speaks for {model.roles.label} = {model.roles.classes[1]}")


def keep(
    outcome: _job.Outcome,
    model: Model,
    parts: _job.Parts,
    settings: _config.Config,
    folder: Path | None,
    name: str,
    more: Any = None,
) -> Path:
    """Write the run folder; `more(folder)` adds files of its own."""
    fill = _filler(outcome, model, parts, settings, folder or Path("runs", name), name, more)
    return _run.write(folder, name, fill)


def _filler(
    outcome: _job.Outcome,
    model: Model,
    parts: _job.Parts,
    settings: _config.Config,
    place: Path,
    name: str,
    more: Any = None,
) -> Callable[[Path], None]:
    """What writes a run folder's files into the folder that it is given; `place` is where that will be."""

    def fill(part: Path) -> None:
        save_model(part, Model(outcome.program.network(), model.roles, model.scaling, model.loss))
        _run.save_metrics(part / "metrics.csv", outcome.rows)
        write_json(part / "summary.json", summary(outcome, parts))
        (part / "config.toml").write_text(_config.document(_relocated(settings, place)), encoding="utf-8")
        if _pictures.available():
            _pictures.loss_curve(part / "loss.png", outcome.rows, f"{name}: loss", outcome.best_epoch)
        if more is not None:
            more(part)

    return fill


def _relocated(settings: _config.Config, folder: Path) -> _config.Config:
    """The configuration with paths relative to the run folder, so that it can be trained again from there."""
    moved = {section: dict(values) for section, values in settings.items()}
    for section, name in PATHS:
        value = moved[section][name]
        if isinstance(value, str):
            with suppress(ValueError):  # another drive of Windows
                moved[section][name] = os.path.relpath(value, folder)
    moved["run"]["folder"] = None
    return moved


def summary(outcome: _job.Outcome, parts: _job.Parts) -> dict[str, Any]:
    """What summary.json says."""
    import flowgrad

    return {
        "test": outcome.figures,
        "reason": outcome.reason,
        "error": outcome.error,
        "epochs": len(outcome.rows),
        "best_epoch": outcome.best_epoch,
        "samples": {
            "train": len(parts.train),
            "validation": len(parts.validation) if parts.validation else 0,
            "test": len(parts.test),
        },
        "parameters": int(outcome.program.plan.n_parameters),
        "executor": outcome.program.executor,
        "dtype": outcome.program.dtype.name,
        "versions": {"flowgrad": flowgrad.__version__, "numpy": np.__version__, "python": platform.python_version()},
    }


def report(outcome: _job.Outcome, kept: Path) -> None:
    """The summary on the terminal."""
    seconds = outcome.rows[-1]["seconds"] if outcome.rows else 0.0
    say(f"{len(outcome.rows)} epochs in {seconds:.2f} s on the {outcome.program.executor} executor: {outcome.reason}")
    if "; not " in outcome.program.why:  # chosen because a faster one cannot run here
        say(outcome.program.why)
    table(("on the test samples", "value"), list(outcome.figures.items()))
    say(f"run folder: {kept}")
    if not _pictures.available():
        say("no loss.png: it needs matplotlib: pip install 'flowgrad[plot]'")
