"""Locks that a forked child finds free, whatever the threads of its parent were doing.

A fork copies every lock in its state, but only the forking thread: a lock that another thread holds would stay locked
in the child for ever. All locks of flowgrad are made here, and are reinitialised in a child. The state they guard is
consistent between any two bytecodes, except while compiling. So a fork first waits, at most `PATIENCE` seconds, until
no other thread compiles, by acquiring the locks of compilers itself, Numba's and LLVM's among them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from operator import attrgetter
from typing import Any
from weakref import WeakSet

PATIENCE = 5.0
"""Seconds for which a fork waits for other threads to finish compiling; after that it forks all the same."""
FOREIGN = (
    ("numba.core.compiler_lock", "global_compiler_lock._lock"),
    ("llvmlite.binding.ffi", "lib._lock._lock"),
)
"""Modules of other packages that compile, with the attribute path of each one's lock, in order of acquisition."""

_renewed: WeakSet[Any] = WeakSet()
_awaited: WeakSet[Any] = WeakSet()
_fork = threading.local()  # per forking thread: `held`, locks acquired for the fork, and `missed`, not acquired


def lock() -> threading.Lock:
    """Make a `threading.Lock()` that is unlocked in every forked child; this module keeps a weak reference to it."""
    made = threading.Lock()
    _renewed.add(made)
    return made


def reentrant_lock(awaited: bool = False) -> threading.RLock:
    """Make a `threading.RLock()` that is free in every forked child unless the forking thread holds it.

    Args:
        awaited: a fork waits until no other thread holds it, as the guarded state is unusable in between.
    """
    made = threading.RLock()
    (_awaited if awaited else _renewed).add(made)
    return made


def _compilers() -> Iterator[Any]:
    """Yield the locks that a fork waits for, outer ones first; locks of modules that are not loaded are left out."""
    yield from list(_awaited)
    for module, name in FOREIGN:
        with suppress(KeyError, AttributeError):
            yield attrgetter(name)(sys.modules[module])


def _before() -> None:
    """Acquire the locks of compilers; a lock not acquired within `PATIENCE` is reinitialised in the child instead."""
    wanted, end = list(_compilers()), time.monotonic() + PATIENCE
    _fork.held, _fork.missed = [], list(wanted)
    for each in wanted:
        if each.acquire(timeout=max(end - time.monotonic(), 0.0)):
            _fork.held.append(each)
            _fork.missed.remove(each)


def _release() -> None:
    """Release the locks that `_before` acquired."""
    for each in _fork.held:
        each.release()
    _fork.held, _fork.missed = [], []


def _renew() -> None:
    """Reinitialise, in the child, every lock that another thread of the parent may have held."""
    for each in (*_renewed, *_fork.missed, *_of_properties()):
        if not (hasattr(each, "_is_owned") and each._is_owned()):
            each._at_fork_reinit()
    _release()


def _of_properties() -> Iterator[Any]:
    """Yield the locks of cached properties (Python before 3.12 has one each) in flowgrad and NetworkX."""
    if sys.version_info >= (3, 12):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("flowgrad", "networkx"):
            classes = [value for value in vars(module).values() if isinstance(value, type)]
            values = [value for kind in classes for value in vars(kind).values()]
            yield from (vars(value)["lock"] for value in values if isinstance(value, cached_property))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_renew)
