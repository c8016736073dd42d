"""Provide `GraphModule`: a network as a layer of a torch model, with flowgrad's forward and backward passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError, DataError, FileError, ShapeError
from flowgrad.executor import Executor
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import Program
from flowgrad_torch import direct, functional
from flowgrad_torch.operators import Graph, Programs, _array, graph
from flowgrad_torch.plain import DTYPES


class GraphModule(nn.Module):
    """Wrap a network as an `nn.Module`, x (…, I) to y (…, O), in the order of the network's inputs and outputs.

    Its one parameter `theta` (P,) holds every trainable weight and bias of the network, in the order of
    `module.program.theta_index`. flowgrad computes the gradients of theta and of x, exactly, through
    `torch.autograd.Function`; only first derivatives exist, no gradient of a gradient. If a gradient may be needed,
    forward keeps activations for backward, 1 GB at most. Forward mode and the export to ONNX use torch's operators. The
    dtype is float32 or float64; the network is compiled for that of `theta`, so that `.double()` and `.float()` work.
    In a model on a CUDA device, x is copied to the CPU and y back, whatever the executor. Several threads may share a
    module.

    Args:
        network: the network; the module keeps a snapshot of it.
        executor: as for `flowgrad.compile`: a name, an Executor, or "auto".
        dtype: dtype of theta, torch.float32 or torch.float64. Default: torch's default dtype.
        threads: as for `flowgrad.compile`.

    Attributes:
        theta: `nn.Parameter` of shape (P,).

    Raises:
        ConfigError: `network` is not a Network, or the dtype is another one. UnknownNameError, ExecutorError: as
            `flowgrad.compile`.

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
        instance("GraphModule", network, Network, ConfigError)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        program = Programs(network, executor, threads).of(dtype)
        self._share(Programs(program.network(), executor, threads))
        self.theta = nn.Parameter(torch.tensor(program.theta))

    def _share(self, programs: Programs) -> None:
        """Store what forward reads as plain attributes, which torch.compile can follow."""
        self._programs, self._key, self._sizes = programs, programs.key, programs.sizes
        self._network, self._grouped = programs.network, False

    @property
    def program(self) -> Program:
        """Program of theta's dtype, for its `theta_index`, `inputs`, `outputs` and `why`; its θ is not the module's."""
        return self._programs.of(self.theta.dtype)

    def network(self) -> Network:
        """Return the network with the current values of theta, for saving or inspection."""
        return self.program.network(_array(self.theta))

    def reset_parameters(self) -> None:
        """Draw the trainable weights anew, seeded by torch's generator, and reset the biases to the network's."""
        c = self._network.columns
        seed = int(torch.randint(2**31, ()))
        drawn = replace(c, weight=np.where(c.edge_trainable, np.nan, c.weight), seed=seed)
        with torch.no_grad():
            self.theta.copy_(torch.tensor(lower(Network.from_columns(drawn)).theta))

    def groups(self, weights: dict[str, Any], biases: dict[str, Any]) -> list[dict[str, Any]]:
        """Make two parameter groups for an optimizer: the weights and the biases.

        The parameters of both groups share the memory of theta; backward moves theta's gradient to them, and
        `theta.grad` stays None. Call this once, after the module has the device and the dtype of training.

        Args:
            weights: options of the optimizer for the weights, such as {"weight_decay": 0.1}.
            biases: options of the optimizer for the biases.

        Returns:
            Two dicts, each with its options and the key "params", a list of one tensor.

        Raises:
            ConfigError: this is the second call; or, raised in backward, the module has been moved or converted since.

        >>> import flowgrad as fg
        >>> layer = GraphModule(fg.topologies.layered([3, 4, 2], seed=1))
        >>> optimizer = torch.optim.AdamW(layer.groups({"weight_decay": 0.1}, {"weight_decay": 0.0}))
        >>> [len(group["params"][0]) for group in optimizer.param_groups]
        [20, 6]
        """
        if self._grouped:
            raise ConfigError("groups() was called before: the first optimizer has the leaves that backward fills")
        self._grouped = True
        n = int(lower(self._network).weight_slot.max(initial=-1)) + 1
        whole = self.theta.detach()
        parts = [part.requires_grad_() for part in (whole[:n], whole[n:])]

        def hand_on(theta: Tensor) -> None:
            if theta.grad is None:
                return
            if theta.data_ptr() != parts[0].data_ptr():
                raise ConfigError("the module was moved or converted after groups(): call groups() after .to()")
            for part, g in zip(parts, (theta.grad[:n], theta.grad[n:]), strict=True):
                part.grad = g if part.grad is None else part.grad + g
            theta.grad = None

        self.theta.register_post_accumulate_grad_hook(hand_on)  # type: ignore[no-untyped-call]  # no types there
        return [{"params": [part], **options} for part, options in zip(parts, (weights, biases), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """Compute y (…, O) from x (…, I), in theta's dtype, on x's device; autocast converts x to theta's dtype.

        Raises:
            ShapeError: the last axis of x is not I.
            DataError: x has another dtype than theta, outside of autocast.
        """
        (I, O, _), theta = self._sizes, self.theta
        if x.ndim == 0 or x.shape[-1] != I:
            raise ShapeError(f"x has shape {tuple(x.shape)}: must be (…, {I}), a column an input of the network")
        if x.dtype != theta.dtype:
            if not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
                raise DataError(f"x is {x.dtype} and theta {theta.dtype}: convert one of them")
            x = x.to(theta.dtype)
        rows = x if x.ndim == 2 else x.reshape(-1, I)
        y: Tensor
        compiling = torch.compiler.is_compiling()
        if not compiling and direct.is_plain(theta, rows) and len(rows):
            y = direct.apply(theta, rows, self._programs)
        elif torch.onnx.is_in_onnx_export():
            y = functional.predict(self._programs.pieces, theta, rows)
        elif compiling:  # Dynamo would instantiate a Function
            y = graph(theta, rows, self._key)
        else:
            y = Graph.apply(theta, rows, self._key)  # type: ignore[no-untyped-call]  # torch has no types here
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], O)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GraphModule:
        """Raise ConfigError for `.half()`, `.bfloat16()` and other dtypes, before θ changes."""
        dtype = fn(torch.empty_like(self.theta[:0])).dtype
        if dtype not in DTYPES:
            raise ConfigError(
                f"a GraphModule stays torch.float32 or torch.float64, not {dtype}: keep it so, "
                "and use torch.autocast for the layers around it"
            )
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch has no types here
        return self

    # ---- state ----------------------------------------------------------------------------------------------

    def get_extra_state(self) -> Tensor:
        """Return a fingerprint of the network, (32,) uint8: a SHA-256 of names, topology, functions and slots."""
        return torch.frombuffer(bytearray(fingerprint(self._network)), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Check that a loaded state belongs to this network.

        Raises:
            FileError: the state was saved with another network.
        """
        own = fingerprint(self._network)
        if not isinstance(state, Tensor) or bytes(state.to("cpu", torch.uint8).tolist()) != own:
            raise FileError(
                f"this state belongs to another network than {self._network!r}: nodes, their names, edges and their "
                "order, functions and frozen values must be the same"
            )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Load a state after checking its fingerprint, so that θ is unchanged if the state is rejected."""
        key, errors = f"{prefix}_extra_state", rest[-1]
        if key in state_dict:
            self.set_extra_state(state_dict[key])
        elif f"{prefix}theta" in state_dict:
            errors.append(
                f'"{key}" is missing, which says whose weights "{prefix}theta" has: to take them for this '
                "network's, copy them to module.theta"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __getstate__(self) -> dict[str, Any]:
        programs = self._programs
        made_of = (programs.network, programs.executor, programs.threads)
        return {k: v for k, v in self.__dict__.items() if k not in ("_programs", "_key", "_grouped")} | {
            "_made_of": made_of
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        made_of = state.pop("_made_of")
        super().__setstate__(state)  # type: ignore[no-untyped-call]  # torch has no types here
        self._share(Programs(*made_of))

    def extra_repr(self) -> str:
        """Describe the module for `print(module)`."""
        return f"{self._network!r}, {self.theta.numel():,} parameters, executor={self._programs.executor!r}"


def fingerprint(network: Network) -> bytes:
    """Compute the SHA-256 of all that determines the meaning of θ: names and plan, without the values that θ holds."""
    plan, digest = lower(network), hashlib.sha256()
    ids = network.columns.ids
    for k in plan.nodes.tolist():
        name = ids[k].item() if isinstance(ids[k], np.generic) else ids[k]
        digest.update(f"{name!r}\0".encode())
    for column in ("inputs", "outputs", "in_ptr", "in_source", "activation", "aggregation", "response"):
        digest.update(np.ascontiguousarray(getattr(plan, column)).tobytes())
    for values, slot in ((plan.weight, plan.weight_slot), (plan.bias, plan.bias_slot)):
        digest.update(slot.tobytes() + np.where(slot < 0, values, 0.0).tobytes())
    digest.update(repr(([f.name for f in plan.activations], [f.name for f in plan.aggregations])).encode())
    return digest.digest()
