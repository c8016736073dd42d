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
    """Object with methods that `fit` calls during training; several callbacks are called in the order given.

    Other packages add callbacks by entry points of the group `flowgrad.callbacks`: each is a class or function that
    returns a Callback when it is called without arguments. If it has an attribute `for_run`, `flowgrad train` calls
    `for_run(folder)` instead, with the path of the run folder.
    """

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Start a training; called before the first epoch.

        Args:
            settings: values by name: settings of `fit`, such as learning_rate and epochs; sizes, such as nodes, edges,
                parameters and samples; and loss, executor and dtype.
        """
        ...

    def epoch(self, row: Row) -> None:
        """Process an epoch; called after each epoch with its row of the History, a copy.

        The method may raise `fg.StopTraining`: training then ends after this epoch.
        """
        ...

    def end(self, history: History, error: BaseException | None) -> None:
        """Finish; called once after training, also after an error, if `begin` was called.

        Args:
            history: History of all epochs that were completed.
            error: exception that training raised, or None.
        """
        ...


@runtime_checkable
class Watches(Protocol):
    """Callback that also receives parameters and gradients."""

    def arrays(self, epoch: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Process parameters and gradients; called after each epoch, before `epoch`.

        Args:
            epoch: number of the epoch, from 1.
            arrays: copies of `weights`, `biases`, `gradient/weights` and `gradient/biases` (n,), by name, without
                empty ones. The gradient is that of the epoch's last step, with penalties, before clipping.
        """
        ...


def callbacks_for(given: Iterable[str | Callback]) -> tuple[Callback, ...]:
    """Convert names and objects to callbacks; a name makes a new callback with default settings.

    Raises:
        ConfigError: `given` is no iterable, or an entry is neither a name nor a Callback.
        UnknownNameError: there is no callback of that name.
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
    """Call `begin` of all callbacks, yield a function that passes a row to each, and call `end`, also after an error.

    If `begin` of a callback raises, `end` is called for it and for those before it.
    """
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
