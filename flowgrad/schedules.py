"""Learning-rate schedules: functions from the number of an epoch, 1 … n, to a factor on the learning rate.

Any callable epoch → factor, such as a lambda, is a schedule. The functions below make schedules with given settings:
`fit(..., schedule=schedules.step(30))`. A name, as in `fit(..., schedule="step")`, is looked up in `entries` and makes
a schedule for the number of epochs of the training. Other packages add names by entry points of the group
`flowgrad.schedules`, each a function from the number of epochs to a schedule.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from flowgrad.arguments import real, whole
from flowgrad.errors import ConfigError, brief
from flowgrad.registry import find

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """Return the schedule whose factor is 1 in every epoch."""
    return lambda epoch: 1.0


def step(every: int, factor: float = 0.1) -> Schedule:
    """Return a schedule that multiplies the rate by `factor` after each `every` epochs: factor^⌊(epoch − 1)/every⌋.

    Args:
        every: integer ≥ 1.
        factor: number > 0.

    Raises:
        ConfigError: an argument has the wrong type or range.

    >>> [step(2)(epoch) for epoch in (1, 2, 3)]
    [1.0, 1.0, 0.1]
    """
    every, factor = whole("every", every, 1), real("factor", factor, 0, open_low=True)
    return lambda epoch: factor ** ((epoch - 1) // every)


def exponential(factor: float) -> Schedule:
    """Return a schedule that multiplies the rate by `factor` after every epoch: factor^(epoch − 1).

    Args:
        factor: number > 0.

    Raises:
        ConfigError: an argument has the wrong type or range.
    """
    factor = real("factor", factor, 0, open_low=True)
    return lambda epoch: factor ** (epoch - 1)


def cosine(epochs: int, floor: float = 0.0) -> Schedule:
    """Return a schedule that falls by half a cosine, from 1 in the first epoch to `floor` in epoch `epochs` + 1.

    The factor is floor + ½ (1 − floor) (1 + cos(π (epoch − 1)/epochs)), and `floor` in later epochs (Loshchilov &
    Hutter 2017, (5), without restarts).

    Args:
        epochs: integer ≥ 1, the number of epochs of the training.
        floor: number ≥ 0.

    Raises:
        ConfigError: an argument has the wrong type or range.
    """
    epochs, floor = whole("epochs", epochs, 1), real("floor", floor, 0)

    def factor(epoch: int) -> float:
        return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * min((epoch - 1) / epochs, 1.0)))

    return factor


def warmup(epochs: int, then: Schedule | None = None) -> Schedule:
    """Return a schedule that rises linearly, as epoch/epochs, to 1 in epoch `epochs`, and continues as `then`.

    Args:
        epochs: integer ≥ 1, the number of epochs of the rise.
        then: schedule of the epochs after the rise, the first of which it is given as epoch 1. Default: `constant()`.

    Raises:
        ConfigError: `epochs` has the wrong type or range.

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
    """Return the schedule for the argument `schedule` of `fit`, in a training of a given number of epochs.

    Args:
        schedule: name (`flowgrad list schedules`), callable epoch → factor, or None, which is `constant()`.
        epochs: integer ≥ 1.

    Returns:
        Callable epoch → factor. If made of a callable, it raises ConfigError where that does not return a finite
        number ≥ 0.

    Raises:
        UnknownNameError: there is no schedule of that name; the message gives the nearest.
        ConfigError: `schedule` is neither a name nor a callable nor None; a class is not accepted.
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
