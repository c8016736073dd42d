"""Initializers: the published rules, and which activation takes which."""

from __future__ import annotations

import numpy as np
import pytest

from flowgrad.errors import GraphError
from flowgrad.maths.activation import Activation
from flowgrad.maths.initializers import entries
from flowgrad.network import Network
from flowgrad.program import compile
from flowgrad.registry import find, names


def test_the_published_rules():
    fan_in, fan_out = np.array([1.0, 8.0, 3.0]), np.array([1.0, 24.0, 5.0])
    np.testing.assert_array_equal(entries["glorot"].std(fan_in, fan_out), [1.0, 0.25, 0.5])
    np.testing.assert_array_equal(entries["he"].std(fan_in, fan_out), np.sqrt([2.0, 0.25, 2 / 3]))
    np.testing.assert_allclose(entries["fan_in"].std(fan_in, fan_out), 1 / np.sqrt([3, 24, 9]), rtol=1e-15)


def test_glorot_spectral_is_glorots_up_to_equal_fans_and_the_spectral_conditions_beyond():
    fan_in, fan_out = (fans.ravel() for fans in np.mgrid[1.0:40.0, 1.0:40.0])
    std, glorot = (entries[name].std(fan_in, fan_out) for name in ("glorot_spectral", "glorot"))
    few = fan_in <= fan_out
    np.testing.assert_array_equal(std[few], glorot[few])
    np.testing.assert_allclose(std[~few], np.sqrt(fan_out[~few]) / fan_in[~few], rtol=1e-14)
    assert (std[~few] < glorot[~few]).all()


def test_equal_fans_keep_the_variance_of_a_sum():
    fans = np.arange(1.0, 50.0)
    np.testing.assert_allclose(fans * entries["glorot_spectral"].std(fans, fans) ** 2, 1.0, rtol=1e-14)


def spread_after(layers: int, initializer: str | None) -> float:
    """Standard deviation of a, over 50 samples and 10 seeds, of tanh neurons that each read 2 and are read by 2."""
    width = 10
    start = np.arange(layers * width)
    target = (start // width + 1)[:, None] * width + (start[:, None] + np.arange(2)) % width
    X = np.random.default_rng(0).normal(size=(50, width))
    found = []
    for seed in range(10):
        net = Network.from_arrays(np.repeat(start, 2), target.ravel(), seed=seed, initializer=initializer)
        found.append(compile(net).predict(X))
    return float(np.std(found))


def test_signals_live_through_twenty_sparse_layers():
    assert spread_after(20, None) > 0.03
    assert spread_after(20, "fan_in") < 1e-4


def test_integer_fans_are_taken():
    assert entries["he"].std(np.array([8]), np.array([2])).dtype == np.float64


def drawn(activation: Activation | str) -> float:
    """Standard deviation of 4,000 weights drawn from 40 sources to 100 targets."""
    source, target = np.arange(4000) // 100, 40 + np.arange(4000) % 100
    net = Network.from_arrays(source, target, activation=activation, seed=1)
    return float(net.columns.weights.std())


@pytest.mark.parametrize("activation", names("activations"))
def test_weights_are_drawn_by_the_initializer_on_the_record(activation):
    rule = find("initializers", find("activations", activation).initializer)
    assert drawn(activation) == pytest.approx(rule.std(np.array([40.0]), np.array([100.0]))[0], rel=0.05)


def test_functions_that_vanish_on_the_left_and_keep_the_right_take_he():
    """Slope 0 (leaky_relu: nearly) for z → −∞ and 1 for z → ∞; other programs' keep the rule they were read with."""
    for name in names("activations"):
        a = find("activations", name)
        with np.errstate(all="ignore"):
            left, middle, right = (a.df(np.float64(z)) for z in (-50.0, 2.0, 50.0))
        if abs(left) <= 0.01 and right == 1.0 and "-" not in name:
            assert a.initializer == "he", name
        if a.initializer == "he":
            assert abs(left) <= 0.01, name
            assert middle > 0.85, name


def test_functions_that_saturate_on_both_sides_and_have_slope_1_take_glorot_spectral():
    """Odd, flat for large |z|, slope 1 (erf's 2/√π) at 0; other programs' keep the rule they were read with."""
    for name in names("activations"):
        a, far = find("activations", name), np.float64(1e6)
        with np.errstate(all="ignore"):
            flat = abs(a.df(far)) < 1e-9 and abs(a.df(-far)) < 1e-9 and a.f(far) == -a.f(-far) != 0
            slope = a.df(np.float64(0.0))
        saturates = bool(flat and 1 <= slope < 1.2 and "-" not in name)
        assert saturates == (a.initializer == "glorot_spectral"), name


def test_weights_of_a_users_own_follow_its_initializer():
    def half(z):
        return 0.5 * z

    plain, he = Activation("half", half, half), Activation("half", half, half, initializer="he")
    assert drawn(plain) == drawn("tanh")
    assert drawn(he) == drawn("relu")
    wrong = Activation("half", half, half, initializer="hee")
    with pytest.raises(GraphError, match="activation 'half': unknown initializer 'hee': did you mean 'he'"):
        drawn(wrong)


def test_relu_keeps_the_second_moment_under_he():
    rng = np.random.default_rng(5)
    a = np.maximum(rng.normal(size=(500, 64)), 0) * np.sqrt(2)
    w = rng.normal(size=(64, 2000)) * entries["he"].std(np.array([64.0]), np.array([64.0]))
    assert np.mean(np.maximum(a @ w, 0) ** 2) == pytest.approx(np.mean(a**2), rel=0.1)


def test_names():
    assert repr(entries["glorot"]) == "Initializer('glorot', std=glorot)"
