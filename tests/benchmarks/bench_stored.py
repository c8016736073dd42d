"""Measure training on samples that are not in memory: peak memory by the size of the file, and the cost of fetching.

    python tests/benchmarks/bench_stored.py [--folder FOLDER] [--gigabytes 1 10] [--parquet 1]

Each line is a process of its own, which trains for an epoch and reports its peak resident memory (VmHWM) beside that
of the same training on two batches. Mapped files are sparse: their size is virtual. The last lines train on the same
samples as an array in memory, as a mapped file and as Parquet, one after the other in one process, three times each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import flowgrad as fg

INPUTS, BATCH, GROUP = 1000, 256, 4096
COST = 20_000, 1000  # samples and inputs where times are compared


def peak() -> float:
    """The most megabytes of memory that this process has had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


def sparse(folder: Path, gigabytes: float) -> tuple[Any, Any]:
    """X and T of a sparse file of that size, mapped."""
    rows = int(gigabytes * 1e9 / 8 / INPUTS)
    files = folder / f"X{gigabytes:g}.npy", folder / f"T{gigabytes:g}.npy"
    for file, columns in zip(files, (INPUTS, 1), strict=True):
        if not file.exists():
            np.lib.format.open_memmap(file, "w+", np.float64, (rows, columns))
    X, T = (np.load(file, mmap_mode="r") for file in files)
    return X, T


def parquet(folder: Path, rows: int, inputs: int) -> fg.ParquetSamples:
    """A Parquet file of random numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file, names = folder / f"samples{rows}.parquet", [f"x{k}" for k in range(inputs)]
    schema = pa.schema([(name, pa.float64()) for name in (*names, "t")])
    if not file.exists():
        rng = np.random.default_rng(0)
        with pq.ParquetWriter(file, schema, use_dictionary=False) as writer:
            for first in range(0, rows, GROUP):
                values = rng.normal(size=(inputs + 1, min(GROUP, rows - first)))
                writer.write_table(pa.table(dict(zip(schema.names, values, strict=True)), schema))
    return fg.ParquetSamples(file, names, ["t"])


def program_of(inputs: int) -> fg.Program:
    """A small network, so that reading is what takes long."""
    return fg.compile(fg.topologies.layered([inputs, 8, 1], activation="tanh", seed=0), loss="squared_error")


def memory(kind: str, folder: Path, gigabytes: float, shuffle: int) -> None:
    """Train for an epoch, and print the peak."""
    rows = int(gigabytes * 1e9 / 8 / INPUTS)
    data = (*sparse(folder, gigabytes),) if kind == "mapped" else (parquet(folder, rows, INPUTS),)
    program = program_of(INPUTS)
    fg.fit(program, np.zeros((2 * BATCH, INPUTS)), np.zeros((2 * BATCH, 1)), epochs=1, batch_size=BATCH)
    before, start = peak(), time.perf_counter()
    fg.fit(program, *data, epochs=1, batch_size=BATCH, shuffle=shuffle or True)
    seconds = time.perf_counter() - start
    how = f"shuffle={shuffle or True}"
    print(f"{kind:8} {gigabytes:5g} GB  {how:14} {seconds:6.1f} s  peak {before:4.0f} → {peak():4.0f} MB")


def cost(folder: Path) -> None:
    """Train on the same samples from memory, a mapped file and Parquet."""
    rows, inputs = COST
    source, program = parquet(folder, rows, inputs), program_of(inputs)
    X, T = source.take(np.arange(rows))
    np.save(folder / "cost.npy", X)
    mapped = np.load(folder / "cost.npy", mmap_mode="r")
    ways = {"memory": (X, T), "mapped": (mapped, T), "parquet": (source,)}
    fg.fit(program, X, T, epochs=1, batch_size=BATCH)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(3):
        for name, data in ways.items():
            start = time.perf_counter()
            fg.fit(program, *data, epochs=3, batch_size=BATCH)
            taken[name].append((time.perf_counter() - start) / 3)
    for name, seconds in taken.items():
        said = f"{min(seconds) * 1e3:7.1f} ms an epoch, {min(seconds) / min(taken['memory']):5.2f} times memory's"
        print(f"{name:8} {rows:,} samples of {inputs} inputs: {said}")


def main() -> None:
    """Run every line, or, in a child, one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--parquet", type=float, nargs="+", default=[0.1, 1])
    parser.add_argument("--child", nargs=3, metavar=("KIND", "SIZE", "SHUFFLE"))
    given = parser.parse_args()
    if given.child is not None:
        kind, size, shuffle = given.child
        memory(kind, given.folder, float(size), int(shuffle))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        lines = [("mapped", size, shuffle) for shuffle in (0, 10_000) for size in given.gigabytes]
        for line in (*lines, *(("parquet", size, 0) for size in given.parquet)):
            child = ["--folder", str(folder), "--child", *map(str, line)]
            subprocess.run([sys.executable, __file__, *child], check=True)
        cost(folder)


if __name__ == "__main__":
    main()
