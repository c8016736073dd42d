"""Intervals that cover what they say, by simulation: populations of runs whose true value is known by construction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flowgrad.errors import ConfigError
from flowgrad.inspection import Stability
from flowgrad.inspection.intervals import FEWEST, Interval, mean_of_pairs, mean_of_shares, student
from flowgrad.inspection.ranks import above, correlations, ranks, signed_rank

POOL = 10_000  # runs of a population; the mean over all their pairs is the true value
REPEATS = 500
RUNS = (FEWEST, 10, 20)
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def runs(V: int, signal: float, noise: float = 1.0, common: float = 0.0, shape: Any = np.exp) -> Draw:
    """Pairs of a trained run and a control of one seed: orders with a `signal`, the control's half of it another's.

    `common` is the share of the noise that both have from their seed; `shape` makes importance of it.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        mean, other = signal * rng.normal(size=(2, V))
        seed, own, control = rng.normal(size=(3, n, V)) * noise
        a, b = np.sqrt(common), np.sqrt(1 - common)
        return shape(mean + a * seed + b * own), shape((mean + other) / 2 + a * seed + b * control)

    return draw


def three_levels(z: np.ndarray) -> np.ndarray:
    """Ties in nine of ten nodes: integers from 0 to 2."""
    return np.clip(np.round(z), 0.0, 2.0)


def mostly_dead(z: np.ndarray) -> np.ndarray:
    return np.maximum(z - 0.5, 0.0)


def _few_directions(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs that move together: five numbers of a run and little else decide its order."""
    mean, other = rng.normal(size=(2, 30))
    ways = rng.normal(size=(5, 30)) / 2
    z, y = (rng.normal(size=(n, 5)) @ ways + 0.4 * rng.normal(size=(n, 30)) for _ in range(2))
    return mean + z, (mean + other) / 2 + y


POPULATIONS: dict[str, Draw] = {
    "ordinary": runs(18, 1.0),
    "of one seed alike": runs(18, 1.0, common=0.9),
    "many nodes": runs(120, 1.0, common=0.5),
    "weak": runs(40, 0.7),
    "heavy ties": runs(24, 1.5, common=0.5, shape=three_levels),
    "mostly zeros": runs(24, 1.5, common=0.5, shape=mostly_dead),
    "near 1": runs(40, 8.0, common=0.5),
    "nearer to 1": runs(60, 20.0, common=0.5),
    "few directions": _few_directions,
}


def _orders(values: np.ndarray) -> np.ndarray:
    """(n, V) unit vectors whose products are Spearman's correlations."""
    centred = ranks(values) - (values.shape[1] + 1) / 2
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)


def _truth(u: np.ndarray, v: np.ndarray) -> float:
    """The mean product over all pairs of a run of u and a run of v that are of two seeds."""
    n = len(u)
    return float((u.sum(axis=0) @ v.sum(axis=0) - np.sum(u * v)) / (n * (n - 1)))


