"""Estimate the time of a step on W workers from measured constants, to find when more workers stop helping."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2


@dataclass(frozen=True)
class Machines:
    """Hold measured constants of a cluster and a network, and estimate times from them.

    compute     time in which one worker computes one sample, forward and backward, in seconds
    shard       additional time of one worker for each shard, whatever its size, in seconds
    theta       size of θ, and of a gradient, in bytes
    sample      size of x and t of one sample, in bytes
    bandwidth   rate at which one process sends or receives, in bytes per second
    add         time to add two gradients, in seconds
    message     time of the caller's process for one message and its answer, in seconds
    """

    compute: float
    shard: float
    theta: float
    sample: float
    bandwidth: float
    add: float
    message: float

    def step(self, workers: int, batch: int, shards: int | None = None, again: bool = False) -> float:
        """Estimate the time, in seconds, of one value_and_grad with a new θ.

        The caller sends θ to two workers, each of which sends it to two more, and so on. Each worker waits for its
        first shard's rows; the rest arrives while it computes, unless sending takes longer than computing. Gradients
        are added by pairs of workers, level by level.

        Args:
            workers: number of workers, an integer ≥ 1.
            batch: number of samples of the batch.
            shards: number of shards; at least one per worker is assumed. Default: one per worker.
            again: whether the workers hold the rows of the batch already, so that none are sent.
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
        """Estimate the speed-up over computing in the caller's process, where nothing is sent.

        Arguments are those of `step`.
        """
        return (batch * self.compute + self.shard) / self.step(workers, batch, shards, again)
