"""Conversion of the [train] keys for penalties, constraints, clipping, dropout and classes to `fg.fit` arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowgrad.errors import UnknownNameError, brief, suggest
from flowgrad.fitting.samples import need_classes
from flowgrad.fitting.slots import pairs
from flowgrad.model import Model, column_names
from flowgrad.program import Program

PLAIN = ("clip", "clip_value", "dropout", "input_dropout", "label_smoothing")


def rules_of(section: Mapping[str, Any], program: Program, model: Model) -> dict[str, Any]:
    """Build keyword arguments for `fg.fit` from [train]; keys that are not set are left out, except l1 and l2.

    Raises:
        UnknownNameError: a name of no weights, or of no class.
        ConfigError: the loss has no classes.
    """
    given = {name: section[name] for name in PLAIN if section[name]}
    for name in ("l1", "l2"):
        value = section[name]
        if value and section["penalize"] != "weights":
            value = {section["penalize"]: value}
        given[name] = value
    given |= {} if section["constraints"] is None else {"constraints": section["constraints"]}
    for name in ("l1", "l2", "constraints"):
        if isinstance(given.get(name), dict):
            pairs(program, f"train.{name}", given[name])
    for name in ("class_weight", "label_smoothing"):
        if section[name]:
            need_classes(program, f"train.{name}")
    if section["class_weight"]:
        given["class_weight"] = _by_index(section["class_weight"], model)
    return given


def _by_index(class_weight: Any, model: Model) -> Any:
    """Replace class names by class indices in a mapping of factors; another value is returned as it is."""
    if not isinstance(class_weight, dict):
        return class_weight
    names = tuple(map(str, model.classes)) or column_names(model.network.outputs)
    names = names if len(names) > 1 else ("0", "1")
    for name in class_weight:
        if name not in names:
            raise UnknownNameError(f"train.class_weight: {brief(name)} is no class{suggest(name, names)}")
    return {names.index(name): factor for name, factor in class_weight.items()}
