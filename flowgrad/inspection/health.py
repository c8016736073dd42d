"""Health: what in a network does not work, on some data: dead and saturated neurons, gradients that fade or grow."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.errors import listing, show
from flowgrad.executor import Array
from flowgrad.inspection.local import reached, slopes
from flowgrad.program import Program

SATURATED = 1e-3  # σ' below this share of the largest σ' that the activation has on the data
FADED = 1e-6  # a gradient below this share of the largest level's


@dataclass(frozen=True, repr=False)
class Health:
    """What `health` found over B samples.

    unreached    neurons that no output depends on
    dead         neurons whose σ' is 0 at every sample: nothing is learned through them
    saturated    neurons whose σ' is below a thousandth of the largest of their activation, at every sample
    constant     neurons whose a is the same at every sample
    silent       (source, target) of edges whose weight has no effect on the loss at any sample
    gradient     (L,) by level, root mean square of ∂L/∂a over the samples and the level's nodes that reach an output
    nodes        (L,) int how many nodes each level has
    """

    unreached: tuple[Hashable, ...]
    dead: tuple[Hashable, ...]
    saturated: tuple[Hashable, ...]
    constant: tuple[Hashable, ...]
    silent: tuple[tuple[Hashable, Hashable], ...]
    gradient: Array
    nodes: Array

    @property
    def vanishing(self) -> bool:
        """Whether some level's gradient is below a millionth of the largest."""
        return bool((self.gradient < FADED * self.gradient.max()).any())

    @property
    def exploding(self) -> bool:
        """Whether the first level's gradient is a million times the last one's, or not finite."""
        first, last = self.gradient[0], self.gradient[self.gradient > 0][-1:] if len(self.gradient) else self.gradient
        return bool(not np.isfinite(self.gradient).all() or (last.size and first > last[0] / FADED))

    @property
    def well(self) -> bool:
        """Nothing to say."""
        found = (self.unreached, self.dead, self.saturated, self.constant, self.silent)
        return not any(found) and not self.vanishing and not self.exploding

    def lines(self) -> list[str]:
        """What there is to say, a line each."""
        said = []
        for what, found in (
            ("no output depends on them", self.unreached),
            ("dead, σ'(z) = 0 at every sample", self.dead),
            ("saturated at every sample", self.saturated),
            ("the same at every sample", self.constant),
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
        return said or ["well: no dead, saturated or unreached neurons, no weights without effect"]

    def _by_level(self) -> str:
        return ", ".join(f"{g:.1e}" for g in self.gradient[:12]) + (" …" if len(self.gradient) > 12 else "")

    def __repr__(self) -> str:
        return "\n".join(self.lines())


def health(program: Program, X: Any, T: Any) -> Health:
    """Look through forward and backward of these samples for what does not work.

    Raises:
        ShapeError, DataError, UnknownNameError: as forward and backward.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[1.0, 1.0], activation=["", "relu", "identity"])
    >>> health(fg.compile(net, loss="squared_error"), [[-1.0], [-2.0]], [[1.0], [1.0]])
    dead, σ'(z) = 0 at every sample (1): 1
    the same at every sample (2): 1, 2
    weights without effect (2): 0 → 1, 1 → 2
    gradients vanish: by level 0.0e+00, 1.0e+00, 1.0e+00
    """
    plan, names = program.plan, program.labels.nodes
    acts = program.forward(X)
    grads = program.backward(acts, T)
    a, da = (values.array.astype(np.float64) for values in (acts.a, grads.da))
    slope = slopes(program, acts)
    neurons = plan.activation >= 0
    largest = np.zeros(len(names))
    for code in range(len(plan.activations)):
        mine = plan.activation == code
        largest[mine] = np.abs(slope[mine]).max(initial=0.0)
    strongest = np.abs(slope).max(axis=1)
    fed = reached(plan)
    dead = neurons & (strongest == 0)
    saturated = neurons & ~dead & (strongest < SATURATED * largest)
    constant = neurons & (np.ptp(a, axis=1) == 0) & (np.diff(plan.in_ptr) > 0)
    target = np.repeat(np.arange(plan.n_nodes), np.diff(plan.in_ptr))
    idle = (a[plan.in_source] == 0).all(axis=1) | (grads.dz.array == 0).all(axis=1)[target]
    chosen = [k for k, agg in enumerate(plan.aggregations) if agg.name not in ("sum", "mean")]
    idle |= np.isin(plan.aggregation[target], chosen) & (grads.weight.array == 0)  # such as never the largest
    counted = np.maximum(1, np.bincount(plan.level[fed], minlength=int(plan.level.max()) + 1))
    squares = np.bincount(plan.level[fed], (da * da).mean(axis=1)[fed], minlength=len(counted)) / counted

    def of(mask: Array) -> tuple[Hashable, ...]:
        return tuple(names[k] for k in np.flatnonzero(mask).tolist())

    return Health(
        unreached=of(neurons & ~fed),
        dead=of(dead & fed),
        saturated=of(saturated & fed),
        constant=of(constant & fed),
        silent=tuple((names[plan.in_source[e]], names[target[e]]) for e in np.flatnonzero(idle).tolist()),
        gradient=np.sqrt(squares),
        nodes=np.bincount(plan.level),
    )
