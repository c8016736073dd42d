"""What is per sample, what is reduced, and how: mean, sum, cotangents, sample weights, value_and_grad, sharing."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowgrad as fg
from flowgrad.testing import oracle
from flowgrad.testing.strategies import Case, cases, suited

LOSSES = (*oracle.LOSS, "cross_entropy")
# random networks end in any activation, and their gradients are as exact
pytestmark = pytest.mark.filterwarnings("ignore::flowgrad.errors.BoundedOutputWarning")
seeds = st.integers(0, 2**32 - 1)


def setting(case: Case, loss: str, seed: int, rows: int = 4) -> tuple[fg.Network, np.ndarray, np.ndarray]:
    """A network, X and T."""
    rng = np.random.default_rng(seed)
    X, T = rng.standard_normal((rows, len(case.inputs))), oracle.targets(loss, rng, (rows, len(case.outputs)))
    net = oracle.of_case(case, X)
    return fg.Network.from_networkx(net.graph, inputs=net.inputs, outputs=net.outputs), X, T


def close(one: np.ndarray, other: np.ndarray, tolerance: float = 1e-12, floor: float = 0.0) -> None:
    """Equal within `tolerance` of the largest number, or of `floor` where that is larger."""
    scale = max(np.abs(one).max(initial=0), floor, 1e-300)
    assert np.abs(one - other).max(initial=0) <= tolerance * scale


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=seeds)
def test_mean_sum_and_cotangent_differ_only_in_the_gradients_of_parameters(
    executor: str, case: Case, loss: str, seed: int
) -> None:
    loss = suited(loss, len(case.outputs))
    net, X, T = setting(case, loss, seed)
    rows = len(X)
    mean, total = (fg.compile(net, executor=executor, loss=loss, reduction=r) for r in ("mean", "sum"))
    of_mean = mean.backward(mean.forward(X), T)
    of_sum = total.backward(total.forward(X), T)
    y = total.forward(X).output
    C = np.array([oracle.base_cases(loss, *row) for row in zip(y.tolist(), T.tolist(), strict=True)])
    of_c = mean.backward(mean.forward(X), cotangent=C)
    for other in (of_sum, of_c):
        floor = np.abs(C).max()
        close(of_mean.dz.array, other.dz.array, floor=floor)
        close(of_mean.da.array, other.da.array, floor=floor)
        close(of_mean.input.array, other.input.array, floor=floor)
        floor = max(floor, np.abs(of_mean.da.array).max())
        close(of_mean.theta * rows, other.theta, floor=floor)
        close(of_mean.weight.array * rows, other.weight.array, floor=floor)
        close(of_mean.bias.array * rows, other.bias.array, floor=floor)
    assert of_mean.loss * rows == pytest.approx(of_sum.loss, rel=1e-13)
    assert of_c.loss is None


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=seeds)
def test_a_sample_is_what_it_is_alone(executor: str, case: Case, loss: str, seed: int) -> None:
    loss = suited(loss, len(case.outputs))
    net, X, T = setting(case, loss, seed)
    program = fg.compile(net, executor=executor, loss=loss)
    together = program.backward(program.forward(X), T)
    thetas, losses = [], []
    for b in range(len(X)):
        alone = program.backward(program.forward(X[b : b + 1]), T[b : b + 1])
        close(alone.dz.array[:, 0], together.dz.array[:, b], 1e-13)
        close(alone.da.array[:, 0], together.da.array[:, b], 1e-13)
        close(alone.input.array[0], together.input.array[b], 1e-13, floor=np.abs(alone.da.array).max())
        thetas.append(alone.theta)
        losses.append(alone.loss)
    floor = max(np.abs(thetas).max(initial=0), np.abs(together.dz.array).max())
    close(np.mean(thetas, axis=0), together.theta, floor=floor)
    assert together.loss == pytest.approx(np.mean(losses), rel=1e-12)


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=seeds, reduction=st.sampled_from(["mean", "sum"]))
def test_whole_sample_weights_are_rows_given_again(
    executor: str, case: Case, loss: str, seed: int, reduction: str
) -> None:
    loss = suited(loss, len(case.outputs))
    net, X, T = setting(case, loss, seed)
    times = np.random.default_rng(seed).integers(0, 4, len(X))
    times[-1] = 2
    program = fg.compile(net, executor=executor, loss=loss, reduction=reduction)
    weighted = program.backward(program.forward(X), T, sample_weight=times, per_output=True)
    X2, T2 = np.repeat(X, times, axis=0), np.repeat(T, times, axis=0)
    repeated = program.backward(program.forward(X2), T2, per_output=True)
    assert weighted.loss == pytest.approx(repeated.loss, rel=1e-12)
    floor = np.abs(weighted.da.array).max()
    close(weighted.theta, repeated.theta, floor=floor)
    for y in net.outputs:
        close(weighted.per_output[y], repeated.per_output[y], floor=floor)
    value, g = program.value_and_grad(program.theta, X, T, sample_weight=times.astype(float))
    assert value == pytest.approx(repeated.loss, rel=1e-12)
    close(g, repeated.theta, floor=floor)


@given(case=cases(), loss=st.sampled_from(LOSSES), seed=seeds, reduction=st.sampled_from(["mean", "sum"]))
def test_value_and_grad_is_forward_and_backward(
    executor: str, case: Case, loss: str, seed: int, reduction: str
) -> None:
    loss = suited(loss, len(case.outputs))
    net, X, T = setting(case, loss, seed)
    program = fg.compile(net, executor=executor, loss=loss, reduction=reduction)
    theta = program.theta * 1.0625
    grads = program.backward(program.forward(X, theta), T)
    floor = np.abs(grads.da.array).max()
    value, g = program.value_and_grad(theta, X, T)
    assert value == pytest.approx(grads.loss, rel=1e-12, nan_ok=True)
    if not np.isfinite(grads.theta).all():  # a log left its domain when θ moved
        np.testing.assert_array_equal(np.isfinite(g), np.isfinite(grads.theta))
        return
    close(g, grads.theta, floor=floor)
    out = np.full_like(theta, np.nan)
    again, same = program.value_and_grad(theta, X, T, out=out)
    assert same is out
    assert again == value
    np.testing.assert_array_equal(out, g)


def test_class_indices_are_one_hot_rows(executor: str) -> None:
    net = fg.topologies.layered([3, 5, 4], seed=1)
    program = fg.compile(net, executor=executor, loss="cross_entropy")
    rng = np.random.default_rng(0)
    X, classes = rng.standard_normal((6, 3)), rng.integers(0, 4, 6)
    one, other = (program.backward(program.forward(X), T) for T in (classes, np.eye(4)[classes]))
    assert one.loss == other.loss
    np.testing.assert_array_equal(one.theta, other.theta)
    assert program.value_and_grad(program.theta, X, classes)[0] == pytest.approx(one.loss, rel=1e-13)


def test_gradients_of_a_float32_program_come_in_the_dtype_of_theta(executor: str) -> None:
    program = fg.compile(fg.topologies.layered([2, 3, 1]), executor=executor, dtype="float32", loss="squared_error")
    X, T = np.ones((4, 2)), np.zeros((4, 1))
    for dtype in (np.float32, np.float64):
        _, g = program.value_and_grad(program.theta.astype(dtype), X, T)
        assert g.dtype == dtype
    grads = program.backward(program.forward(X), T)
    assert {a.dtype for a in (grads.theta, grads.dz.array, grads.weight.array, grads.input.array)} == {
        np.dtype(np.float32)
    }


def test_backward_uses_the_theta_that_forward_had(executor: str) -> None:
    program = fg.compile(fg.topologies.layered([2, 3, 1], seed=3), executor=executor, loss="squared_error")
    X, T = np.array([[0.5, -1.0]]), np.array([[2.0]])
    expected = program.backward(program.forward(X), T).theta
    acts = program.forward(X)
    program.theta = program.theta * 2 + 1
    np.testing.assert_array_equal(program.backward(acts, T).theta, expected)
    assert not np.array_equal(program.backward(program.forward(X), T).theta, expected)


def test_a_shared_parameter_gets_the_sum_over_its_edges(executor: str) -> None:
    G = nx.DiGraph()
    G.add_edge("x", "h", weight=0.5, param="w")
    G.add_edge("x", "k", weight=-0.25)
    G.add_edge("h", "y", weight=0.5, param="w")
    G.add_edge("k", "y", weight=0.5, param="w", trainable=False)  # it is trainable if one of them is
    program = fg.compile(fg.Network.from_networkx(G), executor=executor, loss="squared_error", reduction="sum")
    assert len(program.theta) == 2 + 3  # w, x → k, and three biases
    X, T = np.array([[0.7], [-0.3]]), np.array([[1.0], [0.0]])
    grads = program.backward(program.forward(X), T)
    members = [("x", "h"), ("h", "y"), ("k", "y")]
    slot = program.theta_index.weight["x", "h"]
    assert {program.theta_index.weight[e] for e in members} == {slot}
    assert grads.theta[slot] == pytest.approx(sum(grads.weight[e] for e in members), rel=1e-14)
    assert min(abs(grads.weight[e]) for e in members) > 1e-4


def test_a_small_convolution_written_as_a_graph(executor: str) -> None:
    """3×3 kernel over a 5×6 image, tanh, then the sum of all: against NumPy's own sliding windows."""
    rng = np.random.default_rng(0)
    height, width, B = 5, 6, 3
    K, X = rng.standard_normal((3, 3)), rng.standard_normal((B, height, width))
    pixels = [("pixel", i, j) for i in range(height) for j in range(width)]
    G = nx.DiGraph()
    G.add_nodes_from(pixels)
    for i in range(height - 2):
        for j in range(width - 2):
            G.add_node((i, j), activation="tanh", trainable=False)
            for p in range(3):
                for q in range(3):
                    G.add_edge(("pixel", i + p, j + q), (i, j), weight=K[p, q], param=(p, q))
            G.add_edge((i, j), "y", weight=1.0, trainable=False)
    G.nodes["y"].update(trainable=False)
    program = fg.compile(fg.Network.from_networkx(G, inputs=pixels), executor=executor)
    assert len(program.theta) == 9

    windows = np.lib.stride_tricks.sliding_window_view(X, (3, 3), axis=(1, 2))  # (B, 3, 4, 3, 3)
    z = np.einsum("bijpq,pq->bij", windows, K)
    acts = program.forward(X.reshape(B, -1))
    np.testing.assert_allclose(acts.output[:, 0], np.tanh(z).sum(axis=(1, 2)), rtol=1e-13)
    grads = program.backward(acts, cotangent=np.ones((B, 1)))
    dK = np.einsum("bijpq,bij->pq", windows, 1 - np.tanh(z) ** 2)
    slots = [[program.theta_index.weight[("pixel", p, q), (0, 0)] for q in range(3)] for p in range(3)]
    np.testing.assert_allclose(grads.theta[slots], dK, rtol=1e-12)
    dX = np.zeros_like(X)
    for p in range(3):
        for q in range(3):
            dX[:, p : p + height - 2, q : q + width - 2] += K[p, q] * (1 - np.tanh(z) ** 2)
    np.testing.assert_allclose(grads.input.array, dX.reshape(B, -1), rtol=1e-12, atol=1e-15)


