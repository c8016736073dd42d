"""How large a network may be: what int32 numbers, and what this process has memory for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from flowgrad.arguments import digits
from flowgrad.errors import ConfigError

NUMBERED = 2**31 - 1  # neurons and edges of one network, which int32 numbers
SMALL = 1 << 26  # bytes that any process has, without a look at its limits, which takes 50 µs
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of version 2, of version 1


def fits(argument: str, neurons: int, edges: int, each: int = 100) -> None:
    """Refuse arguments that ask for a network larger than memory, before anything of it is made.

    Args:
        argument: what the message begins with, as "n_nodes=10".
        each: bytes that a neuron or an edge takes at the peak, while the network is made; measured, rounded up.

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
    """Bytes that this process may have: the smallest of the machine's memory, the container's limit and ulimit's."""
    found = [1 << 62]
    with suppress(AttributeError, OSError, ValueError):  # no such system call, or not known by it
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
