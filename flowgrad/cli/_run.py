"""The run folder: network and weights, what the data needs, metrics, loss curve, resolved configuration.

    network.json, and its weights beside it     the trained network, for `fg.load`
    model.json      columns, classes, scaling and loss: what `flowgrad predict RUN` needs besides the network
    metrics.csv     one row an epoch
    summary.json    the figures on the test samples, why training ended, versions
    loss.png        training and validation loss (where matplotlib is installed)
    config.toml     the resolved configuration

A folder appears whole, under its final name, or not at all; while training runs it is `_live` that keeps it up to date.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.cli import _tables
from flowgrad.cli._data import Roles, Scaling
from flowgrad.cli._model import RUN_NETWORK, Model, bare
from flowgrad.errors import FileError
from flowgrad.files import load, save

NAMES = (RUN_NETWORK, "model.json", "metrics.csv", "summary.json", "loss.png", "config.toml")


def write(folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False) -> Path:
    """Make a run folder by `fill`, and give its path; an older run of that name goes, when this one is in place.

    Args, raises: as `place`.
    """
    target, old = place(folder, name, fill, overwrite)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
    return target


def place(
    folder: Path | None, name: str, fill: Callable[[Path], None], overwrite: bool = False
) -> tuple[Path, Path | None]:
    """Make a run folder by `fill`, and give its path, and where an older run of that name has been put aside.

    Args:
        folder: where; None takes runs/NAME, or runs/NAME-2, … where that exists.
        fill: writes the files into the folder that it is given, which is renamed when it is done.
        overwrite: replace an older run of that name; never a folder that is none.

    Raises:
        FileError: it exists, or cannot be written.
    """
    target = folder if folder is not None else free(Path("runs"), name)
    check_target(target, overwrite)
    with _part(target) as part:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        fill(part)
        _sync(part)
        while folder is None and target.exists():  # somebody was faster
            target = free(Path("runs"), name)
        return target, _put(part, target)


def refill(folder: Path, fill: Callable[[Path], None]) -> None:
    """Put the files that `fill` writes into a run folder that exists, file by file, summary.json last.

    Raises:
        FileError: it cannot be written.
    """
    with _part(folder) as part:
        part.mkdir()
        fill(part)
        _sync(part)
        last = {RUN_NETWORK: 1, "summary.json": 2}  # weights before the network that names them
        new = sorted((path.name for path in part.iterdir()), key=lambda name: (last.get(name, 0), name))
        stem = Path(RUN_NETWORK).stem
        stale = {path.name for path in folder.glob(f"{stem}.*.safetensors")} - set(new)
        for name in new:
            (part / name).replace(folder / name)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
        _sync_folder(folder)


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """The name of a hidden folder beside the target, which is gone afterwards; OSError becomes FileError."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot write {target}: {(error.strerror or str(error)).lower()}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def free(parent: Path, name: str) -> Path:
    """parent/name, or the first of parent/name-2, … that does not exist."""
    path, k = parent / name, 2
    while path.exists():
        path, k = parent / f"{name}-{k}", k + 1
    return path


def check_target(folder: Path, overwrite: bool) -> None:
    """Raises FileError where something is in the way; asked for before training, not after."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise FileError(f"{folder} is a file: name another folder for the run")
    if not overwrite:
        raise FileError(f"{folder} exists: name another folder, or say --overwrite")
    if not (folder / RUN_NETWORK).exists():
        raise FileError(f"{folder} is no run folder: it will not be overwritten")


def _put(part: Path, target: Path) -> Path | None:
    """Rename the finished folder to its name, and an older one out of its way; gives where that is now."""
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old") if target.exists() else None
    if old is not None:
        target.rename(old)
    part.rename(target)
    _sync_folder(target.parent)
    return old


def _sync(folder: Path) -> None:
    """Files and folder on disk before the rename says that they are."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows opens no folders
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save_model(folder: Path, model: Model) -> None:
    """network.json with its weights, and model.json."""
    save(model.network, folder / RUN_NETWORK)
    scaling = model.scaling
    about = {
        "loss": model.loss,
        "roles": asdict(model.roles),
        "scaling": scaling and {"mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()},
    }
    write_json(folder / "model.json", about)


def write_json(path: Path, value: Any) -> None:
    """Indented JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def save_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """metrics.csv: a column a name, whole numbers for the epochs."""
    names = list(rows[0]) if rows else ["epoch", "loss"]
    columns = {name: [row[name] for row in rows] for name in names}
    columns["epoch"] = [int(value) for value in columns["epoch"]]
    _tables.write(path, columns)


def read(folder: Path, ignore: Sequence[str] = ()) -> Model:
    """The model of a run folder.

    Raises:
        FileError: no run folder, or a file of it is damaged.
    """
    if not (folder / RUN_NETWORK).is_file():
        raise FileError(f"{folder} is no run folder: it has no {RUN_NETWORK}")
    network = load(folder / RUN_NETWORK)
    path = folder / "model.json"
    if not path.exists():
        return bare(network, ignore)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        named = about["roles"]
        inputs, targets, classes, ignored = (tuple(named[k]) for k in ("inputs", "targets", "classes", "ignore"))
        roles = Roles(inputs, targets, named["label"], classes, ignored)
        given, loss = about["scaling"], about["loss"]
        scaling = given and Scaling(np.array(given["mean"], float), np.array(given["scale"], float))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    _check_fit(path, network, roles, scaling)
    return Model(network, replace(roles, ignore=(*roles.ignore, *ignore)), scaling, loss)


def _check_fit(path: Path, network: Any, roles: Roles, scaling: Scaling | None) -> None:
    """model.json must speak of this network."""
    n, outputs = len(network.inputs), len(network.outputs)
    answers = len(roles.classes) - (outputs == 1) if roles.label else len(roles.targets)
    shapes = {n} if scaling is None else {n, *scaling.mean.shape, *scaling.scale.shape}
    if len(roles.inputs) != n or answers != outputs or shapes != {n}:
        raise FileError(f"{path} is damaged: it does not fit the network beside it")
