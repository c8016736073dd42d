"""The protocol between flowgrad and an executor, which exchange only arrays.

An executor compiles a network to a `Kernel`. Names, validation of arguments, reductions and θ are handled by
`flowgrad.program.Program`, so that a kernel needs no names and need not check its arguments. All arrays of the
protocol have the plan's order: nodes as in `Plan.nodes`, inputs and outputs as in `Plan.inputs` and
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
    """Settings with which an executor compiles a network.

    dtype    float32 or float64, the dtype of every float array
    loss     the Loss, or None if the program has none, or one that reads the whole batch (`Loss.of_batch`)
    threads  largest number of threads, an integer ≥ 1; None lets the executor decide
    """

    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float64))
    loss: Loss | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Saved:
    """Result of a kernel's forward pass: z and a of every node, both (V, B), in the request's dtype.

    An input has z = x. `extra` may hold any further data that the executor's backward pass needs.
    """

    z: Array
    a: Array
    extra: Any = None


@dataclass(frozen=True)
class Adjoint:
    """Result of a kernel's backward pass, in the request's dtype.

    dz, da  (V, B) ∂L/∂z (8) and ∂L/∂a (10) of every node and sample; an input has dz = da, times its dropout factor
    weight  (E,) ∂L/∂w of every edge, frozen or not, by (5), summed over the samples; not added up for shared weights
    bias    (V,) ∂L/∂b of every neuron, frozen or not, summed over the samples; 0 for inputs
    counts  numbers of cache writes, edge visits and cache reuses by name; None if the executor does not count them
    """

    dz: Array
    da: Array
    weight: Array
    bias: Array
    counts: dict[str, int] | None = None


@runtime_checkable
class Kernel(Protocol):
    """A network compiled by an executor. Its methods may be called from several threads at once.

    A kernel may have further methods, those of `Predicts`, `Differentiates`, `Pulls`, `Keeps` and `Trains`. flowgrad
    uses those that it has, and its own implementations in place of the others. A kernel must not write to θ, x or dy.
    """

    def forward(self, theta: Array, x: Array) -> Saved:
        """Compute z and a of every node from θ (P,) and x (B, I), by equations (1)–(3).

        If the executor declares `dropout`, this method has a third parameter, `dropout: Dropout | None = None`: a of
        inputs and hidden neurons, but not of outputs, is then multiplied by `dropout.factors`, and so is ∂L/∂z of
        these nodes in `backward`. Where the factor is 0, both are exactly 0, even if the other factor is inf or NaN.
        """
        ...

    def backward(self, theta: Array, saved: Saved, dy: Array, live: Live) -> Adjoint:
        """Compute all gradients from the base cases dy = ∂L/∂y (B, O) of each sample, by equations (5)–(10).

        `saved` is a result of `forward` for the same θ. `live` (V,) bool marks the nodes from which a wanted output can
        be reached (`Plan.live`); None marks all nodes. At any other node, ∂L/∂z, ∂L/∂a and the gradients of its bias
        and in-edges are exactly 0, even if a value, weight or derivative is inf or NaN: it enters no product.
        """
        ...


@runtime_checkable
class Predicts(Protocol):
    """A kernel that can compute the outputs without storing z and a."""

    def predict(self, theta: Array, x: Array) -> Array:
        """Evaluate (1)–(3): θ (P,) and x (B, I) to the outputs (B, O)."""
        ...


@runtime_checkable
class Differentiates(Protocol):
    """A kernel that can compute the loss and ∂L/∂θ without storing z, a, ∂L/∂z and ∂L/∂a."""

    def value_and_grad(
        self, theta: Array, x: Array, t: Array, sample_weight: Array | None, scale: float, out: Array
    ) -> float:
        """Evaluate (1)–(10); return Σ_b s_b·L_b times `scale`, and write its gradient, times `scale`, to out (P,).

        `t` (B, O) are targets; `sample_weight` (B,) are weights s_b above 0, or None for 1. All outputs are wanted:
        nodes that are not in `Plan.live()` enter no product, as in `backward`. If the executor declares `dropout`,
        this method too has a last parameter of that name.
        """
        ...


@runtime_checkable
class Pulls(Protocol):
    """A kernel that can compute ∂L/∂θ and ∂L/∂x from ∂L/∂y without storing z, a, ∂L/∂z and ∂L/∂a."""

    def vjp(self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None) -> None:
        """Evaluate (1)–(10) from base cases dy (B, O): write ∂L/∂θ, summed over the samples, to out (P,).

        ∂L/∂x is written to dx (B, I) unless dx is None. `live` is as in `Kernel.backward`.
        """
        ...


@runtime_checkable
class Keeps(Protocol):
    """A kernel whose `vjp` can reuse the forward pass that computed the outputs.

    Its `vjp` is that of `Pulls` with one more argument, `kept: Array | None = None`.
    """

    def predict_keeping(self, theta: Array, x: Array) -> tuple[Array, Array]:
        """Compute outputs as `Predicts.predict`, and (N,) uint8 for `kept` of a `vjp` of the same θ and x; N may be 0.

        `vjp` ignores an array that it cannot use, for example one that was used before, that another kernel made, or a
        copy with another alignment, and runs the forward pass itself. Its result is bit-identical in both cases.
        """
        ...

    def vjp(
        self, theta: Array, x: Array, dy: Array, live: Live, out: Array, dx: Array | None, kept: Array | None = None
    ) -> None:
        """Compute gradients as `Pulls.vjp`; `kept` is the second result of `predict_keeping`, or None."""
        ...


class Updates(Protocol):
    """Update passes over θ in training, bit-identical to `flowgrad.maths.updates`.

    Arrays of slots have the length `room(P)`, are C-contiguous and in the request's dtype; entries from P on are 0 and
    remain 0.
    """

    def room(self, slots: int) -> int:
        """Return the padded length of an array of `slots` slots."""
        ...

    def advance(
        self, update: Update, theta: Array, g: Array, out: Array, rows: Array, constants: tuple[float, ...]
    ) -> bool:
        """Write the updated θ to `out`, and update the states, the first of `rows` (R, room) in place.

        Returns whether g is finite everywhere.
        """
        ...

    def square(self, update: Update, theta: Array, g: Array, rows: Array) -> float:
        """Add the gradients of the update's penalties to g in place; return the sum of squares of g, in float64."""
        ...


