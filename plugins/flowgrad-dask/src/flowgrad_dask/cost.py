"""Model the time of a step on W workers with measured constants, to find where more workers stop helping."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2


@dataclass(frozen=True)
class Machines:
    """Constants of a cluster and a network, in seconds and bytes.

    compute     seconds of one worker for one sample, forward and backward
    shard       seconds of one worker for a shard, whatever its size
    theta       bytes of θ, and of a gradient
    sample      bytes of one sample's x and t
    bandwidth   bytes a second that one process sends or receives
    add         seconds to add two gradients
    message     seconds of the caller's process for one message and its answer
    """

    compute: float
    shard: float
    theta: float
    sample: float
    bandwidth: float
    add: float
    message: float

    def step(self, workers: int, batch: int, shards: int | None = None, again: bool = False) -> float:
        """Predict seconds of one value_and_grad with a new θ; `shards` None: one a worker; `again`: no rows are sent.

        The caller sends θ to two workers, each of which sends it to two more, and so on. Each worker waits for its
        first shard's rows; the rest comes while it computes, unless sending takes longer than computing. Gradients
        are added by pairs of workers, level by level.
        """
        n = max(workers, shards or workers)
        copies = ceil(log2(workers + 2)) - 1 if workers > 1 else 0.5
        theta = 2 * copies * self.theta / self.bandwidth
        rows = 0.0 if again else batch * self.sample / self.bandwidth
        each = ceil(n / workers)  # shards of the busiest worker
        compute = each * (ceil(batch / n) * self.compute + self.shard) + (each - 1) * self.add
        sums = ceil(log2(workers)) if workers > 1 else 0
        reduce = sums * (self.theta / self.bandwidth + self.add + self.message) + self.theta / self.bandwidth
        return theta + max(compute + rows * workers / n, rows + compute * workers / n, n * self.message) + reduce

    def speedup(self, workers: int, batch: int, shards: int | None = None, again: bool = False) -> float:
        """Predict the speed-up of W workers over computing in the caller's process, where nothing is sent."""
        return (batch * self.compute + self.shard) / self.step(workers, batch, shards, again)
