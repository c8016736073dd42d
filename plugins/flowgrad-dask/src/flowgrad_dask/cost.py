"""What a step costs on W workers: a model with measured constants, to see where more workers stop helping."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2


@dataclass(frozen=True)
class Machines:
    """Constants of a cluster and a network, in seconds and bytes.

    compute     seconds of one worker for one sample, forward and backward
    theta       bytes of θ, and of a gradient
    sample      bytes of one sample's x and t
    bandwidth   bytes a second between two machines
    add         seconds to add two gradients
    task        seconds of the scheduler and the client for one task
    """

    compute: float
    theta: float
    sample: float
    bandwidth: float
    add: float
    task: float

    def step(self, workers: int, batch: int) -> float:
        """Seconds of one value_and_grad, a shard a worker: send x, θ down a tree, compute, add up a tree."""
        depth = ceil(log2(workers)) if workers > 1 else 0
        send = batch * self.sample / self.bandwidth + (depth + 1) * self.theta / self.bandwidth
        reduce = depth * (self.theta / self.bandwidth + self.add) + self.theta / self.bandwidth
        return send + ceil(batch / workers) * self.compute + reduce + (3 * workers - 1) * self.task

    def speedup(self, workers: int, batch: int) -> float:
        """Of W workers over one computing in the caller's process, where nothing is sent."""
        return batch * self.compute / self.step(workers, batch)
