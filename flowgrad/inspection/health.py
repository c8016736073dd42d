"""Diagnosis of a network on samples: dead and saturated neurons, vanishing and exploding gradients."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError, listing, show
from flowgrad.executor import Array
from flowgrad.inspection.given import chosen, samples
from flowgrad.inspection.local import reached, slopes
from flowgrad.inspection.saturation import saturated
from flowgrad.plan import Plan
from flowgrad.program import Program

FADED = 1e-6  # a level's gradient vanishes below this share of the largest level's


@dataclass(frozen=True, repr=False)
class Health:
    """Findings of `health` about a network with L levels on B samples.

    Values and factors of gradients are tested one by one, never their sums over samples, outputs or paths: terms that
    cancel cause no finding. dead, saturated, constant and nonfinite list only nodes from which an output can be
    reached.

    unreached    ids of neurons from which no output can be reached
    dead         ids of neurons with σ'(z) = 0 at every sample: no gradient passes through them
    saturated    ids of neurons on a flat end of σ at every sample. For a bounded σ, |σ'| is below 1/1000 of the largest
                 |σ'| that σ has anywhere (0 included). For an unbounded σ, |σ'| is below 1/1000 at every sample but
                 not 0 at all of them, and σ changes by less than 1/1000 from z to sign(z) · 1000 · max(1, |z|)
    constant     ids of neurons whose a is the same at every sample, although an input upstream of them varies
    silent       (source, target) of edges whose weight has no effect: at each sample, every path from the edge to an
                 output has a factor of the weight's gradient that is 0
    nonfinite    ids of nodes whose z or a is NaN or infinite at some sample
    gradient     (L,) float64, by level: root mean square of ∂L/∂a over the samples and over the nodes from which an
                 output can be reached; 0 for a level without such nodes
    nodes        (L,) int, number of nodes at each level
    reached      (L,) int, number of nodes at each level from which an output can be reached
    """

    unreached: tuple[Hashable, ...]
    dead: tuple[Hashable, ...]
    saturated: tuple[Hashable, ...]
    constant: tuple[Hashable, ...]
    silent: tuple[tuple[Hashable, Hashable], ...]
    nonfinite: tuple[Hashable, ...]
    gradient: Array
    nodes: Array
    reached: Array

    @property
    def vanishing(self) -> bool:
        """Whether some level's gradient is below 10⁻⁶ times the largest level's.

        Levels without a path to an output are ignored.
        """
        known = self.gradient[self.reached > 0]
        return bool((known < FADED * known.max(initial=0.0)).any())

    @property
    def exploding(self) -> bool:
        """Whether some level's gradient is not finite, or that of the first level exceeds 10⁶ times that of the last.

        Levels without a path to an output are ignored; the last level is the last one whose gradient is above 0.
        """
        known = self.gradient[self.reached > 0]
        some = known[known > 0]
        return bool(not np.isfinite(known).all() or (some.size and known[0] > some[-1] / FADED))

    @property
    def well(self) -> bool:
        """Whether there are no findings, and gradients neither vanish nor explode."""
        found = (self.unreached, self.dead, self.saturated, self.constant, self.silent, self.nonfinite)
        return not any(found) and not self.vanishing and not self.exploding

    def lines(self) -> list[str]:
        """Return one line of text per finding, or, without findings, a single line which states that there are none."""
        said = []
        for what, found in (
            ("no output depends on them", self.unreached),
            ("dead, σ'(z) = 0 at every sample", self.dead),
            ("saturated at every sample", self.saturated),
            ("the same at every sample", self.constant),
            ("not finite at some sample", self.nonfinite),
        ):
            if found:
                said.append(f"{what} ({len(found)}): {listing(found)}")
        if self.silent:
            edges = [f"{show(u)} → {show(v)}" for u, v in self.silent[:10]]
            more = " …" if len(self.silent) > 10 else ""
            said.append(f"weights without effect ({len(self.silent)}): {', '.join(edges)}{more}")
        if self.vanishing:
            said.append(f"gradients vanish: by level {self._by_level()}")
        if self.exploding:
            said.append(f"gradients explode: by level {self._by_level()}")
        return said or ["well: no dead, saturated or unreached neurons, and every weight has an effect"]

    def _by_level(self) -> str:
        return ", ".join(f"{g:.1e}" for g in self.gradient[:12]) + (" …" if len(self.gradient) > 12 else "")

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def health(program: Program, X: Any, T: Any, *, theta: Any = None, sample: int | None = None) -> Health:
    """Diagnose a network on samples: report dead, saturated and constant neurons, and vanishing or exploding gradients.

    Neurons from which no output can be reached, weights without effect, and values that are not finite are reported
    too. `Health` defines each finding.

    Args:
        X, T: inputs and targets, as for `Program.forward` and `Program.backward`.
        theta: parameters, shape (P,). Default: `program.theta`.
        sample: the only row of X to examine, an integer in 0 … B − 1. Default: all rows.

    Raises:
        ConfigError: program is not a Program; X or T is a Network, Program, Activations or Gradients.
        DataError: sample is out of range; the program has no loss.
        ShapeError, DataError, UnknownNameError: X, T or theta does not fit, as in `Program.forward` and
            `Program.backward`.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[1.0, 1.0], activation=["", "relu", "identity"])
    >>> health(fg.compile(net, loss="squared_error"), [[-1.0], [-2.0]], [[1.0], [1.0]])
    dead, σ'(z) = 0 at every sample (1): 1
    the same at every sample (2): 1, 2
    weights without effect (2): 0 → 1, 1 → 2
    gradients vanish: by level 0.0e+00, 1.0e+00, 1.0e+00
    """
    instance("health", program, Program, ConfigError)
    samples("health", X=X, T=T)
    plan, names = program.plan, program.labels.nodes
    X, T = chosen(program, sample, X, T)
    acts = program.forward(X, theta)
    grads = program.backward(acts, T)
    z, a = (values.array.astype(np.float64) for values in (acts.z, acts.a))
    weight, _ = plan.parameters(acts.theta.astype(np.float64))
    slope = slopes(program, acts)
    neurons, fed = plan.activation >= 0, reached(plan)
    idle = ~_effective(plan, weight, a, slope)
    levels = len(np.bincount(plan.level))

    def of(mask: Array) -> tuple[Hashable, ...]:
        return tuple(names[k] for k in np.flatnonzero(mask).tolist())

    return Health(
        unreached=of(neurons & ~fed),
        dead=of(neurons & fed & (slope == 0).all(axis=1)),
        saturated=of(fed & saturated(plan, z, slope)),
        constant=of(neurons & fed & (a == a[:, :1]).all(axis=1) & _varying(plan, a)),
        silent=tuple((names[plan.in_source[e]], names[plan.in_target[e]]) for e in np.flatnonzero(idle).tolist()),
        nonfinite=of(fed & ~(np.isfinite(z) & np.isfinite(a)).all(axis=1)),
        gradient=_by_level(plan, grads.da.array.astype(np.float64), fed),
        nodes=np.bincount(plan.level),
        reached=np.bincount(plan.level[fed], minlength=levels),
    )


def _by_level(plan: Plan, da: Array, fed: Array) -> Array:
    """Return (L,) root mean square of ∂L/∂a over samples and each level's nodes in `fed`; 0 for a level without any."""
    largest = float(np.abs(da[fed]).max(initial=0.0))
    unit = largest if 0 < largest < np.inf else 1.0  # avoids overflow and underflow of the squares
    squares = ((da[fed] / unit) ** 2).mean(axis=1)
    levels = len(np.bincount(plan.level))
    total, count = (np.bincount(plan.level[fed], w, minlength=levels) for w in (squares, None))
    return np.asarray(unit * np.sqrt(total / np.maximum(1, count)))


