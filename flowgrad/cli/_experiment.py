"""Run an experiment: from a configuration to a model and its samples, to training, and to a run folder.

settings, name = read(path, options)        checked, options of the command line in the place of the file's values
experiment = prepare(settings)              the untrained model, and the samples in their parts
outcome = experiment.train()                the trained program, and its figures
experiment.write(folder, outcome)           the files of a run folder
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import flowgrad as fg
from flowgrad.callback import Callback
from flowgrad.cli import _config, _data
from flowgrad.cli._console import share_shown
from flowgrad.cli._data import Roles, Samples
from flowgrad.cli._missing import fitted
from flowgrad.cli._resumed import INSTEAD
from flowgrad.cli._roles import check_count, network_and_roles
from flowgrad.errors import ConfigError, FileError, NonFiniteError, brief
from flowgrad.figures import figures
from flowgrad.fitting.checkpoint import Checkpoint
from flowgrad.history import Row
from flowgrad.metrics import Interval
from flowgrad.model import Model
from flowgrad.network import Network
from flowgrad.program import Program
from flowgrad.runs.live import save_metrics
from flowgrad.runs.models import save_run
from flowgrad.runs.rules import rules_of
from flowgrad.runs.start import Start, start_of
from flowgrad.scaling import Scaling, folded
from flowgrad.tables.table import Table
from flowgrad.toml_text import document

FILES = ("file", "labels", "test", "validation")  # keys of [data] that may name a file
PATHS = (("network", "file"), ("network", "edges"), *(("data", name) for name in FILES), ("run", "folder"))


@dataclass(frozen=True)
class Parts:
    """Samples by purpose, scaled as the network takes them."""

    train: Samples
    validation: Samples | None
    test: Samples


@dataclass(frozen=True)
class Outcome:
    """The result of a training.

    rows      one per finished epoch, as `fg.History.rows`
    reason    why training ended; "stopped" after a number that is not finite, then `error` says where
    intervals name → value on the test samples and its 95 % interval: the metrics that suit, and those of train.metrics
    weights_of as `fg.History.weights_of`
    """

    program: Program
    rows: list[Row]
    reason: str
    intervals: dict[str, Interval]
    error: str | None = None
    best_epoch: int | None = None
    weights_of: str | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Values on the test samples, by name."""
        return {name: found.value for name, found in self.intervals.items()}


