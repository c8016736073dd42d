"""Locks that a forked child finds free, whatever the threads of its parent were doing.

A fork copies every lock as it is, but only the thread that forks: a lock that another thread holds would stay locked
in the child for ever. All locks of flowgrad are made here, and are renewed in a child. What they guard is whole between
any two steps of the interpreter; only compiling is not. So a fork first waits, at most `PATIENCE` seconds, until no
other thread compiles: until it holds the locks of compilers itself, Numba's and LLVM's among them.
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
"""Seconds for which a fork waits until other threads have compiled; what they are at is then left as it stands."""
FOREIGN = (
    ("numba.core.compiler_lock", "global_compiler_lock._lock"),
    ("llvmlite.binding.ffi", "lib._lock._lock"),
)
"""Modules of other packages that compile, and the lock in each, in the order in which they are taken."""

_renewed: WeakSet[Any] = WeakSet()
_awaited: WeakSet[Any] = WeakSet()
_fork = threading.local()  # of the thread that forks: what it holds while it does


def lock() -> threading.Lock:
    """A lock as `threading.Lock()` makes it, unlocked in every forked child; held here weakly."""
    made = threading.Lock()
    _renewed.add(made)
    return made


def reentrant_lock(awaited: bool = False) -> threading.RLock:
    """A lock as `threading.RLock()` makes it, free in every forked child unless the thread that forked holds it.

    Args:
        awaited: a fork waits until no other thread holds it, as what it guards is of no use half done.
    """
    made = threading.RLock()
    (_awaited if awaited else _renewed).add(made)
    return made


def _compilers() -> Iterator[Any]:
    """The locks that a fork waits for, outer ones first; those of modules that are not loaded are left out."""
    yield from list(_awaited)
    for module, name in FOREIGN:
        with suppress(KeyError, AttributeError):
            yield attrgetter(name)(sys.modules[module])


def _before() -> None:
    """Take the locks of compilers; whose wait is over without it is renewed in the child instead."""
    wanted, end = list(_compilers()), time.monotonic() + PATIENCE
    _fork.held, _fork.missed = [], list(wanted)
    for each in wanted:
        if each.acquire(timeout=max(end - time.monotonic(), 0.0)):
            _fork.held.append(each)
            _fork.missed.remove(each)


def _release() -> None:
    """Let go of what `_before` took."""
    for each in _fork.held:
        each.release()
    _fork.held, _fork.missed = [], []


def _renew() -> None:
    """Free, in the child, every lock that another thread of the parent may have held."""
    for each in (*_renewed, *_fork.missed, *_of_properties()):
        if not (hasattr(each, "_is_owned") and each._is_owned()):
            each._at_fork_reinit()
    _release()


def _of_properties() -> Iterator[Any]:
    """The locks of cached properties, one a property, that Python had before 3.12: NetworkX's as well as ours."""
    if sys.version_info >= (3, 12):
        return
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("flowgrad", "networkx"):
            classes = [value for value in vars(module).values() if isinstance(value, type)]
            values = [value for kind in classes for value in vars(kind).values()]
            yield from (vars(value)["lock"] for value in values if isinstance(value, cached_property))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_renew)
