"""Cox's partial likelihood by its definition, by published numbers and lifelines'; other likelihoods by SciPy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.crossval import cross_validate
from flowgrad.errors import ConfigError
from flowgrad.maths.losses import overdispersed
from flowgrad.maths.survival import entries
from flowgrad.metrics import entries as metrics
from flowgrad.scaling import Scaling

COX = entries["cox"]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def by_definition(y: Any, t: Any, s: Any) -> float:
    """−log of the partial likelihood, Breslow's, event by event."""
    total = 0.0
    for b in range(len(y)):
        if t[b] > 0:
            total += s[b] * (math.log(sum(s[j] * math.exp(y[j]) for j in range(len(y)) if abs(t[j]) >= t[b])) - y[b])
    return total


def sample(seed: int, n: int = 25) -> tuple[Any, Any, Any]:
    """Outputs, times with ties, a third of them censored, and weights."""
    r = rng(seed)
    return r.normal(size=n) * 2, r.integers(1, 9, n) * r.choice([1.0, 1.0, -1.0], n), r.integers(1, 4, n).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_definition_and_differences_of_it(weighted: bool) -> None:
    for seed in range(10):
        y, t, s = sample(seed)
        s = s if weighted else np.ones(len(y))
        l, dy = COX.evaluate(y[:, None], t[:, None], s if weighted else None)
        assert l.sum() == pytest.approx(by_definition(y, t, s), rel=1e-12)
        for b in range(len(y)):
            up, down = y.copy(), y.copy()
            up[b], down[b] = y[b] + 1e-5, y[b] - 1e-5
            slope = (by_definition(up, t, s) - by_definition(down, t, s)) / 2e-5
            assert dy[b, 0] == pytest.approx(slope, abs=1e-7)


def test_a_weight_of_2_is_the_sample_given_twice() -> None:
    y, t, s = sample(3)
    rows = np.repeat(np.arange(len(y)), s.astype(int))
    twice, slope = COX.evaluate(y[rows, None], t[rows, None])
    l, dy = COX.evaluate(y[:, None], t[:, None], s)
    assert l.sum() == pytest.approx(twice.sum(), rel=1e-12)
    np.testing.assert_allclose(dy[:, 0], np.bincount(rows, slope[:, 0]), atol=1e-12)


def test_the_worked_example_of_therneau() -> None:
    """The first of the validation of R's survival: LL(β) = 2β − log(3r + 3) − 2 log(r + 3), r = e^β."""
    t = np.array([1.0, -1.0, 6.0, 6.0, -8.0, 9.0])[:, None]
    x = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])[:, None]
    for beta, value in ((0.0, -4.564348), (math.log((3 + math.sqrt(33)) / 2), -3.824750)):
        r = math.exp(beta)
        l, dy = COX.evaluate(beta * x, t)
        assert -l.sum() == pytest.approx(2 * beta - math.log(3 * r + 3) - 2 * math.log(r + 3), rel=1e-12)
        assert -l.sum() == pytest.approx(value, abs=1e-6)
        assert -(dy * x).sum() == pytest.approx((-r * r + 3 * r + 6) / ((r + 1) * (r + 3)), abs=1e-12)


# Made by lifelines 0.30.3: CoxPHFitter().fit(frame, "time", "event"), then with weights_col; no two times are the same,
# so that its ties, Efron's, do not matter. X (12, 2) normal, times exponential, by numpy's default_rng(2024).
A = [1.03, 1.15, -1.39, 0.86, 1.81, 0.64, -1.11, 0.05, -1.38, -1.29, 0.9, -0.53]
B = [1.64, -0.97, 0.07, 0.51, 0.75, -0.73, 1.48, 0.81, -0.44, -0.78, -1.48, 0.16]
TIME = [2.836, 0.079, 1.647, 0.066, 0.237, 0.053, 5.148, 0.317, 5.642, 0.986, 0.152, 0.111]
EVENT = [1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1]
WEIGHT = [3, 2, 3, 1, 3, 1, 2, 2, 3, 2, 1, 2]
LIFELINES = [
    (None, [0.8909689444362978, -0.5233485139311876], -12.827809886185134),
    (WEIGHT, [1.0180323415332508, -0.7017885720852024], -42.88562558019098),
]


