"""The protocol of a callback: whoever wants to hear of a training, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from flowgrad.errors import ConfigError, StopTraining, brief
from flowgrad.history import History, Row
from flowgrad.registry import find


@runtime_checkable
class Callback(Protocol):
    """Hears of one training; `fit` calls it in the order in which it was given.

    A package adds one by an entry point of the group `flowgrad.callbacks`: a class or function that gives a
    Callback when it is called without arguments. Where it has a `for_run(folder)`, `flowgrad train` calls that one
    with the folder of the run.
    """

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Before the first epoch: what `fit` was called with, and the size of the network, by name."""
        ...

    def epoch(self, row: Row) -> None:
        """After each epoch: its row of the History. `fg.StopTraining`, raised here, ends training after it."""
        ...

    def end(self, history: History, error: BaseException | None) -> None:
        """At the end, also where training raised `error`."""
        ...


@runtime_checkable
class Watches(Protocol):
    """A callback that also looks at parameters and gradients."""

    def arrays(self, epoch: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """After each epoch, before its row, by name: `weights`, `biases`, `gradient/weights`, `gradient/biases`.

        The gradient is that of the epoch's last step, with the penalties', before it is clipped. What has no entry is
        left out. They are copies.
        """
        ...


def callbacks_for(given: Iterable[str | Callback]) -> tuple[Callback, ...]:
    """The callbacks that names or objects stand for.

    Raises:
        ConfigError: something else. UnknownNameError: no callback of that name.
        MissingDependencyError: its library is not installed.
    """
    if isinstance(given, (str, Callback)) or not isinstance(given, Iterable):
        raise ConfigError(f"callbacks={brief(given)}: give a list of names or of Callbacks")
    found = tuple(find("callbacks", each)() if isinstance(each, str) else each for each in given)
    for each in found:
        if not isinstance(each, Callback) or isinstance(each, type):
            raise ConfigError(f"callbacks holds {brief(each)}: give a name, or an object with begin, epoch and end")
    return found


@contextmanager
def hearing(
    callbacks: tuple[Callback, ...],
    settings: Mapping[str, Any],
    history: History,
    arrays: Callable[[], Mapping[str, npt.NDArray[Any]]],
) -> Iterator[Callable[[Row], None]]:
    """What tells every callback of an epoch; each that began hears of the end, whatever happens in between."""
    begun: list[Callback] = []
    error: BaseException | None = None
    try:
        for each in callbacks:
            begun.append(each)
            each.begin(settings)

        def tell(row: Row) -> None:
            stop: StopTraining | None = None
            for each in callbacks:
                try:
                    if isinstance(each, Watches):
                        each.arrays(int(row["epoch"]), arrays())
                    each.epoch(dict(row))
                except StopTraining as asked:
                    stop = asked
            if stop is not None:
                raise stop

        yield tell
    except BaseException as problem:
        error = problem
        raise
    finally:
        for each in begun:
            each.end(history, error)
