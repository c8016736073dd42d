"""Declarations of an executor, and shapes and dtypes of the arrays that its kernels return."""

from __future__ import annotations

import numpy as np

from flowgrad import topologies
from flowgrad.choice import executor_info
from flowgrad.errors import ExecutorError, brief
from flowgrad.executor import PROTOCOL, Executor, ExecutorInfo, Kernel, Request
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import compile
from flowgrad.registry import names
from flowgrad.testing.battery import Skip, Subject, check


@check("protocol", least=6)
def declares_itself(subject: Subject) -> None:
    """An executor is an Executor with a valid ExecutorInfo of this protocol, and can_run returns True or a reason."""
    info = subject.info
    subject.true(isinstance(subject.executor, Executor), "it lacks info, can_run or compile")
    subject.true(isinstance(info, ExecutorInfo), f"its info is {type(info).__name__}, not an ExecutorInfo")
    subject.true(info.protocol == PROTOCOL, f"it speaks protocol {info.protocol}, not {PROTOCOL}")
    subject.true(bool(info.name) and bool(info.summary), "its name or its summary is empty")
    subject.true({*info.dtypes} <= {"float32", "float64"} and info.dtypes, f"dtypes {info.dtypes}")
    answer = subject.executor.can_run(topologies.layered([2, 1]), Request())
    subject.true(answer is True or isinstance(answer, str), f"can_run answers {answer!r}: True or a reason")
    if info.name in names("executors"):
        subject.true(executor_info(info.name) == info, "its light declaration says something else than its info")


@check("protocol", least=16, over=("float64", "float32"))
def shapes_and_dtypes(subject: Subject, dtype: str) -> None:
    """A kernel returns arrays of the plan's shapes and the request's dtype; inputs have z = a = x and dz = da."""
    net = topologies.layered([3, 4, 2], activation=subject.functions("activations", ("tanh", "identity"))[0], seed=1)
    plan = lower(net)
    for rows in (1, 5):
        kernel = subject.compile(net, dtype).kernel
        subject.true(isinstance(kernel, Kernel), "a kernel has forward and backward")
        rng, theta = np.random.default_rng(rows), plan.theta.astype(dtype)
        x, dy = rng.standard_normal((rows, 3)).astype(dtype), rng.standard_normal((rows, 2)).astype(dtype)
        saved = kernel.forward(theta, x)
        adjoint = kernel.backward(theta, saved, dy, None)
        nodes, V, E = (plan.n_nodes, rows), (plan.n_nodes,), (plan.n_edges,)
        for what, found, shape in (
            ("Saved.z", saved.z, nodes),
            ("Saved.a", saved.a, nodes),
            ("Adjoint.dz", adjoint.dz, nodes),
            ("Adjoint.da", adjoint.da, nodes),
            ("Adjoint.weight", adjoint.weight, E),
            ("Adjoint.bias", adjoint.bias, V),
        ):
            subject.true(isinstance(found, np.ndarray), f"{what} is a {type(found).__name__}, not a NumPy array")
            subject.true(found.shape == shape, f"{what} has shape {found.shape}, not {shape}")
            subject.true(found.dtype == dtype, f"{what} is {found.dtype}, not {dtype}")
        subject.bits("z of the inputs", saved.z[plan.inputs], x.T.copy())
        subject.bits("a of the inputs", saved.a[plan.inputs], x.T.copy())
        if subject.info.input_gradients:
            subject.bits("dz and da of the inputs", adjoint.dz[plan.inputs], adjoint.da[plan.inputs])
        subject.bits("the bias gradient of the inputs", adjoint.bias[plan.inputs], np.zeros(3, dtype))


@check("protocol")
def refuses_what_it_does_not_declare(subject: Subject) -> None:
    """A request that the executor does not declare raises ExecutorError with its name; there is no silent fallback."""
    info = subject.info
    refused = [
        *((_one(activation=name), "float64") for name in _beyond("activations", info.activations)),
        *((_one(aggregation=name), "float64") for name in _beyond("aggregations", info.aggregations)),
    ]
    refused += [(topologies.layered([1, 1]), t) for t in ("float32", "float64") if t not in info.dtypes]
    if not refused:
        raise Skip("it declares every function and dtype")
    for net, dtype in refused:
        try:
            compile(net, executor=subject.executor, dtype=dtype)
        except ExecutorError as error:
            subject.true(info.name in str(error), f"the error does not name {info.name!r}: {error}")
        else:
            raise AssertionError(f"it compiled {brief(net)} in {dtype}, which it does not declare")


def _beyond(kind: str, declared: frozenset[str] | None) -> list[str]:
    return [] if declared is None else [name for name in names(kind) if name not in declared]


def _one(activation: str = "identity", aggregation: str = "sum") -> Network:
    net = Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 1.0}, activation=activation, aggregation=aggregation)
    return net
