"""`fg.minimize`: SciPy's optimizers on a program."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, MissingDependencyError, NonFiniteError, UnknownNameError
from flowgrad.fitting.minimize import METHODS

optimize = pytest.importorskip("scipy.optimize")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_ridge_regression_of_a_linear_network(method: str, data_of: Any) -> None:
    program = fg.compile(fg.topologies.layered([3, 2], seed=0), executor="python", loss="squared_error")
    X, T = data_of(40)
    s = np.linspace(0.0, 2.0, 40)
    found = fg.minimize(program, X, T, method=method.lower(), sample_weight=s, l2=0.05)
    A, w = np.column_stack([X, np.ones(40)]), s / s.sum()
    exact = np.linalg.solve(A.T @ (w[:, None] * A) + 0.1 * np.diag([1, 1, 1, 0]), A.T @ (w[:, None] * T))
    at = program.theta_index
    mine = np.array([[program.theta[at.weight[i, o]] for o in program.outputs] for i in program.inputs])
    np.testing.assert_allclose(mine, exact[:3], atol=1e-4)
    np.testing.assert_allclose([program.theta[at.bias[o]] for o in program.outputs], exact[3], atol=1e-4)
    value = 0.5 * (w[:, None] * (A @ exact - T) ** 2).sum() + 0.05 * (exact[:3] ** 2).sum()
    assert found.fun == pytest.approx(value, rel=1e-6)
    assert found.x.tobytes() == program.theta.tobytes()


def test_it_is_scipy_s_minimum_of_value_and_grad(executor: str, program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of(executor), data_of(40)
    start, options = program.theta.copy(), {"maxiter": 12}
    bare = optimize.minimize(
        lambda theta: program.value_and_grad(theta, X, T), start, jac=True, method="L-BFGS-B", options=options
    )
    found = fg.minimize(program, X, T, options=options)
    assert (found.x.tobytes(), found.nfev) == (bare.x.tobytes(), bare.nfev)
    assert program.theta.tobytes() == bare.x.tobytes()


def test_a_program_in_float32_is_minimised_in_float64(program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python", dtype="float32"), data_of(40)
    found = fg.minimize(program, X, T, options={"maxiter": 30})
    assert (found.x.dtype, program.theta.dtype) == (np.float64, np.float32)
    assert (program.theta == found.x.astype(np.float32)).all()
    assert found.fun < 0.5


@pytest.mark.parametrize("method", ["L-BFGS-B", "TNC", "SLSQP", "trust-constr"])
def test_bounds_are_kept(method: str, program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python"), data_of(40)
    weights = program.plan.weight_slot[program.plan.weight_slot >= 0]
    assert np.abs(program.theta[weights]).max() > 0.3
    options = {"maxfun": 40} if method == "TNC" else {"maxiter": 12}
    fg.minimize(program, X, T, method=method, constraints={"weights": (-0.3, 0.25)}, options=options)
    assert program.theta[weights].min() >= -0.3
    assert program.theta[weights].max() <= 0.25


def test_classes_and_smoothing_are_as_in_fit(program_of: Any, data_of: Any) -> None:
    program, (X, _) = program_of("python", loss="cross_entropy"), data_of(40)
    k, start = (X[:, 0] > 0.8).astype(int), program.theta.copy()
    T = 0.9 * np.eye(2)[k] + 0.05
    s = 40 / (2 * np.bincount(k))[k]
    wanted, _ = program.value_and_grad(start, X, T, sample_weight=s)
    seen: list[float] = []
    given: dict[str, Any] = {"class_weight": "balanced", "label_smoothing": 0.1, "options": {"maxiter": 1}}
    fg.minimize(program, X, k, callback=lambda intermediate_result: seen.append(intermediate_result.fun), **given)
    assert seen[0] < wanted
    found = program.value_and_grad(program.theta, X, T, sample_weight=s)[0]
    assert seen[-1] == pytest.approx(found, rel=1e-12)


def test_an_interrupt_keeps_the_best(program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python"), data_of(40)
    before, seen = program.value_and_grad(program.theta, X, T)[0], []

    def third(theta: np.ndarray) -> None:
        seen.append(theta)
        if len(seen) == 3:
            raise KeyboardInterrupt

    found = fg.minimize(program, X, T, callback=third)
    assert (found.success, found.message) == (False, "interrupted")
    assert found.fun == program.value_and_grad(program.theta, X, T)[0] < before


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_stops_it_at_the_best_theta(method: str, program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python", reduction="sum"), data_of(40)
    before, calls = program.value_and_grad(program.theta, X, T)[0], []

    def third(*given: object) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise fg.StopTraining

    found = fg.minimize(program, X, T, method=method, callback=third)
    assert (len(calls), found.success) == (3, False)
    assert program.value_and_grad(program.theta, X, T)[0] == found.fun <= before


def test_numbers_that_are_not_finite_are_named(program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python"), data_of(40)
    before, X = program.theta.copy(), X.copy()
    X[7, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"at the start: input .* is nan at sample 7; .* as it was"):
        fg.minimize(program, X, T)
    assert (program.theta == before).all()


def test_what_is_refused(program_of: Any, data_of: Any) -> None:
    program, (X, T) = program_of("python"), data_of(40)
    before = program.theta.copy()
    bad: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"method": "LBFGS"}, UnknownNameError, "did you mean 'L-BFGS-B'"),
        ({"method": 3}, ConfigError, "method=3"),
        ({"method": "bfgs", "constraints": {"weights": "sign"}}, ConfigError, "'BFGS' keeps to no constraints"),
        ({"tol": -1.0}, ConfigError, "tol=-1.0"),
        ({"callback": 3}, ConfigError, "callback=3"),
        ({"options": [1]}, ConfigError, "options= wants a Mapping"),
        ({"l2": -1.0}, ConfigError, "l2=-1.0"),
        ({"class_weight": "balanced"}, ConfigError, "targets of squared_error are none"),
    ]
    for given, error, said in bad:
        with pytest.raises(error, match=said):
            fg.minimize(program, X, T, **given)
    with pytest.raises(DataError, match="no loss"):
        fg.minimize(fg.compile(fg.topologies.layered([3, 2], seed=0), executor="python"), X, T)
    with pytest.raises(ConfigError, match="minimize wants a Program, not a Network"):
        fg.minimize(fg.topologies.layered([3, 2], seed=0), X, T)  # type: ignore[arg-type]  # wrong on purpose
    assert (program.theta == before).all()


def test_without_scipy_its_extra_is_named(program_of: Any, data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingDependencyError, match=r"flowgrad\[scipy\]"):
        fg.minimize(program_of("python"), *data_of(40))
