"""Training steps of a GraphModule, beside the gradient alone and beside what torch has for sparse layers.

    python plugins/flowgrad-torch/benchmarks/bench_layer.py [--threads N] [--rounds N] [--markdown]

First table: a step (forward, mean squared error, backward) beside `program.value_and_grad`, both in milliseconds, and
beside the step of a layer that only calls `value_and_grad`: the rest of that step is torch's own.
Second: three layers of 1,024 tanh neurons of which a share of the edges exists, as a GraphModule, as dense layers
whose weights are masked, and as torch's sparse CSR matrices. Ways are run in turn, in blocks, in float32; medians.
flowgrad-torch must be installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from flowgrad_torch import GraphModule

import flowgrad as fg

BATCHES = (128, 1024)
DENSITIES = (0.1, 0.01, 0.001)
WIDTH, DEPTH = 1024, 3
BLOCK = 5
"""Calls of one way that follow each other: a training loop finds its own memory in the caches."""
Way = Callable[[], object]


def measured(ways: dict[str, Way], rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of each way: the median, and those of the fastest call, which a busy machine disturbs less."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            for call in range(BLOCK + 1):
                start = time.perf_counter()
                way()
                if call:  # the first finds the caches as another way left them
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: (statistics.median(found), min(found)) for name, found in times.items()}


def training(model: torch.nn.Module, x: torch.Tensor, t: torch.Tensor) -> Way:
    """A step of torch: forward, loss, backward."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(model(x), t).backward()

    return step


class Least(torch.nn.Module):
    """A layer of constant outputs whose forward calls `value_and_grad`, and whose backward returns the gradient."""

    def __init__(self, program: Any, X: Any, T: Any) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor(program.theta))
        y = torch.from_numpy(program.predict(X))

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
                ctx.gradient = program.value_and_grad(theta.numpy(), x.numpy(), T)[1]
                return y.view_as(y)

            @staticmethod
            def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
                return torch.from_numpy(ctx.gradient), None

        self.function = Function

    def forward(self, x: torch.Tensor) -> Any:
        return self.function.apply(self.theta, x)


def dag(neurons: int, window: int) -> fg.Network:
    """Ten in-edges a neuron."""
    return fg.topologies.random_dag(
        max(100, neurons // 100), neurons, fan_in=10, window=window, output_activation="tanh", seed=0
    )


GRAPHS: dict[str, Callable[[], fg.Network]] = {
    "perceptron 784-512-256-10": lambda: fg.topologies.layered([784, 512, 256, 10], activation="sigmoid"),
    "20k edges": lambda: dag(2_000, 400),
    "1M edges": lambda: dag(99_000, 5_000),
}


def beside_the_gradient(threads: int, rounds: int) -> Iterator[tuple[str, ...]]:
    yield "graph", "batch", "value_and_grad, ms", "GraphModule, ms", "ratio", "of the fastest", "least", "∂L/∂x too, ms"
    for name, make in GRAPHS.items():
        net = make()
        program = fg.compile(net, executor="numba", dtype="float32", loss="squared_error", threads=threads)
        module = GraphModule(net, executor="numba", dtype=torch.float32, threads=threads)
        for batch in BATCHES:
            X, T = data(len(net.inputs), len(net.outputs), batch)
            x, t = torch.from_numpy(X), torch.from_numpy(T)
            ways: dict[str, Way] = {
                "ours": partial(program.value_and_grad, program.theta, X, T),
                "step": training(module, x, t),
                "least": training(Least(program, X, T), x, t),
                "inputs": training(module, x.clone().requires_grad_(), t),
            }
            found = measured(ways, rounds)
            (ours, fewest), (step, fastest) = found["ours"], found["step"]
            shown = ours, step, step / ours, fastest / fewest, found["least"][0] / ours, found["inputs"][0]
            yield name, f"{batch:,}", *(f"{v:.2f}" for v in shown)


def data(inputs: int, outputs: int, batch: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((batch, inputs)).astype(np.float32)
    return X, (0.5 * rng.standard_normal((batch, outputs))).astype(np.float32)


class Masked(torch.nn.Module):
    """x → tanh(x·(W·mask)ᵀ + b)."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(torch.zeros(len(weight)))
        self.register_buffer("mask", (weight != 0).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.nn.functional.linear(x, self.weight * self.mask, self.bias))


class Csr(torch.nn.Module):
    """x → tanh(x·Wᵀ + b), of a W in compressed rows."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.to_sparse_csr())
        self.bias = torch.nn.Parameter(torch.zeros(len(weight), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(torch.sparse.mm(self.weight, x.T) + self.bias).T


def weights(density: float) -> list[torch.Tensor]:
    """(WIDTH, WIDTH) for each layer, with an edge at least into every neuron."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(DEPTH):
        there = rng.random((WIDTH, WIDTH)) < density
        there[np.arange(WIDTH), rng.integers(WIDTH, size=WIDTH)] = True
        scale = 1 / np.sqrt(density * WIDTH + 1)
        found.append(torch.from_numpy((there * rng.standard_normal((WIDTH, WIDTH)) * scale).astype(np.float32)))
    return found


def network(layers: list[torch.Tensor]) -> fg.Network:
    """The same as a graph."""
    stacked = torch.stack(layers).numpy()
    layer, row, column = stacked.nonzero()
    source, target, weight = layer * WIDTH + column, (layer + 1) * WIDTH + row, stacked[layer, row, column]
    V = WIDTH * (DEPTH + 1)
    outputs = range(V - WIDTH, V)
    return fg.Network.from_arrays(
        source, target, weight=weight, activation="tanh", inputs=range(WIDTH), outputs=outputs, n_nodes=V
    )


def beside_sparse_layers(threads: int, rounds: int) -> Iterator[tuple[str, ...]]:
    yield "density", "edges", "batch", "GraphModule, ms", "masked dense, ms", "sparse CSR, ms", "ratio to the faster"
    for density in DENSITIES:
        layers = weights(density)
        net = network(layers)
        models: dict[str, torch.nn.Module] = {
            "graph": GraphModule(net, executor="numba", dtype=torch.float32, threads=threads),
            "masked": torch.nn.Sequential(*map(Masked, layers)),
            "csr": torch.nn.Sequential(*map(Csr, layers)),
        }
        for batch in BATCHES:
            x, t = (torch.from_numpy(a) for a in data(WIDTH, WIDTH, batch))
            outputs = [model(x).detach() for model in models.values()]
            for one, other in pairwise(outputs):
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)  # else the comparison means nothing
            found = measured({name: training(model, x, t) for name, model in models.items()}, rounds)
            best = found["graph"][0] / min(found["masked"][0], found["csr"][0])
            times = (f"{found[name][0]:.2f}" for name in models)
            yield f"{100 * density:g} %", f"{net.columns.n_edges:,}", f"{batch:,}", *times, f"{best:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="of flowgrad and of torch")
    parser.add_argument("--rounds", type=int, default=5, help=f"blocks of {BLOCK} calls for each way")
    parser.add_argument("--markdown", action="store_true", help="as a table of a page")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    torch.set_num_threads(given.threads)
    for table in (beside_the_gradient, beside_sparse_layers):
        for k, row in enumerate(table(given.threads, given.rounds)):
            line = "| " + " | ".join(row) + " |" if given.markdown else "  ".join(f"{cell:>24}" for cell in row)
            print(line, flush=True)
            if given.markdown and k == 0:
                print("|" + " --- |" * len(row))
        print()


if __name__ == "__main__":
    main()
