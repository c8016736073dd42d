"""Measure the reading of a wide CSV: time and peak memory of this package beside pyarrow's and polars's own readers.

    python tests/benchmarks/bench_tables.py [--rows 5000] [--columns 20000] [--file wide.csv]

Each reader runs in a process of its own, whose peak resident memory is reported. The file is made where it is missing.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

READERS = "float32", "float64", "pyarrow", "polars"


def make(path: Path, rows: int, columns: int) -> None:
    """Write numbers of four decimals, and a column of two classes."""
    rng = np.random.default_rng(0)
    pool = np.array([f"{value:.4f}" for value in rng.standard_normal(100_003) * 3])
    with path.open("w") as file:
        file.write(",".join(f"g{k}" for k in range(columns)) + ",y\n")
        for row in range(rows):
            file.write(",".join(pool[rng.integers(0, len(pool), columns)].tolist()) + f",{row % 2}\n")


def read(reader: str, path: Path) -> int:
    """Read the table, and give the bytes of what came of it."""
    if reader == "pyarrow":
        from pyarrow.csv import read_csv

        return int(read_csv(path).nbytes)
    if reader == "polars":
        import polars

        return int(polars.read_csv(path).estimated_size())
    from flowgrad.tables.table import Table

    table = Table(path)
    X, _ = table.gather([table.names[:-1], table.names[-1:]], [reader, "float64"])
    return X.nbytes


def main() -> None:
    """Run all readers, or, in a child, one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--columns", type=int, default=20_000)
    parser.add_argument("--file", type=Path, default=Path("wide.csv"))
    parser.add_argument("--reader", choices=READERS)
    given = parser.parse_args()
    if given.reader is not None:
        start = time.perf_counter()
        size = read(given.reader, given.file)
        seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{given.reader:8} {seconds:7.1f} s  peak {peak:5.2f} GB  result {size / 1e9:5.2f} GB")
        return
    if not given.file.exists():
        make(given.file, given.rows, given.columns)
    for reader in READERS:
        subprocess.run([sys.executable, __file__, "--file", str(given.file), "--reader", reader], check=True)


if __name__ == "__main__":
    main()
