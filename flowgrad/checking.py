"""Gradient checks: compare ∂L/∂θ of the backward pass with finite differences of the loss, which do not use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad import batch
from flowgrad.arguments import instance, real, row, whole
from flowgrad.errors import ConfigError, ShapeError, show
from flowgrad.executor import Array
from flowgrad.program import Program, compile
from flowgrad.registry import names

STEPS = (1e-2, 1e-4, 1e-6)  # first step of a tableau, relative to `size`; the next is tried if the doubt is too large
LEVELS = 4  # steps per tableau, each half the last: error terms in h², h⁴ and h⁶ cancel
GOAL = 1e-9  # target for the estimated error, relative to the largest component of the gradient
TOLERANCE = {"float64": 1e-7, "float32": 1e-3}  # relative to it; float32 has rounding errors in sums over samples


@dataclass(frozen=True)
class Difference:
    """A numerical derivative `value` of f at 0, its estimated error `doubt`, and whether f has a kink at 0."""

    value: float
    doubt: float
    kink: bool


@dataclass(frozen=True)
class Slot:
    """One comparison of derivatives, along one slot of θ or along a direction through all slots (slot −1).

    `label` names the weight, bias or direction. The other fields are explained in `GradientCheck`.
    """

    slot: int
    label: str
    analytic: float
    numeric: float
    error: float
    doubt: float
    verdict: str


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """Result of `gradcheck`.

    slots       comparisons: first those that differ, then those that agree, then the inconclusive ones, each group by
                falling error. `error` is |analytic − numeric| and `doubt` the estimated error of numeric, both divided
                by `scale`, or for directions by |∂L/∂θ|/√P. `verdict` is "agrees" (error ≤ tolerance), "differs",
                "kink" (the loss is not differentiable at θ) or "unsure" (the differences do not converge); the last
                two are inconclusive
    worst_error largest error of the slots that agree or differ; 0 if there are none
    tolerance   largest error at which a slot agrees
    scale       largest |∂L/∂θ_k|
    checked     number of slots of θ that were compared, without directions
    parameters  P, number of all slots of θ
    rows        number of slots that `repr` shows; with 0 it shows only the summary

    Its repr is a table of the first `rows` slots, analytic beside numeric derivative, and a summary.
    """

    slots: tuple[Slot, ...]
    worst_error: float
    tolerance: float
    scale: float
    checked: int
    parameters: int
    rows: int = 10

    @property
    def passed(self) -> bool:
        """Whether no comparison differs and at least half of them agree."""
        sure = sum(s.verdict == "agrees" for s in self.slots)
        return 2 * sure >= len(self.slots) and all(s.verdict != "differs" for s in self.slots)

    def table(self, rows: int | None = None) -> str:
        """Format a table of the first `rows` slots, analytic beside numeric derivative, and a summary.

        Args:
            rows: number of slots to show, ≥ 0; default: `self.rows`.
        """
        shown = self.slots[: self.rows if rows is None else rows]
        width = max([len(s.label) for s in shown], default=0)
        lines = [f"{'':<{width}}  {'analytic':>22}  {'numeric':>22}  {'error':>8}"]
        lines += [
            f"{s.label:<{width}}  {s.analytic:>22.14e}  {s.numeric:>22.14e}  {s.error:>8.1e}"
            + ("" if s.verdict == "agrees" else f"  {s.verdict}")
            for s in shown
        ]
        return "\n".join([*lines, self._sentence()])

    def _sentence(self) -> str:
        counts = {v: sum(s.verdict == v for s in self.slots) for v in ("differs", "kink", "unsure")}
        odd = "".join(f", {n} {v}" for v, n in counts.items() if n)
        directions = len(self.slots) - self.checked
        also = f" and {directions} directions through all of θ" if directions else ""
        return (
            f"{'passed' if self.passed else 'FAILED'}: {self.checked} of {self.parameters} slots of θ{also}{odd}; "
            f"worst error {self.worst_error:.1e} of the largest component, allowed {self.tolerance:.0e}"
        )

    def __repr__(self) -> str:
        return self.table() if self.rows else f"GradientCheck({self._sentence()})"


def gradcheck(
    program: Program,
    X: Any,
    T: Any,
    *,
    theta: Any = None,
    sample: int | None = None,
    sample_weight: Any = None,
    slots: int = 200,
    directions: int = 8,
    seed: int = 0,
    tolerance: float | None = None,
    rows: int = 10,
) -> GradientCheck:
    """Check ∂L/∂θ of the backward pass against finite differences of the loss, with Richardson extrapolation.

    For a float32 program, the differences are computed with the same network in float64. Where an activation has a
    kink (relu at 0), the loss has no derivative to compare with: such slots get the verdict "kink". They do not fail
    the check unless more than half of all comparisons are inconclusive.

    Args:
        program: Program, compiled with a loss; it is not changed.
        X, T, sample_weight: as for `program.value_and_grad`.
        theta: (P,); default: `program.theta`.
        sample: row number, 0 … B−1, of the one sample to use; default: all samples.
        slots: largest number of slots of θ to compare, an integer ≥ 1; if θ has more, this many are drawn at random.
        directions: number, ≥ 0, of random directions along which derivatives are also compared if P > slots; each
            direction changes all slots at once.
        seed: seed, an integer ≥ 0, of the generator that draws slots and directions.
        tolerance: allowed error above 0, relative to the largest component of the gradient (for a direction, to
            |∂L/∂θ|/√P); default: 1e-7 for float64, 1e-3 for float32.
        rows: number, ≥ 0, of slots that the repr of the result shows; with 0 it shows only the summary.

    Raises:
        ConfigError: an argument has the wrong type or is out of range.
        ShapeError, DataError, UnknownNameError: as `program.value_and_grad`, or there is no row `sample` (DataError).
        ExecutorError: the program is float32, and its executor does not support float64.
        GraphError: the program is float32, and `program.theta` is not finite.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [1, 2], weight=[0.5, 2.0])
    >>> program = fg.compile(net, executor="python", loss="squared_error")
    >>> check = gradcheck(program, [[1.0], [2.0]], [[0.5], [0.1]], rows=0)
    >>> check, check.passed
    (GradientCheck(passed: 4 of 4 slots of θ; worst error ... of the largest component, allowed 1e-07), True)
    """
    instance("gradcheck", program, Program, ConfigError)
    limit, directions, rows = whole("slots", slots, 1), whole("directions", directions, 0), whole("rows", rows, 0)
    allowed = TOLERANCE[program.dtype.name] if tolerance is None else real("tolerance", tolerance, 0, open_low=True)
    rng = np.random.default_rng(whole("seed", seed, 0))
    th = batch.parameters(program.theta if theta is None else theta, program.plan, program.dtype).astype(np.float64)
    X, T, sample_weight = _one(program, sample, X, T, sample_weight)
    loss_at = _loss_function(program, X, T, sample_weight)
    g = program.value_and_grad(th.astype(program.dtype), X, T, sample_weight=sample_weight)[1].astype(np.float64)
    P, scale = len(th), float(np.abs(g).max(initial=0.0))
    chosen = np.arange(P) if limit >= P else np.sort(rng.choice(P, limit, replace=False))
    found = [_compare_slot(program, loss_at, th, g, k, scale, allowed) for k in chosen.tolist()]
    for n in range(directions if limit < P else 0):
        found.append(_compare_direction(loss_at, th, g, n + 1, rng.normal(size=P), allowed))
    found.sort(key=lambda s: (s.verdict != "differs", s.verdict != "agrees", -s.error))
    worst = max((s.error for s in found if s.verdict in ("agrees", "differs")), default=0.0)
    return GradientCheck(tuple(found), worst, allowed, scale, len(chosen), P, rows)


def _one(program: Program, sample: int | None, X: Any, T: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Select X, T and sample_weight of one sample; return all three unchanged if `sample` is None."""
    if sample is None:
        return X, T, sample_weight
    x = batch.table(X, program.inputs, "X", "input", program.dtype)
    k = row("sample", sample, len(x))
    weights = None if sample_weight is None else batch.real(sample_weight, "sample_weight", np.dtype(np.float64))
    if weights is not None and weights.shape != (len(x),):
        raise ShapeError(f"sample_weight has shape {weights.shape}: must be ({len(x)},), one a sample")
    t = batch.targets_of(k, T, program.outputs, len(x), program._need_loss(), program.dtype)
    return x[k : k + 1], t, None if weights is None else weights[k : k + 1]


