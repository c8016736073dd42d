"""Minimisation of a program's loss over all samples by SciPy's optimizers, with exact gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.arguments import instance, real
from flowgrad.errors import ConfigError, MissingDependencyError, NonFiniteError, UnknownNameError, brief, suggest
from flowgrad.fitting.samples import ClassWeight, Samples, samples_of, smoothed, weighted_by_class
from flowgrad.fitting.slots import Bounds, Given, bounds, factors
from flowgrad.fitting.stored import is_source
from flowgrad.nonfinite import culprit
from flowgrad.program import Program

Array = npt.NDArray[Any]

BOUNDED = ("L-BFGS-B", "TNC", "SLSQP", "trust-constr")
METHODS = (*BOUNDED, "BFGS", "CG", "Newton-CG")
"""SciPy's methods that need a gradient and no Hessian; those in `BOUNDED` support bounds."""


def minimize(
    program: Program,
    X: Any,
    T: Any,
    *,
    method: str = "L-BFGS-B",
    sample_weight: Any = None,
    l2: Given = 0.0,
    constraints: Any = None,
    class_weight: ClassWeight | None = None,
    label_smoothing: float = 0.0,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
    callback: Callable[..., object] | None = None,
) -> Any:
    """Minimise the loss of all samples by `scipy.optimize.minimize`, and set `program.theta` to the θ that it found.

    This suits smooth losses and networks of up to some 100,000 parameters: there, a method that uses all samples in
    each step usually reaches a lower loss than `fit`. BFGS, SLSQP and trust-constr store a matrix of P × P numbers;
    the other methods do not. SciPy computes in float64, also if the program's dtype is float32. Ctrl-C, or
    `fg.StopTraining` raised by `callback`, ends the minimisation early without an exception. Where a method does not
    succeed or ends early, the result is the best θ evaluated so far.

    Args:
        program: Program compiled with a loss. Minimisation starts from `program.theta`, projected onto the bounds.
        X, T, sample_weight: as for `fit`, but T is required, and sources are not supported.
        method: "L-BFGS-B", "TNC", "SLSQP", "trust-constr", "BFGS", "CG" or "Newton-CG"; case is ignored.
        l2, constraints, class_weight, label_smoothing: as for `fit`. Constraints, edge attributes included, need one of
            the first four methods. There is no l1 penalty, as it is not smooth.
        tol: number ≥ 0, SciPy's tolerance for termination. Default: that of the method.
        options: mapping of SciPy's options for the method, such as {"maxiter": 200}.
        callback: callable that SciPy calls after each iteration, with the arguments that the method defines.

    Returns:
        SciPy's `OptimizeResult`: `x` (P,) float64 is θ, `fun` the loss plus the l2 penalty, `jac` (P,) float64 the
        gradient (under trust-constr `grad`, if present), `nit` the number of iterations, `nfev` that of evaluations,
        `success`, `message`. After an early end `success` is False, and `nit` may be missing.

    Raises:
        ConfigError: an argument has the wrong type or range, X or T is a source, the network has no trained
            parameters, or there are bounds and the method supports none.
        UnknownNameError: there is no such method, class, column, or key of `l2` or `constraints`.
        GraphError: an edge's attribute `constraint` is no bound, or contradicts another one.
        ShapeError, DataError: as for `program.value_and_grad`.
        NonFiniteError: the loss or gradient is not finite at the start or at the end; the message names the neuron.
            `program.theta` is then the best θ evaluated so far, or unchanged if there is none.
        MissingDependencyError: SciPy is not installed.

    >>> import flowgrad as fg
    >>> net = fg.Network.from_arrays([0, 1], [2, 2], activation="identity")
    >>> program = fg.compile(net, executor="python", loss="squared_error")
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> minimize(program, X, X @ [[2.0], [-1.0]]).success
    True
    >>> bool(np.allclose(program.theta, [2.0, -1.0, 0.0], atol=1e-4))
    True
    """
    instance("minimize", program, Program, ConfigError)
    if is_source(X) or is_source(T):
        raise ConfigError("minimize looks at all samples for each step: give arrays X and T, or train by fit")
    method, data = _method(method), samples_of(program, X, T, sample_weight)
    data = smoothed(program, weighted_by_class(program, data, class_weight), label_smoothing)
    limits, penalty = bounds(program, constraints), factors(program, "l2", l2)
    if limits is not None and method not in BOUNDED:
        raise ConfigError(f"method={brief(method)} keeps to no constraints; these do: {', '.join(BOUNDED)}")
    if not program.plan.n_parameters:
        raise ConfigError("minimize: the network has no parameters that are trained")
    if callback is not None and not callable(callback):
        raise ConfigError(f"callback={brief(callback)}: must be a function as SciPy calls it, or None")
    given = {} if options is None else dict(instance("options=", options, Mapping, ConfigError))  # type: ignore[type-abstract]  # isinstance takes it
    how = {"method": method, "tol": None if tol is None else real("tol", tol, 0), "options": given}
    objective = Objective(program, data, penalty, limits)
    try:
        found = _run(objective, objective.within(program.theta), how | {"callback": callback})
    finally:
        if objective.best is not None:
            program.theta = objective.best
    _settle(objective, found)
    program.theta = found.x
    return found


