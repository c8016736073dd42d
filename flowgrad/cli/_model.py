"""A network with what its data needs: which columns feed it, how they are scaled, which classes it tells apart.

Inspection works on the network as it was trained, and on scaled samples; what is written for others is the folded
network, which takes the raw columns.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad import topologies
from flowgrad.cli._config import topology_keys
from flowgrad.cli._console import share_shown
from flowgrad.cli._data import Roles
from flowgrad.cli._options import reading
from flowgrad.cli._tables import repeated
from flowgrad.errors import ConfigError, FileError, GraphError, brief
from flowgrad.files import load, save
from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.registry import find
from flowgrad.scaling import Scaling, folded

RUN_NETWORK = "network.json"
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Model:
    """What commands work on: `network` takes the columns of `roles` as `scaling` scales them.

    `scaling` is None where the network takes them as they are; `loss` is a name, or None where nobody trained it.
    """

    network: Network
    roles: Roles
    scaling: Scaling | None = None
    loss: str | None = None

    def scaled(self, X: Any) -> Any:
        """X as `network` wants it."""
        return X if self.scaling is None else self.scaling(X)

    @property
    def record(self) -> Loss:
        """The loss it was trained with; squared error where nobody trained it."""
        found: Loss = find("losses", self.loss or "squared_error")
        return found

    def folded(self) -> Model:
        """The model whose network takes the raw columns: what is written for others."""
        return replace(self, network=folded(self.network, self.scaling), scaling=None)


def column_name(node: Hashable) -> str:
    """The column of a node: text as it is, other ids by repr (`0`, `('a', 1)`)."""
    return node if isinstance(node, str) else repr(node)


def column_names(nodes: Sequence[Hashable]) -> tuple[str, ...]:
    """The columns of several nodes.

    Raises:
        GraphError: two of them would have one name, such as 1 and '1'.
    """
    names = tuple(map(column_name, nodes))
    twice = repeated(names)
    if twice is not None:
        raise GraphError(f"two nodes are called {twice} in a table: relabel one of them")
    return names


def open_network(
    path: Path, ignore: Sequence[str] = (), read_as: str | None = None, options: Iterable[str] | None = None
) -> Model:
    """The model of a run folder, or of a network in a file of any format that `fg.load` knows.

    Args:
        read_as: the format; None goes by the suffix.
        options: KEY=VALUE each, for the format's reader.

    Raises:
        FileError: missing, or not what it should be.
    """
    given = reading(options)
    if path.is_dir():
        if read_as is not None or given:
            raise ConfigError(f"{path} is the folder of a run: --from and --option are for files of networks")
        return read(path, ignore)
    if not path.exists():
        raise FileError(f"no file or folder {path}")
    with share_shown(f"reading {path.name}") as progress:
        network = load(path, read_as, progress=progress, **given)
    return bare(network, ignore)


def save_model(folder: Path, model: Model) -> None:
    """The networks, and model.json."""
    save_networks(folder, model)
    scaling = model.scaling
    about = {
        "loss": model.loss,
        "roles": asdict(model.roles),
        "standardised": scaling
        and {"network": TRAINED, "mean": scaling.mean.tolist(), "scale": scaling.scale.tolist()},
    }
    write_json(folder / "model.json", about)


def save_networks(folder: Path, model: Model) -> None:
    """The network as it was trained, where that takes scaled columns; then network.json, which takes the raw ones."""
    if model.scaling is not None:
        save(model.network, folder / TRAINED)
    save(model.folded().network, folder / RUN_NETWORK)


def write_json(path: Path, value: Any) -> None:
    """Indented JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path, ignore: Sequence[str] = ()) -> Model:
    """The model of a run folder: the network as it was trained, and its scaling.

    A folder of version 0.1 holds that network as network.json, and its scaling under another key.

    Raises:
        FileError: no run folder, or a file of it is damaged.
    """
    if not (folder / RUN_NETWORK).is_file():
        raise FileError(f"{folder} is no run folder: it has no {RUN_NETWORK}")
    path = folder / "model.json"
    if not path.exists():
        return bare(load(folder / RUN_NETWORK), ignore)
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        named = about["roles"]
        inputs, targets, classes, ignored = (tuple(named[k]) for k in ("inputs", "targets", "classes", "ignore"))
        roles = Roles(inputs, targets, named["label"], classes, ignored)
        given, loss = about["scaling" if "scaling" in about else "standardised"], about["loss"]
        scaling = given and Scaling(given["mean"], given["scale"])
        name = TRAINED if given and given.get("network") == TRAINED else RUN_NETWORK
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    network = load(folder / name)
    _check_fit(path, network, roles, scaling)
    return Model(network, replace(roles, ignore=(*roles.ignore, *ignore)), scaling, loss)


