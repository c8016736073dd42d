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
        """(B, O): a of the outputs."""
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
    """What forward found, of every neuron and sample. Valid after later calls; carries the θ it was made with.

    saved   z and a as arrays (V, B), read-only
    theta   (P,) the θ it was made with, read-only
    dropout the draw it was made with; a is then what a neuron's successors read
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
        """z by node, (B,) each; `.array` (V, B)."""
        return ByNode(self._origin.labels, self.saved.z)

    @cached_property
    def a(self) -> ByNode:
        """a by node, (B,) each; `.array` (V, B)."""
        return ByNode(self._origin.labels, self.saved.a)

    @cached_property
    def output(self) -> Array:
        """(B, O): a of the outputs."""
        return frozen(self._origin.outputs_of(self.saved))

    def belong_to(self, program: Maker) -> bool:
        """Whether this program made them."""
        return self._origin is program.origin

    def __repr__(self) -> str:
        V, B = self.saved.a.shape
        head = f"Activations({V:,} nodes, {_samples(B)}, {self.saved.a.dtype})"
        return _table(head, self._origin.labels, {"z": self.saved.z, "a": self.saved.a})


@dataclass(frozen=True, eq=False, repr=False)
class Gradients:
    """What backward found: ∂L/∂ everything; every array is read-only.

    loss        the reduced loss; None under a cotangent
    loss_by_output  l_n by output, reduced, whose sum is the loss, (4); None under a cotangent
    theta       (P,) reduced
    dz, da      ∂L/∂z, ∂L/∂a by node, (B,) each; `.array` (V, B); of each sample, never divided by B
    input       ∂L/∂x by input, (B,) each; `.array` (B, I)
    weight      the edge's own term (5), reduced, by `source, target`; shared and frozen edges too
    bias        reduced, by node
    per_output  where asked for: ∂l_n/∂θ (P,) by output
    counts      cache writes, edge visits and cache reuses, where the executor counts them
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
        """l_n by output, reduced; `.array` (O,) float64: L = Σ_n l_n, (4). None under a cotangent."""
        return self._losses

    @property
    def counts(self) -> dict[str, int] | None:
        """Cache writes, edge visits and cache reuses, where the executor counts them."""
        return self._adjoint.counts

    @property
    def per_output(self) -> Mapping[Any, Array]:
        """∂l_n/∂θ (P,) by output, equation (11).

        Raises:
            AttributeError: backward was not asked for it, with per_output=True.
        """
        if self._rows is None:
            raise AttributeError("these Gradients have no per_output: backward(..., per_output=True)")
        return self._rows

    @cached_property
    def dz(self) -> ByNode:
        """∂L/∂z by node, (B,) each; `.array` (V, B)."""
        return ByNode(self._origin.labels, self._adjoint.dz)

    @cached_property
    def da(self) -> ByNode:
        """∂L/∂a by node, (B,) each; `.array` (V, B)."""
        return ByNode(self._origin.labels, self._adjoint.da)

    @cached_property
    def theta(self) -> Array:
        """(P,): ∂L/∂θ, reduced."""
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
        """∂L/∂w of each edge on its own, reduced."""
        return ByEdge(self._origin.labels, frozen(self._adjoint.weight * self._factor))

    @cached_property
    def bias(self) -> ByNode:
        """∂L/∂b of each neuron, reduced; 0 at inputs."""
        return ByNode(self._origin.labels, frozen(self._adjoint.bias * self._factor))

    @cached_property
    def input(self) -> ByInput:
        """∂L/∂x, of each sample.

        Raises:
            ExecutorError: the executor declares that it does not give them.
        """
        self._origin.need_input_gradients()
        return ByInput(self._origin.labels, frozen(self._adjoint.da[self._origin.plan.inputs].T))

    def to_frame(self) -> Any:
        """A table of every edge and bias (kind, source, target, value, gradient, slot in θ), in pandas or polars.

        Raises:
            MissingDependencyError: neither is installed.
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