class Objective:
    """The objective for SciPy: θ (P,) float64 → the reduced loss with its penalty, and the gradient (P,) float64.

    best  (P,) float64, of all θ within the bounds with finite value and gradient the one of least value; None before
          the first
    """

    def __init__(self, program: Program, data: Samples, l2: Array | None, limits: Bounds | None) -> None:
        self.program, self.data = program, data
        self.l2 = None if l2 is None else l2.astype(np.float64)
        self.limits = None if limits is None else Bounds(*(end.astype(np.float64) for end in limits))
        self.best: Array | None = None
        self.least, self.gradient, self.calls = math.inf, np.zeros(0), 0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        data, th = self.data, np.array(theta, np.float64)
        value, g = self.program.value_and_grad(th, data.x, data.t, sample_weight=data.s)
        with np.errstate(all="ignore"):
            if self.l2 is not None:
                value, g = value + float((self.l2 * th * th).sum()), g + 2.0 * self.l2 * th
        self.calls += 1
        if not self.finite(value, g):
            if self.best is None:
                self.stop("at the start", th)
        elif (self.best is None or value < self.least) and (self.within(th) == th).all():
            self.best, self.least, self.gradient = th, value, g
        return value, g

    def within(self, theta: Array) -> Array:
        """Return θ projected onto the bounds, a new float64 array."""
        nearest = np.array(theta, np.float64)
        if self.limits is not None:
            self.limits.project(nearest)
        return nearest

    def finite(self, value: float, array: Array) -> bool:
        """Return whether the value and all entries of the array are finite."""
        return math.isfinite(value) and bool(np.isfinite(array).all())

    def stop(self, when: str, theta: Array) -> None:
        """Raise NonFiniteError; the message names the first non-finite number at θ (P,) and where it arises."""
        data, program = self.data, self.program
        found = culprit(program, theta.astype(program.dtype), data.x, data.t, data.s, data.rows)
        now = "as it was" if self.best is None else "the best θ that was met"
        raise NonFiniteError(f"minimize, {when}: {found}; program.theta is {now}")


def _run(objective: Objective, start: Array, how: dict[str, Any]) -> Any:
    """Run SciPy's optimizer and return its result; where it is interrupted or stopped, one with the best θ so far."""
    try:
        from scipy import optimize
    except ImportError:
        raise MissingDependencyError("scipy", "scipy", "fg.minimize") from None
    room = None if objective.limits is None else optimize.Bounds(*objective.limits)
    try:
        return optimize.minimize(objective, start, jac=True, bounds=room, **how)
    except (KeyboardInterrupt, StopIteration) as ended:  # some methods do not catch StopIteration
        if objective.best is None:
            raise
        message = "interrupted" if isinstance(ended, KeyboardInterrupt) else "stopped by the callback"
        return optimize.OptimizeResult(
            x=objective.best, fun=objective.least, jac=objective.gradient, nfev=objective.calls, njev=objective.calls,
            success=False, status=99, message=message,
        )  # fmt: skip


def _settle(objective: Objective, found: Any) -> None:
    """Project a result onto the bounds; where the method did not succeed, replace it by the best θ so far if better."""
    if not objective.finite(found.fun, found.x):
        objective.stop("where the optimizer ended", found.x)
    within, gradient = objective.within(found.x), "grad" if "grad" in found else "jac"  # trust-constr has both
    if (within != found.x).any():  # some methods end outside a bound, by a rounding error or more
        found.x, (found.fun, found[gradient]) = within, objective(within)
    if not found.success and objective.least < found.fun:
        found.x, found.fun, found[gradient] = objective.best, objective.least, objective.gradient


def _method(given: object) -> str:
    """Return the method's name in SciPy's spelling."""
    known = {name.lower(): name for name in METHODS}
    if not isinstance(given, str):
        raise ConfigError(f"method={brief(given)}: must be one of {', '.join(METHODS)}")
    if given.lower() not in known:
        raise UnknownNameError(f"unknown method {brief(given)} of minimize{suggest(given, METHODS)}")
    return known[given.lower()]
