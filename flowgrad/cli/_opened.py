"""Open what commands work on: a model, its samples, scaled as it needs them, and its compiled program."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import flowgrad as fg
from flowgrad.atomic import same_file
from flowgrad.cli import _config, _data, _options
from flowgrad.cli._console import echo, share_shown
from flowgrad.cli._data import Roles, Samples
from flowgrad.cli._missing import fitted
from flowgrad.cli._reader_options import reader_options
from flowgrad.errors import ConfigError, FileError, UnknownNameError, brief, suggest
from flowgrad.files import format_of
from flowgrad.model import Model, column_name
from flowgrad.runs.models import cut_short, load_model
from flowgrad.tables.table import Reading, Table

SAMPLES = ("file", "test", "validation")  # keys of [data] that name samples, or a fraction of them

Answers = Literal["needed", "if there", "none"]
"""Whether the samples hold targets or labels: they must, they may, or targets and labels are not read."""


@dataclass(frozen=True)
class Opened:
    """A model with samples and its compiled program.

    X        (B, I), scaled as the network takes them
    T        class indices (B,) or targets (B, O), scaled as the network answers them; None where they were not read
    program  the compiled network; its loss is the one that was asked for, else the model's own, else squared_error;
             it has none where answers are "none" and no loss was asked for
    """

    model: Model
    X: Any
    T: Any
    program: fg.Program

    def node(self, name: str) -> Hashable:
        """Find the node of a name.

        Raises:
            UnknownNameError: there is none; the message gives the nearest.
        """
        names = {column_name(v): v for v in self.model.network.nodes}
        if name not in names:
            raise UnknownNameError(f"{brief(name)} is no node of the network{suggest(name, names)}")
        return names[name]


def open_network(
    path: Path,
    *,
    read_as: str | None = None,
    option: Iterable[str] | None = None,
    ignore: Sequence[str] | None = None,
    quiet: bool = False,
    followed: bool = False,
) -> Model:
    """Open the model of a run folder, of a `.fgm`, or of a network in a file of any format that `fg.load` knows.

    Args:
        read_as: the format; None goes by the suffix.
        option: KEY=VALUE each, for the format's reader.
        ignore: columns of the samples to skip, besides those that the model ignores itself.
        quiet: do not print the network's size.
        followed: the path is read repeatedly during training, so no note says that training has not ended.

    Raises:
        FileError: the path is missing, or the file cannot be read.
        ConfigError: a column to skip is an input.
    """
    option = list(option or ())
    if path.is_dir() and (read_as is not None or option):
        raise ConfigError(f"{path} is the folder of a run: --from and --option are for files of networks")
    if not path.exists():
        raise FileError(f"no file or folder {path}")
    given = reader_options(option, format_of(path, read_as, "read"), path) if option else {}
    with share_shown(f"reading {path.name}") as progress:
        model = load_model(path, read_as, progress=progress, **given)
    if not quiet:
        echo(model.network)
    early = cut_short(path) if path.is_dir() and not followed else None
    if early is not None:
        print(f"note: {early}", file=sys.stderr)
    inputs = set(model.inputs)
    for name in ignore or ():
        if name in inputs:
            raise ConfigError(f"--ignore {brief(name)}: that column is an input of the network")
    return ignoring(model, ignore or ())


def ignoring(model: Model, names: Iterable[str]) -> Model:
    """Add columns to those that the model ignores."""
    return replace(model, ignore=tuple(dict.fromkeys((*model.ignore, *names))))


def opened(
    path: Path,
    data: Path,
    answers: Answers,
    *,
    loss: str | None = None,
    executor: str = "auto",
    read_as: str | None = None,
    option: Iterable[str] | None = None,
    ignore: Sequence[str] | None = None,
    quiet: bool = False,
    tables: Mapping[str, Any] | None = None,
    by: str | None = None,
    finite: bool = False,
) -> Opened:
    """Open a network, its samples, the loss and the executor; see `open_network`, `reading_for` and `with_samples`.

    Args:
        by: a column that the command itself reads, so that it is not surplus; it may be an input as well.
    """
    model = open_network(path, read_as=read_as, option=option, ignore=ignore, quiet=quiet)
    model = ignoring(model, () if by is None else (by,))
    model, X, T = with_samples(model, data, answers, reading_for(path, data, tables), finite=finite)
    return Opened(model, X, T, program_of(model, loss, executor, trained=answers != "none"))


def reading_for(path: Path, data: Path, tables: Mapping[str, Any] | None = None) -> Reading:
    """Choose how samples are read: by the options of a command, and where these are left out as the run's were.

    The labels of a run are joined to its own samples only.

    Args:
        path: the folder of a run, or any file of a network, which has no settings for samples.
        data: the samples.
        tables: by key of [data]; None where an option is left out.

    Raises:
        ConfigError: a value breaks its key's rule.
        FileError: the run's configuration is damaged.
    """
    settings = run_settings(path) if path.is_dir() else {}
    own = any(same_file(path / name, data) for name in map(settings.get, SAMPLES) if isinstance(name, str))
    kept = {key: settings.get(key) for key in _options.TABLES if key != "labels"}
    if own and settings.get("labels") is not None:
        kept["labels"] = path / str(settings["labels"])
    given = {key: value for key, value in (tables or {}).items() if value is not None}
    return _config.reading_of(kept | given)


def run_settings(run: Path) -> Mapping[str, Any]:
    """Read [data] of a run's configuration, unchecked; empty where the folder has no config.toml.

    Raises:
        FileError: the configuration is damaged.
    """
    path = run / "config.toml"
    if not path.is_file():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("data", {})
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise FileError(f"{path} is damaged: it is no configuration")
    return found


def with_samples(
    model: Model, data: Path, answers: Answers, reading: Reading, *, finite: bool = False
) -> tuple[Model, Any, Any]:
    """Read X and T of a file of samples, as `Opened` has them; returns the model too.

    Where the reading drops inputs that the table lacks, the model returned is without them. At answers "if there"
    targets or labels are not read if one of their columns is ignored.

    Args:
        finite: refuse NaN and inf among the inputs, as training does; else they flow through the network.

    Raises:
        UnknownNameError: a column is missing, or has no role for the model.
        FileError, DataError: as `tables.Table`.
    """
    table = Table(data, reading)
    model = fitted(model, table)
    roles = roles_of(model)
    wanted = {roles.label, *roles.targets}.isdisjoint(roles.ignore)
    there = answers == "needed" or (answers == "if there" and wanted and _data.answered(table, roles))
    known: Samples = _data.read(table, roles, answers=there, finite=finite)
    if not there:
        return model, model.scaled(known.X), None
    return model, model.scaled(known.X), known.T if model.target_scaling is None else model.target_scaling(known.T)


def program_of(model: Model, loss: str | None, executor: str = "auto", *, trained: bool = True) -> fg.Program:
    """Compile a model under `loss`, or, where that is None, under the model's own if `trained`, else under none."""
    own = model.record if trained else None
    return fg.compile(model.network, executor=executor, loss=loss or own)


def roles_of(model: Model) -> Roles:
    """Return the roles of a table's columns for a model."""
    return Roles(model.inputs, model.targets, model.label, tuple(map(str, model.classes)), model.ignore)
