"""Which executor runs a network: what there is, what each declares, and what "auto" takes, with its reasons."""

from __future__ import annotations

from typing import Literal

from flowgrad.errors import ExecutorError
from flowgrad.executor import Answer, Executor, ExecutorInfo, Request
from flowgrad.network import Network
from flowgrad.registry import find, names


def executors() -> dict[str, Literal[True] | str]:
    """Every executor by name → True, or the reason why it cannot run here.

    >>> executors()["python"]
    True
    """
    declared = {name: _declared(name) for name in names("executors")}
    return {name: info if isinstance(info, str) else info.available() for name, info in declared.items()}


def executor_info(name: str) -> ExecutorInfo:
    """What an executor declares of itself; imports no backend.

    Raises:
        UnknownNameError: no such executor.
    """
    light = name in names("executor_info")
    info: ExecutorInfo = find("executor_info", name)() if light else find("executors", name).info
    return info


def choose(executor: str | Executor, network: Network, request: Request) -> tuple[Executor, str]:
    """The executor and why it was taken: the one that is named, or of "auto" the fastest that can run this.

    Raises:
        UnknownNameError: no such executor.
        ExecutorError: it cannot run here, or cannot run this network; never a silent fallback.
    """
    if executor != "auto":
        chosen: Executor = find("executors", executor) if isinstance(executor, str) else executor
        answer = _able(chosen, network, request)
        if answer is not True:
            raise ExecutorError(f"executor {chosen.info.name!r} cannot run this: {answer}")
        return chosen, f"{chosen.info.name}: named explicitly"
    return _automatic(network, request)


def _automatic(network: Network, request: Request) -> tuple[Executor, str]:
    """The first that can run this, in the order that executors declare; a backend is imported only when asked."""
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
    """What an executor declares, or why its package cannot even say that."""
    try:
        return executor_info(name)
    except (ImportError, AttributeError) as error:
        return f"its package cannot be loaded: {error}"


def _too_large(info: ExecutorInfo, network: Network) -> str:
    """Why the network is beyond what it is meant for; empty where it is not."""
    edges = network.columns.n_edges
    beyond = info.largest is not None and edges > info.largest
    return f"{edges:,} edges are beyond the {info.largest:,} it is meant for" if beyond else ""


def _within(info: ExecutorInfo, network: Network, request: Request) -> Answer:
    """True, or which declaration this is beyond."""
    answer = info.available()
    return info.supports(network, request) if answer is True else answer


def _able(executor: Executor, network: Network, request: Request) -> Answer:
    """True, or why this executor cannot run this here."""
    answer = _within(executor.info, network, request)
    return executor.can_run(network, request) if answer is True else answer
