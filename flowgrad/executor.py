"""The protocol between flowgrad and an executor: arrays in, arrays out.

An executor turns a network into a `Kernel`. Labels, shapes, losses, reductions, errors and θ stay in the one
`flowgrad.program.Program`, so that a kernel never sees a name and never checks an argument. All arrays that
cross this line have the plan's order: nodes as in `Plan.nodes`, inputs and outputs as in `Plan.inputs` and
`Plan.outputs`, edges as in `Plan.in_source` (grouped by target), parameters as in `Plan.theta`.

Shapes: B samples, V nodes, E edges, I inputs, O outputs, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from flowgrad.maths.losses import Loss
    from flowgrad.network import Network
    from flowgrad.plan import Plan

PROTOCOL = 1

Array = npt.NDArray[Any]
Answer = Literal[True] | str


@dataclass(frozen=True)
class Request:
    """What a program asks of an executor: `dtype` of every float array, the loss if any, threads (None: all)."""

    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float64))
    loss: Loss | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Saved:
    """What forward leaves for backward: z and a of every node, both (V, B), in the request's dtype.

    `extra` belongs to the executor: whatever else it wants to find again in backward.
    """

    z: Array
    a: Array
    extra: Any = None


@dataclass(frozen=True)
class Adjoint:
    """What backward gives.

    `dz`, `da` (V, B): ∂L/∂z and ∂L/∂a of every node and sample (10), (8); an input has dz = da.
    `weight` (E,), `bias` (V,): Σ over the samples of (5), for every edge and neuron, trainable or not; 0 for
    the bias of an input. `counts` is filled by executors that count (the Python one).
    """

    dz: Array
    da: Array
    weight: Array
    bias: Array
    counts: dict[str, int] | None = None


@runtime_checkable
class Kernel(Protocol):
    """A compiled network. Calls may come from many threads at once.

    Two methods are optional, and taken where a kernel has them:

    `predict(theta, x) -> (B, O)`: the outputs alone, without keeping z and a.

    `value_and_grad(theta, x, t, sample_weight, scale, out) -> float`: the summed loss Σ_b s_b·L_b times `scale`,
    its gradient by θ times `scale` written into `out` (P,). `t` is (B, O), `sample_weight` (B,) or None.
    """

    def forward(self, theta: Array, x: Array) -> Saved:
        """Equations (1)–(3): θ (P,) and x (B, I) to z and a of every node."""
        ...

    def backward(self, theta: Array, saved: Saved, dy: Array) -> Adjoint:
        """Equations (5)–(10): from the base cases dy (B, O), ∂L/∂y of each sample, to every gradient."""
        ...


class Executor(Protocol):
    """How a network is run. `name` is what the user types; `protocol` the version of this file it speaks."""

    name: str
    protocol: int

    def available(self) -> Answer:
        """True, or the reason why it cannot run here at all (a library that is not installed)."""
        ...

    def can_run(self, network: Network, request: Request) -> Answer:
        """True, or the reason why it cannot run this network or request."""
        ...

    def compile(self, network: Network, plan: Plan, request: Request) -> Kernel:
        """The kernel of this network."""
        ...