@dataclass(frozen=True)
class Experiment:
    """An untrained model with its samples, and how to train it.

    settings  the configuration: every section, every key, paths relative to the working directory
    start     the network's file, for the run folder; None for a topology
    """

    settings: _config.Config
    model: Model
    parts: Parts
    start: Start | None = None

    def compile(self) -> Program:
        """Compile the model's network as the settings say."""
        v = self.settings["train"]
        executor, loss = _config.executor_of(v["executor"]), self.model.record
        return fg.compile(self.model.network, executor=executor, dtype=v["dtype"], loss=loss, threads=v["threads"])

    def arguments(self, program: Program) -> dict[str, Any]:
        """Collect the arguments of `fg.fit` besides program, X and T.

        Raises:
            UnknownNameError: a table of the settings names no weights, no class. ConfigError: the loss has no classes.
        """
        v, held = self.settings["train"], self.parts.validation
        plain = ("learning_rate", "epochs", "batch_size", "seed", "shuffle", "patience", "schedule")
        given = {name: v[name] for name in plain} | {"metrics": v["metrics"] or ()}
        given |= rules_of(v, program, self.model)
        if self.parts.train.s is not None:
            given["sample_weight"] = self.parts.train.s
        validation = (held.X, held.T, held.s) if held else None
        return given | {"optimizer": _config.optimizer_of(v["optimizer"]), "validation": validation}

    def train(
        self,
        on_epoch: Sequence[Callable[[Row], object]] = (),
        start: Callable[[Program], object] = lambda program: None,
        logs: Callable[[Program], Sequence[Callback]] = lambda program: (),
        checkpoint: Callable[[], Path | None] = lambda: None,
        before: Sequence[Row] = (),
    ) -> Outcome:
        """Train on the training samples, stop early by the validation samples, measure on the test samples.

        `start` is called with the program before its first epoch, then `logs`, which returns the callbacks; each of
        `on_epoch` with the row of an epoch. `checkpoint` gives the file that is kept up to date, and resumed from if
        it exists; `before` are its epochs. Ctrl-C and non-finite numbers end training and keep the state reached.
        """
        program = self.compile()
        rows = list(before)

        def keep(row: Row) -> None:
            rows.append(row)
            for call in on_epoch:
                call(row)

        reason, error, best, arguments, moment = "stopped", None, None, self.arguments(program), None
        try:
            start(program)
            path = checkpoint()
            file = None if path is None else Checkpoint(path, self.parts.test.digests(), INSTEAD)
            arguments |= {"on_epoch": keep, "callbacks": logs(program), "checkpoint": file, "resume": file is not None}
            history = fg.fit(program, self.parts.train.X, self.parts.train.T, **arguments)
            reason, best, rows, moment = history.reason, history.best_epoch, history.rows, history.weights_of
        except NonFiniteError as problem:
            error, moment = str(problem), f"within epoch {len(rows) + 1}"
        test = self.parts.test
        more = self.settings["train"]["metrics"] or ()
        found = figures(self.model, program.predict(test.X), test.T, more)
        return Outcome(program, rows, reason, found, error, best, moment)

    def begin(self, folder: Path, place: Path) -> None:
        """Write what a run folder has from the start, besides the model; `place` is the folder's final path."""
        (folder / "config.toml").write_text(document(self.relocated(place)), encoding="utf-8")
        if self.start is not None:
            (folder / self.start.name).write_bytes(self.start.data)

    def write(self, folder: Path, place: Path, name: str, outcome: Outcome) -> None:
        """Write every file of a run folder; `place` is the folder's final path."""
        save_run(folder, replace(self.model, network=outcome.program.network()), outcome.weights_of)
        save_metrics(folder, outcome.rows)
        text = json.dumps(self.summary(outcome), indent=1, ensure_ascii=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        self.begin(folder, place)
        if pictures():
            from flowgrad.displays._curves import loss_curve

            loss_curve(folder / "loss.png", outcome.rows, f"{name}: loss", outcome.best_epoch)

    def summary(self, outcome: Outcome) -> dict[str, Any]:
        """Collect the content of summary.json."""
        parts, program = self.parts, outcome.program
        return {
            "test": outcome.figures,
            "intervals": {name: ends_of(found) for name, found in outcome.intervals.items()},
            "reason": outcome.reason,
            "error": outcome.error,
            "epochs": len(outcome.rows),
            "best_epoch": outcome.best_epoch,
            "weights_of": outcome.weights_of,
            "samples": {
                "train": len(parts.train),
                "validation": len(parts.validation) if parts.validation else 0,
                "test": len(parts.test),
            },
            "nodes": program.plan.n_nodes,
            "edges": program.plan.n_edges,
            "parameters": int(program.plan.n_parameters),
            "executor": program.executor,
            "dtype": program.dtype.name,
            "versions": {"flowgrad": fg.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }

    def relocated(self, folder: Path) -> _config.Config:
        """Convert the configuration for a run folder: paths relative to the folder, the network's file in it."""
        moved = {section: dict(values) for section, values in self.settings.items()}
        moved["run"]["folder"] = None
        for section, name in PATHS:
            value = moved[section][name]
            if isinstance(value, str):
                with suppress(ValueError):  # another drive of Windows
                    moved[section][name] = os.path.relpath(value, folder)
        if self.start is not None:
            moved["network"] |= self.start.section()
        return moved


def ends_of(found: Interval) -> list[float] | None:
    """Convert an interval's ends to JSON data; None where there is no interval."""
    return None if found.low != found.low else [found.low, found.high]


def pictures() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


# ---- from a file to settings --------------------------------------------------------------------------------------


def read(path: Path, options: Mapping[str, Any] | None = None) -> tuple[_config.Config, str]:
    """Read the configuration of a TOML file or a run folder, and its name; paths relative to the working directory.

    Args:
        options: "section.key" → value, which replaces the file's, paths being relative to the working directory;
            None leaves the file's value.

    Raises:
        FileError, ConfigError, UnknownNameError: as `_config.read`.
    """
    file = path / "config.toml" if path.is_dir() else path
    given = {key: value for key, value in (options or {}).items() if value is not None}
    given |= {key: str(Path(given[key]).absolute()) for key in map(".".join, PATHS) if isinstance(given.get(key), str)}
    settings = _config.read(file, given)
    resolve(settings, file.parent)
    return settings, file.stem if file.stem != "config" else file.resolve().parent.name


def resolve(settings: _config.Config, base: Path) -> None:
    """Make the configuration's paths, relative to `base`, its file's folder, relative to the working directory."""
    for section, name in PATHS:
        value = settings[section][name]
        if isinstance(value, str):
            settings[section][name] = str(base / value)


# ---- from settings to an experiment -------------------------------------------------------------------------------


def prepare(settings: _config.Config) -> Experiment:
    """Read the network and the samples that a configuration names.

    Raises:
        FileError: a file is missing; the message says which key names it.
        ConfigError, UnknownNameError, DataError: network, samples and settings do not fit together.
    """
    data = settings["data"]
    samples, network, roles, loss, start = _read(settings)
    narrow = settings["train"]["dtype"] == "float32" and not data["standardize"]
    parts = _parts(data, samples, roles, np.float32 if narrow else np.float64)
    return assemble(settings, network, roles, loss, parts, start)


def prepare_whole(settings: _config.Config, group: str | None = None) -> tuple[Experiment, list[str] | None]:
    """Prepare an experiment with every sample of data.file in its first part, as measured, and the groups by a column.

    Nothing is scaled and nothing is held out; the validation samples are those of data.validation, if it is a file.

    Raises:
        as `prepare`; UnknownNameError: no such column of groups.
    """
    data = settings["data"]
    if group is not None:
        settings["data"]["ignore"] = list(dict.fromkeys((*(data["ignore"] or ()), group)))
    samples, network, roles, loss, start = _read(settings)
    if group is not None:
        samples.need(group, "group")
    aside = data["validation"] if isinstance(data["validation"], str) else None
    parts = _parts(data | {"test": None, "validation": aside}, samples, roles, np.float64)
    resolved = settings | {"train": settings["train"] | {"loss": settings["train"]["loss"] or loss}}
    roles_of = (roles.inputs, roles.targets, roles.label, roles.classes)
    model = Model(network, *roles_of, loss=resolved["train"]["loss"], ignore=roles.ignore)
    return Experiment(resolved, model, parts, start), None if group is None else _data.text_of(samples, group, roles)


def _read(settings: _config.Config) -> tuple[Table, Network, Roles, str, Start | None]:
    """Read the table of samples, the network, the roles of columns, its default loss, and the network's file."""
    data = settings["data"]
    for name in FILES:
        if isinstance(data[name], str) and not Path(data[name]).exists():
            raise FileError(f"no file {data[name]}, which data.{name} of the configuration names")
    samples = Table(Path(data["file"]), _config.reading_of(data))
    with share_shown("reading the network") as progress:
        start = start_of(settings["network"], progress)
    if start is not None:
        start = replace(start, model=_named(start.model, samples, data))
    network, roles, loss = network_and_roles(settings, samples, None if start is None else start.model)
    if roles.label and data["standardize_targets"]:
        raise ConfigError(f"data.standardize_targets = true: {brief(roles.label)} holds classes, which have no scale")
    roles = _data.with_weight(roles, data["weight"])
    return samples, network, roles, loss, start


def _named(model: Model, samples: Table, data: Mapping[str, Any]) -> Model:
    """Name the model's inputs as the columns that feed them; where data.missing drops, remove absent ones."""
    inputs = _data.columns_of(samples, data["inputs"], model.inputs)
    check_count("inputs", inputs, len(model.network.inputs))
    named = replace(model, inputs=inputs)
    return named if samples.reading.missing == "error" else fitted(named, samples)


def assemble(
    settings: _config.Config,
    network: Network,
    roles: Roles,
    loss: str,
    parts: Parts,
    start: Start | None = None,
) -> Experiment:
    """Make an experiment of a network and samples as they were measured.

    A trained model keeps the scaling under which its weights were trained. If the settings scale otherwise, the
    difference is folded into its weights, so that training begins with the same function of the columns.
    """
    data = settings["data"]
    trained = start.model if start is not None and start.trained else None
    own = (None, None) if trained is None else (trained.scaling, trained.target_scaling)
    into, inputs = _rescaled(trained, own[0], parts.train.X, data["standardize"])
    out, targets = _rescaled(trained, own[1], parts.train.T, data["standardize_targets"])
    loss = settings["train"]["loss"] or loss
    model = Model(
        folded(network, into, out), roles.inputs, roles.targets, roles.label, roles.classes, inputs, targets, loss,
        roles.ignore,
    )  # fmt: skip

    def scaled(part: Samples) -> Samples:
        return replace(part, X=model.scaled(part.X), T=part.T if targets is None else targets(part.T))

    whole = Parts(scaled(parts.train), scaled(parts.validation) if parts.validation else None, scaled(parts.test))
    resolved = settings | {"train": settings["train"] | {"loss": loss}}
    return Experiment(resolved, model, whole, start)


def _rescaled(
    trained: Model | None, own: Scaling | None, values: Any, wanted: bool
) -> tuple[Scaling | None, Scaling | None]:
    """Choose the scaling to fold into the network's weights, and the one to keep; `own` is the trained model's."""
    if own is not None:
        return (None, own) if wanted else (own, None)
    if not wanted:
        return None, None
    scaling = Scaling.of(values)
    return None if trained is None else scaling.inverse(), scaling


def _parts(data: Mapping[str, Any], samples: Table, roles: Roles, dtype: Any) -> Parts:
    """Split into training, validation and test samples, which are files of their own or fractions of the one file."""

    def from_file(path: str) -> Samples:
        return _data.read(Table(Path(path), samples.reading), roles, finite=True, dtype=dtype)

    rest, classes = _data.read(samples, roles, finite=True, dtype=dtype), len(roles.classes)
    if isinstance(data["test"], str):
        test = from_file(data["test"])
    elif data["test"] is None:
        test = rest.take(np.arange(0))
    else:
        rest, test = _data.hold_out(rest, data["test"], data["seed"], classes)
    validation = None
    if isinstance(data["validation"], str):
        validation = from_file(data["validation"])
    elif data["validation"] is not None:
        rest, validation = _data.hold_out(rest, data["validation"], data["seed"] + 1, classes)
    return Parts(rest, validation, test)