def _loss_function(program: Program, X: Any, T: Any, sample_weight: Any) -> Callable[[Array], float]:
    """Make a function θ (P,) float64 → L, computed in float64 on the data as rounded to the program's dtype."""
    x = batch.table(X, program.inputs, "X", "input", program.dtype)
    s = batch.weights_of_samples(sample_weight, len(x))
    kept = None if s is None else s.kept
    t = batch.targets(T, program.outputs, len(x), program._need_loss(), program.dtype, kept)
    x, weights = x if kept is None else x[kept], None if s is None else s.whole
    twin = program
    if program.dtype != np.float64:
        executor = program.executor if program.executor in names("executors") else "python"
        twin = compile(program.network(), executor, "float64", program.loss, program.reduction)
    out = np.empty(program.plan.n_parameters)
    return lambda theta: twin.value_and_grad(theta, x, t, out, weights)[0]


def _compare_slot(
    program: Program, loss_at: Callable[[Array], float], th: Array, g: Array, k: int, scale: float, allowed: float
) -> Slot:
    moved = th.copy()

    def along(h: float) -> float:
        moved[k] = th[k] + h
        return loss_at(moved)

    kind, key = program.theta_index.label(k)
    label = f"weight {show(key[0])} → {show(key[1])}" if kind == "weight" else f"bias {show(key)}"
    return _judge(k, label, float(g[k]), difference(along, max(1.0, abs(th[k])), GOAL * scale), scale, allowed)


