"""Optimizers: rules by which training updates θ from its gradient g, as frozen dataclasses with settings.

`fit(..., optimizer=optimizers.SGD(momentum=0.9))` uses an optimizer with the given settings; `optimizer="sgd"` uses it
with its default settings. Other packages add optimizers by entry points of the group `flowgrad.optimizers`.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from flowgrad.errors import ConfigError, brief, suggest
from flowgrad.optimizer import Optimizer
from flowgrad.optimizers.adagrad import Adagrad
from flowgrad.optimizers.adam import Adam
from flowgrad.optimizers.adamw import AdamW
from flowgrad.optimizers.rmsprop import RMSprop
from flowgrad.optimizers.sgd import SGD
from flowgrad.registry import find

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "optimizer_for", "settings_of", "with_settings"]


def optimizer_for(given: object) -> Optimizer:
    """Return the optimizer with a given name and default settings, or the given Optimizer itself.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        ConfigError: `given` is neither a name nor an Optimizer; a class such as `SGD` is not, its instance `SGD()` is.
    """
    rule = find("optimizers", given) if isinstance(given, str) else given
    if isinstance(rule, type) and callable(getattr(rule, "start", None)):
        raise ConfigError(f"optimizer={brief(rule)}: a class; give a name, or an Optimizer, {rule.__name__}()")
    if isinstance(rule, type) or not isinstance(rule, Optimizer):
        raise ConfigError(f"optimizer={brief(rule)}: give a name or an Optimizer")
    return rule


def settings_of(name: str) -> dict[str, Any]:
    """Return the settings of the optimizer `name` with their default values; {} if it is not a dataclass.

    Raises:
        UnknownNameError: there is no optimizer of that name.

    >>> settings_of("sgd")
    {'learning_rate': 0.01, 'momentum': 0.0, 'nesterov': False, 'dampening': 0.0, 'weight_decay': 0.0}
    """
    record = find("optimizers", name)
    own = fields(record) if is_dataclass(record) else ()
    return {f.name: getattr(record, f.name) for f in own if f.init and f.name not in ("name", "summary")}


def with_settings(name: str, **settings: Any) -> Optimizer:
    """Return the optimizer `name` with the given settings; others keep their default values.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        ConfigError: it has no such setting, or a value has the wrong type or range.

    >>> with_settings("sgd", momentum=0.9).momentum
    0.9
    """
    known = settings_of(name)
    for given in settings:
        if given not in known:
            raise ConfigError(f"optimizer {brief(name)} has no setting {brief(given)}{suggest(given, known)}")
    found: Optimizer = replace(find("optimizers", name), **settings) if settings else find("optimizers", name)
    return found
