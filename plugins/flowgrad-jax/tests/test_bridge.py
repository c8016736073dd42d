"""`as_jax`: the program's values and gradients, under every transformation of JAX."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flowgrad_jax import as_jax

import flowgrad as fg
from flowgrad.errors import ConfigError, ShapeError

EXECUTORS = ("python", "numba", "jax")


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def case():
    """A network with skip edges, a batch and cotangents: (network, X, C)."""
    rng = np.random.default_rng(4)
    net = fg.topologies.random_dag(4, 30, seed=2)
    return net, rng.standard_normal((6, 4)), rng.standard_normal((6, len(net.outputs)))


def loss_of(f):
    return lambda theta, X, C: (f(theta, X) * C).sum()


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("jitted", [False, True])
def test_values_and_gradients_are_the_program_s(case, executor, jitted):
    net, X, C = case
    program = fg.compile(net, executor=executor)
    f = as_jax(program)
    through = jax.jit if jitted else lambda g: g
    y = through(f)(program.theta, X)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, program.predict(X), rtol=1e-13, atol=1e-14)
    g, dx = through(jax.grad(loss_of(f), (0, 1)))(program.theta, X, C)
    expected = program.vjp(X, C)
    np.testing.assert_allclose(g, expected[0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(dx, expected[1], rtol=1e-12, atol=1e-13)
    y, pull = jax.vjp(f, program.theta, X)
    np.testing.assert_allclose(pull(jnp.asarray(C))[0], expected[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_vmap_over_samples_over_theta_and_over_both(case, executor):
    net, X, C = case
    program = fg.compile(net, executor=executor)
    f, theta = as_jax(program), jnp.asarray(program.theta)
    of_samples = jax.jit(jax.vmap(jax.grad(loss_of(f)), (None, 0, 0)))(theta, X, C)
    assert of_samples.shape == (6, len(theta))
    for k in range(6):
        np.testing.assert_allclose(of_samples[k], program.vjp(X[k : k + 1], C[k : k + 1])[0], rtol=1e-11, atol=1e-12)
    thetas = jnp.stack([theta, 2 * theta, -theta])
    y = jax.vmap(f, (0, None))(thetas, X)
    both = jax.jit(jax.vmap(jax.vmap(f, (None, 0)), (0, None)))(thetas, X)
    pairs = jax.vmap(f)(thetas, X[:3])
    for k in range(3):
        np.testing.assert_allclose(y[k], program.predict(X, theta=thetas[k]), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(both[k], y[k], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(pairs[k], y[k][k], rtol=1e-12, atol=1e-13)
    g, dx = jax.vmap(jax.grad(loss_of(f), (0, 1)), (0, None, None))(thetas, X, C)
    for k in range(3):
        expected = program.vjp(X, C, theta=thetas[k])
        np.testing.assert_allclose(g[k], expected[0], rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(dx[k], expected[1], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes(case, executor, dtype):
    net, X, C = case
    program = fg.compile(net, executor=executor, dtype=dtype)
    f, theta = as_jax(program), program.theta
    exact = fg.compile(net, executor="python").vjp(X, C)
    for kind, near in (("float32", 2e-5), ("float64", 1e-12 if dtype == "float64" or executor == "jax" else 2e-5)):
        given = theta.astype(kind), X.astype(kind)
        assert f(*given).dtype == kind
        g, dx = jax.grad(loss_of(f), (0, 1))(*given, C.astype(kind))
        assert (g.dtype, dx.dtype) == (kind, kind)
        if dtype == "float64":
            np.testing.assert_allclose(g, exact[0], rtol=near, atol=near * abs(exact[0]).max())
    assert f(theta.astype("float32"), X).dtype == "float64"  # promoted
    assert f(theta, np.ones((2, 4), np.int32)).dtype == dtype
    with jax.enable_x64(False):
        y = jax.jit(f)(theta, X)
        assert y.dtype == "float32"
        np.testing.assert_allclose(y, program.predict(X), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_any_leading_shape_also_none_and_no_samples(case, executor):
    net, X, _ = case
    program = fg.compile(net, executor=executor)
    f, O = as_jax(program), len(net.outputs)
    whole = program.predict(X)
    np.testing.assert_allclose(f(program.theta, X[0]), whole[0], rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(f(program.theta, X.reshape(2, 3, 4)), whole.reshape(2, 3, O), rtol=1e-13, atol=1e-14)
    assert f(program.theta, X[:0]).shape == (0, O)
    g, dx = jax.grad(lambda theta, X: f(theta, X).sum(), (0, 1))(program.theta, X[:0])
    assert not g.any()
    assert dx.shape == (0, 4)
    assert jax.vmap(f, (0, None))(jnp.stack([program.theta] * 2), X[:0]).shape == (2, 0, O)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_output_that_nobody_wants_takes_no_part(executor):
    net = fg.Network()
    net.add_input("x")
    net.add_neuron("y", {"x": 2.0}, activation="tanh")
    net.add_neuron("bad", {"x": 1.0}, activation="log")
    net.set_outputs(["y", "bad"])
    program = fg.compile(net, executor=executor)
    X, C = np.array([[-1.0], [0.0]]), np.array([[1.0, 0.0], [2.0, 0.0]])
    g, dx = jax.grad(loss_of_wanted(as_jax(program)), (0, 1))(program.theta, X, C)
    expected = program.vjp(X, C)
    assert np.isfinite(expected[0]).all()
    np.testing.assert_allclose(g, expected[0], rtol=1e-13)
    np.testing.assert_allclose(dx, expected[1], rtol=1e-13)


def loss_of_wanted(f):
    return lambda theta, X, C: (f(theta, X)[:, 0] * C[:, 0]).sum()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_trains_inside_a_compiled_step(executor):
    net = fg.topologies.layered([2, 5, 1], activation="tanh", seed=3)
    program = fg.compile(net, executor=executor, dtype="float32")
    f, rng = as_jax(program), np.random.default_rng(0)
    X = rng.standard_normal((64, 2)).astype(np.float32)
    T = (X[:, :1] * X[:, 1:]).astype(np.float32)

    @jax.jit
    def step(theta):
        value, g = jax.value_and_grad(lambda th: ((f(th, X) - T) ** 2).mean())(theta)
        return theta - 0.2 * g, value

    theta = jnp.asarray(program.theta)
    theta, first = step(theta)
    for _ in range(150):
        theta, value = step(theta)
    assert value < 0.5 * first
    program.theta = np.asarray(theta)  # and back
    np.testing.assert_allclose(program.predict(X), f(theta, X), rtol=1e-4, atol=1e-5)


def test_a_traced_program_may_be_differentiated_again_and_a_called_one_may_not(case):
    net, X, C = case
    program = fg.compile(net, executor="jax")
    loss = loss_of(as_jax(program))
    theta, v = jnp.asarray(program.theta), np.random.default_rng(1).standard_normal(len(program.theta))
    curved = jax.grad(lambda th: jax.grad(loss)(th, X, C) @ v)(theta)
    ahead, behind = (program.vjp(X, C, theta=program.theta + h * v)[0] for h in (1e-5, -1e-5))
    np.testing.assert_allclose(curved, (ahead - behind) / 2e-5, rtol=1e-5, atol=1e-6)
    called = loss_of(as_jax(fg.compile(net, executor="numba")))
    with pytest.raises(ValueError, match="callbacks do not support JVP"):
        jax.grad(lambda th: jax.grad(called)(th, X, C) @ v)(theta)


def test_what_does_not_fit_is_told(case):
    net, X, _ = case
    program = fg.compile(net)
    f = as_jax(program)
    with pytest.raises(ShapeError, match=r"X has shape \(6, 3\): must be \(…, 4\)"):
        f(program.theta, X[:, :3])
    with pytest.raises(ShapeError, match=r"theta has shape \(2,\): must be \(\d+,\)"):
        jax.jit(f)(program.theta[:2], X)
    with pytest.raises(ConfigError, match=r"as_jax wants a Program, not a Network: give fg\.compile"):
        as_jax(net)
