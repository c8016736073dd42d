"""Limits on the size of a network: the range of int32, and the memory of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flowgrad.arguments import digits
from flowgrad.errors import ConfigError

NUMBERED = 2**31 - 1  # neurons plus edges of one network: their numbers are int32
SMALL = 1 << 26  # bytes, 64 MiB: smaller needs are not compared with `memory()`, which takes 50 µs
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # cgroup v2, v1


def fits(argument: str, neurons: int, edges: int, each: int = 100) -> None:
    """Raise if a network would not fit into memory, before any part of it is allocated.

    Args:
        argument: beginning of the message, such as "n_nodes=10".
        each: peak bytes per neuron or edge during construction; measured, rounded up.

    Raises:
        ConfigError: more neurons and edges than `NUMBERED`, or than `memory()` holds.

    >>> fits("n_nodes=10000000000", 10**10, 0)
    Traceback (most recent call last):
    flowgrad.errors.ConfigError: n_nodes=10000000000: 10,000,000,000 neurons: at most 2,147,483,647 neurons and edges
    """
    asked = " and ".join(f"{_many(n)} {what}" for n, what in ((neurons, "neurons"), (edges, "edges")) if n)
    if neurons + edges > NUMBERED:
        raise ConfigError(f"{argument:.200}: {asked}: at most {NUMBERED:,} neurons and edges")
    need = (neurons + edges) * each
    if need > SMALL and need > (there := memory()):
        raise ConfigError(
            f"{argument:.200}: {asked} take about {need / 1e9:,.1f} GB of memory: this process may have "
            f"{there / 1e9:,.1f} GB"
        )


def memory() -> int:
    """Return the bytes this process may use: the minimum of physical memory, the cgroup's limit and RLIMIT_AS."""
    found = [1 << 62]
    with suppress(AttributeError, OSError, ValueError):  # no `sysconf`, or a name that it does not know
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in CGROUPS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found.append(int(Path(path).read_text()))
    with suppress(ImportError):
        import resource

        found.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(n for n in found if n > 0)  # −1 is no limit


def _many(n: int) -> str:
    return f"{n:,}" if n < 10**15 else digits(n)
