"""The protocol between flowgrad and an executor: arrays in, arrays out.

An executor turns a network into a `Kernel`. Labels, shapes, losses, reductions, errors and θ stay in the one
`flowgrad.program.Program`, so that a kernel never sees a name and never checks an argument. All arrays that
cross this line have the plan's order: nodes as in `Plan.nodes`, inputs and outputs as in `Plan.inputs` and
`Plan.outputs`, edges as in `Plan.in_source` (grouped by target), parameters as in `Plan.theta`.

Shapes: B samples, V nodes, E edges, I inputs, O outputs, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from flowgrad.errors import brief, listing
from flowgrad.registry import find, names, singular

if TYPE_CHECKING:
    from flowgrad.maths.losses import Loss
    from flowgrad.maths.updates import Update
    from flowgrad.network import Network

PROTOCOL = 2  # incremented by every change that breaks executors written for the version before

PER_OUTPUT, INPUT = "gradients of single outputs", "gradients of inputs"

Array = npt.NDArray[Any]
Live = npt.NDArray[np.bool_] | None
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

    What it can do besides, it has as methods of `Predicts` and `Differentiates`; a program looks for them once, when it
    is compiled.
    """

    def forward(self, theta: Array, x: Array) -> Saved:
        """Equations (1)–(3): θ (P,) and x (B, I) to z and a of every node.

        An executor that declares `dropout` takes a third argument, `dropout: Dropout | None = None`: a of inputs
        and hidden neurons (no outputs) is then times `dropout.factors`, and so is its ∂L/∂z in
        backward; where the factor is 0 both are 0, whatever stood there.
        """
        ...

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Equations (5)–(10): from the base cases dy (B, O), ∂L/∂y of each sample, to every gradient.

        `live` (V,) bool marks the nodes from which a wanted output can be reached (`Plan.live`), None: all. Of any
        other node ∂L/∂z and ∂L/∂a are 0, and so are the gradients of its bias and in-edges, even where a value, a
        weight or a derivative is inf or NaN: it is multiplied nowhere.
        """
        ...


@runtime_checkable
class Predicts(Protocol):
    """A kernel that computes outputs alone, without keeping z and a."""

    def predict(self, theta: Array, x: Array) -> Array:
        """Evaluate (1)–(3): θ (P,) and x (B, I) to the outputs (B, O)."""
        ...


@runtime_checkable
class Differentiates(Protocol):
    """A kernel that computes a loss and its gradient by θ without keeping z, a, ∂L/∂z and ∂L/∂a."""

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """Evaluate (1)–(10); return Σ_b s_b·L_b times `scale`, and write its gradient, times `scale`, to out (P,).

        `t` (B, O) are targets, `sample_weight` (B,) is above 0, or None for 1. Every output is wanted: nodes outside
        `Plan.live()` are multiplied nowhere, as in backward. An executor that declares `dropout` takes a last
        argument of that name here too.
        """
        ...


@runtime_checkable
class Pulls(Protocol):
    """A kernel that pulls ∂L/∂y back to θ and x without keeping z, a, ∂L/∂z and ∂L/∂a."""

    def vjp(self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None) -> None:
        """Evaluate (1)–(10) from base cases dy (B, O): write ∂L/∂θ, summed over the samples, to out (P,), and ∂L/∂x to
        dx (B, I) unless that is None. `live` as in backward.
        """
        ...


@runtime_checkable
class Keeps(Protocol):
    """A kernel whose `vjp` can reuse the forward pass that computed the outputs.

    Its `vjp` is that of `Pulls` with one more argument, `kept: Array | None = None`.
    """

    def predict_keeping(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Compute outputs as `Predicts.predict`, and (N,) uint8 for `kept` of a `vjp` of the same θ and x; N may be 0.

        `vjp` ignores an array that it has used once, that another kernel made, or whose copy has another alignment,
        and runs forward itself then. Its result is bit-identical either way.
        """
        ...

    def vjp(
        self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None, kept: Array | None = None
    ) -> None:
        """Pull back as `Pulls.vjp`; `kept` is the second result of `predict_keeping`, or None."""
        ...


