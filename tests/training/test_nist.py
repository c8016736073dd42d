"""NIST's certified regressions as networks of neurons: each model's formula is a small DAG, its parameters are θ.

SciPy's optimizers take `program.value_and_grad` as it is, and reach the certified parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg

Parameters = dict[Any, float]  # by edge (source, target), or by neuron for its bias


@dataclass(frozen=True)
class Model:
    """`parameters(b)` says where NIST's b₁, b₂ … stand as weights and biases; everything else is frozen."""

    build: Callable[[fg.Network], None]
    parameters: Callable[[Any], Parameters]
    back: Callable[[Parameters], list[float]]


FREE = float("nan")  # a weight that is a parameter


def _frozen(net: fg.Network, name: str, edges: dict[str, float], activation: str = "identity", **more: Any) -> None:
    """A neuron with nothing to train but its FREE edges."""
    net.add_neuron(name, [], activation=activation, trainable=more.pop("trainable", False), **more)
    for source, weight in edges.items():
        net.connect(source, name, 1.0 if np.isnan(weight) else weight, trainable=bool(np.isnan(weight)))


def _misra1a(net: fg.Network) -> None:
    _frozen(net, "e", {"x": FREE}, "exp")
    _frozen(net, "rest", {"e": -1.0}, bias=1.0)
    _frozen(net, "y", {"rest": FREE})


def _chwirut2(net: fg.Network) -> None:
    _frozen(net, "e", {"x": FREE}, "exp")
    _frozen(net, "d", {"x": FREE}, "reciprocal", trainable=True, bias=1.0)
    _frozen(net, "y", {"e": 1.0, "d": 1.0}, aggregation="product")


def _exponentials(n: int, bias: bool) -> Callable[[fg.Network], None]:
    def build(net: fg.Network) -> None:
        for k in range(n):
            _frozen(net, f"e{k}", {"x": FREE}, "exp")
        _frozen(net, "y", {f"e{k}": FREE for k in range(n)}, trainable=bias)

    return build


def _gauss1(net: fg.Network) -> None:
    _frozen(net, "e", {"x": FREE}, "exp")
    for name in ("g1", "g2"):
        _frozen(net, name, {"x": FREE}, "gaussian", trainable=True)
    _frozen(net, "y", {"e": FREE, "g1": FREE, "g2": FREE})


def _rat42(net: fg.Network) -> None:
    _frozen(net, "s", {"x": FREE}, "sigmoid", trainable=True)
    _frozen(net, "y", {"s": FREE})


def _thurber(net: fg.Network) -> None:
    _frozen(net, "x2", {"x": 1.0}, "square")
    _frozen(net, "x3", {"x": 1.0}, "cube")
    powers = dict.fromkeys(("x", "x2", "x3"), FREE)
    _frozen(net, "n", powers, trainable=True)
    _frozen(net, "d", powers, "reciprocal", bias=1.0)
    _frozen(net, "y", {"n": 1.0, "d": 1.0}, aggregation="product")


MODELS = {
    "Misra1a": Model(
        _misra1a,
        lambda b: {("rest", "y"): b[0], ("x", "e"): -b[1]},
        lambda p: [p["rest", "y"], -p["x", "e"]],
    ),
    "Chwirut2": Model(
        _chwirut2,
        lambda b: {("x", "e"): -b[0], "d": b[1], ("x", "d"): b[2]},
        lambda p: [-p["x", "e"], p["d"], p["x", "d"]],
    ),
    "Lanczos3": Model(
        _exponentials(3, bias=False),
        lambda b: {**{(f"e{k}", "y"): b[2 * k] for k in range(3)}, **{("x", f"e{k}"): -b[2 * k + 1] for k in range(3)}},
        lambda p: [v for k in range(3) for v in (p[f"e{k}", "y"], -p["x", f"e{k}"])],
    ),
    "MGH17": Model(
        _exponentials(2, bias=True),
        lambda b: {"y": b[0], ("e0", "y"): b[1], ("e1", "y"): b[2], ("x", "e0"): -b[3], ("x", "e1"): -b[4]},
        lambda p: [p["y"], p["e0", "y"], p["e1", "y"], -p["x", "e0"], -p["x", "e1"]],
    ),
    "Gauss1": Model(
        _gauss1,
        lambda b: {
            ("e", "y"): b[0],
            ("x", "e"): -b[1],
            ("g1", "y"): b[2],
            ("g2", "y"): b[5],
            ("x", "g1"): 1 / b[4],
            "g1": -b[3] / b[4],
            ("x", "g2"): 1 / b[7],
            "g2": -b[6] / b[7],
        },
        lambda p: [
            *(p["e", "y"], -p["x", "e"], p["g1", "y"], -p["g1"] / p["x", "g1"], 1 / p["x", "g1"]),
            *(p["g2", "y"], -p["g2"] / p["x", "g2"], 1 / p["x", "g2"]),
        ],
    ),
    "Rat42": Model(
        _rat42,
        lambda b: {("s", "y"): b[0], "s": -b[1], ("x", "s"): b[2]},
        lambda p: [p["s", "y"], -p["s"], p["x", "s"]],
    ),
    "Thurber": Model(
        _thurber,
        lambda b: {
            "n": b[0],
            ("x", "n"): b[1],
            ("x2", "n"): b[2],
            ("x3", "n"): b[3],
            ("x", "d"): b[4],
            ("x2", "d"): b[5],
            ("x3", "d"): b[6],
        },
        lambda p: [p["n"], *(p[x, "n"] for x in ("x", "x2", "x3")), *(p[x, "d"] for x in ("x", "x2", "x3"))],
    ),
}