def _varying(plan: Plan, a: Array) -> Array:
    """Return (V,) bool: nodes that depend on an input whose values differ between samples."""
    varies = (plan.activation < 0) & (a != a[:, :1]).any(axis=1)
    for v in np.flatnonzero(plan.activation >= 0).tolist():
        varies[v] = varies[plan.in_source[plan.in_ptr[v] : plan.in_ptr[v + 1]]].any()
    return np.asarray(varies)


def _effective(plan: Plan, weight: Array, a: Array, slope: Array) -> Array:
    """Return (E,) bool: edges with a path to an output on which no factor of (5), (6), (8), (10) is 0, at some sample.

    Factors are compared with 0 one by one: their sums could cancel, and their products underflow.

    Args:
        weight: (E,) of every edge; a, slope: (V, B) activations and σ'(z) of every node.
    """
    found, live = np.zeros(plan.n_edges, np.bool_), np.zeros(a.shape, np.bool_)
    live[plan.outputs] = True
    for v in reversed(np.flatnonzero(plan.activation >= 0).tolist()):
        edges = slice(plan.in_ptr[v], plan.in_ptr[v + 1])
        moves = live[v] & (slope[v] != 0) & (plan.response[v] != 0)
        if edges.start == edges.stop or not moves.any():
            continue
        sources, w = plan.in_source[edges], weight[edges, None]
        reads = np.broadcast_to(moves, (len(sources), len(moves))).copy()
        if plan.coefficient[v] == 0:
            continue
        if np.isnan(plan.coefficient[v]):
            with np.errstate(all="ignore"):
                terms = w * a[sources][:, moves]
            reads[:, moves] = plan.slopes_into(v, terms) != 0
        found[edges] = (reads & (a[sources] != 0)).any(axis=1)
        live[sources] |= reads & (w != 0)
    return found
