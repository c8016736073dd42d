"""The table of formats in docs/formats.md, from the registry and from measurements.

    python tests/benchmarks/bench_formats.py            prints the table
    python tests/benchmarks/bench_formats.py --write    puts it into the page as well
    python tests/benchmarks/bench_formats.py --fuzz N   gives every reader N damaged files instead; --write, as above

Every format that is written gets one random network (20,000 edges; a million where the format is one for large
graphs; 150 for Mermaid) in a process of its own; sizes and times are of that, the best of three, files in the page
cache. A format that is only read shows its reference numbers.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np

import flowgrad as fg
from flowgrad.registry import find, names
from flowgrad.testing.formats import fuzz

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "formats.md"
SPEC = spec_from_file_location("format_references", ROOT / "tests" / "formats" / "references.py")
references = sys.modules["format_references"] = module_from_spec(SPEC)
SPEC.loader.exec_module(references)

EDGES = 20_000
SIZES = {"edgelist": 1_000_000, "json": 1_000_000, "safetensors": 1_000_000, "kpnn": 100_000, "mermaid": 150}
HEAD = ("format", "read", "write", "comes back", "reference reached", "edges", "bytes an edge", "write s", "read s")


def network(edges: int, name: str) -> fg.Network:
    """A random network, five in-edges a neuron; ids as the format likes them, few activations."""
    V = edges // 5
    rng = np.random.default_rng(0)
    I = max(V // 10, 6)
    target = np.repeat(np.arange(I, I + V), 5)
    first = np.maximum(target - max(V // 4, I), 0)
    source = first + (rng.random(len(target)) * (target - first)).astype(np.int64)
    key = np.unique(target * (I + V) + source)[:edges]
    source, target = key % (I + V), key // (I + V)
    net = fg.Network.from_arrays(
        source, target, rng.standard_normal(len(key)), activation="relu", inputs=range(I), n_nodes=I + V
    )
    if name == "neat":
        return net
    gene = "_gene" if name == "kpnn" else ""
    ids = [f"n{k}{gene if k < I else ''}" for k in range(I + V)]
    return fg.Network.from_columns(replace(net.columns, ids=ids))


def timed(act: Any) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(3):
        start = time.perf_counter()
        result = act()
        best = min(best, time.perf_counter() - start)
    return best, result


def measure(job: tuple[str, str]) -> tuple[str, ...]:
    """Edges, bytes an edge, seconds to write and to read, as the table shows them."""
    name, suffix = job
    f = find("formats", name)
    if f.write is None or name == "picture":  # which Graphviz draws
        return ("", "", "", "")
    net = network(SIZES.get(name, EDGES), name)
    E = net.columns.n_edges
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        write, _ = timed(lambda: fg.save(net, path, name))
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        read = "" if f.read is None else f"{timed(lambda: fg.load(path, name))[0]:.2f}"
    return (f"{E:,}", f"{size / E:.0f}", f"{write:.2f}", read)


def reached(name: str) -> str:
    """The references of a format with tolerance and measured error."""
    if not DATA.is_dir():
        return "?"
    found = [(r, r.error(DATA)) for r in references.REFERENCES if r.format == name]
    for r, error in found:
        if error > r.tolerance:
            raise SystemExit(f"{name}: {r.what}: {error:.1e} is above {r.tolerance:.1e}")
    return "; ".join(f"{r.what}: {error:.1e} ≤ {r.tolerance:g}" for r, error in found)


def rows() -> list[tuple[str, ...]]:
    table = []
    context = multiprocessing.get_context("spawn")
    for name in names("formats"):
        f = find("formats", name)
        suffixes = f.suffixes if name in ("edgelist",) else f.suffixes[:1] or (".txt",)
        for k, suffix in enumerate(suffixes):
            with context.Pool(1) as pool:  # one job a process, so that none finds the memory of another
                (measured,) = pool.map(measure, [(name, suffix)])
            label = f"`{name}`" + (f" {suffix}" if len(suffixes) > 1 else "")
            yes = ["yes" if act is not None else "" for act in (f.read, f.write)]
            table.append((label, *yes, f.keeps or "", reached(name) if k == 0 else "", *measured))
            print(" | ".join(table[-1]), flush=True)
    return table


def damage(cases: int) -> list[tuple[str, ...]]:
    """Damaged files for every reader, from fresh seeds: what was refused, and what was read."""
    table, total = [], np.zeros(2, int)
    readers = [f for f in map(partial(find, "formats"), names("formats")) if f.read is not None]
    others = [f.example for f in readers if f.example]
    for f in readers:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            count = fuzz(f, Path(folder), cases, np.random.default_rng(), others)
        total += count
        table.append((f.name, f"{cases:,}", *(f"{n:,}" for n in count)))
        print(" | ".join(table[-1]), flush=True)
    return [*table, ("all", f"{total.sum():,}", *(f"{n:,}" for n in total.tolist()))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/formats.md")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="damaged files for every reader")
    given = parser.parse_args()
    head, made = (("reader", "files", "refused", "read"), damage(given.fuzz)) if given.fuzz else (HEAD, rows())
    text = "\n".join("| " + " | ".join(row) + " |" for row in [head, ("---",) * len(head), *made])
    if given.write:
        mark = "damage" if given.fuzz else "table"
        page = PAGE.read_text(encoding="utf-8")
        between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
        PAGE.write_text(between.sub(lambda m: f"{m[1]}{text}\n{m[2]}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