@dataclass(frozen=True)
class Problem:
    """One regression: the program, its data, NIST's answer. The loss is ½ Σ (y − t)², half of NIST's RSS."""

    program: fg.Program
    X: np.ndarray
    T: np.ndarray
    reference: dict[str, Any]
    model: Model

    def theta(self, b: Any) -> np.ndarray:
        """θ (P,) of NIST's parameters."""
        theta = np.full(len(self.program.theta), np.nan)
        for key, value in self.model.parameters(np.asarray(b)).items():
            theta[self.program.theta_index[key]] = value
        assert np.isfinite(theta).all()
        return theta

    def b(self, theta: Any) -> np.ndarray:
        """NIST's parameters of θ."""
        index = self.program.theta_index
        named = {key: float(theta[index[key]]) for key in self.model.parameters(np.ones(self.reference["n_par"]))}
        return np.array(self.model.back(named))

    def digits(self, theta: Any) -> tuple[float, float]:
        """Right digits of the worst parameter, and of the residual sum of squares (RSS)."""
        certified = np.array(self.reference["certified"])
        wrong = np.abs(self.b(theta) / certified - 1).max()
        rss = 2 * self.program.value_and_grad(theta, self.X, self.T)[0]
        return -np.log10(max(wrong, 1e-16)), -np.log10(max(abs(rss / self.reference["certified_rss"] - 1), 1e-16))


def problem(data: Path, name: str, executor: str) -> Problem:
    reference = json.loads((data / "nist_strd" / f"{name}_reference.json").read_text(encoding="utf-8"))
    text = (data / "nist_strd" / f"{name}.dat").read_text(encoding="ascii").splitlines()
    rows = np.array([[float(v) for v in line.split()] for line in text[60:] if line.split()])
    assert rows.shape == (reference["n_obs"], 2)
    net = fg.Network()
    net.add_input("x")
    MODELS[name].build(net)
    net.set_outputs(["y"])
    program = fg.compile(net, executor=executor, loss="squared_error", reduction="sum")
    return Problem(program, rows[:, 1:], rows[:, :1], reference, MODELS[name])


# ---- the tests ------------------------------------------------------------------------------------------------------

STARTS = [(name, start) for name in MODELS for start in ("start1", "start2")]


@pytest.mark.data
@pytest.mark.parametrize(("name", "start"), STARTS)
def test_loss_at_the_starts_is_the_reference(executor: str, data: Path, name: str, start: str) -> None:
    p = problem(data, name, executor)
    theta = p.theta(p.reference[start])
    np.testing.assert_allclose(p.b(theta), p.reference[start], rtol=1e-14)
    value, g = p.program.value_and_grad(theta, p.X, p.T)
    assert 2 * value == pytest.approx(p.reference[f"rss_at_{start}"], rel=1e-11)
    b, h = np.array(p.reference[start]), 1e-6
    steps = np.diag(h * b)
    dtheta_db = np.array([(p.theta(b + d) - p.theta(b - d)) / (2 * d.sum()) for d in steps])  # θ is simple in b
    expected = np.array(p.reference[f"grad_rss_at_{start}"])
    np.testing.assert_allclose(2 * dtheta_db @ g, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@pytest.mark.data
@pytest.mark.covering(
    case={"-".join(case): case for case in STARTS if case != ("MGH17", "start1")}, executor=["python", "numba"]
)
def test_minimize_takes_value_and_grad_as_it_is(executor: str, data: Path, case: tuple[str, str]) -> None:
    """From MGH17's first start descent runs off to infinity; the reference's L-BFGS did so too."""
    optimize = pytest.importorskip("scipy.optimize")
    p = problem(data, case[0], executor)
    theta = p.theta(p.reference[case[1]])
    scale = theta**2 / max(1.0, p.program.value_and_grad(theta, p.X, p.T)[0])
    options = {"hess_inv0": np.diag(scale), "gtol": 1e-14, "maxiter": 5000}
    found = optimize.minimize(
        p.program.value_and_grad, theta, args=(p.X, p.T), jac=True, method="BFGS", options=options
    )
    parameters, rss = p.digits(found.x)
    assert parameters > 6
    assert rss > 10


@pytest.mark.data
@pytest.mark.covering(case={"-".join(case): case for case in STARTS}, executor=["python", "numba"])
def test_least_squares_with_the_exact_jacobian(executor: str, data: Path, case: tuple[str, str]) -> None:
    """A row of the Jacobian is the gradient under a cotangent that is 1 at one sample, and so that sample's own."""
    optimize = pytest.importorskip("scipy.optimize")
    p = problem(data, case[0], executor)

    def residuals(theta: np.ndarray) -> np.ndarray:
        return (p.program.predict(p.X, theta) - p.T)[:, 0]

    def jacobian(theta: np.ndarray) -> np.ndarray:
        passes = [p.program.forward(x[None], theta) for x in p.X]
        return np.array([p.program.backward(acts, cotangent=[[1.0]]).theta for acts in passes])

    theta = p.theta(p.reference[case[1]])
    rows, whole = jacobian(theta), p.program.forward(p.X, theta)
    for k in (0, len(p.X) // 2):
        row = p.program.backward(whole, cotangent=np.eye(len(p.X))[:, k : k + 1]).theta
        np.testing.assert_allclose(row, rows[k], rtol=1e-13)
    limits = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 3000}
    found = optimize.least_squares(residuals, theta, jacobian, method="lm", x_scale=np.abs(theta), **limits)
    parameters, rss = p.digits(found.x)
    assert parameters > 6
    assert rss > 10
