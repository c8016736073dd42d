"""Optimizers: how θ moves against its gradient, a file each; records with settings of their own.

`fit(..., optimizer=optimizers.SGD(momentum=0.9))` takes one; a name stands for one with its defaults. Those of another
package are entry points of the group `flowgrad.optimizers`.
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
    """The optimizer that a name, or the record itself, stands for.

    Raises:
        UnknownNameError: no such name. ConfigError: neither a name nor an Optimizer; a class is none.
    """
    rule = find("optimizers", given) if isinstance(given, str) else given
    if isinstance(rule, type) and callable(getattr(rule, "start", None)):
        raise ConfigError(f"optimizer={brief(rule)}: a class; give a name, or an Optimizer, {rule.__name__}()")
    if isinstance(rule, type) or not isinstance(rule, Optimizer):
        raise ConfigError(f"optimizer={brief(rule)}: give a name or an Optimizer")
    return rule


def settings_of(name: str) -> dict[str, Any]:
    """The settings of an optimizer by name, and what they are by default; none of one that is no dataclass.

    Raises:
        UnknownNameError: no such optimizer.

    >>> settings_of("sgd")
    {'learning_rate': 0.01, 'momentum': 0.0, 'nesterov': False, 'dampening': 0.0, 'weight_decay': 0.0}
    """
    record = find("optimizers", name)
    own = fields(record) if is_dataclass(record) else ()
    return {f.name: getattr(record, f.name) for f in own if f.init and f.name not in ("name", "summary")}


def with_settings(name: str, **settings: Any) -> Optimizer:
    """The optimizer of that name, with settings of your own.

    Raises:
        UnknownNameError: no such optimizer.
        ConfigError: it has no such setting, or the value is of the wrong type or range.

    >>> with_settings("sgd", momentum=0.9).momentum
    0.9
    """
    known = settings_of(name)
    for given in settings:
        if given not in known:
            raise ConfigError(f"optimizer {brief(name)} has no setting {brief(given)}{suggest(given, known)}")
    found: Optimizer = replace(find("optimizers", name), **settings) if settings else find("optimizers", name)
    return found
