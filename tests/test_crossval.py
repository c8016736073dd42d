"""Folds and cross-validation: what stands together, what a fold never sees, and figures by their definitions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.crossval import CrossValidation, cross_validate
from flowgrad.errors import ConfigError, DataError, FlowgradError, ShapeError
from flowgrad.folds import folds_of, held_out
from flowgrad.inspection.controls import fresh
from flowgrad.metrics import entries, interval
from flowgrad.scaling import Scaling

FIT = {"epochs": 3, "batch_size": 16, "learning_rate": 0.05}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_folds_have_equal_shares_of_every_class() -> None:
    for seed in range(20):
        classes = rng(seed).choice(3, size=101, p=[0.6, 0.3, 0.1])
        fold = folds_of(101, 5, rng(seed), classes)
        table = np.array([np.bincount(fold[classes == k], minlength=5) for k in range(3)])
        assert np.ptp(table, axis=1).max() <= 1
        assert np.ptp(table.sum(axis=0)) <= 1
    assert (folds_of(30, 5, rng(1)) != folds_of(30, 5, rng(2))).any()
    np.testing.assert_array_equal(folds_of(30, 5, rng(1)), folds_of(30, 5, rng(1)))


def test_groups_stay_whole_and_folds_stay_even() -> None:
    for seed in range(20):
        who = rng(seed).integers(0, 25, 200)
        classes = who % 2
        fold = folds_of(200, 5, rng(seed), classes, [f"p{k}" for k in who])
        assert all(len(set(fold[who == k])) == 1 for k in set(who.tolist()))
        sizes = np.bincount(fold, minlength=5)
        assert sizes.max() - sizes.min() <= 2 * np.bincount(who).max()
        ones = np.array([classes[fold == k].mean() for k in range(5)])
        assert (abs(ones - classes.mean()) < 0.25).all()
        out = held_out(200, 0.2, rng(seed), classes, who)
        assert not set(who[out]) & set(who[~out])
        assert 0.1 < out.mean() < 0.3


def test_a_share_is_held_out_of_every_class() -> None:
    classes = np.repeat([0, 1], [80, 40])
    out = held_out(120, 0.25, rng(), classes)
    assert (out[:80].sum(), out[80:].sum()) == (20, 10)


def test_too_few() -> None:
    with pytest.raises(DataError, match="3 samples are too few for 5 folds"):
        folds_of(3, 5, rng())
    with pytest.raises(DataError, match="2 groups are too few for 3 folds"):
        folds_of(9, 3, rng(), groups=np.arange(9) % 2)
    with pytest.raises(DataError, match="too few to hold out"):
        held_out(3, 0.2, rng())


def model(**given: Any) -> fg.Model:
    net = fg.topologies.layered([3, 4, 1], activation="tanh", seed=0)
    return fg.Model(net, inputs=("a", "b", "c"), **given)


def samples(n: int = 50) -> tuple[np.ndarray, np.ndarray]:
    X = rng(1).normal(size=(n, 3)) * [1.0, 100.0, 0.01] + [0.0, 5.0, 3.0]
    return X, (X[:, 0] + X[:, 1] / 100 + 0.3 * rng(2).normal(size=n) > 0).astype(int)


def run(X: Any, T: Any, given: fg.Model | None = None, **options: Any) -> CrossValidation:
    settings: dict[str, Any] = {"folds": 4, "workers": 1, "executor": "python", "fit": FIT} | options
    return cross_validate(given or model(classes=("no", "yes")), X, T, **settings)


def test_a_fold_is_what_fit_gives_on_the_others() -> None:
    """By hand, scaling of the training folds and all; whatever stands in the fold itself changes nothing."""
    X, T = samples()
    found = run(X, T, seed=7, repeats=2)
    again = found.model_of(2, 3)
    fold = next(each for each in found.done if (each.repeat, each.number) == (2, 3))
    rest = np.setdiff1d(np.arange(50), fold.rows)
    assert again.scaling is not None
    np.testing.assert_array_equal(again.scaling.mean, Scaling.of(X[rest]).mean)
    np.testing.assert_allclose(again.outputs(X[fold.rows]), fold.y, rtol=1e-12)
    np.testing.assert_array_equal(found.outputs[1, fold.rows], fold.y)
    spoilt = X.copy()
    spoilt[fold.rows] = 1e6
    np.testing.assert_array_equal(run(spoilt, T, seed=7, repeats=2).model_of(2, 3).scaling.mean, again.scaling.mean)
    other = next(each for each in run(spoilt, T, seed=7, repeats=2).done if each.job == fold.job)
    np.testing.assert_array_equal(other.theta, fold.theta)


def test_early_stopping_sees_the_training_folds_alone() -> None:
    X, T = samples()
    options = {"validation": 0.25, "fit": FIT | {"patience": 1, "epochs": 8}, "seed": 3}
    found = run(X, T, **options)
    fold = found.done[0]
    spoilt = T.copy()
    spoilt[fold.rows] = 1 - spoilt[fold.rows]  # keeps the number of each class or not: folds are drawn before
    if (np.bincount(spoilt) == np.bincount(T)).all():
        np.testing.assert_array_equal(run(X, spoilt, **options).done[0].theta, fold.theta)
    assert len({each.epochs for each in found.done}) >= 1
    whole = run(X, T, validation=(X, T), fit=FIT | {"patience": 2})
    assert len(whole.done) == 4


def test_figures_are_those_of_the_definitions() -> None:
    X, T = samples()
    found = run(X, T, repeats=3, metrics=["f1"])
    rows, figures = found.by_fold(), {f["metric"]: f for f in found.figures()}
    assert list(figures) == ["accuracy", "auc", "f1"]
    values = np.array([row["accuracy"] for row in rows])
    each = [entries["accuracy"].f(f.y, T[f.rows], "binary_cross_entropy") for f in found.done]
    np.testing.assert_array_equal(values, each)
    said = figures["accuracy"]
    assert said["mean"] == pytest.approx(values.mean())
    ratio = np.mean([row["test"] / row["train"] for row in rows])
    reach = 2.200985160 * values.std(ddof=1) * math.sqrt(1 / 12 + ratio)  # t of 11 degrees of freedom
    assert said["low"] == pytest.approx(values.mean() - reach)
    assert said["high"] == pytest.approx(min(1.0, values.mean() + reach))
    pooled = interval(
        "auc", found.outputs.reshape(-1, 1), np.tile(T, 3), "binary_cross_entropy", groups=np.tile(np.arange(50), 3)
    )
    assert tuple(figures["auc"][k] for k in ("pooled", "pooled_low", "pooled_high")) == pytest.approx(tuple(pooled))
    table = found.predictions()
    assert table["p(yes)"].shape == (150,)
    assert [table["true"][k] for k in (0, 50, 100)] == ["yes" if T[0] else "no"] * 3
    assert "accuracy" in repr(found)


def test_targets_come_back_on_the_scale_of_the_data() -> None:
    X, _ = samples()
    T = 1000 + 50 * X[:, :1]
    found = run(X, T, model(targets=("dose",)), standardize_targets=True, fit=FIT | {"epochs": 40})
    assert found.outputs.mean() == pytest.approx(1000, rel=0.02)
    assert {f["metric"]: f for f in found.figures()}["rmse"]["mean"] < 40
    np.testing.assert_allclose(found.model_of(1, 1).predict(X[found.done[0].rows]), found.done[0].y)
    assert sorted(found.predictions()) == ["dose", "fold", "repeat", "sample", "true dose"]
    by_name = run({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}, {"dose": T[:, 0]}, model(targets=("dose",)))
    assert by_name.outputs.shape == (1, 50, 1)


def test_what_was_done_is_not_done_again_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    X, T = samples()
    run(X, T, repeats=2, folder=tmp_path / "whole")
    done: list[Any] = []

    def stop(fold: Any) -> None:
        done.append(fold.job)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(X, T, repeats=2, folder=tmp_path / "part", on_fold=stop)
    done.clear()
    run(X, T, repeats=2, folder=tmp_path / "part", on_fold=lambda fold: done.append(fold.job))
    assert len(done) == 5
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (tmp_path / "part" / path.name).read_bytes() == path.read_bytes()
    more = run(X, T, repeats=3, folder=tmp_path / "part", on_fold=lambda fold: done.append(fold.job))
    assert (len(done), len(more.done)) == (9, 12)
    for other in ({"folds": 3}, {"seed": 1}, {"fit": FIT | {"epochs": 4}}, {"stratify": False}):
        with pytest.raises(ConfigError, match="holds folds of another cross-validation"):
            run(X, T, **({"folder": tmp_path / "part"} | other))


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"folds": 1}, ConfigError, "folds=1"),
        ({"repeats": 0}, ConfigError, "repeats=0"),
        ({"groups": [1, 2]}, ShapeError, "groups has shape"),
        ({"stratify": "yes"}, ConfigError, "stratify='yes'"),
        ({"validation": 1.5}, ConfigError, "validation=1.5"),
        ({"fit": {"seed": 3}}, ConfigError, "fit holds seed"),
        ({"fit": {"validation": 0.2}}, ConfigError, "fit holds validation"),
        ({"standardize_targets": True}, ConfigError, "classes"),
        ({"metrics": ["acuracy"]}, FlowgradError, "did you mean 'accuracy'"),
        ({"folds": 30}, DataError, r"class '(no|yes)' has \d+ samples, and there are 30 folds"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[FlowgradError], said: str) -> None:
    X, T = samples()
    with pytest.raises(error, match=said):
        run(X, T, **options)


def test_targets_that_do_not_fit_are_refused() -> None:
    X, T = samples()
    with pytest.raises(ShapeError, match="T has 49 rows"):
        run(X, T[1:])
    with pytest.raises(DataError, match="class index 2"):
        run(X, T + 1)
    with pytest.raises(ShapeError, match="class indices"):
        run(X, T[:, None])
    with pytest.raises(ConfigError, match="no classes to stratify by"):
        run(X, X[:, :1], model(targets=("dose",)), stratify=True)
    with pytest.raises(ConfigError, match="no fold 9 of repeat 1"):
        run(X, T).model_of(1, 9)


def test_intervals_of_the_mean_over_folds_cover(request: pytest.FixtureRequest) -> None:
    """Of a classifier that learns nothing its accuracy on balanced classes is ½."""
    net, inside = fg.topologies.layered([2, 1], seed=0), 0
    times = 60 if request.config.getoption("--soak") else 12
    for seed in range(times):
        X, T = rng(seed).normal(size=(40, 2)), np.arange(40) % 2
        found = cross_validate(
            fg.Model(net, classes=(0, 1)), X, T, workers=1, executor="python", seed=seed,
            fit={"epochs": 1, "batch_size": 40, "learning_rate": 0.01},
        )  # fmt: skip
        said = found.figures()[0]
        inside += said["low"] <= 0.5 <= said["high"]
    assert inside / times >= 0.9


def test_samples_weigh_in_training_and_in_early_stopping() -> None:
    net = fg.topologies.layered([2, 3, 1], activation="tanh", seed=0)
    rng = np.random.default_rng(1)
    X, s = rng.normal(size=(40, 2)), rng.uniform(0.5, 4.0, 40)
    T = X[:, :1] - X[:, 1:] ** 2
    how: dict[str, Any] = {"epochs": 3, "batch_size": 8}
    held = (X[:10], T[:10], s[:10])
    found = cross_validate(
        fg.Model(net), X, T, folds=2, sample_weight=s, validation=held, standardize=False, fit=how, workers=1,
        executor="python",
    )  # fmt: skip
    fold = found.done[0]
    kept = np.setdiff1d(np.arange(40), fold.rows)
    program = fg.compile(fresh(net, 0), executor="python", loss="squared_error")
    fg.fit(program, X[kept], T[kept], sample_weight=s[kept], validation=held, seed=0, **how)
    assert fold.theta.tobytes() == program.theta.tobytes()
    for given, said in ((np.zeros(40), "0 for every"), (np.r_[0.0, s[1:]], "0 for some samples"), (s[1:], "shape")):
        with pytest.raises((DataError, ShapeError), match=said):
            cross_validate(fg.Model(net), X, T, sample_weight=given, fit=how, workers=1, executor="python")
