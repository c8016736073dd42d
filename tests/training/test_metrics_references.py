"""Metrics against scikit-learn and SciPy on random cases: ties, weights, classes that are missing, NaN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from flowgrad.errors import DataError, ShapeError
from flowgrad.metrics import entries, predicted

sk = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")


class Case(NamedTuple):
    """Outputs y (B, O), targets t (B, O), the loss and weights (B,); p are what y predict."""

    y: Any
    t: Any
    loss: str
    w: Any

    @property
    def p(self) -> Any:
        return predicted(self.y, self.loss)


def cases(request: pytest.FixtureRequest, kind: str) -> list[Case]:
    rng = np.random.default_rng([11, len(kind)])
    return [case(rng, kind) for _ in range(300 if request.config.getoption("--soak") else 12)]


def case(rng: np.random.Generator, kind: str) -> Case:
    B, O = int(rng.integers(2, 60)), int(rng.integers(2, 5))
    O = 1 if kind in ("two classes", "a number") else O
    y = rng.normal(size=(B, O)) * rng.choice([0.3, 3.0, 60.0])
    y = y.round(int(rng.integers(0, 3))) if rng.random() < 0.6 else y  # ties, and probabilities of exactly ½
    w = rng.integers(1, 4, B) * rng.choice([1.0, 0.7]) if rng.random() < 0.5 else None
    if kind in ("a number", "numbers"):
        t = y * rng.normal() + rng.normal(size=(B, O))
        t = t.round(int(rng.integers(0, 3)))
        if w is None and rng.random() < 0.2:  # with weights scikit-learn's mean of equal numbers is another number
            t = np.full((B, O), 0.25)
        return Case(y, t, str(rng.choice(["squared_error", "poisson"])) if np.abs(y).max() < 20 else "huber", w)
    if kind == "classes":
        return Case(y, np.eye(O)[rng.integers(0, O, B)], "cross_entropy", w)
    return Case(y, rng.integers(0, 2, (B, O)).astype(float), "binary_cross_entropy", w)


def decided(c: Case) -> tuple[Any, Any]:
    """Classes as scikit-learn wants them: true, predicted."""
    if c.loss == "cross_entropy":
        return c.t.argmax(1), c.p.argmax(1)
    said = (c.p > 0.5).astype(int)
    return (c.t[:, 0], said[:, 0]) if c.t.shape[1] == 1 else (c.t.astype(int), said)


def scores(c: Case) -> tuple[Any, Any]:
    return (c.t[:, 0], c.p[:, 0]) if c.t.shape[1] == 1 else (c.t, c.p)


def each_output(f: Callable[..., float]) -> Callable[[Case], float]:
    """The mean over the outputs of what scikit-learn gives for two classes."""
    return lambda c: float(
        np.mean(
            [f(t, s, c.p[:, k], c.w) for k, (t, s) in enumerate(zip(c.t.T, (c.p > 0.5).T.astype(float), strict=True))]
        )
    )


def auc(c: Case) -> float:
    """Outputs without both kinds are left out; scikit-learn makes the mean NaN of them."""
    both = [k for k, t in enumerate(c.t.T) if 0 < t.sum() < len(t)]
    return (
        float(np.mean([sk.roc_auc_score(c.t[:, k], c.p[:, k], sample_weight=c.w) for k in both])) if both else math.nan
    )


def average_precision(c: Case) -> float:
    t, p = scores(c)
    return float(sk.average_precision_score(t, p, sample_weight=c.w))


def f1(c: Case) -> float:
    one = c.t.shape[1] == 1
    return float(sk.f1_score(*decided(c), sample_weight=c.w, average="binary" if one else "macro", zero_division=0))


CLASSES: dict[str, Callable[[Case], float]] = {
    "accuracy": lambda c: float(sk.accuracy_score(*decided(c), sample_weight=c.w)),
    "auc": auc,
    "average_precision": average_precision,
    "f1": f1,
    "balanced_accuracy": lambda c: float(sk.balanced_accuracy_score(*decided(c), sample_weight=c.w)),
    "mcc": lambda c: float(sk.matthews_corrcoef(*decided(c), sample_weight=c.w)),
    "log_loss": lambda c: float(
        sk.log_loss(*scores(c), sample_weight=c.w, labels=None if c.t.shape[1] > 1 else [0, 1])
    ),
    "brier": lambda c: float(sk.brier_score_loss(*scores(c), sample_weight=c.w, **labels(c))),
}
LABELS = CLASSES | {
    "accuracy": lambda c: 1.0 - float(sk.hamming_loss(*decided(c), sample_weight=c.w)),
    "balanced_accuracy": each_output(lambda t, said, p, w: sk.balanced_accuracy_score(t, said, sample_weight=w)),
    "mcc": each_output(lambda t, said, p, w: sk.matthews_corrcoef(t, said, sample_weight=w)),
    "log_loss": each_output(lambda t, said, p, w: sk.log_loss(t, p, sample_weight=w, labels=[0, 1])),
    "brier": each_output(lambda t, said, p, w: sk.brier_score_loss(t, p, sample_weight=w, labels=[0, 1])),
}


def labels(c: Case) -> dict[str, Any]:
    return {"labels": [0, 1]} if c.t.shape[1] == 1 else {}


def repeated(c: Case) -> tuple[Any, Any]:
    """p and t with each sample as often as it weighs; no whole weights count as 1."""
    n = np.ones(len(c.y), int) if c.w is None else np.rint(c.w / c.w.min() * counted(c)).astype(int)
    return np.repeat(c.p, n, axis=0), np.repeat(c.t, n, axis=0)


def counted(c: Case) -> float:
    """What a factor of 1 or 0.7 leaves of the least weight."""
    return float(round(c.w.min() / (0.7 if c.w.min() % 1 else 1.0)))


def correlation(f: Callable[..., Any]) -> Callable[[Case], float]:
    def of(c: Case) -> float:
        p, t = repeated(c)
        return float(np.mean([f(a, b)[0] for a, b in zip(p.T, t.T, strict=True)]))

    return of


def concordance(c: Case) -> float:
    """All pairs, one by one (Harrell 1982)."""
    p, t = repeated(c)
    found = []
    for a, b in zip(p.T, t.T, strict=True):
        i, j = np.nonzero(b[:, None] < b)
        found.append(np.mean((a[i] < a[j]) + 0.5 * (a[i] == a[j])) if len(i) else math.nan)
    return float(np.mean(found))


NUMBERS: dict[str, Callable[[Case], float]] = {
    "r2": lambda c: float(sk.r2_score(c.t, c.p, sample_weight=c.w)),
    "rmse": lambda c: float(sk.root_mean_squared_error(c.t, c.p, sample_weight=c.w)),
    "mae": lambda c: float(sk.mean_absolute_error(c.t, c.p, sample_weight=c.w)),
    "pearson": correlation(stats.pearsonr),
    "spearman": correlation(stats.spearmanr),
    "concordance": concordance,
}
KINDS = {"two classes": CLASSES, "classes": CLASSES, "multi-label": LABELS, "a number": NUMBERS, "numbers": NUMBERS}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_equal_to_scikit_learn(request: pytest.FixtureRequest, kind: str, name: str) -> None:
    wanted, defined = KINDS[kind][name], 0
    for number, c in enumerate(cases(request, kind)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of what it leaves out
            theirs = wanted(c)
        ours = entries[name].f(c.y, c.t, c.loss, sample_weight=c.w)
        defined += math.isfinite(theirs)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-11, nan_ok=True), (number, c)
    assert defined > 5


def test_every_metric_has_a_reference() -> None:
    assert {name for names in KINDS.values() for name in names} == set(entries)


@pytest.mark.parametrize("name", entries)
@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_the_sample_given_so_often(kind: str, name: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(8):
        c = case(rng, kind)
        w = rng.integers(0, 4, len(c.y))
        w[rng.integers(len(w))] = 2
        rows = np.repeat(np.arange(len(w)), w)
        once = entries[name].f(c.y[rows], c.t[rows], c.loss)
        holes = np.where((w > 0)[:, None], c.y, math.nan)  # a sample of weight 0 is left out
        if name == "r2" and len(set(rows)) < 2:
            continue
        assert entries[name].f(holes, c.t, c.loss, sample_weight=w) == pytest.approx(once, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", entries)
def test_targets_of_one_axis_are_class_indices_or_those_of_one_output(name: str) -> None:
    y = np.random.default_rng(1).normal(size=(9, 3))
    k = np.arange(9) % 3
    assert entries[name].f(y, k, "cross_entropy") == entries[name].f(y, np.eye(3)[k], "cross_entropy")
    assert entries[name].f(y[:, :1], k % 2, "squared_error") == pytest.approx(
        entries[name].f(y[:, :1], (k % 2)[:, None], "squared_error"), nan_ok=True
    )


@pytest.mark.parametrize("name", entries)
def test_what_does_not_fit_is_refused(name: str) -> None:
    f = entries[name].f
    with pytest.raises(ShapeError, match=r"t has shape \(3, 1\) and y \(3, 2\)"):
        f(np.zeros((3, 2)), np.zeros((3, 1)), "squared_error")
    with pytest.raises(ShapeError, match="y has shape"):
        f(np.zeros(3), np.zeros(3), "squared_error")
    with pytest.raises(ShapeError, match="y has shape"):
        f(np.zeros((0, 1)), np.zeros((0, 1)), "squared_error")
    with pytest.raises(ShapeError, match="sample_weight"):
        f(np.zeros((3, 1)), np.zeros((3, 1)), "squared_error", sample_weight=[1.0])
    with pytest.raises(DataError, match="sample_weight is -1"):
        f(np.zeros((1, 1)), np.zeros((1, 1)), "squared_error", sample_weight=[-1.0])
    with pytest.raises(DataError, match="y holds"):
        f(np.array([["a"]]), np.zeros((1, 1)), "squared_error")


def test_no_probabilities_have_no_log_loss() -> None:
    for name in ("log_loss", "brier"):
        assert math.isnan(entries[name].f(np.array([[1.5], [0.2]]), np.array([[1.0], [0.0]]), "squared_error"))


def test_a_certain_mistake_costs_what_scikit_learn_says() -> None:
    y, t = np.array([[800.0], [-800.0]]), np.array([0.0, 1.0])
    wanted = sk.log_loss(t, predicted(y, "binary_cross_entropy")[:, 0])
    assert entries["log_loss"].f(y, t, "binary_cross_entropy") == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", ["auc", "average_precision", "spearman", "concordance"])
def test_a_hundred_thousand_samples_take_no_pairs(name: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=(100_000, 1))
    t = (y + rng.normal(size=y.shape) > 0).astype(float) if name in ("auc", "average_precision") else y + rng.normal()
    assert 0 <= entries[name].f(y, t, "squared_error") <= 1
