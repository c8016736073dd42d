"""Initializers: the published rules, and which activation takes which."""

from __future__ import annotations

import numpy as np
import pytest

from flowgrad.maths import activations
from flowgrad.maths.initializers import RECTIFIERS, entries, initializer_for


def test_glorot_and_he():
    fan_in, fan_out = np.array([1.0, 8.0, 3.0]), np.array([1.0, 24.0, 5.0])
    np.testing.assert_array_equal(entries["glorot"].std(fan_in, fan_out), [1.0, 0.25, 0.5])
    np.testing.assert_array_equal(entries["he"].std(fan_in, fan_out), np.sqrt([2.0, 0.25, 2 / 3]))


def test_integer_fans_are_taken():
    assert entries["he"].std(np.array([8]), np.array([2])).dtype == np.float64


@pytest.mark.parametrize("activation", [*activations.entries, "of-your-own"])
def test_he_is_for_rectifiers(activation):
    assert initializer_for(activation).name == ("he" if activation in RECTIFIERS else "glorot")


def test_rectifiers_are_the_functions_that_vanish_on_the_left_and_keep_the_right():
    """Bounded for z → −∞ (leaky_relu: nearly) with slope 1 for z → ∞; selu's slope is λ ≠ 1."""
    found = set()
    for name, a in activations.entries.items():
        with np.errstate(all="ignore"):
            left, right = a.df(np.float64(-50.0)), a.df(np.float64(50.0))
        if abs(left) <= 0.01 and right == 1.0:
            found.add(name)
    assert found == RECTIFIERS


def test_relu_keeps_the_second_moment_under_he():
    rng = np.random.default_rng(5)
    a = np.maximum(rng.normal(size=(500, 64)), 0) * np.sqrt(2)
    w = rng.normal(size=(64, 2000)) * entries["he"].std(np.array([64.0]), np.array([64.0]))
    assert np.mean(np.maximum(a @ w, 0) ** 2) == pytest.approx(np.mean(a**2), rel=0.1)


def test_names():
    assert tuple(entries) == ("glorot", "he")
    assert repr(entries["glorot"]) == "Initializer('glorot', std=glorot)"
