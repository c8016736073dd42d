"""Importance: how much every neuron moves an output, and how much of it came through."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, UnknownNameError, show, suggest
from flowgrad.executor import Array
from flowgrad.frames import frame
from flowgrad.program import Program


@dataclass(frozen=True, repr=False)
class Importance:
    """∂y_n/∂a_v and ∂y_n/∂a_v · a_v for N outputs n and all V nodes v, in the order of `net.nodes`.

    outputs       N ids; nodes: V ids; kind: V times "input", "hidden" or "output"
    gradient      (N, V) mean of ∂y_n/∂a_v over the samples
    activation    (N, V) mean of ∂y_n/∂a_v · a_v
    strength      (N, V) mean of |∂y_n/∂a_v · a_v|: the order of `top`, `records` and the frame
    each_gradient (N, V, B) ∂y_n/∂a_v of each sample, where it was asked for, else None
    """

    outputs: tuple[Hashable, ...]
    nodes: tuple[Hashable, ...]
    kind: tuple[str, ...]
    gradient: Array
    activation: Array
    strength: Array
    each_gradient: Array | None = None

    def records(self) -> list[dict[str, Any]]:
        """A dict a node and output: output by output, the strongest node first."""
        order = np.argsort(-self.strength, axis=1, kind="stable")
        return [
            {
                "output": self.outputs[n],
                "node": self.nodes[v],
                "kind": self.kind[v],
                "gradient": float(self.gradient[n, v]),
                "gradient_x_activation": float(self.activation[n, v]),
                "strength": float(self.strength[n, v]),
            }
            for n in range(len(self.outputs))
            for v in order[n].tolist()
        ]

    def top(self, k: int = 10, kind: str | None = None, output: Hashable = None) -> list[dict[str, Any]]:
        """The k strongest records of one kind of node (None: of all), for one output (None: the first).

        Raises:
            UnknownNameError: no such output or kind.
        """
        wanted = self.outputs[0] if output is None else output
        if wanted not in self.outputs:
            raise UnknownNameError(f"{wanted!r} is no output asked for{suggest(wanted, self.outputs)}")
        kinds = ("input", "hidden", "output")
        if kind is not None and kind not in kinds:
            raise UnknownNameError(f"unknown kind of node {kind!r}{suggest(kind, kinds)}")
        found = [r for r in self.records() if r["output"] == wanted and kind in (None, r["kind"])]
        return found[:k]

    def to_frame(self) -> Any:
        """The records as a pandas or polars frame.

        Raises:
            MissingDependencyError: neither is installed.
        """
        rows = self.records()
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    def __repr__(self) -> str:
        rows = self.top(10)
        width = max(len(show(row["node"])) for row in rows)
        lines = [f"Importance for output {show(self.outputs[0])}, {len(rows)} of {len(self.nodes)} nodes"]
        lines.append(f"{'node':<{width}}  kind    gradient    × activation  strength")
        lines += [
            f"{show(r['node']):<{width}}  {r['kind']:<6}  {r['gradient']:>+10.4g}  "
            f"{r['gradient_x_activation']:>+12.4g}  {r['strength']:>8.4g}"
            for r in rows
        ]
        return "\n".join(lines)


def node_importance(
    program: Program,
    X: Any,
    outputs: Iterable[Hashable] | None = None,
    *,
    theta: Any = None,
    each: bool = False,
) -> Importance:
    """∂y_n/∂a_v of every neuron v and output n, and that gradient times the activation: one reverse pass an output.

    Equation (10) with the base case 1 at output n and 0 at the others. The gradient says what a small change of
    a_v would do to y_n; times a_v it is, to first order, what y_n would lose without the neuron (Simonyan et
    al. 2013; Shrikumar et al. 2016).

    Args:
        program: with or without a loss.
        X: (B, I), or a mapping or data frame by input name.
        outputs: ids of outputs; None takes all.
        theta: (P,); None takes the program's.
        each: also keep the gradient of every sample, (N, V, B).

    Raises:
        UnknownNameError: no such output.
        ConfigError: outputs is a single text, or empty.
        ShapeError, DataError: as `program.forward`.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0], activation="identity")
    >>> node_importance(fg.compile(net, executor="python"), [[3.0]]).gradient.tolist()
    [[1.0, 2.0, 1.0]]
    """
    if isinstance(outputs, (str, bytes)):
        raise ConfigError(f"outputs={outputs!r}: give a list of ids")
    wanted = program.outputs if outputs is None else tuple(outputs)
    if not wanted:
        raise ConfigError("outputs=[]: give the id of one output at least")
    for name in wanted:
        if name not in program.outputs:
            raise UnknownNameError(f"{name!r} is no output{suggest(name, program.outputs)}")
    acts = program.forward(X, theta)
    a = acts.a.array.astype(np.float64)
    V, B = a.shape
    gradient, activation, strength = (np.empty((len(wanted), V)) for _ in range(3))
    kept = np.empty((len(wanted), V, B), program.dtype) if each else None
    cotangent = np.zeros((B, len(program.outputs)))
    for n, name in enumerate(wanted):
        cotangent[:] = 0.0
        cotangent[:, program.outputs.index(name)] = 1.0
        da = program.backward(acts, cotangent=cotangent).da.array
        if kept is not None:
            kept[n] = da
        gradient[n] = da.mean(axis=1, dtype=np.float64)
        flow = da * a
        activation[n], strength[n] = flow.mean(axis=1), np.abs(flow).mean(axis=1)
    return Importance(wanted, program.labels.nodes, _kinds(program), gradient, activation, strength, kept)


def _kinds(program: Program) -> tuple[str, ...]:
    kind = np.where(program.plan.activation < 0, "input", "hidden")
    kind[program.plan.outputs] = "output"
    return tuple(kind.tolist())