def _covered(u: np.ndarray, v: np.ndarray, R: int, rng: np.random.Generator) -> float:
    """How often the interval from R runs holds the true value, in percent."""
    truth, found = _truth(u, v), 0
    blocks = rng.permutation(POOL)[: POOL // R * R].reshape(-1, R)[:REPEATS]
    for rows in blocks:
        matrix = u[rows] @ v[rows].T
        value, low, high = mean_of_pairs((matrix + matrix.T) / 2, u.shape[1])
        assert -1 <= low <= value <= high <= 1
        found += low <= truth <= high
    return 100 * found / len(blocks)


@pytest.mark.covering(population=POPULATIONS.keys(), R=RUNS)
def test_intervals_of_agreement_and_likeness_cover_the_true_value(population: str, R: int) -> None:
    rng = np.random.default_rng(15)
    trained, control = map(_orders, POPULATIONS[population](rng, POOL))
    for what, v in (("agreement", trained), ("likeness", control)):
        covered = _covered(trained, v, R, rng)
        assert 92 <= covered <= 98, f"{what} of {R} runs, {population}: {covered} %"


@pytest.mark.parametrize(
    "draw",
    [
        runs(40, 0.0),
        runs(8, 0.0),
        runs(5, 3.0),
        runs(6, 8.0),
        runs(8, 20.0),
        runs(3, 3.0),
        runs(10, 2.0, shape=three_levels),
    ],
    ids=[
        "nothing in common",
        "8 nodes, nothing in common",
        "5 nodes",
        "6 nodes near 1",
        "8 nodes near 1",
        "3 nodes",
        "10 nodes with ties",
    ],
)
def test_intervals_are_wide_enough_where_orders_are_few_or_have_nothing_in_common(draw: Draw) -> None:
    rng = np.random.default_rng(4)
    trained, control = map(_orders, draw(rng, POOL))
    for R in (FEWEST, 12):
        assert _covered(trained, trained, R, rng) >= 92
        assert _covered(trained, control, R, rng) >= 92


def _stability(trained: np.ndarray, **controls: np.ndarray) -> Stability:
    shares = {"trained": trained} | {name.replace("_", " "): values for name, values in controls.items()}
    R, V = trained.shape
    return Stability(tuple(range(V)), tuple(range(R)), shares, {name: np.ones(R) for name in shares})


def test_runs_of_one_seed_are_not_compared() -> None:
    rng = np.random.default_rng(0)
    trained = rng.random((8, 12))
    found = _stability(trained, shuffled_labels=trained)
    assert found.likeness("shuffled labels") == found.agreement() == found.agreement("shuffled labels")
    assert found.records()[0]["above shuffled labels"] == pytest.approx(
        np.mean(
            [
                trained[i, v] > trained[j, v]
                for v in [found.records()[0]["node"]]
                for i in range(8)
                for j in range(8)
                if i != j
            ]
        )
    )
    matrix = correlations(trained, trained)
    assert found.agreement().value == pytest.approx(matrix[~np.eye(8, dtype=bool)].mean())
    assert all(row["p shuffled labels"] == 1.0 for row in found.records())


def test_an_interval_always_has_a_width_and_holds_its_estimate() -> None:
    rng = np.random.default_rng(1)
    for R in range(FEWEST, 30):
        for V in (2, 3, 5, 40):
            for values in (rng.random((R, V)), np.tile(rng.random(V), (R, 1)), rng.integers(0, 2, (R, V)) * 1.0):
                value, low, high = _stability(values).agreement()
                assert -1 <= low <= value <= high <= 1
                assert low < high
    halves = np.tile([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], (5, 1))  # the jackknife's own variance is 0 here
    value, low, high = _stability(halves).agreement()
    assert high - low > 0.3


@pytest.mark.parametrize("R", range(2, FEWEST))
def test_too_few_runs_are_refused(R: int) -> None:
    found = _stability(np.random.default_rng(R).random((R, 9)), shuffled_labels=np.ones((R, 9)))
    for ask in (found.agreement, lambda: found.likeness("shuffled labels"), found.records, found.conditions):
        with pytest.raises(ConfigError, match=f"{R} seeds are too few .* give {FEWEST} or more"):
            ask()
    with pytest.raises(ConfigError, match="too few"):
        mean_of_pairs(np.ones((R, R)), 9)
    with pytest.raises(ConfigError, match="too few"):
        mean_of_shares(np.ones((R, 9)))


def test_an_interval_prints_its_value_between_its_ends() -> None:
    assert str(Interval(0.5, 0.25, 0.75)) == "0.50 [0.25, 0.75]"


@pytest.mark.covering(spread=[0.1, 0.3, 0.6], R=RUNS)
def test_intervals_of_shares_cover_the_mean_share(spread: float, R: int) -> None:
    rng = np.random.default_rng(8)
    strength = np.exp(rng.normal(size=10) + spread * rng.normal(size=(REPEATS, R, 10)))
    shares = strength / strength.sum(axis=2, keepdims=True)
    many = np.exp(np.random.default_rng(8).normal(size=10) + spread * rng.normal(size=(400_000, 10)))
    truth = (many / many.sum(axis=1, keepdims=True)).mean(axis=0)
    ends = [mean_of_shares(one) for one in shares]
    covered = 100 * np.mean([(low <= truth) & (truth <= high) for low, high in ends])
    assert 92 <= covered <= 98
    assert all(
        (low <= one.mean(axis=0)).all() and (one.mean(axis=0) <= high).all()
        for one, (low, high) in zip(shares, ends, strict=True)
    )


def test_shares_that_never_vary_stay_as_they_are() -> None:
    low, high = mean_of_shares(np.tile([0.0, 0.25, 1.0], (9, 1)))
    assert low.tolist() == high.tolist() == [0.0, 0.25, 1.0]


def test_students_quantiles_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (*range(1, 40), 101, 500):
        assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-10)


def test_the_signed_rank_test_is_exact() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    for R in (2, 5, 9, 12):
        a, b = rng.normal(size=(2, R, 6))
        wanted = stats.wilcoxon(a, b, axis=0, method="exact").pvalue
        np.testing.assert_allclose(signed_rank(a, b), wanted, rtol=1e-12)
    a, b = rng.integers(0, 4, size=(2, 9, 5)) * 1.0  # ties and zeros: against every one of the 2⁹ signs
    signs = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1)
    for v, p in enumerate(signed_rank(a, b)):
        d = (a - b)[:, v]
        weight = np.zeros(9)
        weight[d != 0] = ranks(np.abs(d[d != 0]))
        found = abs(np.sign(d) @ weight)
        assert p == pytest.approx(np.mean(np.abs(weight @ signs) >= found - 1e-9))


@pytest.mark.parametrize("levels", [None, 3])
@pytest.mark.parametrize("R", [FEWEST, 10, 20])
def test_p_is_held_where_a_control_does_nothing(levels: int | None, R: int) -> None:
    """Trained and control of one distribution, correlated by their seed: p ≤ 0.05 in 5 % of the nodes or fewer."""
    rng = np.random.default_rng(R)
    seed, a, b = rng.normal(size=(3, R, 2000))
    a, b = seed + a, seed + b
    if levels:
        a, b = np.round(a * levels / 4), np.round(b * levels / 4)
    share = np.mean(signed_rank(a, b) <= 0.05)
    assert 0 < share <= 0.065
    assert above(a, b).mean() == pytest.approx(0.5, abs=0.01)