def _check_fit(path: Path, network: Any, roles: Roles, scaling: Scaling | None) -> None:
    """model.json must speak of this network."""
    n, outputs = len(network.inputs), len(network.outputs)
    answers = len(roles.classes) - (outputs == 1) if roles.label else len(roles.targets)
    shapes = {n} if scaling is None else {n, len(scaling)}
    if len(roles.inputs) != n or answers != outputs or shapes != {n}:
        raise FileError(f"{path} is damaged: it does not fit the network beside it")


def bare(network: Network, ignore: Sequence[str] = ()) -> Model:
    """A network by itself: columns are called as its nodes are."""
    inputs, outputs = column_names(network.inputs), column_names(network.outputs)
    return Model(network, Roles(inputs, outputs, ignore=tuple(ignore)))


def shaped(settings: dict[str, Any], inputs: Sequence[str], outputs: Sequence[str]) -> Network:
    """A network of a topology, as large as the data asks for, its inputs and outputs called as the columns are.

    Args:
        settings: the section [network] of a configuration.
    """
    shape = settings["topology"]
    common = {name: settings[name] for name in ("activation", "output_activation", "seed", "initializer")}
    if shape == "layered":
        sizes = [len(inputs), *(settings["hidden"] or []), len(outputs)]
        network = topologies.layered(sizes, skips=settings["skips"] or 0, **common)
    else:
        takes = topology_keys(shape)
        for name, needed in takes.items():
            if needed and settings[name] is None:
                raise ConfigError(f"network.{name} is missing: topology {brief(shape)} takes {', '.join(takes)}")
        sized = {name: settings[name] for name in takes if settings[name] is not None}
        network = find("topologies", shape)(**sized, n_inputs=len(inputs), n_outputs=len(outputs), **common)
    return renamed(network, inputs, outputs)


def with_outputs(network: Network, activation: str) -> Network:
    """The network with this activation at its outputs, in the place of their own."""
    c, record = network.columns, find("activations", activation)
    known = c.activations if record in c.activations else (*c.activations, record)
    codes = c.activation.copy()
    codes[c.outputs[~c.is_input[c.outputs]]] = known.index(record)
    return Network.from_columns(replace(c, activation=codes, activations=known))


def renamed(network: Network, inputs: Sequence[str], outputs: Sequence[str]) -> Network:
    """The network with these names for its inputs and outputs; hidden neurons become h1, h2, … in their order.

    Raises:
        GraphError: an input and an output, or a hidden neuron, would share a name.
    """
    c = network.columns
    ends = {**dict(zip(c.inputs.tolist(), inputs, strict=True)), **dict(zip(c.outputs.tolist(), outputs, strict=True))}
    hidden = [row for row in c.order.tolist() if row not in ends]
    names = ends | {row: f"h{k}" for k, row in enumerate(hidden, start=1)}
    ids = [names[row] for row in range(c.n_nodes)]
    twice = repeated(ids)
    if twice is not None:
        raise GraphError(f"two nodes would be called {brief(twice)}: rename the column")
    weights = np.array(c.weights)  # drawn before the ids change, so that a name never moves a weight
    return Network.from_columns(replace(c, ids=ids, weight=weights))
