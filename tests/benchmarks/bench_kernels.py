"""Benchmarks for pytest-benchmark; collected only when asked for by name:

pytest tests/benchmarks/bench_kernels.py --benchmark-only
"""

from __future__ import annotations

import numpy as np
import pytest

import flowgrad as fg

pytest.importorskip("pytest_benchmark", reason="pip install 'flowgrad[dev]'")


def _step(net: fg.Network, batch: int, dtype: str):
    program = fg.compile(net, executor="numba", dtype=dtype, loss="squared_error")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, len(net.inputs))).astype(dtype)
    T = rng.standard_normal((batch, len(net.outputs))).astype(dtype)
    g = np.empty_like(program.theta)
    return lambda: program.value_and_grad(program.theta, X, T, out=g)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("neurons", [1_000, 10_000, 100_000])
def test_irregular_step(benchmark, neurons: int, batch: int, dtype: str) -> None:
    net = fg.topologies.random_dag(max(100, neurons // 100), neurons, fan_in=10, window=min(5_000, neurons // 5))
    benchmark(_step(net, batch, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_perceptron_step(benchmark, dtype: str) -> None:
    benchmark(_step(fg.topologies.layered([784, 512, 256, 10]), 128, dtype))


def test_lowering_a_new_topology(benchmark) -> None:
    c = fg.topologies.random_dag(100, 1_000, fan_in=10, window=200).columns
    arguments = c.source, c.target, c.weights, c.bias, "tanh", c.inputs, c.outputs, c.n_nodes
    benchmark(lambda: fg.compile(fg.Network.from_arrays(*arguments), executor="numba"))