def _compare_direction(
    loss_at: Callable[[Array], float], th: Array, g: Array, number: int, v: Array, allowed: float
) -> Slot:
    """Compare ∂L/∂h of L(θ + h·v), |v| = 1, with g·v, whose root mean square over random directions is |g|/√P."""
    v, scale = v / np.sqrt(v @ v), float(np.sqrt(g @ g / len(g)))
    found = difference(lambda h: loss_at(th + h * v), 1.0, GOAL * scale)
    return _judge(-1, f"direction {number}", float(g @ v), found, scale, allowed)


def _judge(slot: int, label: str, analytic: float, found: Difference, scale: float, allowed: float) -> Slot:
    unit = scale or 1.0
    error, doubt = abs(analytic - found.value) / unit, found.doubt / unit
    if error <= allowed:
        verdict = "agrees"
    elif found.kink:
        verdict = "kink"
    elif doubt > max(allowed, 0.1 * error):
        verdict = "unsure"
    else:
        verdict = "differs"
    return Slot(slot, label, analytic, found.value, error, doubt, verdict)


def difference(f: Callable[[float], float], size: float, wanted: float) -> Difference:
    """Compute f′(0) by central differences extrapolated to h = 0 (Richardson 1911), in the tableau of Ridders (1982).

        D(h) = (f(h) − f(−h)) / 2h = f′ + c₂h² + c₄h⁴ + …
        T_{k,j} = T_{k,j−1} + (T_{k,j−1} − T_{k−1,j−1}) / (4ʲ − 1),   T_{k,0} = D(h/2ᵏ)

    A smaller first step is tried while `doubt`, the estimated error, exceeds `wanted`. It is the difference between
    neighbours in the tableau, plus the rounding error of f divided by the smallest step.

    Args:
        f: function of one float.
        size: magnitude of the variable; the first steps are `STEPS` times this.
        wanted: estimated error at which the search ends.

    >>> round(difference(lambda h: (2 + h) ** 3, 1.0, 1e-9).value, 9)
    12.0
    """
    middle, best = f(0.0), Difference(np.nan, np.inf, False)
    for first in STEPS:
        found = _tableau(f, middle, first * size)
        if found.doubt < best.doubt:
            best = found
        if best.doubt <= wanted:
            break
    return best


def _tableau(f: Callable[[float], float], middle: float, h: float) -> Difference:
    steps = h * 0.5 ** np.arange(LEVELS)
    ends = np.array([(f(s), f(-s)) for s in steps])
    with np.errstate(all="ignore"):
        T: npt.NDArray[np.float64] = (ends[:, 0] - ends[:, 1]) / (2 * steps)
        bend = (ends[:, 0] + ends[:, 1] - 2 * middle) / steps  # right slope less left slope: h·f″, or a kink's jump
        noise = np.finfo(float).eps * max(np.abs(ends).max(), abs(middle)) / steps[-1]
        value, doubt = float(T[-1]), np.inf
        for j in range(1, LEVELS):
            T = T[1:] + (T[1:] - T[:-1]) / (4.0**j - 1)
            moved = abs(T[-1] - value)
            if moved <= doubt:
                value, doubt = float(T[-1]), float(moved)
        kink = abs(bend[-1]) > 0.75 * abs(bend[-2]) > 0 and abs(bend[-1]) > 16 * noise
    return Difference(value, doubt + noise if np.isfinite(doubt) else np.inf, bool(kink))
