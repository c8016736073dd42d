"""Models in run folders; `load_model` reads a model from a run folder or a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowgrad.atomic import path_of
from flowgrad.errors import ConfigError, FileError
from flowgrad.files import RUN_NETWORK, load, said_of, save, source_of
from flowgrad.format import Progress, Source, read_bytes
from flowgrad.formats import json as json_format
from flowgrad.formats import safetensors
from flowgrad.formats._strict import parse
from flowgrad.maths.activation import Activation
from flowgrad.maths.aggregations import Aggregation
from flowgrad.model import Model, about_of, restored

TRAINED = "trained.safetensors"
ABOUT = "model.json"
SCALINGS = ("standardised", "standardised_targets")  # keys of model.json


def load_model(
    path: str | os.PathLike[str],
    format: str | None = None,
    activations: Iterable[Activation | Aggregation] = (),
    *,
    progress: Progress | None = None,
    **options: Any,
) -> Model:
    """Read a model from a run folder, from a file that `Model.save` wrote, or from any file of a network.

    If there is only a network, the result is `Model(network)`: its inputs and targets are named after the nodes, and
    it has no scaling.

    Args:
        path: the folder of a run, as `flowgrad train` writes it, or a file.
        format, options: as for `flowgrad.load`; not allowed with a run folder.
        activations: as for `flowgrad.load`.
        progress: as for `flowgrad.load`; it is not called for a run folder.

    Raises:
        ConfigError: as for `flowgrad.load`; or a format or an option is given with a run folder.
        FileError: as for `flowgrad.load`; or the folder is no run folder, or its data do not fit its network.
        UnknownNameError, GraphError, DataError, MissingDependencyError: as for `flowgrad.load`.
    """
    target = path_of(path)
    if target.is_dir():
        if format is not None or options:
            raise ConfigError(f"{target} is the folder of a run: a format and its options are for files of networks")
        return _read(target, activations)
    activations = tuple(activations)
    chosen, source = source_of(target, format, activations, progress, options)
    if chosen.read_model is None:
        return Model(load(target, chosen.name, activations, progress=progress, **options))
    with said_of(target):
        return restored(*chosen.read_model(source), str(target))


def weights_of(folder: Path) -> str | None:
    """Return the moment of training of a run folder's weights, as "epoch 12"; None where none is recorded.

    Raises:
        FileError: as `load_model`.
    """
    path = folder / TRAINED
    if path.exists():
        return safetensors.weights_of(Source(path, {}))
    return json_format.weights_of(Source(folder / RUN_NETWORK, {}))


def cut_short(folder: Path) -> str | None:
    """Describe state and weights of a run folder whose training runs or was ended early; None for other folders.

    Raises:
        FileError: as `load_model`; or summary.json is damaged.
    """
    end = folder / "summary.json"
    if end.exists():
        summary = parse(read_bytes(end), f"{end} is damaged: it")
        reason = summary.get("reason") if isinstance(summary, dict) else None
        if reason not in ("interrupted", "stopped"):
            return None
        said = f"the training in {folder} was {reason}"
    elif (folder / "metrics.csv").exists():
        said = f"the training in {folder} has not ended"
    else:
        return None
    moment = weights_of(folder)
    return said if moment is None else f"{said}: its weights are from {moment}"


def save_run(folder: Path, model: Model, moment: str | None = None) -> None:
    """Write the files of a model into a run folder; `moment` is the value that `weights_of` returns.

    Raises:
        FileError: a file cannot be written. ConfigError, GraphError: as `Model.save`.
    """
    save_networks(folder, model, moment)
    about = about_of(model)
    for key in SCALINGS:
        if about[key] is not None:
            about[key] = {"network": TRAINED, **about[key]}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")


def save_networks(folder: Path, model: Model, moment: str | None = None) -> None:
    """Write the network as trained, if it takes scaled columns; then the network that takes raw columns."""
    if _is_scaled(model):
        save(model.network, folder / TRAINED, weights_of=moment)
    save(model.folded(), folder / RUN_NETWORK, weights_of=moment)


def _is_scaled(model: Model) -> bool:
    return model.scaling is not None or model.target_scaling is not None


def _read(folder: Path, activations: Iterable[Activation | Aggregation]) -> Model:
    """Read the model of a run folder: the network as trained, and its scaling.

    A folder of version 0.1 holds that network as network.json, and its scaling under another key.
    """
    if not (folder / RUN_NETWORK).is_file():
        raise FileError(f"{folder} is no run folder: it has no {RUN_NETWORK}")
    path = folder / ABOUT
    if not path.exists():
        return Model(load(folder / RUN_NETWORK, activations=activations))
    about = parse(read_bytes(path), f"{path} is damaged: it")
    if not isinstance(about, dict):
        raise FileError(f"{path} is damaged: it holds no object")
    scaled = [about[key] for key in SCALINGS if isinstance(about.get(key), dict)]
    name = TRAINED if any(given.get("network") == TRAINED for given in scaled) else RUN_NETWORK
    return restored(load(folder / name, activations=activations), about, str(path))
