"""Losses against mpmath, on whole arrays as NumPy runs them and number by number as Numba compiles them."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from flowgrad.errors import ConfigError, DataError
from flowgrad.maths.losses import Loss, entries, log_partition
from flowgrad.testing import oracle

NAMES = tuple(entries)
inf, nan = float("inf"), float("nan")


def softmax(y):
    total = mp.fsum(map(mp.exp, y))
    return [mp.exp(v) / total for v in y]


def clip(d):
    return min(max(d, -1), 1)


# name: ([l_n], [∂L/∂y_n]) of one sample, by the equations of (4) as they stand
REFERENCE = {
    "squared_error": lambda y, t: (
        [(a - b) ** 2 / 2 for a, b in zip(y, t, strict=True)],
        [a - b for a, b in zip(y, t, strict=True)],
    ),
    "cross_entropy": lambda y, t: (
        [-b * mp.log(p) for p, b in zip(softmax(y), t, strict=True)],
        [
            mp.fsum(b * (softmax(y)[j] - (j == n)) for n, b in enumerate(t))  # j of the one, n of the other
            for j in range(len(y))
        ],
    ),
    "binary_cross_entropy": lambda y, t: (
        [mp.log(1 + mp.exp(a)) - b * a for a, b in zip(y, t, strict=True)],
        [1 / (1 + mp.exp(-a)) - b for a, b in zip(y, t, strict=True)],
    ),
    "absolute_error": lambda y, t: (
        [abs(a - b) for a, b in zip(y, t, strict=True)],
        [mp.sign(a - b) for a, b in zip(y, t, strict=True)],
    ),
    "huber": lambda y, t: (
        [(a - b) ** 2 / 2 if abs(a - b) <= 1 else abs(a - b) - mp.mpf(1) / 2 for a, b in zip(y, t, strict=True)],
        [clip(a - b) for a, b in zip(y, t, strict=True)],
    ),
    "poisson": lambda y, t: (
        [mp.exp(a) - b * a for a, b in zip(y, t, strict=True)],
        [mp.exp(a) - b for a, b in zip(y, t, strict=True)],
    ),
    "gamma": lambda y, t: (
        [b * mp.exp(-a) + a for a, b in zip(y, t, strict=True)],
        [1 - b * mp.exp(-a) for a, b in zip(y, t, strict=True)],
    ),
    "negative_binomial": lambda y, t: (
        [(b + 1) * mp.log(1 + mp.exp(a)) - b * a for a, b in zip(y, t, strict=True)],
        [(mp.exp(a) - b) / (1 + mp.exp(a)) for a, b in zip(y, t, strict=True)],
    ),
}


def evaluate(name, y, t, run):
    """l (B, O) and ∂L/∂y (B, O): whole arrays under NumPy, number by number under Numba."""
    y, t, loss = np.array(y, np.float64), np.array(t, np.float64), entries[name]
    f, df = run(loss.f), run(loss.df)
    if not hasattr(f, "py_func"):
        return loss.evaluate(y, t)
    mass, lse = t.sum(axis=1), np.zeros((len(y), 1))
    if loss.coupled:
        with np.errstate(all="ignore"):
            y, lse = log_partition(y)
    l, dy = np.empty_like(y), np.empty_like(y)
    for b, n in np.ndindex(y.shape):
        read = (lse[b, 0],) if loss.coupled else ()
        value, slope = f(y[b, n], t[b, n], *read), df(y[b, n], t[b, n], *read, *([mass[b]] if loss.coupled else []))
        assert isinstance(value, float)
        assert isinstance(slope, float)
        l[b, n], dy[b, n] = value, slope
    return l, dy


def samples(name):
    """y, t (B, O): moderate and large values; targets that the loss is meant for."""
    rng = np.random.default_rng(11)
    y = np.concatenate([rng.normal(size=(6, 4)), rng.normal(size=(6, 4)) * 30])
    if name == "cross_entropy":
        return y, np.concatenate([np.eye(4)[rng.integers(4, size=6)], rng.dirichlet(np.ones(4), size=6)])
    if name == "binary_cross_entropy":
        return y, np.where(rng.random(y.shape) < 0.6, rng.integers(2, size=y.shape), rng.random(y.shape))
    if name in ("poisson", "negative_binomial"):
        return y, rng.poisson(3.0, size=y.shape).astype(float)
    if name == "gamma":
        return y, rng.gamma(2.0, size=y.shape)
    return y, y + rng.normal(size=y.shape) * rng.choice([0.0, 0.3, 5.0], size=y.shape)


@pytest.mark.parametrize("name", NAMES)
def test_values_and_derivatives_are_the_oracles(name, run):
    """Of every loss that there is; those with a reference are held to it beyond this."""
    rng = np.random.default_rng(12)
    y, t = 2.0 * rng.standard_normal((8, 3)), oracle.targets(name, rng, (8, 3))
    l, dy = evaluate(name, y, t, run)
    for b, (outputs, targets) in enumerate(zip(y.tolist(), t.tolist(), strict=True)):
        wanted = [complex(value).real for value in oracle.losses(name, outputs, targets)]
        np.testing.assert_allclose(l[b], wanted, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(dy[b], oracle.base_cases(name, outputs, targets), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", REFERENCE)
def test_values_and_derivatives(name, run):
    y, t = samples(name)
    l, dy = evaluate(name, y, t, run)
    for b in range(len(y)):
        with mp.workdps(60):
            value, slope = REFERENCE[name](list(map(mp.mpf, y[b])), list(map(mp.mpf, t[b])))
        scale = 1e-15 * np.abs(y[b] - y[b].max()).max() if entries[name].coupled else 1e-15 * np.abs(y[b]).max()
        np.testing.assert_allclose(l[b], np.array(value, float), rtol=2e-15, atol=scale)
        np.testing.assert_allclose(dy[b], np.array(slope, float), rtol=2e-15, atol=scale)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_derivative_is_that_of_the_sum_over_all_outputs(name):
    y, t = (a[:6, :3] for a in samples(name))
    with mp.workdps(50):
        for row, target in zip(y, t, strict=True):
            slope = REFERENCE[name](list(map(mp.mpf, row)), target)[1]
            for n in range(len(row)):

                def total(v, row=row, target=target, n=n):
                    return mp.fsum(REFERENCE[name]([*map(mp.mpf, row[:n]), v, *map(mp.mpf, row[n + 1 :])], target)[0])

                if row[n] != target[n]:
                    assert abs(mp.diff(total, mp.mpf(row[n])) - slope[n]) < 1e-15


# name, y, t, l, ∂L/∂y of one sample
EDGES = [
    ("cross_entropy", [1e4, 0, -1e4], [1, 0, 0], [0, 0, 0], [0, 0, 0]),
    ("cross_entropy", [1e4, 0, -1e4], [0, 1, 0], [0, 1e4, 0], [1, -1, 0]),
    ("cross_entropy", [1e4, 0, -1e4], [0, 0, 1], [0, 0, 2e4], [1, 0, -1]),
    ("cross_entropy", [0, -inf], [0, 1], [0, inf], [1, -1]),
    ("cross_entropy", [0, -inf], [1, 0], [0, 0], [0, 0]),
    ("cross_entropy", [0, 0], [0, 0], [0, 0], [0, 0]),
    ("cross_entropy", [nan, 0], [1, 0], [nan, 0], [nan, nan]),
    ("cross_entropy", [nan, 0], [0, 1], [0, nan], [nan, nan]),
    ("binary_cross_entropy", [1000, 1000, -1000, -1000], [1, 0, 1, 0], [0, 1000, 1000, 0], [0, 1, -1, 0]),
    ("binary_cross_entropy", [inf, inf, -inf, -inf], [1, 0, 1, 0], [0, inf, inf, 0], [0, 1, -1, 0]),
    ("binary_cross_entropy", [inf, -inf], [0.5, 0.5], [inf, inf], [0.5, -0.5]),
    ("binary_cross_entropy", [0.0, -0.0], [1, 1], [np.log(2)] * 2, [-0.5, -0.5]),
    ("binary_cross_entropy", [nan, nan], [0, 1], [nan, nan], [nan, nan]),
    ("squared_error", [3, inf, nan], [1, 0, 0], [2, inf, nan], [2, inf, nan]),
    ("absolute_error", [3, 1, -inf, nan], [1, 1, 0, 0], [2, 0, inf, nan], [1, 0, -1, nan]),
    (
        "huber",
        [0.5, 1, -1, 3, -inf, nan],
        [0] * 6,
        [0.125, 0.5, 0.5, 2.5, inf, nan],
        [0.5, 1, -1, 1, -1, nan],
    ),
    ("poisson", [0, -inf, -inf, 1000, nan], [2, 0, 1, 3, 0], [1, 0, inf, inf, nan], [-1, 0, -1, inf, nan]),
    ("gamma", [0, -inf, -800, inf, nan], [2, 1, 1, 3, 1], [2, inf, inf, inf, nan], [-1, -inf, -inf, 1, nan]),
    (
        "negative_binomial",
        [1000, -inf, -inf, inf, nan],
        [3, 0, 1, 3, 0],
        [1000, 0, inf, inf, nan],
        [1, 0, -1, 1, nan],
    ),
]


@pytest.mark.parametrize(("name", "y", "t", "value", "slope"), EDGES)
def test_edges(name, y, t, value, slope, run):
    l, dy = evaluate(name, [y], [t], run)
    np.testing.assert_array_equal(l[0], value)
    np.testing.assert_array_equal(dy[0], slope)


def test_log_softmax_of_far_logits(run):
    log_softmax = [-evaluate("cross_entropy", [[1e4, 0, -1e4]], [np.eye(3)[n]], run)[0][0, n] for n in range(3)]
    assert log_softmax == [0.0, -1e4, -2e4]


def test_binary_cross_entropy_keeps_the_tail(run):
    l, dy = evaluate("binary_cross_entropy", [[40.0, -40.0, 700.0]], [[1, 0, 1]], run)
    tail = np.exp([-40.0, -40.0, -700.0])
    np.testing.assert_allclose(l[0], tail, rtol=1e-15)
    np.testing.assert_allclose(dy[0], tail * [-1, 1, -1], rtol=1e-15)


@pytest.mark.parametrize(
    ("y", "left", "value"),
    [
        ([1e4, 0, -1e4], [0, -1e4, -2e4], 0.0),
        ([-1e4, -1e4], [0, 0], np.log(2)),
        ([1e308, 1e308], [0, 0], np.log(2)),
        ([1e17, 1e17 - 16], [0, -16], np.log1p(np.exp(-16.0))),
        ([0, -40], [0, -40], np.exp(-40.0)),
        ([inf, 0], [inf, 0], inf),
        ([inf, -inf], [inf, -inf], inf),
        ([inf, inf], [inf, inf], inf),
        ([-inf, -inf], [-inf, -inf], -inf),
        ([-inf, 3], [-inf, 0], 0.0),
        ([nan, 0], [nan, 0], nan),
        ([nan, inf], [nan, inf], nan),
        ([5], [0], 0.0),
    ],
)
def test_the_largest_logit_is_taken_out(y, left, value):
    with np.errstate(all="ignore"):
        below, got = log_partition(np.array([y, y], np.float64))
    assert got.shape == (2, 1)
    np.testing.assert_array_equal(below, [left] * 2)
    np.testing.assert_allclose(got, [[value]] * 2, rtol=1e-15)


@pytest.mark.parametrize("shift", [0.0, 1e4, 1e8, 1e12, -1e12, 2.0**52])
@pytest.mark.parametrize("gap", [0.0, 1.0, 5.0, 40.0, 700.0])
def test_cross_entropy_depends_on_differences_alone(shift, gap, run):
    """Every digit, of the loss and of both base cases, whatever is added to both logits."""
    for t in ([1.0, 0.0], [0.0, 1.0], [0.25, 0.75], [2.0, 1.0]):
        l, dy = evaluate("cross_entropy", [[shift, shift - gap]], [t], run)
        with mp.workdps(400):
            value, slope = REFERENCE["cross_entropy"]([mp.mpf(shift), mp.mpf(shift - gap)], list(map(mp.mpf, t)))
        np.testing.assert_allclose(l[0], np.array(value, float), rtol=4e-16, atol=0)
        np.testing.assert_allclose(dy[0], np.array(slope, float), rtol=1e-15, atol=1e-16 if 0 < t[0] < 1 else 0)


def test_links_are_what_outputs_predict():
    y = np.array([[1e17, 1e17], [0.0, -40.0], [-800.0, 3.0], [nan, 0.0]])
    p = entries["cross_entropy"].link(y)
    np.testing.assert_allclose(p[:3], [[0.5, 0.5], [1.0, np.exp(-40.0)], [0.0, 1.0]], rtol=1e-15)
    assert np.isnan(p[3]).all()
    q = entries["binary_cross_entropy"].link(y)
    np.testing.assert_allclose(q[1:3], [[0.5, np.exp(-40.0)], [0.0, 1 / (1 + np.exp(-3.0))]], rtol=1e-15)
    np.testing.assert_array_equal(entries["poisson"].link(y[1:]), np.exp(y[1:]))
    assert entries["poisson"].link(y)[0, 0] == inf
    for name in ("squared_error", "absolute_error", "huber"):
        assert entries[name].link(y) is y


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("binary_cross_entropy", [0.0, 1.0, 0.3, nan, inf, -inf], [-1.0, 2.0, -9.0, 1.0000001]),
        ("poisson", [0.0, 3.0, 0.5, nan, inf, -inf], [-1.0, -1e-9]),
        ("negative_binomial", [0.0, 3.0, nan, inf, -inf], [-1.0]),
        ("cross_entropy", [0.0, 0.5, 2.0, nan, inf], [-1.0, -0.5]),
        ("squared_error", [-1e300, 0.0, nan, inf], []),
    ],
)
def test_targets_have_a_domain(name, good, bad):
    for value in good:
        entries[name].check(np.array([[0.0, value]]))
    for value in bad:
        with pytest.raises(DataError, match=rf"target {value:g} of output y at sample 8: {name} takes"):
            entries[name].check(np.array([[0.0, nan], [nan, value]]), ("x", "y"), np.array([3, 8]))


def test_what_a_loss_is_made_of():
    with pytest.raises(ConfigError, match="name"):
        Loss("", abs, abs)
    with pytest.raises(ConfigError, match="df of loss 'mine'"):
        Loss("mine", abs, None)
    same = Loss("huber", entries["huber"].f, entries["huber"].df, link=np.exp)
    assert same == entries["huber"]


@pytest.mark.parametrize("name", NAMES)
def test_arrays_keep_their_shape_and_dtype(name):
    y, t = (a.astype(np.float32) for a in samples(name))
    results = entries[name].evaluate(y, t)
    for r in results:
        assert (r.shape, r.dtype) == (y.shape, np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_is_coupled_where_an_output_reads_another(name):
    """cross_entropy is; of the others no l_n changes with another output."""
    y, t = (a[:6] for a in samples(name))
    moved = y + 0.5 * (np.arange(y.shape[1]) > 0)
    same = entries[name].evaluate(y, t)[0][:, 0] == entries[name].evaluate(moved, t)[0][:, 0]
    assert bool(np.all(same)) == (not entries[name].coupled)


def test_losses_stand_under_their_own_name():
    assert all(loss.name == name for name, loss in entries.items())
    assert repr(entries["huber"]) == "Loss('huber', f=huber, df=dhuber, coupled=False)"
