"""Determine the network of a configuration, and the role of each column of its samples."""

from __future__ import annotations

from typing import Any

from flowgrad.arguments import repeated
from flowgrad.cli import _config, _data
from flowgrad.cli._data import Roles
from flowgrad.cli._missing import present
from flowgrad.errors import ConfigError, brief
from flowgrad.model import Model
from flowgrad.network import Network
from flowgrad.shapes import shaped
from flowgrad.tables.table import Table
from flowgrad.toml_text import written


def network_and_roles(settings: _config.Config, samples: Table, given: Model | None) -> tuple[Network, Roles, str]:
    """Return the network, the role of each column, and the default loss for these."""
    data, section = settings["data"], settings["network"]
    ignore = tuple(data["ignore"] or ())
    label = data["label"] if given is None or data["targets"] is not None else data["label"] or given.label
    if label is not None:
        samples.need(label, "label")
    if given is not None:
        network = given.network
        inputs = given.inputs
        targets = () if label else _data.columns_of(samples, data["targets"], given.targets)
        outputs = tuple(map(str, network.outputs))
    else:
        targets = () if label else _data.columns_of(samples, _needed(data["targets"]), ())
        taken = {*targets, label, *ignore, data["key"], data["weight"]}
        rest = [name for name in samples.names if name not in taken]
        inputs = _data.columns_of(samples, data["inputs"], rest)
        if samples.reading.missing != "error":
            inputs = tuple(inputs[k] for k in present(samples, inputs))
        outputs = targets or _class_outputs(samples, label)
        network = shaped(section["topology"], section, inputs, outputs)
    check_count("inputs", inputs, len(network.inputs))
    for what, known in (("an input", inputs), ("a target", targets), ("the label", (label,))):
        taken = set(known)
        both = next((name for name in ignore if name in taken), None)
        if both is not None:
            raise ConfigError(f"column {brief(both)} is {what}: it can neither be ignored nor part samples into groups")
    if label is None:
        check_count("targets", targets, len(network.outputs))
        return network, Roles(inputs, targets, ignore=ignore), "squared_error"
    if given is not None and given.label == label and data["positive"] is None:
        classes = tuple(map(str, given.classes))  # outputs keep the classes of training
    else:
        classes = _data.classes_of(samples, label, outputs, data["positive"])
    loss = "cross_entropy" if len(outputs) > 1 else "binary_cross_entropy"
    if settings["train"]["loss"] not in (None, loss):
        said, n = written(settings["train"]["loss"]), len(outputs)
        raise ConfigError(
            f"train.loss = {said}: classes with {f'{n} outputs' if n > 1 else 'one output'} are trained with {loss}"
        )
    return network, Roles(inputs, (), label, classes, ignore), loss


def _needed(targets: Any) -> Any:
    if targets is None:
        raise ConfigError("data.targets or data.label is missing: a topology takes its outputs from there")
    return targets


def _class_outputs(samples: Table, label: Any) -> tuple[str, ...]:
    """Name the outputs of a topology under a label: one per class, or a single one, for the last of two classes."""
    found = _data.words_of(samples, label)
    return tuple(found) if len(found) > 2 else (f"{label}={found[-1]}",)


def check_count(what: str, names: tuple[str, ...], n: int) -> None:
    if len(names) != n:
        raise ConfigError(
            f"data.{what} names {len(names)} columns: the network has {n} {what.replace('targets', 'outputs')}"
        )
    twice = repeated(names)
    if twice is not None:
        raise ConfigError(f"data.{what} names the column {brief(twice)} twice")
