"""The network from which a training starts, and its file in the run folder, from which the training can be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, FileError, brief
from flowgrad.files import RUN_NETWORK, format_of, load
from flowgrad.format import Format, Progress
from flowgrad.formats.fgm import write_model
from flowgrad.model import Model, about_of
from flowgrad.network import Network
from flowgrad.runs.models import ABOUT, load_model
from flowgrad.shapes import with_outputs
from flowgrad.weights import initializer_for


@dataclass(frozen=True)
class Start:
    """The network of a training that begins from a file, and the file to store in the run folder.

    model    the network, with columns, scaling and loss where the file has them
    trained  whether the file holds a model with loss or scaling, whose scaling the training keeps
    key      "file" or "edges": the key of [network] that names the file
    name     name of the file in a run folder
    data     bytes of that file
    """

    model: Model
    trained: bool
    key: str
    name: str
    data: bytes

    def section(self) -> dict[str, Any]:
        """Return the entries of [network] that name the file in a run folder."""
        return {self.key: self.name} | ({"format": None, "options": None} if self.name.endswith(".fgm") else {})


def start_of(section: Mapping[str, Any], progress: Progress | None = None) -> Start | None:
    """Read the network of a run, a file or a list of edges; None where the section names a topology.

    Args:
        section: [network] of a configuration, with every key.

    Raises:
        ConfigError: a key beside the file is not supported by its reader.
        FileError: the file is missing; the message says which key names it. Else as `load_model`.
    """
    key = next((key for key in ("file", "edges") if section[key] is not None), None)
    if key is None:
        return None
    path = Path(section[key])
    if not path.exists():
        raise FileError(f"no file {path}, which network.{key} of the configuration names")
    if key == "edges":
        names = ("inputs", "outputs", "activation", "output_activation", "seed", "initializer")
        options = {name: section[name] for name in names} | (section["options"] or {})
        model = Model(load(path, "edgelist", progress=progress, **options))
        return Start(model, False, key, "".join(("edges", *path.suffixes)), path.read_bytes())
    run = _run_of(path)
    chosen = None if run is not None else format_of(path, section["format"], "read")
    options = _options(section, path, chosen)
    model = load_model(run or path, section["format"], progress=progress, **options)
    columns = model.network.columns
    if section["initializer"] is not None and not np.isnan(columns.weight).any():
        said = _written(section["initializer"])
        raise ConfigError(f"network.initializer = {said}: {path} gives every weight itself")
    initializer = initializer_for(section["initializer"]) or columns.initializer
    network = Network.from_columns(replace(columns, seed=section["seed"], initializer=initializer))
    if section["output_activation"] is not None:
        network = with_outputs(network, section["output_activation"])
    model = replace(model, network=network)
    if chosen is None or chosen.keeps == "everything":
        name = "start.fgm"
        says = model.loss is not None or model.scaling is not None or model.target_scaling is not None
        trained = says and (chosen is None or chosen.read_model is not None)
        (data,) = write_model(network, about_of(model) if trained else None, Path(name)).values()
        assert isinstance(data, bytes)
        return Start(model, trained, key, name, data)
    return Start(model, False, key, "".join(("start", *path.suffixes)), path.read_bytes())


def _run_of(path: Path) -> Path | None:
    """Return the run folder that a path names, or whose network file it names; None for another path."""
    if path.name == RUN_NETWORK and (path.parent / ABOUT).exists():
        return path.parent
    return path if path.is_dir() else None


def _options(section: Mapping[str, Any], path: Path, chosen: Format | None) -> dict[str, Any]:
    """Return the options for the reader; `chosen` is None for a run folder.

    Raises:
        ConfigError: a key beside the file is not supported by runs or by this reader.
    """
    given = section["activation"]
    for key in ("format", "options"):
        if chosen is None and section[key]:
            raise ConfigError(f"network.{key} = {_written(section[key])}: {path} is of a run")
    if given is None:
        return dict(section["options"] or {})
    said = f"network.activation = {_written(given)}"
    if chosen is None:
        raise ConfigError(f"{said}: a run says itself what its neurons are")
    if chosen.read is None or "activation" not in signature(chosen.read).parameters:
        raise ConfigError(f"{said}: a file of format {chosen.name!r} says itself what its neurons are")
    return {"activation": given} | (section["options"] or {})


def _written(value: object) -> str:
    """Format a value as in TOML, shortened."""
    return f'"{value:.60}"' if isinstance(value, str) else brief(value)
