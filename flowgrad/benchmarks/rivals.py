"""Run the rivals: other implementations of the same work. One that cannot run here raises Absent with the reason."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.plan import Plan

TILE = 16


class Absent(Exception):
    """A rival cannot run here; the message says why."""


def library(name: str) -> Any:
    """Import an optional library, or raise Absent."""
    if find_spec(name) is None:
        raise Absent(f"{name} is not installed")
    return import_module(name)


@cache
def _c_library() -> Any:
    """Compile rival.c for this machine and load it."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Absent("no C compiler")
    code = files("flowgrad.benchmarks").joinpath("rival.c").read_text(encoding="utf-8")
    folder = Path(tempfile.mkdtemp(prefix="flowgrad-bench-"))
    try:
        (folder / "rival.c").write_text(code, encoding="utf-8")
        # in two steps: a library that is linked with -ffast-math flushes subnormal numbers in the whole process
        optimize = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-fPIC"]
        for command in (
            [compiler, *optimize, "-c", "rival.c", "-o", "rival.o"],
            [compiler, "-shared", "-fopenmp", "rival.o", "-o", "rival.so", "-lm"],
        ):
            made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if made.returncode:
                raise Absent(f"{compiler} cannot compile it: {made.stderr.strip().splitlines()[-1:]}")
        loaded = ctypes.CDLL(str(folder / "rival.so"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the loaded library stays usable
    loaded.rows.restype, loaded.rows.argtypes = ctypes.c_void_p, [ctypes.c_long]
    loaded.step.restype = ctypes.c_double
    return loaded


class CStep:
    """Compute loss and gradients of a tanh network with squared error, by hand-written C: float32, tiles of 16 samples.

    Where the batch is no multiple of 16 the samples are repeated to fill the tile.
    """

    def __init__(self, plan: Plan, X: Any, T: Any, threads: int) -> None:
        self.library, self.plan, self.threads = _c_library(), plan, threads
        V, E, O = plan.n_nodes, plan.n_edges, len(plan.outputs)
        self.tiles = -(-len(X) // TILE)
        samples = np.arange(self.tiles * TILE) % len(X)
        self.w, self.b = plan.weight.astype(np.float32), plan.bias.astype(np.float32)
        slot = np.full(V, -1, np.int32)
        slot[plan.outputs] = np.arange(O)
        integers = (plan.in_ptr, plan.in_source, plan.out_ptr, plan.out_target, plan.out_edge, slot)
        self.topology = [np.ascontiguousarray(a) for a in integers]
        self.A, self.D, self.Y = (self._rows(self.tiles, n) for n in (V, V, O))
        self.A[:, : X.shape[1]] = X[samples].reshape(self.tiles, TILE, -1).transpose(0, 2, 1)
        self.Y[:] = T[samples].reshape(self.tiles, TILE, -1).transpose(0, 2, 1)
        self.turned, self.gw = np.empty(E, np.float32), np.empty((threads, E), np.float32)
        self.gb, self.dw, self.db = np.empty((threads, V), np.float32), np.empty(E, np.float32), np.empty(V, np.float32)

    def _rows(self, tiles: int, n: int) -> Any:
        """Allocate (tiles, n, TILE) float32, aligned; the memory is never freed."""
        address = self.library.rows(tiles * n)
        buffer: Any = (ctypes.c_float * (tiles * n * TILE)).from_address(address)
        return np.frombuffer(buffer, np.float32).reshape(tiles, n, TILE)

    def __call__(self) -> float:
        p, c = self.plan, ctypes.c_long
        sizes = (c(p.n_nodes), c(len(p.inputs)), c(p.n_edges), c(len(p.outputs)))
        pointer = [ctypes.c_void_p(a.ctypes.data) for a in (*self.topology, self.w, self.b, self.turned)]
        results = [ctypes.c_void_p(a.ctypes.data) for a in (self.A, self.D, self.Y, self.gw, self.gb, self.dw, self.db)]
        return float(self.library.step(*sizes, *pointer, c(self.tiles), *results, ctypes.c_int(self.threads)))


def torch_perceptron(sizes: list[int], X: Any, classes: Any, threads: int) -> Callable[[], float]:
    """Make a step of an eager nn.Sequential with sigmoids and cross-entropy: loss and gradients."""
    torch = library("torch")
    torch.set_num_threads(threads)
    layers: list[Any] = []
    for n, m in pairwise(sizes):
        layers += [torch.nn.Linear(n, m), torch.nn.Sigmoid()]
    model = torch.nn.Sequential(*layers[:-1])
    x, t, loss = torch.from_numpy(X), torch.from_numpy(classes), torch.nn.CrossEntropyLoss()

    def step() -> float:
        model.zero_grad(set_to_none=True)
        value = loss(model(x), t)
        value.backward()
        return float(value.item())

    return step


def numpy_perceptron(weights: list[Any], X: Any, classes: Any) -> Callable[[], float]:
    """Make the same step written out in NumPy; its matrix products are the BLAS's."""
    biases = [np.zeros(W.shape[1], np.float32) for W in weights]

    def step() -> float:
        a = [X]
        for k, (W, b) in enumerate(zip(weights, biases, strict=True)):
            z = a[-1] @ W + b
            a.append(z if k == len(weights) - 1 else 1 / (1 + np.exp(-z)))
        z = a.pop()
        top = z.max(axis=1, keepdims=True)
        lse = top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))
        d = np.exp(z - lse)
        rows = np.arange(len(X))
        d[rows, classes] -= 1
        d /= len(X)
        for k in range(len(weights) - 1, -1, -1):
            _ = a[k].T @ d, d.sum(axis=0)
            if k:
                d = (d @ weights[k].T) * a[k] * (1 - a[k])
        return float((lse[:, 0] - z[rows, classes]).mean())

    return step


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
