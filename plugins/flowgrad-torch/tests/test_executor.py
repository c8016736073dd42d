"""The executor "torch": flowgrad's whole conformance battery, and what is its own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from flowgrad_torch import TorchExecutor, activations, aggregations, kernel
from flowgrad_torch.executor import INFO

import flowgrad as fg
from flowgrad.choice import executor_info
from flowgrad.errors import ExecutorError
from flowgrad.testing import parametrize_with_executor


@parametrize_with_executor("torch")
def test_conformance(check):
    """By its smallest cases; `flowgrad conformance torch` runs the whole battery."""
    check(quick=True)


def test_the_declaration_is_what_the_tables_hold():
    assert INFO.activations == set(activations.FUNCTIONS)
    assert INFO.aggregations == {"sum", "mean", *aggregations.FUNCTIONS}
    assert executor_info("torch") == TorchExecutor().info == INFO


def test_listing_executors_imports_no_torch():
    code = (
        "import sys, flowgrad as fg, flowgrad_torch\n"
        "assert fg.executors()['torch'] is True\n"
        "assert flowgrad_torch.TorchExecutor('cpu').device == 'cpu'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_users_own_function_is_refused_by_name():
    own = fg.Activation("mine", lambda z: z * z, lambda z: 2 * z)
    net = fg.Network.from_arrays([0], [1], activation=own)
    with pytest.raises(ExecutorError, match=r"'torch' cannot run this.*'mine'"):
        fg.compile(net, executor="torch")


def test_devices_and_threads_that_are_not_there_are_refused():
    net = fg.topologies.layered([2, 1])
    with pytest.raises(ExecutorError, match="'mps' is not among its cpu, cuda"):
        fg.compile(net, executor=TorchExecutor("mps"))
    if not torch.cuda.is_available():
        with pytest.raises(ExecutorError, match="finds no CUDA device"):
            fg.compile(net, executor=TorchExecutor("cuda"))
    with pytest.raises(ExecutorError, match=r"torch\.set_num_threads\(77\)"):
        fg.compile(net, executor="torch", threads=77)
    fg.compile(net, executor="torch", threads=torch.get_num_threads())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_reference():
    same_as_python(TorchExecutor("cuda"), mixed(), 9)


def mixed(seed=3):
    """A random graph with every aggregation, several activations, responses, shared and frozen weights; a union."""
    rng = np.random.default_rng(seed)
    net = fg.Network(seed=seed)
    kinds, sigmas = [*sorted(INFO.aggregations)], ["tanh", "sigmoid", "relu", "gelu", "identity"]
    for v in range(6):
        net.add_input(v)
    net.add_neuron("alone", {}, bias=0.3)
    for v in range(6, 60):
        before = rng.choice(v, size=min(v, int(rng.integers(1, 7))), replace=False).tolist()
        w = {u: float(rng.normal()) for u in before}
        net.add_neuron(v, w, bias=float(rng.normal()), activation=sigmas[v % 5], aggregation=kinds[v % 7])
    net.add_neuron("y", {"alone": 1.0, 59: 0.5, 58: 1.5}, bias=0.0)
    net.set_outputs(["y", 57, 40])
    return fg.union([net, fg.topologies.layered([3, 5, 2], seed=1), net])


def same_as_python(executor, net, B):
    rng = np.random.default_rng(0)
    one, ref = (fg.compile(net, executor=e, loss="squared_error") for e in (executor, "python"))
    X, T = rng.standard_normal((B, len(one.inputs))), rng.standard_normal((B, len(one.outputs)))
    found, expected = one.backward(one.forward(X), T), ref.backward(ref.forward(X), T)
    for name in ("theta", "dz", "da", "input", "weight", "bias"):
        f, e = (np.asarray(getattr(getattr(g, name), "array", getattr(g, name))) for g in (found, expected))
        np.testing.assert_allclose(f, e, rtol=0, atol=1e-12 * np.abs(e).max(), err_msg=name)
    value, g = one.value_and_grad(one.theta, X, T)
    assert value == pytest.approx(expected.loss, rel=1e-12)
    np.testing.assert_allclose(g, expected.theta, rtol=0, atol=1e-12 * np.abs(expected.theta).max())
    np.testing.assert_allclose(one.predict(X), ref.predict(X), rtol=1e-12)


@pytest.mark.parametrize("B", [1, 5])
def test_a_union_of_everything_agrees_with_the_reference(B):
    """A union's levels interleave, so that nodes and edges are renumbered and brought back."""
    same_as_python("torch", mixed(), B)


def test_tiles_and_parts_change_nothing_but_rounding(monkeypatch):
    monkeypatch.setattr(kernel, "TILE_BYTES", 1)  # tiles of 8 samples
    monkeypatch.setattr(kernel, "BLOCK_NUMBERS", 30)
    same_as_python("torch", mixed(), 21)


@pytest.mark.parametrize("few", [0, 2**20])
def test_levels_of_few_edges_and_of_many_are_the_same(monkeypatch, few):
    monkeypatch.setattr(kernel, "FEW_EDGES", few)
    monkeypatch.setattr(kernel, "FEW_NUMBERS", few)
    same_as_python("torch", mixed(), 5)


def test_the_same_bits_from_run_to_run_at_one_number_of_threads():
    net, rng = fg.topologies.random_dag(200, 800, seed=2), np.random.default_rng(1)
    program = fg.compile(net, executor="torch", loss="squared_error")
    X = rng.standard_normal((64, len(program.inputs)))
    T = rng.standard_normal((64, len(program.outputs)))
    runs = {program.value_and_grad(program.theta, X, T)[1].tobytes() for _ in range(5)}
    assert len(runs) == 1
