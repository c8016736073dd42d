"""Learning-rate schedules."""

from __future__ import annotations

import numpy as np
import pytest

from flowgrad import schedules as schedule
from flowgrad.errors import ConfigError, UnknownNameError
from flowgrad.schedules import entries, schedule_for


def values(name: str, epochs: int) -> np.ndarray:
    factor = schedule_for(name, epochs)
    return np.array([factor(epoch) for epoch in range(1, epochs + 1)])


@pytest.mark.parametrize("name", entries)
@pytest.mark.parametrize("epochs", [1, 2, 3, 50])
def test_named_schedules_fit_any_number_of_epochs(name: str, epochs: int) -> None:
    factors = values(name, epochs)
    assert ((factors > 0) & (factors <= 1)).all()
    assert (np.diff(factors) <= 0).all() or name == "warmup"


def test_shapes() -> None:
    assert set(values("constant", 7)) == {1.0}
    assert values("step", 9).round(12).tolist() == [1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    np.testing.assert_allclose(values("exponential", 5), [1, 0.01**0.25, 0.1, 0.01**0.75, 0.01], rtol=1e-12)
    np.testing.assert_allclose(values("cosine", 4), [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2], rtol=1e-12)
    assert values("warmup", 20).tolist() == [0.5] + [1.0] * 19


def test_warmup_hands_over() -> None:
    factor = schedule.warmup(2, then=schedule.exponential(0.5))
    assert [factor(e) for e in (1, 2, 3, 4, 5)] == [0.5, 1.0, 1.0, 0.5, 0.25]


def test_cosine_ends_at_its_floor() -> None:
    factor = schedule.cosine(10, floor=0.2)
    assert factor(1) == 1.0
    assert factor(11) == pytest.approx(0.2, abs=1e-15)
    assert factor(99) == pytest.approx(0.2, abs=1e-15)


def test_unknown_names_and_bad_functions() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'cosine'"):
        schedule_for("cosin", 5)
    with pytest.raises(ConfigError, match="schedule=3"):
        schedule_for(3, 5)  # type: ignore[arg-type]  # wrong on purpose
    for bad in (-1.0, float("nan"), "x"):
        with pytest.raises(ConfigError, match=r"schedule\(2\)"):
            schedule_for(lambda epoch, bad=bad: bad, 5)(2)  # type: ignore[misc]  # a lambda with a default
    with pytest.raises(ConfigError, match="every"):
        schedule.step(0)
