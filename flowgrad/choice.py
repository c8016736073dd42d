"""Selection of the executor for a network: requests, declarations, the choice of "auto" and its reasons."""

from __future__ import annotations

import warnings
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flowgrad.errors import BoundedOutputWarning, ConfigError, ExecutorError, brief, show, suggest
from flowgrad.executor import Answer, Executor, ExecutorInfo, Request
from flowgrad.maths.losses import Loss
from flowgrad.network import Network
from flowgrad.registry import find, names

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


def requested(network: Network, dtype: DTypeLike, loss: str | Loss | None, threads: int | None) -> Request:
    """Validate arguments of `compile`, and return the Request that executors take.

    Raises:
        ConfigError: an invalid dtype, loss or number of threads, or fewer outputs than the loss needs.
        UnknownNameError: no such loss.

    Warns:
        BoundedOutputWarning: the loss takes logits, and an output's activation is bounded on both sides.
    """
    request = Request(_dtype(dtype), _loss(loss), _threads(threads))
    if request.loss is not None:
        _check_outputs(network, request.loss)
    return request


def _dtype(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise ConfigError(f"dtype={brief(dtype)}: must be 'float32' or 'float64'") from None
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ConfigError(f"dtype={found.name!r}: must be 'float32' or 'float64'")
    return found


def _loss(loss: str | Loss | None) -> Loss | None:
    if loss is None or isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise ConfigError(f"loss={brief(loss)}: give a name, a Loss or None")
    found: Loss = find("losses", loss)
    return found


def _check_outputs(network: Network, loss: Loss) -> None:
    """Raise if there are fewer outputs than the loss needs; warn of bounded outputs where it takes logits."""
    names, c = network.outputs, network.columns
    if len(names) < loss.outputs:
        raise ConfigError(
            f"{loss.name} compares {loss.outputs} outputs or more, and the network has one, {show(names[0])}: "
            "for two classes on one output there is 'binary_cross_entropy'"
        )
    if not loss.logits:
        return
    bounded = [*(sigma.range is not None for sigma in c.activations), False]  # the last entry is for code −1, inputs
    for name, code in zip(names, c.activation[c.outputs].tolist(), strict=True):
        if bounded[code]:
            sigma = c.activations[code]
            least, largest = sigma.range or (0.0, 0.0)
            warnings.warn(
                f"output {show(name)} ends in {sigma.name}, whose values lie between {least:.4g} and {largest:.4g}, "
                f"and {loss.name} takes logits of any size, so that no probability comes near 0 or 1: give outputs the "
                "activation 'identity' (output_activation='identity')",
                BoundedOutputWarning,
                stacklevel=4,
            )
            return


def _threads(threads: int | None) -> int | None:
    if threads is None:
        return None
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise ConfigError(f"threads={brief(threads)}: must be an integer, 1 or more, or None")
    return int(threads)


def executors() -> dict[str, Literal[True] | str]:
    """List the executors: a dict from each name to True, or to the reason (str) why it cannot run here.

    >>> executors()["python"]
    True
    """
    declared = {name: _declared(name) for name in names("executors")}
    return {name: info if isinstance(info, str) else info.available() for name, info in declared.items()}


def executor_info(name: str) -> ExecutorInfo:
    """Return an executor's declaration, without importing its backend if its package provides `executor_info`.

    Raises:
        UnknownNameError: no such executor.
    """
    light = name in names("executor_info")
    info: ExecutorInfo = find("executor_info", name)() if light else find("executors", name).info
    return info


def with_options(name: str, **options: Any) -> str | Executor:
    """Return the executor of a name, created with keyword options of its class; without options, return the name.

    Raises:
        UnknownNameError: no such executor.
        ConfigError: the executor has no such option, or a value has the wrong type or is out of range.

    >>> with_options("numba", shards=8)
    Traceback (most recent call last):
    flowgrad.errors.ConfigError: executor 'numba' takes no options, and 'shards' is given
    """
    entry: Any = None if name == "auto" else find("executors", name)
    taken = signature(type(entry)).parameters.values() if entry is not None else ()
    known = [p.name for p in taken if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    for given in options:
        if not known:
            raise ConfigError(f"executor {brief(name)} takes no options, and {brief(given)} is given")
        if given not in known:
            raise ConfigError(f"executor {brief(name)} has no option {brief(given)}{suggest(given, known)}")
    if not options:
        return name
    made: Executor = type(entry)(**options)
    return made


def choose(executor: str | Executor, network: Network, request: Request) -> tuple[Executor, str]:
    """Return the executor and the reason for the choice: the one given, or for "auto" the first that can run this.

    Raises:
        UnknownNameError: no such executor.
        ConfigError: `executor` is neither a name nor an Executor.
        ExecutorError: the executor, or for "auto" every executor, cannot run here or cannot run this network.
    """
    if executor != "auto":
        chosen: Executor = find("executors", executor) if isinstance(executor, str) else executor
        if isinstance(chosen, type) or not isinstance(getattr(chosen, "info", None), ExecutorInfo):
            raise ConfigError(f"executor={brief(chosen)}: give a name or an Executor, which a class is not")
        answer = _able(chosen, network, request)
        if answer is not True:
            raise ExecutorError(f"executor {chosen.info.name!r} cannot run this: {answer}")
        return chosen, f"{chosen.info.name}: named explicitly"
    return _automatic(network, request)


def _automatic(network: Network, request: Request) -> tuple[Executor, str]:
    """Choose the first executor in the declared order that can run this; imports a backend only when it is reached."""
    declared = {name: _declared(name) for name in names("executors")}
    infos = [info for info in declared.values() if isinstance(info, ExecutorInfo) and info.auto > 0]
    infos.sort(key=lambda info: (info.lacks() != "", _too_large(info, network) != "", -info.auto, info.name))
    rejected: list[str] = []
    for info in infos:
        answer = _within(info, network, request)
        if answer is True:
            executor: Executor = find("executors", info.name)
            answer = _able(executor, network, request)
            if answer is True:
                slow = [f"slow: {_too_large(info, network)}"] if _too_large(info, network) else []
                slow += [info.lacks()] if info.lacks() else []
                later = [i for i in infos[infos.index(info) + 1 :] if i.auto > info.auto]
                late = [f"not {i.name}: {i.lacks() or _too_large(i, network)}" for i in later]
                return executor, "; ".join([f"{info.name}: the fastest that can run this", *slow, *rejected, *late])
        rejected.append(f"not {info.name}: {answer}")
    raise ExecutorError(f"no executor can run this: {'; '.join(rejected)}")


def _declared(name: str) -> ExecutorInfo | str:
    """Return an executor's declaration, or the reason why its package cannot be loaded."""
    try:
        return executor_info(name)
    except (ImportError, AttributeError) as error:
        return f"its package cannot be loaded: {error}"


def _too_large(info: ExecutorInfo, network: Network) -> str:
    """Explain that the network has more edges than `info.largest`; empty where it has not."""
    edges = network.columns.n_edges
    beyond = info.largest is not None and edges > info.largest
    return f"{edges:,} edges are beyond the {info.largest:,} it is meant for" if beyond else ""


def _within(info: ExecutorInfo, network: Network, request: Request) -> Answer:
    """Return True, or which declared limit excludes this network or request."""
    answer = info.available()
    return info.supports(network, request) if answer is True else answer


def _able(executor: Executor, network: Network, request: Request) -> Answer:
    """Return True, or the reason, declared or found by `can_run`, why this executor cannot run this here."""
    answer = _within(executor.info, network, request)
    return executor.can_run(network, request) if answer is True else answer
