"""The operators `flowgrad::graph` and `flowgrad::graph_vjp`: a network's forward and backward, opaque to torch.

Both are registered by `torch.library`, so that `torch.compile`, `torch.export`, `torch.func` and fake tensors know
them by shape, derivative and batching rule, and never trace into flowgrad. They find their network by a key, because
an operator takes tensors and plain values only.

Shapes: B samples, I inputs, O outputs, P parameters.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from flowgrad.errors import ConfigError, ExecutorError
from flowgrad.executor import Executor
from flowgrad.locks import lock
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import Program, compile
from flowgrad_torch.functional import Tangent, tangent
from flowgrad_torch.pieces import Pieces
from flowgrad_torch.plain import DTYPES, pieces_of


class Programs:
    """Hold a network's programs, compiled once per dtype on first use. Operators find the network by `key`."""

    def __init__(self, network: Network, executor: str | Executor, threads: int | None) -> None:
        self.network, self.executor, self.threads = network, executor, threads
        self.sizes = len(network.inputs), len(network.outputs), lower(network).n_parameters
        self.key = uuid4().hex  # differs in every process: an exported program never meets another network
        self._compiled: dict[torch.dtype, Program] = {}
        self._pieces: Pieces | None = None
        self._lock = lock()
        _KNOWN[self.key] = self

    def of(self, dtype: torch.dtype) -> Program:
        """Return the program of this dtype, compiled on first use.

        Raises:
            ConfigError: a dtype other than float32 and float64.
        """
        found = self._compiled.get(dtype)
        if found is not None:
            return found
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype}: a GraphModule is torch.float32 or torch.float64")
        with self._lock:
            if dtype not in self._compiled:
                self._compiled[dtype] = compile(
                    self.network, executor=self.executor, dtype=DTYPES[dtype], threads=self.threads
                )
            return self._compiled[dtype]

    @property
    def pieces(self) -> Pieces:
        """The network cut into pieces for torch's own operators.

        Raises:
            GraphError: an activation or aggregation cannot be expressed in torch's operators.
        """
        with self._lock:
            if self._pieces is None:
                self._pieces = pieces_of(self.network)
            return self._pieces


_KNOWN: WeakValueDictionary[str, Programs] = WeakValueDictionary()


def _programs(key: str) -> Programs:
    found = _KNOWN.get(key)
    if found is None:
        raise ExecutorError("the GraphModule of this graph is gone: an exported program lives as long as its module")
    return found


def _array(values: Tensor) -> Any:
    return np.ascontiguousarray(values.numpy(force=True))


def _vjp(program: Program, theta: Any, x: Any, dy: Any, inputs: bool) -> tuple[Any, Any]:
    """Compute ∂L/∂θ (P,) and ∂L/∂x (B, I) from ∂L/∂y (B, O); ∂L/∂x is (0, I) where `inputs` is False."""
    g, dx = program.vjp(x, dy, theta=theta, inputs=inputs)
    return g, x[:0] if dx is None else dx


@torch.library.custom_op("flowgrad::graph", mutates_args=())
def graph(theta: Tensor, x: Tensor, key: str) -> Tensor:
    """Compute y (B, O) from θ (P,) and x (B, I), both of one dtype, on x's device."""
    programs = _programs(key)
    if not len(x):
        return x.new_empty((0, programs.sizes[1]))
    program = programs.of(theta.dtype)
    return torch.tensor(program.predict(_array(x), theta=_array(theta)), device=x.device)


@torch.library.custom_op("flowgrad::graph_vjp", mutates_args=())
def graph_vjp(theta: Tensor, x: Tensor, dy: Tensor, key: str, inputs: bool) -> tuple[Tensor, Tensor]:
    """Compute ∂L/∂θ (P,) and, if `inputs`, ∂L/∂x (B, I) from ∂L/∂y (B, O); no activation outlives the call."""
    if not len(x):  # no samples: flowgrad refuses them, torch's layers give 0
        return torch.zeros_like(theta), x.new_empty((0, x.shape[1]))
    g, dx = _vjp(_programs(key).of(theta.dtype), _array(theta), _array(x), _array(dy), inputs)
    return torch.tensor(g, device=theta.device), torch.tensor(np.ascontiguousarray(dx), device=x.device)


