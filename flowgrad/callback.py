"""The protocol of callbacks: objects that `fit` calls at the start of a training, after each epoch, and at the end."""

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
    """Observer of one training; `fit` calls its callbacks in the order in which they were given.

    A package adds one by an entry point of the group `flowgrad.callbacks`: a class or function that returns a
    Callback when it is called without arguments. If it has `for_run(folder)`, `flowgrad train` calls this instead,
    with the folder of the run.
    """

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Called before the first epoch with the arguments of `fit` and the size of the network, by name."""
        ...

    def epoch(self, row: Row) -> None:
        """Called after each epoch with its row of the History; raising `fg.StopTraining` ends training after it."""
        ...

    def end(self, history: History, error: BaseException | None) -> None:
        """Called at the end; `error` is the exception that training raised, or None."""
        ...


@runtime_checkable
class Watches(Protocol):
    """A callback that also receives parameters and gradients."""

    def arrays(self, epoch: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Called before `epoch` with copies of `weights`, `biases`, `gradient/weights`, `gradient/biases`, by name.

        The gradient is of the epoch's last step, including penalties, before clipping. Empty arrays are left out.
        """
        ...


def callbacks_for(given: Iterable[str | Callback]) -> tuple[Callback, ...]:
    """Resolve names and objects to callbacks.

    Raises:
        ConfigError: an entry is neither. UnknownNameError: no callback has that name.
        MissingDependencyError: a library that a callback needs is not installed.
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
    """Begin all callbacks; yield a function that passes a row to each; end each begun one, also after an error."""
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
