"""Learning-rate schedules: the factor on the learning rate in each epoch, 1 … n.

A schedule is a function epoch → factor, so one of your own is a lambda. The functions below make one with settings of
your own: `fit(..., schedule=schedules.step(30))`. Names stand for those in `entries`, which fit the number of epochs of
a run; names of another package are entry points of the group `flowgrad.schedules`, each a function epochs → schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flowgrad.arguments import real, whole
from flowgrad.errors import ConfigError, brief
from flowgrad.registry import find

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """1 in every epoch."""
    return lambda epoch: 1.0


def step(every: int, factor: float = 0.1) -> Schedule:
    """factor^k after k·every epochs.

    >>> [step(2)(epoch) for epoch in (1, 2, 3)]
    [1.0, 1.0, 0.1]
    """
    every, factor = whole("every", every, 1), real("factor", factor, 0, open_low=True)
    return lambda epoch: factor ** ((epoch - 1) // every)


def exponential(factor: float) -> Schedule:
    """factor^(epoch − 1)."""
    factor = real("factor", factor, 0, open_low=True)
    return lambda epoch: factor ** (epoch - 1)


def cosine(epochs: int, floor: float = 0.0) -> Schedule:
    """Half a cosine from 1 in the first epoch down towards `floor` after the last (Loshchilov & Hutter 2017, (5))."""
    epochs, floor = whole("epochs", epochs, 1), real("floor", floor, 0)

    def factor(epoch: int) -> float:
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min((epoch - 1) / epochs, 1.0)))

    return factor


def warmup(epochs: int, then: Schedule | None = None) -> Schedule:
    """epoch/epochs up to 1, and after that `then`, counted from its own first epoch.

    >>> [warmup(4)(epoch) for epoch in (1, 2, 4, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    epochs = whole("epochs", epochs, 1)
    after = constant() if then is None else then
    return lambda epoch: epoch / epochs if epoch <= epochs else after(epoch - epochs)


def _constant(epochs: int) -> Schedule:
    """1 in every epoch."""
    return constant()


def _step(epochs: int) -> Schedule:
    """A tenth after each third of the epochs."""
    return step(max(1, -(-epochs // 3)))


def _exponential(epochs: int) -> Schedule:
    """By one factor an epoch, to a hundredth in the last."""
    return exponential(0.01 ** (1.0 / max(1, epochs - 1)))


def _cosine(epochs: int) -> Schedule:
    """Half a cosine from 1 in the first epoch down towards 0 after the last."""
    return cosine(epochs)


def _warmup(epochs: int) -> Schedule:
    """Rising to 1 over the first tenth of the epochs, then 1."""
    return warmup(max(1, epochs // 10))


entries: dict[str, Callable[[int], Schedule]] = {
    "constant": _constant,
    "step": _step,
    "exponential": _exponential,
    "cosine": _cosine,
    "warmup": _warmup,
}


def schedule_for(schedule: str | Schedule | None, epochs: int) -> Schedule:
    """The schedule that a name, a function or None stands for, in a run of so many epochs.

    Raises:
        UnknownNameError: no such name; the message gives the nearest.
        ConfigError: neither name nor function, or the function gives no number, a negative or a non-finite one.
    """
    if isinstance(schedule, str):
        named: Callable[[int], Schedule] = find("schedules", schedule)
        return named(epochs)
    if schedule is None:
        return constant()
    if isinstance(schedule, type) or not callable(schedule):
        raise ConfigError(f"schedule={brief(schedule)}: give a name, a function epoch → factor, or None")
    given = schedule
    return lambda epoch: real(f"schedule({epoch})", given(epoch), 0)
