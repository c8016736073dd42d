"""Search the settings of a training with Optuna: each trial is a cross-validation.

    pip install optuna 'flowgrad[sklearn]'
    python examples/search/search.py [--trials 30] [--folds 5] [--seed 0] [--study FILE]

The best settings are then judged on samples that no trial has seen.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from sklearn.datasets import load_breast_cancer

import flowgrad as fg
from flowgrad.crossval import cross_validate
from flowgrad.figures import figures
from flowgrad.folds import held_out


def model(hidden: list[int], activation: str) -> fg.Model:
    """An untrained network of these hidden layers for 30 measurements and two classes."""
    net = fg.topologies.layered([30, *hidden, 1], activation=activation, seed=0)
    return fg.Model(net, classes=("malignant", "benign"))


def settings(trial: optuna.Trial) -> tuple[fg.Model, dict[str, Any]]:
    """What a trial tries: the network, and keyword arguments for `fit`."""
    layers = trial.suggest_int("layers", 0, 2)
    hidden = [trial.suggest_int(f"hidden {k + 1}", 2, 32, log=True) for k in range(layers)]
    activation = trial.suggest_categorical("activation", ["tanh", "relu", "silu"])
    return model(hidden, activation), {
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 0.1, log=True),
        "l2": trial.suggest_float("l2", 1e-6, 0.1, log=True),
        "epochs": 150,
        "patience": 15,
    }


def search(X: Any, T: Any, trials: int, folds: int, seed: int, study: str | None) -> optuna.Study:
    """Minimise the log loss of what was held out, in the mean over the folds."""

    def objective(trial: optuna.Trial) -> float:
        net, options = settings(trial)
        found = cross_validate(
            net, X, T, folds=folds, validation=0.2, metrics=["log_loss"], fit=options, seed=seed, workers=1
        )
        figure = {row["metric"]: row for row in found.figures()}["log_loss"]
        trial.set_user_attr("interval", (figure["low"], figure["high"]))
        return float(figure["mean"])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = optuna.storages.journal
    storage = None if study is None else optuna.storages.JournalStorage(journal.JournalFileBackend(study))
    sampler = optuna.samplers.TPESampler(seed=seed)
    found = optuna.create_study(storage=storage, study_name="flowgrad", load_if_exists=True, sampler=sampler)
    found.optimize(objective, n_trials=trials)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Search; judge a model of the best settings, that of their first fold, on what was set aside."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("trials", 30), ("folds", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--study", type=Path, help="a file that keeps the trials, to go on with")
    given = parser.parse_args(arguments)
    X, T = load_breast_cancer(return_X_y=True)
    test = held_out(len(X), 0.2, np.random.default_rng(given.seed), T)
    study = search(X[~test], T[~test], given.trials, given.folds, given.seed, given.study and str(given.study))
    low, high = study.best_trial.user_attrs["interval"]
    print(f"{len(study.trials)} trials; the best log loss {study.best_value:.4f} [{low:.4f}, {high:.4f}]")
    for name, value in study.best_params.items():
        print(f"  {name}: {value}")
    net, options = settings(optuna.trial.FixedTrial(study.best_params))
    chosen = cross_validate(
        net, X[~test], T[~test], folds=given.folds, validation=0.2, fit=options, seed=given.seed, workers=1
    ).model_of(1, 1)
    for name, found in figures(chosen, chosen.outputs(X[test]), T[test], ["log_loss"]).items():
        print(f"{name} on {int(test.sum())} samples that no trial has seen: {found}")


if __name__ == "__main__":
    main()
