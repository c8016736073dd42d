"""Time several implementations of one task in turn, so that disturbances of the machine affect all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

OURS = "flowgrad"


@dataclass(frozen=True)
class Result:
    """One workload: median seconds by name, flowgrad's under `OURS`; `absent`: why a rival was not measured."""

    name: str
    what: str
    seconds: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def ratio(self, rival: str) -> float:
        """Divide flowgrad's time by the rival's."""
        return self.seconds[OURS] / self.seconds[rival]


def interleave(ways: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2) -> dict[str, float]:
    """Measure the median seconds of each callable, called A B C A B C …, after `warm` untimed rounds."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for k in range(warm + rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if k >= warm:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def several(way: Callable[[], object], rounds: int, patience: float) -> float:
    """Measure the median seconds of a warm callable: of `rounds` calls, or as many as fit into `patience` seconds."""
    times: list[float] = []
    while not times or (len(times) < rounds and sum(times) + times[0] < patience):
        start = time.perf_counter()
        way()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
