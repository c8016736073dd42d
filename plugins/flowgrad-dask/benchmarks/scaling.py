"""How a step scales on worker processes of this machine, and what the cost model makes of it: two tables in Markdown.

    python benchmarks/scaling.py [--rounds 10] [--batch 4096] [--shards 8] [--workers 1 2]

The network has 100,000 neurons and 990,000 edges, float32. Everything is measured in turn, round after round, in one
run. Only those steps count during which other processes used less than a tenth of a core, where there are three of
them: on a machine that others use, a step on all cores suffers from them first. Every θ is a new one; `same batch`: the
rows are on the workers already.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
from distributed.protocol import to_serialize
from flowgrad_dask import DaskExecutor, Machines, sharded_value_and_grad

import flowgrad as fg

ONE = "one process, 1 thread"
LINK = 1.25e9  # bytes a second between machines of their own, for the model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    net = fg.topologies.random_dag(1_000, 99_000, fan_in=10, window=5_000, output_activation="tanh")
    rng = np.random.default_rng(1)
    X = rng.standard_normal((given.batch, len(net.inputs))).astype(np.float32)
    T = (0.5 * rng.standard_normal((given.batch, len(net.outputs)))).astype(np.float32)
    alone = {n: fg.compile(net, "numba", "float32", "squared_error", threads=n) for n in (1, 2)}
    clusters = {w: DaskExecutor(workers=w, shards=given.shards, executor="numba") for w in given.workers}
    programs = {w: fg.compile(net, on, "float32", "squared_error") for w, on in clusters.items()}
    same_bits(alone[1], programs, X, T, given.shards)
    seconds = measured(alone, programs, X, T, given.rounds)
    report(seconds)
    if programs:
        w, program = next(iter(programs.items()))
        machines = constants(clusters[w], program, alone[1], X, T)
        predict(machines, seconds, list(programs), given.batch, given.shards)
    for on in clusters.values():
        on.close()


def same_bits(alone: Any, programs: dict[int, Any], X: Any, T: Any, shards: int) -> None:
    """Of one process with the same shards; also warms everybody up."""
    expected = sharded_value_and_grad(alone, alone.theta, X, T, shards)
    for w, program in programs.items():
        value, g = program.value_and_grad(program.theta, X, T)
        assert value == expected[0], w
        assert g.tobytes() == expected[1].tobytes(), w
    print(f"the bits of one process with {shards} shards, on {', '.join(map(str, programs))} workers: yes\n")


def others() -> float:
    """Seconds of CPU that processes other than ours and our workers have used."""
    all_cores, own, ours = psutil.cpu_times(), psutil.Process(), 0.0
    for process in (own, *own.children(recursive=True)):
        used = process.cpu_times()
        ours += used.user + used.system
    return float(sum(all_cores) - all_cores.idle - all_cores.iowait - all_cores.guest - ours)


def measured(alone: dict[int, Any], programs: dict[int, Any], X: Any, T: Any, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way's steps, those that others did not disturb."""
    theta, out = alone[1].theta.copy(), np.empty_like(alone[1].theta)
    steps: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str | None, program: Any) -> None:
        np.multiply(theta, np.float32(1.0001), out=theta)
        before, start = others(), time.perf_counter()
        program.value_and_grad(theta, X, T, out=out)
        seconds = time.perf_counter() - start
        if name is not None:
            steps.setdefault(name, []).append((seconds, (others() - before) / seconds))

    for _ in range(rounds):
        X[:, 0] += np.float32(0.001)
        timed(ONE, alone[1])
        timed("one process, 2 threads", alone[2])
        for w, program in programs.items():
            timed(f"{w} workers, new batch", program)
            timed(None, program)  # seen to come again, and copied
            timed(f"{w} workers, same batch", program)
    found = {}
    for name, each in steps.items():
        calm = [seconds for seconds, disturbed in each if disturbed < 0.1]
        found[name] = calm if len(calm) >= 3 else [seconds for seconds, _ in each]
        print(f"{name}: {len(calm)} of {len(each)} steps undisturbed")
    print()
    return found


def report(seconds: dict[str, list[float]]) -> None:
    print("| | best s | median s | speed-up of best | of median |\n|---|---|---|---|---|")
    one = seconds[ONE]
    for name, found in seconds.items():
        best, median = min(found), statistics.median(found)
        print(f"| {name} | {best:.3f} | {median:.3f} | {min(one) / best:.2f} | {statistics.median(one) / median:.2f} |")
    print()


def constants(on: DaskExecutor, program: Any, alone: Any, X: Any, T: Any) -> Machines:
    """The model's constants, measured: steps of two sizes, a message, a θ there and back, an addition."""
    theta, out = program.theta.copy(), program.theta.copy()

    def step(rows: int) -> float:
        def work() -> Any:
            return alone.value_and_grad(theta, X[:rows], T[:rows], out=out)

        return min(_seconds(work) for _ in range(9))  # others only add to it

    few, many = 64, min(1024, len(X))
    small, large = step(few), step(many)
    compute = (large - small) / (many - few)

    def install(dask_worker: Any) -> None:
        async def echo(x: Any) -> dict[str, Any]:
            return {"x": to_serialize(x)}

        dask_worker.handlers["flowgrad_bench_echo"] = echo

    client = on.cluster.client
    client.run(install)
    worker = min(client.nthreads())

    async def talk(x: Any) -> float:
        times = []
        for _ in range(20):
            start = time.perf_counter()
            await client.rpc(worker).flowgrad_bench_echo(x=to_serialize(x))
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    message = client.sync(talk, theta[:1])
    there_and_back = client.sync(talk, theta)
    add = statistics.median(_seconds(lambda: theta + theta) for _ in range(20))
    return Machines(
        compute=compute,
        shard=max(0.0, small - few * compute),
        theta=theta.nbytes,
        sample=(X.nbytes + T.nbytes) / len(X),
        bandwidth=2 * theta.nbytes / max(1e-9, there_and_back - message),
        add=add,
        message=message,
    )


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def predict(m: Machines, seconds: dict[str, list[float]], workers: list[int], batch: int, shards: int) -> None:
    print(
        f"constants: {m.compute * 1e6:.0f} µs a sample, {m.shard * 1e3:.1f} ms a shard, θ {m.theta / 1e6:.2f} MB, "
        f"a sample {m.sample / 1e3:.1f} kB, {m.bandwidth / 1e9:.2f} GB/s, {m.add * 1e3:.2f} ms an addition, "
        f"{m.message * 1e3:.2f} ms a message\n"
    )
    for w in workers:
        for name, again in (("new batch", False), ("same batch", True)):
            found = statistics.median(seconds[f"{w} workers, {name}"])
            print(f"{w} workers, {name}: model {m.step(w, batch, shards, again):.3f} s, measured {found:.3f} s")
    apart = replace(m, bandwidth=min(m.bandwidth, LINK))
    print("\n| batch, rows sent each step | 2 workers | 10 | 100 | 1,000 |\n|---|---|---|---|---|")
    for again in (False, True):
        for rows in (4_096, 65_536, 1_048_576):
            cells = (f"{apart.speedup(w, rows, again=again):.1f}" for w in (2, 10, 100, 1_000))
            print(f"| {rows:,}, {'no' if again else 'yes'} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