@pytest.mark.parametrize(("weight", "params", "likelihood"), LIFELINES, ids=["plain", "weighted"])
def test_a_linear_network_finds_what_lifelines_finds(
    executor: str, weight: Any, params: list[float], likelihood: float
) -> None:
    X, T = np.array([A, B]).T, np.where(np.array(EVENT) > 0, TIME, np.negative(TIME))[:, None]
    net = fg.Network.from_arrays([0, 1], [2, 2], weight=[0.0, 0.0], activation="identity")
    program = fg.compile(net, executor=executor, loss="cox", reduction="sum")
    theta = np.zeros(3)
    theta[[program.theta_index.weight[0, 2], program.theta_index.weight[1, 2]]] = params
    loss, slope = program.value_and_grad(theta, X, T, sample_weight=weight)
    assert -loss == pytest.approx(likelihood, rel=1e-9)
    np.testing.assert_allclose(slope, 0.0, atol=5e-4)  # where the log likelihood, which is concave, has its maximum
    if weight is None:
        assert metrics["concordance"].f(program.predict(X, theta), T, "cox") == pytest.approx(0.7884615384615384)


def test_concordance_is_that_of_lifelines_ties_and_all() -> None:
    """lifelines.utils.concordance_index(time, -risk, event) of lifelines 0.30.3."""
    time = np.array([1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6.0])
    event = np.array([1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1])
    risk = np.array([3, 2, 2, 1, 3, 1, 1, 2, 0, 1, 0, 0.0])
    t = np.where(event > 0, time, -time)
    assert metrics["concordance"].f(risk[:, None], t, "cox") == pytest.approx(0.7906976744186046, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_concordance_over_all_pairs(seed: int) -> None:
    y, t, s = sample(seed, 30)
    y = y.round()
    good = every = 0.0
    for i in range(30):
        for j in range(30):
            if t[i] > 0 and (abs(t[i]) < abs(t[j]) or (t[i] == -t[j])):
                every += s[i] * s[j]
                good += s[i] * s[j] * ((y[i] > y[j]) + 0.5 * (y[i] == y[j]))
    found = metrics["concordance"].f(y[:, None], t, "cox", sample_weight=s)
    assert found == pytest.approx(good / every, rel=1e-12)


def test_every_executor_gives_the_definition(executor: str) -> None:
    net = fg.topologies.layered([3, 4, 2], activation="tanh", seed=1)
    X = rng().normal(size=(20, 3))
    T = np.column_stack([sample(1, 20)[1], sample(2, 20)[1]])
    s = np.where(np.arange(20) % 5 == 0, 0.0, 1.5)
    program = fg.compile(net, executor=executor, loss="cox")
    y, kept = program.predict(X), s > 0
    wanted = sum(by_definition(y[kept, k], T[kept, k], s[kept]) for k in range(2)) / s.sum()
    holes = np.where(kept[:, None], T, np.nan)
    loss, slope = program.value_and_grad(program.theta, X, holes, sample_weight=s)
    assert loss == pytest.approx(wanted, rel=1e-12)
    grads = program.backward(program.forward(X), holes, sample_weight=s, per_output=True)
    assert grads.loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(grads.theta, slope, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(sum(grads.per_output.values()), slope, rtol=1e-9, atol=1e-14)
    assert fg.gradcheck(program, X, T).worst_error < 1e-6
    narrow = fg.compile(net, executor=executor, loss="cox", dtype="float32")
    assert narrow.value_and_grad(narrow.theta, X, T)[0] == pytest.approx(
        program.value_and_grad(program.theta, X, T)[0], rel=1e-5
    )


def test_large_hazards_and_numbers_that_are_none() -> None:
    y, t = np.array([[900.0], [0.0], [-900.0]]), np.array([[1.0], [2.0], [3.0]])
    l, dy = COX.evaluate(y, t)
    np.testing.assert_array_equal(l, np.zeros((3, 1)))
    np.testing.assert_allclose(dy, 0.0, atol=1e-300)
    assert np.isnan(COX.evaluate(y, np.array([[1.0], [math.nan], [3.0]]))[0][1, 0])
    assert np.isnan(COX.evaluate(np.array([[math.nan], [0.0]]), t[:2])[0]).any()
    l, dy = COX.evaluate(y, -t)
    assert (l == 0).all()
    assert (dy == 0).all()


def test_mini_batches_are_risk_sets_of_their_own() -> None:
    net = fg.topologies.layered([2, 1], seed=0)
    program = fg.compile(net, executor="python", loss="cox")
    X, T = rng().normal(size=(12, 2)), sample(0, 12)[1][:, None]
    history = fg.fit(program, X, T, batch_size=6, epochs=1, learning_rate=1e-12, shuffle=False, validation=(X, T))
    y = program.predict(X)[:, 0]
    halves = sum(by_definition(y[k], T[k, 0], np.ones(6)) for k in (slice(0, 6), slice(6, 12)))
    assert history["loss"][0] == pytest.approx(halves / 12, rel=1e-6)
    assert history["val_loss"][0] == pytest.approx(by_definition(y, T[:, 0], np.ones(12)) / 12, rel=1e-6)


def test_models_of_survival_are_judged_by_concordance() -> None:
    r = rng(4)
    X = r.normal(size=(120, 2))
    time, ends = r.exponential(np.exp(-2 * X[:, 0])), r.exponential(2.0, 120)
    T = np.where(time <= ends, time, -ends)[:, None]
    model = fg.Model(fg.topologies.layered([2, 1], seed=0), targets=("days",), loss="cox")
    fit = {"epochs": 25, "batch_size": 80, "learning_rate": 0.1}
    found = cross_validate(model, X, T, folds=3, workers=1, executor="python", fit=fit)
    figure = found.figures()[0]
    assert figure["metric"] == "concordance"
    assert figure["mean"] > 0.75
    assert "log_hazard(days)" in found.predictions()
    with pytest.raises(fg.errors.DataError, match="the stratum 'censored' has"):
        cross_validate(model, X, T, folds=100)
    with pytest.raises(ConfigError, match="no scaled targets"):
        fg.Model(model.network, loss="cox", target_scaling=Scaling([0.0], [1.0]))


# ---- counts and amounts --------------------------------------------------------------------------------------------


def test_gamma_and_negative_binomial_are_the_likelihoods_of_scipy(executor: str) -> None:
    """Up to what does not depend on y: differences between two y are those of −log of the density."""
    stats = pytest.importorskip("scipy.stats")
    r = rng(6)
    y, counts, amounts = r.normal(size=(2, 8, 1)), r.poisson(3.0, (8, 1)).astype(float), r.gamma(2.0, 1.5, (8, 1))
    cases: list[tuple[Any, Any, Any]] = [("gamma", amounts, lambda mu, t: stats.gamma.logpdf(t, 1.0, scale=mu))]
    for alpha in (1.0, 0.3, 4.0):
        loss = "negative_binomial" if alpha == 1 else overdispersed(alpha)
        cases.append((loss, counts, lambda mu, t, n=1 / alpha: stats.nbinom.logpmf(t, n, n / (n + mu))))
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation="identity")
    for loss, t, density in cases:
        program = fg.compile(net, executor=executor, loss=loss, reduction="sum")
        values = [program.backward(program.forward(each), t).loss for each in y]
        wanted = [-density(np.exp(each), t).sum() for each in y]
        assert values[0] - values[1] == pytest.approx(wanted[0] - wanted[1], rel=1e-10)
        assert fg.gradcheck(program, y[0], t).worst_error < 1e-6


def test_targets_out_of_the_domain_and_a_dispersion_of_none() -> None:
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation="identity")
    for loss, said in (("gamma", "gamma takes targets above 0"), ("negative_binomial", "takes counts, 0 or more")):
        program = fg.compile(net, executor="python", loss=loss)
        with pytest.raises(fg.errors.DataError, match=said):
            program.value_and_grad(program.theta, [[1.0]], [[0.0 if loss == "gamma" else -1.0]])
    with pytest.raises(ConfigError, match="dispersion=0"):
        overdispersed(0)