@runtime_checkable
class Trains(Protocol):
    """A kernel that also applies optimizer updates to θ."""

    def updates(self) -> Updates:
        """Return the kernel's update passes over θ."""
        ...


@dataclass(frozen=True)
class ExecutorInfo:
    """Declaration of an executor's abilities and requirements, made without importing its backend.

    A package provides it twice: as `info` of its executor (entry point group `flowgrad.executors`), and as the result
    of a callable without arguments (group `flowgrad.executor_info`), so that listing executors imports no backend.

    name            name by which users select the executor
    summary         description in one line, for lists
    needs           import names of the required libraries
    install         command that installs them, for messages; default: `pip install` of the first missing one
    dtypes, devices names of the supported dtypes and devices
    activations, aggregations  names of the supported functions; None: all of flowgrad's
    custom_functions  whether users' own `fg.Activation` and `fg.Aggregation` are supported
    per_output      whether gradients of single outputs, equation (11), are supported
    input_gradients whether ∂L/∂x is computed; if not, `Adjoint.dz` and `.da` of inputs may have any values
    dropout         whether `forward`, and `value_and_grad` if there is one, accept a `Dropout`
    deterministic   whether results are bit-identical from run to run and for any number of threads
    auto            rank for executor="auto", which tries executors from the highest down; 0: used only if named
    largest         number of edges above which "auto" tries this executor after the others; None: no limit
    protocol        version of this protocol that the executor implements; packages write the number itself

    "auto" tries executors that lack a kind of gradient after all others.
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
        """Return True, or the reason why it cannot run here: another protocol version, or a missing library."""
        if self.protocol != PROTOCOL:
            return f"it speaks protocol {self.protocol}, this flowgrad {PROTOCOL}: update one of them"
        absent = [library for library in self.needs if find_spec(library) is None]
        return (
            True
            if not absent
            else f"{', '.join(absent)} is not installed: {self.install or f'pip install {absent[0]}'}"
        )

    def lacks(self) -> str:
        """Describe in words which kinds of gradients the executor does not compute; "" if it computes all."""
        absent = [what for has, what in ((self.per_output, PER_OUTPUT), (self.input_gradients, INPUT)) if not has]
        return f"it gives no {' and no '.join(absent)}" if absent else ""

    def supports(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason why the declaration excludes the network or request: a dtype or a function."""
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
    """An object that compiles networks to kernels; the protocol that every executor implements."""

    @property
    def info(self) -> ExecutorInfo:
        """Declaration of the executor's abilities and requirements."""
        ...

    def can_run(self, network: Network, request: Request) -> Answer:
        """Return True, or the reason, as text, why it cannot run the network, for limits that `info` cannot express."""
        ...

    def compile(self, network: Network, request: Request) -> Kernel:
        """Compile the network to a kernel; `flowgrad.plan.lower(network)` is its plan, which is cached."""
        ...
