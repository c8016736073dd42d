"""Activations and Gradients: results of a program's forward and backward, by name of node or edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from flowgrad.arguments import frozen
from flowgrad.errors import ExecutorError, brief, show
from flowgrad.executor import INPUT, Adjoint, Array, ExecutorInfo, Saved
from flowgrad.frames import frame
from flowgrad.labels import ByEdge, ByInput, ByNode, ByOutput, Labels
from flowgrad.maths.dropout import Dropout
from flowgrad.plan import Plan
from flowgrad.registry import find
from flowgrad.reprs import SHOWN, said


@dataclass(frozen=True, eq=False)
class Origin:
    """Data that results share with the program that made them; its identity tells which program made a result.

    labels      names of nodes and edges, and the plan
    dtype       of θ and of every result
    executor    what the executor declares
    """

    labels: Labels
    dtype: np.dtype[Any]
    executor: ExecutorInfo

    @property
    def plan(self) -> Plan:
        """Return the plan, whose order the arrays have."""
        return self.labels.plan

    def outputs_of(self, saved: Saved) -> Array:
        """Return a of the outputs, (B, O)."""
        return np.ascontiguousarray(saved.a[self.plan.outputs].T)

    def need_input_gradients(self) -> None:
        """Raise ExecutorError if the executor declares that it does not give gradients of inputs."""
        if not self.executor.input_gradients:
            raise ExecutorError(f"executor {brief(self.executor.name)} gives no {INPUT}")


class Maker(Protocol):
    """Protocol of an object that makes results: a `Program`."""

    @property
    def origin(self) -> Origin:
        """Return the `Origin` that its results share."""
        ...


@dataclass(frozen=True, eq=False, repr=False)
class Activations:
    """z and a of every neuron and sample, as computed by `Program.forward`. Later calls do not change them.

    Arrays are read-only and in the program's dtype. An input has z = x.

    saved   record of z and a, (V, B) each, in the order of `net.nodes`; `z` and `a` give them by name
    theta   (P,) copy of the θ that was used, which `Program.backward` uses too
    dropout the `fg.Dropout` that was used, or None; with it, a includes the dropout factors 0 or 1/(1 − p)
    """

    _origin: Origin
    saved: Saved
    theta: Array
    dropout: Dropout | None = None

    def __post_init__(self) -> None:
        for array in (self.saved.z, self.saved.a, self.theta):
            array.flags.writeable = False

    @cached_property
    def z(self) -> ByNode:
        """Mapping from each node id to its z, (B,); `.array` is all of them, (V, B)."""
        return ByNode(self._origin.labels, self.saved.z)

    @cached_property
    def a(self) -> ByNode:
        """Mapping from each node id to its a, (B,); `.array` is all of them, (V, B)."""
        return ByNode(self._origin.labels, self.saved.a)

    @cached_property
    def output(self) -> Array:
        """Outputs y of the network, (B, O): a of the output nodes."""
        return frozen(self._origin.outputs_of(self.saved))

    def belong_to(self, program: Maker) -> bool:
        """Return whether `program` computed these activations."""
        return self._origin is program.origin

    def __repr__(self) -> str:
        V, B = self.saved.a.shape
        head = f"Activations({V:,} nodes, {_samples(B)}, {self.saved.a.dtype})"
        return _table(head, self._origin.labels, {"z": self.saved.z, "a": self.saved.a})


@dataclass(frozen=True, eq=False, repr=False)
class Gradients:
    """The loss and its gradients, as computed by `Program.backward`. Arrays are read-only.

    "Reduced" means: the mean or the sum over the samples, as the program's reduction is; under a cotangent the sum.
    Gradients of single samples include the sample's weight and are never divided by B.

    loss            reduced loss, a float; None under a cotangent
    loss_by_output  mapping from each output to its part l_n of the loss (4), reduced; None under a cotangent
    theta           ∂L/∂θ, (P,), reduced
    dz, da          mappings from each node to ∂L/∂z and ∂L/∂a of each sample, (B,); `.array` (V, B)
    input           mapping from each input to ∂L/∂x of each sample, (B,); `.array` (B, I)
    weight          mapping from each edge, `source, target`, to ∂L/∂w (5), reduced; also of shared and frozen weights
    bias            mapping from each node to ∂L/∂b, reduced; also of frozen biases
    per_output      mapping from each output to ∂l_n/∂θ, (P,), reduced (11), if `backward(per_output=True)` made it
    counts          numbers of cache writes, edge visits and cache reuses, or None if the executor does not count them
    """

    _origin: Origin
    _acts: Activations
    _adjoint: Adjoint
    loss: float | None
    _scale: float
    _rows: ByOutput | None = None
    _losses: ByOutput | None = None

    def __post_init__(self) -> None:
        for array in (self._adjoint.dz, self._adjoint.da, self._adjoint.weight, self._adjoint.bias):
            array.flags.writeable = False

    @property
    def loss_by_output(self) -> ByOutput | None:
        """Mapping from each output to its l_n, reduced, with L = Σ_n l_n (4); `.array` (O,) float64.

        None under a cotangent.
        """
        return self._losses

    @property
    def counts(self) -> dict[str, int] | None:
        """Operations of the backward pass by name: `cache_writes`, `edge_visits` and `cache_reuses`.

        None if the executor does not count them; the Python executor does.
        """
        return self._adjoint.counts

    @property
    def per_output(self) -> Mapping[Any, Array]:
        """Mapping from each output to ∂l_n/∂θ, (P,), reduced, equation (11); `.array` (O, P).

        Raises:
            AttributeError: `backward` was called without per_output=True.
        """
        if self._rows is None:
            raise AttributeError("these Gradients have no per_output: backward(..., per_output=True)")
        return self._rows

    @cached_property
    def dz(self) -> ByNode:
        """Mapping from each node to ∂L/∂z of each sample, (B,); `.array` (V, B)."""
        return ByNode(self._origin.labels, self._adjoint.dz)

    @cached_property
    def da(self) -> ByNode:
        """Mapping from each node to ∂L/∂a of each sample, (B,); `.array` (V, B)."""
        return ByNode(self._origin.labels, self._adjoint.da)

    @cached_property
    def theta(self) -> Array:
        """Gradient ∂L/∂θ, (P,), reduced; that of a shared weight is the sum over its edges."""
        plan = self._origin.plan
        g: Array = plan.fold(self._adjoint.weight, self._adjoint.bias, np.empty(plan.n_parameters, self._factor.dtype))
        g *= self._factor
        return frozen(g)

    @property
    def _factor(self) -> Any:
        """Return the factor of the reduction, by which sums over the samples are multiplied, in the program's dtype."""
        return self._origin.dtype.type(self._scale)

    @cached_property
    def weight(self) -> ByEdge:
        """Mapping from each edge, `source, target`, to its own ∂L/∂w, reduced; `.array` (E,).

        Edges that share a weight have their single terms here, whose sum is in `theta`.
        """
        return ByEdge(self._origin.labels, frozen(self._adjoint.weight * self._factor))

    @cached_property
    def bias(self) -> ByNode:
        """Mapping from each node to ∂L/∂b, reduced; 0 for inputs; `.array` (V,)."""
        return ByNode(self._origin.labels, frozen(self._adjoint.bias * self._factor))

    @cached_property
    def input(self) -> ByInput:
        """Mapping from each input to ∂L/∂x of each sample, (B,); `.array` (B, I).

        Raises:
            ExecutorError: the executor does not compute gradients of inputs.
        """
        self._origin.need_input_gradients()
        return ByInput(self._origin.labels, frozen(self._adjoint.dz[self._origin.plan.inputs].T))

    def to_frame(self) -> Any:
        """Make a data frame with one row per weight and per bias, in pandas or, if that is not installed, polars.

        Its columns are kind ("weight" or "bias"), source (None for a bias), target, value, gradient (reduced), and
        slot (index into θ, −1 if frozen).

        Raises:
            MissingDependencyError: neither pandas nor polars is installed.
        """
        plan, labels = self._origin.plan, self._origin.labels
        weight, bias = plan.parameters(self._acts.theta)
        neurons = np.flatnonzero(plan.activation >= 0).tolist()
        sources, ends = zip(*labels.edges, strict=True) if labels.edges else ((), ())
        return frame(
            {
                "kind": ["weight"] * len(sources) + ["bias"] * len(neurons),
                "source": [*sources, *[None] * len(neurons)],
                "target": [*ends, *(labels.nodes[k] for k in neurons)],
                "value": np.concatenate([weight, bias[neurons]]),
                "gradient": np.concatenate([self.weight.array, self.bias.array[neurons]]),
                "slot": np.concatenate([plan.weight_slot, plan.bias_slot[neurons]]),
            }
        )

    def _repr_html_(self) -> str:
        return str(find("displays", "gradients")(self))

    def __repr__(self) -> str:
        V, B = self._adjoint.dz.shape
        loss = "cotangent" if self.loss is None else f"loss {self.loss:.6g}"
        head = f"Gradients({loss}, {self._origin.plan.n_parameters:,} parameters, {V:,} nodes, {_samples(B)})"
        table = _table(head, self._origin.labels, {"∂L/∂a": self._adjoint.da, "∂L/∂z": self._adjoint.dz})
        listed = [f"  ∂L/∂w  {self.weight._listed()}"]
        if self._losses is not None:
            listed.append(f"  L = Σ l_n  {self._losses._listed()}")
        return "\n".join([table, *listed])


def _samples(B: int) -> str:
    return f"{B:,} sample{'' if B == 1 else 's'}"


def _table(head: str, labels: Labels, columns: Mapping[str, Array]) -> str:
    """Format a repr: a head line, then at most `SHOWN` rows, each with a node's values in the first samples."""
    shown = range(min(SHOWN, len(labels.nodes)))
    values = [c[:SHOWN, 0] if c.shape[1] == 1 else c[:SHOWN] for c in columns.values()]
    rows = [["", *columns], *([show(labels.nodes[v]), *(said(c[v]) for c in values)] for v in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    more = len(labels.nodes) - len(shown)
    return "\n".join([head, *lines, *([f"  … ({more:,} more)"] if more else [])])
