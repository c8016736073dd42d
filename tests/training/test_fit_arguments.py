"""What fit refuses: arguments and data, named, with θ as it was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, ShapeError, UnknownNameError
from flowgrad.registry import find

BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"epochs": 0}, ConfigError, "epochs=0"),
    ({"epochs": 2.0}, ConfigError, "epochs=2.0"),
    ({"epochs": True}, ConfigError, "epochs=True"),
    ({"batch_size": 0}, ConfigError, "batch_size=0"),
    ({"batch_size": "64"}, ConfigError, "batch_size='64'"),
    ({"learning_rate": 0}, ConfigError, "learning_rate=0"),
    ({"learning_rate": -0.1}, ConfigError, "learning_rate=-0.1"),
    ({"learning_rate": math.nan}, ConfigError, "learning_rate=nan"),
    ({"learning_rate": "fast"}, ConfigError, "learning_rate='fast'"),
    ({"seed": -1}, ConfigError, "seed=-1"),
    ({"seed": None}, ConfigError, "seed=None"),
    ({"shuffle": 1}, ConfigError, "shuffle=1"),
    ({"progress": "yes"}, ConfigError, "progress='yes'"),
    ({"on_epoch": 3}, ConfigError, "on_epoch=3"),
    ({"optimizer": 3}, ConfigError, "optimizer=3"),
    ({"optimizer": "adma"}, UnknownNameError, "did you mean 'adam'"),
    ({"metrics": ["acuracy"]}, UnknownNameError, "did you mean 'accuracy'"),
    ({"schedule": "cosin"}, UnknownNameError, "did you mean 'cosine'"),
    ({"patience": 3}, ConfigError, "patience=3: needs validation"),
    ({"patience": 0, "validation": 0.5}, ConfigError, "patience=0"),
    ({"validation": 1.0}, ConfigError, "validation=1.0"),
    ({"validation": 0.01}, ConfigError, "validation=0.01: of 40 samples"),
    ({"validation": "no"}, ConfigError, "validation='no'"),
    ({"validation": (1, 2, 3, 4)}, ConfigError, "validation has 4 entries"),
    ({"l1": -1.0}, ConfigError, "l1=-1.0"),
    ({"l2": math.inf}, ConfigError, "l2=inf"),
    ({"l2": "x"}, ConfigError, "l2='x': give a mapping of words"),
    ({"l2": [([0, 99], 0.1)]}, ConfigError, "l2: slots must be"),
    ({"l2": [([0.5], 0.1)]}, ConfigError, "l2: slots must be"),
    ({"l2": [([0], -0.1)]}, ConfigError, "l2=-0.1"),
    ({"sample_weight": [1.0]}, ShapeError, "sample_weight"),
    ({"sample_weight": -np.ones(40)}, DataError, "sample_weight"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), BAD, ids=lambda x: str(x) if isinstance(x, dict) else "")
def test_bad_arguments_are_named(
    arguments: dict[str, Any], error: type[Exception], words: str, program_of: Any, data_of: Any
) -> None:
    program, X, T = program_of("python"), *data_of(40)
    before = program.theta.copy()
    with pytest.raises(error) as caught:
        fg.fit(program, X, T, **arguments)
    assert words in str(caught.value)
    assert (program.theta == before).all()


def test_bad_data(executor: str, program_of: Any, data_of: Any) -> None:
    program, X, T = program_of(executor), *data_of(20)
    with pytest.raises(ShapeError, match="T has 19 rows and X 20"):
        fg.fit(program, X, T[:19])
    with pytest.raises(ShapeError, match="X has shape"):
        fg.fit(program, X[:, :2], T)
    with pytest.raises(DataError, match="empty batch"):
        fg.fit(program, X[:0], T[:0])
    with pytest.raises(ShapeError, match="T has 19 rows and X 20"):
        fg.fit(program, X, T, validation=(X, T[:19]))
    with pytest.raises(DataError, match="class index 2 at sample 0"):
        fg.fit(program_of(executor, loss="cross_entropy"), X, np.full(20, 2))
    with pytest.raises(DataError, match="no loss"):
        fg.fit(fg.compile(fg.topologies.layered([3, 2], seed=0), executor=executor), X, T)
    with pytest.raises(ConfigError, match="fit wants a Program, not a Network"):
        fg.fit(fg.topologies.layered([3, 2], seed=0), X, T)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("optimizer", fg.optimizers.SGD),
        ("optimizer", fg.optimizers.Adam),
        ("optimizer", dict),
        ("metrics", [fg.metrics.Metric]),
        ("callbacks", [dict]),
        ("schedule", dict),
        ("schedule", fg.schedules.step),
    ],
)
def test_a_class_is_no_record(name: str, kind: Any, program_of: Any, data_of: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        fg.fit(program_of("python"), *data_of(), epochs=1, **{name: kind})


def test_the_class_of_an_optimizer_is_answered_with_its_call(program_of: Any, data_of: Any) -> None:
    with pytest.raises(ConfigError, match=r"optimizer=.*a class; give a name, or an Optimizer, SGD\(\)"):
        fg.fit(program_of("python"), *data_of(), optimizer=fg.optimizers.SGD)  # type: ignore[arg-type]  # wrong on purpose


def test_a_class_is_no_executor_and_no_loss() -> None:
    net = fg.topologies.layered([2, 1])
    for given in (
        {"executor": type(find("executors", "python"))},
        {"executor": 3},
        {"loss": type(find("losses", "cox"))},
    ):
        with pytest.raises(ConfigError, match=next(iter(given))):
            fg.compile(net, **given)  # type: ignore[arg-type]  # wrong on purpose