@graph.register_fake
def _(theta: Tensor, x: Tensor, key: str) -> Tensor:
    return x.new_empty((x.shape[0], _programs(key).sizes[1]))


@graph_vjp.register_fake
def _(theta: Tensor, x: Tensor, dy: Tensor, key: str, inputs: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(theta), x.new_empty((x.shape[0] if inputs else 0, x.shape[1]))


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    tensors = [v for v in inputs if isinstance(v, Tensor)]
    ctx.key = inputs[len(tensors)]
    ctx.programs = _KNOWN.get(ctx.key)  # backward may come when the module is gone
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


def _graph_backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor | None, None]:
    theta, x = ctx.saved_tensors
    wants_x = ctx.needs_input_grad[1]
    g, dx = pulled(theta, x, dy, ctx.key, wants_x)
    return g, dx if wants_x else None, None


def pulled(theta: Tensor, x: Tensor, dy: Tensor, key: str, inputs: bool) -> tuple[Tensor, Tensor]:
    """Call `flowgrad::graph_vjp` so that a further derivative raises ExecutorError."""
    found: tuple[Tensor, Tensor] = _Pull.apply(theta, x, dy, key, inputs)  # type: ignore[no-untyped-call]  # as above
    return found


def _vjp_backward(ctx: Any, *of: Tensor) -> Any:
    raise ExecutorError("a GraphModule is differentiable once: gradients of its gradients are not known")


class Graph(torch.autograd.Function):
    """`flowgrad::graph` with its derivative; torch.func needs a Function, which an operator alone is not."""

    generate_vmap_rule = True
    setup_context = staticmethod(_save)
    backward = staticmethod(_graph_backward)

    @staticmethod
    def forward(theta: Tensor, x: Tensor, key: str) -> Tensor:
        y: Tensor = graph(theta, x, key)
        return y

    @staticmethod
    def jvp(ctx: Any, dtheta: Tangent, dx: Tangent, key: None) -> Tensor:
        theta, x = ctx.saved_tensors
        return tangent(_programs(ctx.key).pieces, theta, x, dtheta, dx)


class _Pull(torch.autograd.Function):
    """`flowgrad::graph_vjp`; its backward raises ExecutorError."""

    generate_vmap_rule = True
    setup_context = staticmethod(_save)
    backward = staticmethod(_vjp_backward)

    @staticmethod
    def forward(theta: Tensor, x: Tensor, dy: Tensor, key: str, inputs: bool) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = graph_vjp(theta, x, dy, key, inputs)
        return found


# an exported program holds the operators alone: their derivatives are registered too
graph.register_autograd(_graph_backward, setup_context=_save)
graph_vjp.register_autograd(_vjp_backward, setup_context=_save)


def _batched(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """List the operands of each of the N members that vmap runs over."""
    front = [t if d is None else t.movedim(d, 0) for t, d in zip(tensors, dims, strict=False)]
    return [tuple(t if d is None else t[n] for t, d in zip(front, dims, strict=False)) for n in range(info.batch_size)]


@graph.register_vmap
def _(info: Any, in_dims: Any, theta: Tensor, x: Tensor, key: str) -> tuple[Tensor, int]:
    if in_dims[0] is None:  # one θ: members are more samples
        x = x.movedim(in_dims[1], 0)
        return graph(theta, x.flatten(0, 1), key).unflatten(0, x.shape[:2]), 0
    return torch.stack([graph(*member, key) for member in _batched(info, in_dims, (theta, x))]), 0


@graph_vjp.register_vmap
def _(info: Any, in_dims: Any, theta: Tensor, x: Tensor, dy: Tensor, key: str, inputs: bool) -> tuple[Any, Any]:
    found = [graph_vjp(*member, key, inputs) for member in _batched(info, in_dims, (theta, x, dy))]
    return tuple(torch.stack(part) for part in zip(*found, strict=True)), (0, 0)
