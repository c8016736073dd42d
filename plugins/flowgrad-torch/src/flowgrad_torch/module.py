"""GraphModule: a network as a layer of a torch model; forward and backward are flowgrad's."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowgrad.errors import ConfigError, DataError, ExecutorError, FileError, ShapeError
from flowgrad.executor import Executor
from flowgrad.locks import lock
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import Program, compile

DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class _Graph(torch.autograd.Function):
    """y (B, O) of θ (P,) and x (B, I). Differentiable once: the gradients that it gives have none, and say so."""

    @staticmethod
    def forward(ctx: Any, program: Program, theta: Tensor, x: Tensor) -> Tensor:
        acts = program.forward(_numpy(x), theta=_numpy(theta))
        ctx.program, ctx.acts, ctx.device = program, acts, x.device
        ctx.save_for_backward(theta, x)  # only for what a second derivative would be by
        return torch.tensor(acts.output, device=x.device)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        grads = ctx.program.backward(ctx.acts, cotangent=_numpy(dy))
        _, wants_theta, wants_x = ctx.needs_input_grad
        theta = torch.tensor(grads.theta, device=ctx.device) if wants_theta else None
        x = torch.tensor(np.ascontiguousarray(grads.input.array), device=ctx.device) if wants_x else None
        if torch.is_grad_enabled():  # create_graph=True: torch's own once_differentiable looks at dy alone
            made_of = (dy, *ctx.saved_tensors)
            theta, x = (
                None if g is None else _Once.apply(g, *made_of)  # type: ignore[no-untyped-call]  # torch has no types here
                for g in (theta, x)
            )
        return None, theta, x


class _Once(torch.autograd.Function):
    """A gradient as it is, which depends on what it was made of and refuses to be differentiated by it."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *made_of: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *of: Tensor) -> tuple[None, ...]:
        raise ExecutorError("a GraphModule is differentiable once: gradients of its gradients are not known")


def _numpy(values: Tensor) -> Any:
    return np.ascontiguousarray(values.detach().cpu().numpy())


class GraphModule(nn.Module):
    """A network as an `nn.Module`: x (…, I) to y (…, O), in the order of the network's inputs and outputs.

    `theta` (P,) is its one parameter: every trainable weight and bias of the network, in the order of
    `module.program.theta_index`. Gradients of theta and of x are flowgrad's, exact, through
    `torch.autograd.Function`; they can be taken once, so no gradient of a gradient. float32 and float64; the network is
    compiled for the dtype of `theta`, so `.double()` and `.float()` work. On a CUDA model x travels to the CPU and y
    back, unless the executor says otherwise. Threads may share a module as they may any other.

    Args:
        network: what to run; the module keeps a snapshot of it.
        executor: as for `flowgrad.compile`: a name, an Executor, or "auto".
        dtype: of theta; None is torch's default dtype.
        threads: as for `flowgrad.compile`.

    Raises:
        ConfigError, UnknownNameError, ExecutorError: as `flowgrad.compile`.

    >>> import flowgrad as fg
    >>> layer = GraphModule(fg.topologies.layered([3, 4, 2], seed=1), dtype=torch.float64)
    >>> layer(torch.zeros(5, 3, dtype=torch.float64)).shape
    torch.Size([5, 2])
    """

    theta: nn.Parameter

    def __init__(
        self,
        network: Network,
        executor: str | Executor = "auto",
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        dtype = torch.get_default_dtype() if dtype is None else dtype
        self._executor, self._threads = executor, threads
        self._network = network
        self._programs: dict[torch.dtype, Program] = {}
        self._lock = lock()
        self.theta = nn.Parameter(torch.empty(0, dtype=dtype))
        program = self._program(dtype)
        self._network = program.network()
        self.theta = nn.Parameter(torch.tensor(program.theta))

    @property
    def program(self) -> Program:
        """The program of theta's dtype, with its `theta_index`, `inputs`, `outputs` and `why`; its θ is not ours."""
        return self._program(self.theta.dtype)

    def network(self) -> Network:
        """The network with the present θ written back, to save or to look at."""
        return self.program.network(_numpy(self.theta))

    def forward(self, x: Tensor) -> Tensor:
        """x (…, I) → y (…, O), in theta's dtype and on x's device.

        Raises:
            ShapeError: x's last axis is not I.
            DataError: x has another dtype than theta.
        """
        program, I, O = self.program, self._sizes[0], self._sizes[1]
        if x.ndim == 0 or x.shape[-1] != I:
            raise ShapeError(f"x has shape {tuple(x.shape)}: must be (…, {I}), a column an input of the network")
        if x.dtype != self.theta.dtype:
            raise DataError(f"x is {x.dtype} and theta {self.theta.dtype}: convert one of them")
        rows = x.reshape(-1, I)
        if not len(rows):
            y = rows.new_zeros((0, O)) + 0.0 * (rows.sum() + self.theta.sum())  # no samples: no gradient, but a graph
        elif torch.is_grad_enabled() and (x.requires_grad or self.theta.requires_grad):
            y = _Graph.apply(program, self.theta, rows)  # type: ignore[no-untyped-call]  # torch has no types here
        else:
            y = torch.tensor(program.predict(_numpy(rows), theta=_numpy(self.theta)), device=x.device)
        return y.reshape(*x.shape[:-1], O)

    @property
    def _sizes(self) -> tuple[int, int]:
        program = self.program
        return len(program.inputs), len(program.outputs)

    def _program(self, dtype: torch.dtype) -> Program:
        """Compiled once a dtype."""
        if dtype not in DTYPES:
            raise ConfigError(f"dtype={dtype}: a GraphModule is torch.float32 or torch.float64")
        with self._lock:
            if dtype not in self._programs:
                self._programs[dtype] = compile(
                    self._network, executor=self._executor, dtype=DTYPES[dtype], threads=self._threads
                )
            return self._programs[dtype]

    # ---- state ----------------------------------------------------------------------------------------------

    def get_extra_state(self) -> dict[str, str]:
        """Which network θ belongs to: a SHA-256 of its topology, functions and slots."""
        return {"network": fingerprint(self._network)}

    def set_extra_state(self, state: Any) -> None:
        """Refuses θ of another network.

        Raises:
            FileError: the state was saved with another network.
        """
        if not isinstance(state, dict) or state.get("network") != fingerprint(self._network):
            raise FileError(f"this state belongs to another network than {self._network!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_programs", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types here
        self._programs, self._lock = {}, lock()

    def extra_repr(self) -> str:
        """For print(module)."""
        return f"{self._network!r}, {self.theta.numel():,} parameters, executor={self.program.executor}"


def fingerprint(network: Network) -> str:
    """SHA-256 of everything that gives θ its meaning: the plan, without the values that θ holds."""
    plan, digest = lower(network), hashlib.sha256()
    for column in ("inputs", "outputs", "in_ptr", "in_source", "activation", "aggregation", "response"):
        digest.update(np.ascontiguousarray(getattr(plan, column)).tobytes())
    for values, slot in ((plan.weight, plan.weight_slot), (plan.bias, plan.bias_slot)):
        digest.update(slot.tobytes() + np.where(slot < 0, values, 0.0).tobytes())
    digest.update(repr(([f.name for f in plan.activations], [f.name for f in plan.aggregations])).encode())
    return digest.hexdigest()