def test_gradients_of_what_is_not_analytic_by_extrapolated_differences(executor: str) -> None:
    """max, median, |z|: away from kinks, Richardson's differences of the program's own loss."""
    G = nx.DiGraph()
    G.add_nodes_from(["x1", "x2", "x3"])
    for k, aggregation in enumerate(("max", "min", "median", "max_abs", "product", "mean")):
        G.add_node(k, activation=("abs", "relu", "hard_tanh", "leaky_relu", "gelu", "mish")[k], aggregation=aggregation)
    rng = np.random.default_rng(5)
    for k in range(6):
        G.add_weighted_edges_from((f"x{i}", k, rng.standard_normal()) for i in (1, 2, 3))
        G.add_edge(k, "y", weight=rng.standard_normal())
    program = fg.compile(fg.Network.from_networkx(G), executor=executor, loss="huber")
    X, T = rng.standard_normal((4, 3)), rng.standard_normal((4, 1))
    theta = program.theta.copy()
    _, g = program.value_and_grad(theta, X, T)
    for k in range(len(theta)):
        step = np.eye(len(theta))[k]
        numeric = oracle.richardson(lambda h, step=step: program.value_and_grad(theta + h * step, X, T)[0], 1e-3)
        assert g[k] == pytest.approx(numeric, abs=1e-10 * np.abs(g).max())
