"""Phases: the work items that all threads of a call share, one phase after the other.

Items are tiles, chunks of tiles, or ranges of the parameters; how many there are depends on batch and graph alone. Two
words a phase count the items that are taken and that are done. A thread that finds no item left waits until all are
done, as the next phase reads what this one wrote.
"""

from __future__ import annotations

from typing import Any

from flowgrad.executors._numba.compiled import inline
from flowgrad.executors._numba.memory import atomic_get, call_address, fetch_add, give_way, pause

GLANCES = 1000
"""Polls of the counter by a waiting thread before it yields its core to the scheduler at every further poll."""
DONE = 8
"""Offset in bytes from a phase's counter of items taken to its counter of items done."""
NEXT = 16
"""Offset in bytes from the counters of one phase to those of the next."""


@inline
def phase(c: Any, call: int, tile: int, body: int, items: int, taken: int) -> int:
    """Run the kernel at address `body` as body(call, tile, item) for the items that this thread takes.

    Returns the address of the next phase's counters when all items are done, or at once after the call's `stop`.

    Args:
        c, call: the record CALL and its address; tile: that of this thread's record TILE.
        items: number of items; taken: address of the phase's counters.
    """
    item = fetch_add(taken, 1)
    while item < items:
        if atomic_get(c.stop) == 0:
            call_address(body, call, tile, item)
        fetch_add(taken + DONE, 1)
        item = fetch_add(taken, 1)
    wait_until(taken + DONE, items, c.stop)
    return taken + NEXT


@inline
def wait_until(word: int, items: int, stop: int) -> None:
    """Spin until the counter at address `word` reaches `items`, or the word at address `stop` is not 0."""
    looks = 0
    while atomic_get(word) < items and atomic_get(stop) == 0:
        pause()
        looks += 1
        if looks > GLANCES:
            give_way()