class Updates(Protocol):
    """Passes over θ in training, equal to `flowgrad.maths.updates` bit for bit.

    Arrays of slots are `room(P)` long, C-contiguous, in the request's dtype; entries from P on are 0 and stay 0.
    """

    def room(self, slots: int) -> int:
        """Return the padded length of an array of `slots` slots."""
        ...

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        """Write the moved θ into `out`, update the states (first of `rows`, (R, room)); True if g was all finite."""
        ...

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        """Add the gradients of the update's penalties to g in place; return the sum of squares of g, in float64."""
        ...


@runtime_checkable
class Trains(Protocol):
    """A kernel that also applies optimizer updates to θ."""

    def updates(self) -> Updates:
        """Return the kernel's passes over θ."""
        ...


@dataclass(frozen=True)
class ExecutorInfo:
    """What an executor declares of itself; made without importing its backend.

    A package gives it twice: as the `info` of its executor (entry point group `flowgrad.executors`), and by a
    light callable without arguments (group `flowgrad.executor_info`), so that listing imports no backend.

    name            what the user types
    summary         one line for lists
    needs           import names of the libraries it cannot do without
    install         the command that installs them
    dtypes, devices what it computes in and on
    activations, aggregations  names it knows; None is every one of flowgrad's
    custom_functions  whether a user's own `fg.Activation` and `fg.Aggregation` work
    per_output      whether its backward may be asked for one output alone, equation (11)
    dropout         whether its forward, and `value_and_grad` where it has one, take a `Dropout`
    input_gradients whether it gives ∂L/∂x: where not, `Adjoint.dz` and `.da` of inputs may hold anything
    deterministic   the same bits from run to run and for any number of threads
    auto            executor="auto" asks in falling order of this; 0: runs only when it is named
    largest         edges; "auto" takes it beyond that only where nothing else can run; None: no limit
    protocol        the version of this protocol that it speaks
    """

    name: str
    summary: str
    needs: tuple[str, ...] = ()
    install: str = ""
    dtypes: tuple[str, ...] = ("float32", "float64")
    devices: tuple[str, ...] = ("cpu",)
    activations: frozenset[str] | None = None
    aggregations: frozenset[str] | None = None
    custom_functions: bool = True
    per_output: bool = True
    input_gradients: bool = True
    dropout: bool = False
    deterministic: bool = True
    auto: int = 0
    largest: int | None = None
    protocol: int = PROTOCOL

    def available(self) -> Answer:
        """True, or why it cannot run here at all: another protocol, a library that is not installed."""
        if self.protocol != PROTOCOL:
            return f"it speaks protocol {self.protocol}, this flowgrad {PROTOCOL}: update one of them"
        absent = [library for library in self.needs if find_spec(library) is None]
        return (
            True
            if not absent
            else f"{', '.join(absent)} is not installed: {self.install or f'pip install {absent[0]}'}"
        )

    def lacks(self) -> str:
        """Which gradients it does not give, in words; empty where it gives all."""
        absent = [what for has, what in ((self.per_output, PER_OUTPUT), (self.input_gradients, INPUT)) if not has]
        return f"it gives no {' and no '.join(absent)}" if absent else ""

    def supports(self, network: Network, request: Request) -> Answer:
        """True, or which declared limit this network or request is beyond."""
        if request.dtype.name not in self.dtypes:
            return f"dtype {request.dtype.name} is not among its {', '.join(self.dtypes)}"
        c = network.columns
        for kind, known, used in (
            ("activations", self.activations, c.activations),
            ("aggregations", self.aggregations, c.aggregations),
        ):
            for record in used:
                own = record.name in names(kind) and find(kind, record.name) == record
                if not own and not self.custom_functions:
                    return f"it runs no function of a user's own, as {brief(record.name)} is"
                if own and known is not None and record.name not in known:
                    return f"{singular(kind)} {brief(record.name)} is not among its {listing(sorted(known))}"
        return True


@runtime_checkable
class Executor(Protocol):
    """How a network is run."""

    @property
    def info(self) -> ExecutorInfo:
        """What it declares of itself."""
        ...

    def can_run(self, network: Network, request: Request) -> Answer:
        """True, or the reason why it cannot run this, beyond what `info` declares."""
        ...

    def compile(self, network: Network, request: Request) -> Kernel:
        """The kernel of this network; `flowgrad.plan.lower(network)` is its plan, made once."""
        ...
