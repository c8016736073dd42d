"""The bridge: a network as a torch module, and a torch MLP as a network."""

from __future__ import annotations

import copy
import io
import pickle
import threading

import numpy as np
import pytest
import torch
from flowgrad_torch import GraphModule, from_sequential
from torch import nn

import flowgrad as fg
from flowgrad.errors import ConfigError, DataError, ExecutorError, FileError, GraphError, ShapeError

F64 = torch.float64


def graph(seed=1):
    """Skip edges, two aggregations, a shared weight."""
    net = fg.Network(seed=seed)
    for name in "abc":
        net.add_input(name)
    net.add_neuron("h", {"a": 0.5, "b": -0.8}, bias=0.1, activation="tanh")
    net.add_neuron("k", {"b": 1.1, "c": 0.7, "h": 0.3}, bias=-0.2, activation="softplus", aggregation="product")
    net.add_neuron("y", {"h": 0.9, "k": -1.3, "a": 0.4}, activation="identity")
    net.add_neuron("q", {"k": 0.6, "c": 0.2}, activation="sigmoid", aggregation="mean")
    net.set_outputs(["y", "q"])
    return net


@pytest.fixture(params=["python", "numba", "torch"])
def executor(request):
    return request.param


def test_torchs_own_gradcheck(executor):
    rng = torch.Generator().manual_seed(0)
    module = GraphModule(graph(), executor=executor, dtype=F64)
    x = torch.randn(4, 3, dtype=F64, generator=rng, requires_grad=True)

    def f(theta, x):
        return torch.func.functional_call(module, {"theta": theta}, (x,))

    assert torch.autograd.gradcheck(f, (module.theta.detach().clone().requires_grad_(), x))
    module.theta.requires_grad_(False)
    assert torch.autograd.gradcheck(module, (x,))


def test_gradients_equal_those_of_the_same_mlp_in_torch(executor):
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4), nn.GELU(), nn.Linear(4, 2)).double()
    module = GraphModule(from_sequential(mlp), executor=executor, dtype=F64)
    x, other = (torch.randn(3, 6, 5, dtype=F64).requires_grad_() for _ in range(2))
    other.data.copy_(x.data)
    y, expected = module(x), mlp(other)
    assert y.shape == (3, 6, 2)
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-13)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, other.grad, rtol=0, atol=1e-12)
    slots = module.program.theta_index
    grad = module.theta.grad.numpy()
    first = mlp[0].weight.grad.numpy()
    for j in range(7):
        assert grad[slots.bias[5 + j]] == pytest.approx(float(mlp[0].bias.grad[j]), abs=1e-12)
        for i in range(5):
            assert grad[slots.weight[i, 5 + j]] == pytest.approx(first[j, i], abs=1e-12)


def squared(y):
    return y.square().sum()


@pytest.mark.parametrize("f", [torch.sum, squared])
@pytest.mark.parametrize("by", ["x", "theta"])
def test_a_second_derivative_is_refused(f, by):
    """Also where the layer's output enters linearly, so that ∂L/∂y depends on nothing."""
    module = GraphModule(graph(), dtype=F64)
    x = torch.randn(2, 3, dtype=F64, requires_grad=True)
    loss = f(module(x))
    (g,) = torch.autograd.grad(loss, x if by == "x" else module.theta, create_graph=True)
    assert g.requires_grad
    with pytest.raises(ExecutorError, match="differentiable once"):
        (loss + g.square().sum()).backward()


def test_backward_twice_and_only_what_is_wanted():
    module = GraphModule(graph(), dtype=F64)
    x = torch.randn(2, 3, dtype=F64)
    y = module(x).sum()
    y.backward(retain_graph=True)
    once = module.theta.grad.clone()
    y.backward()
    torch.testing.assert_close(module.theta.grad, 2 * once)
    assert x.grad is None
    with torch.no_grad():
        assert not module(x).requires_grad


def test_theta_that_moves_between_forward_and_backward_is_refused_as_by_torch():
    module = GraphModule(graph(), executor="python", dtype=F64)
    y = module(torch.ones(2, 3, dtype=F64)).sum()
    with torch.no_grad():
        module.theta += 1.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_second_backward_without_retain_graph_raises():
    y = GraphModule(graph(), executor="python", dtype=F64)(torch.ones(2, 3, dtype=F64)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_state_dict_goes_round_and_refuses_another_network():
    one, two = GraphModule(graph()), GraphModule(graph())
    with torch.no_grad():
        one.theta += torch.arange(len(one.theta))
    file = io.BytesIO()
    torch.save({"layer": one.state_dict()}, file)
    file.seek(0)
    two.load_state_dict(torch.load(file, weights_only=True)["layer"])
    assert torch.equal(one.theta, two.theta)
    assert one.network().columns.bias.tolist() == two.network().columns.bias.tolist()
    swapped = fg.Network.from_arrays([0, 1, 0], [2, 2, 1], inputs=[0])
    straight = fg.Network.from_arrays([0, 0, 1], [1, 2, 2], inputs=[0], activation="relu")
    with pytest.raises(FileError, match="another network"):
        GraphModule(swapped).load_state_dict(GraphModule(straight).state_dict())


def test_a_state_that_does_not_say_its_network_leaves_theta_as_it_was():
    module = GraphModule(graph())
    before = module.theta.detach().clone()
    for whole, prefix in ((module, ""), (nn.Sequential(module), "0.")):
        for strict in (True, False):
            with pytest.raises(RuntimeError, match=f'"{prefix}_extra_state" is missing, which says whose'):
                whole.load_state_dict({f"{prefix}theta": before + 1}, strict=strict)
            assert torch.equal(module.theta, before)
    assert module.load_state_dict({}, strict=False).missing_keys == ["theta", "_extra_state"]


def test_dtypes_follow_the_module():
    module = GraphModule(graph())
    assert module.theta.dtype == torch.float32
    x = torch.randn(4, 3)
    single = module(x)
    double = module.double()(x.double())
    assert (single.dtype, double.dtype) == (torch.float32, F64)
    torch.testing.assert_close(double.float(), single, rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match=r"float32 and theta torch\.float64"):
        module(x)
    with pytest.raises(ConfigError, match="bfloat16"):
        GraphModule(graph(), dtype=torch.bfloat16)
    with pytest.raises(ShapeError, match=r"must be \(…, 3\)"):
        module(torch.zeros(2, 4, dtype=F64))


def test_single_samples_empty_batches_and_copies():
    module = GraphModule(graph(), dtype=F64)
    x = torch.randn(3, dtype=F64)
    assert module(x).shape == (2,)
    empty = torch.empty(0, 3, dtype=F64, requires_grad=True)
    module(empty).sum().backward()
    assert empty.grad.shape == (0, 3)
    assert not module.theta.grad.any()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), module(x))
        assert twin.theta is not module.theta
    assert "executor=" in repr(module)


def test_threads_share_a_module():
    module = GraphModule(graph(), dtype=F64)
    xs = [torch.randn(16, 3, dtype=F64, requires_grad=True) for _ in range(8)]
    alone = [torch.autograd.grad(module(x).sum(), x)[0] for x in xs]
    found = [None] * len(xs)

    def work(k):
        for _ in range(20):
            found[k] = torch.autograd.grad(module(xs[k]).sum(), xs[k])[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(xs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for f, e in zip(found, alone, strict=True):
        assert torch.equal(f, e)


def test_a_model_with_a_graph_in_it_learns():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), GraphModule(graph()), nn.Linear(2, 1))
    X = torch.randn(200, 4)
    T = (X[:, :1] * X[:, 1:2]).sin()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(X), T)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]


ACTIVATIONS = [
    nn.Identity(), nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus(),
    nn.Softsign(), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Hardsigmoid(), nn.Hardtanh(),
]  # fmt: skip


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda m: type(m).__name__)
def test_from_sequential_computes_what_torch_computes(layer):
    torch.manual_seed(2)
    mlp = nn.Sequential(nn.Linear(3, 6), layer, nn.Sequential(nn.Linear(6, 2, bias=False), copy.deepcopy(layer)))
    mlp = mlp.double()
    net = from_sequential(mlp)
    x = 2 * torch.randn(50, 3, dtype=F64)
    found = fg.compile(net, executor="python").predict(x.numpy())
    np.testing.assert_allclose(found, mlp(x).detach().numpy(), rtol=0, atol=1e-13)


def drawn(norm):
    """A BatchNorm as training leaves it."""
    for part in (norm.running_mean, norm.weight, norm.bias):
        part.data.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return norm


@pytest.mark.parametrize(
    "make",
    {
        "norm before": lambda: [drawn(nn.BatchNorm1d(12)), nn.Linear(12, 6), nn.Tanh()],
        "norm between": lambda: [nn.Linear(12, 6, bias=False), drawn(nn.BatchNorm1d(6)), nn.Tanh(), nn.Linear(6, 2)],
        "norm after": lambda: [nn.Linear(12, 6), nn.Tanh(), drawn(nn.BatchNorm1d(6)), nn.Linear(6, 2)],
        "norm last": lambda: [nn.Linear(12, 6), nn.Tanh(), drawn(nn.BatchNorm1d(6))],
        "two norms": lambda: [nn.Linear(12, 6), nn.Tanh(), drawn(nn.BatchNorm1d(6)), drawn(nn.BatchNorm1d(6))],
        "plain norm": lambda: [nn.Linear(12, 6), nn.BatchNorm1d(6, affine=False)],
        "dropout": lambda: [nn.Dropout(), nn.Linear(12, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 2), nn.Dropout()],
        "flatten": lambda: [nn.Flatten(), nn.Linear(12, 6), nn.Identity(), nn.Sigmoid(), nn.Flatten()],
        "relu6": lambda: [nn.Linear(12, 6), nn.ReLU6(), nn.Linear(6, 2), nn.ReLU6()],
        "relu6 norm": lambda: [nn.Linear(12, 6), nn.ReLU6(), drawn(nn.BatchNorm1d(6)), nn.Linear(6, 2)],
        "softmax": lambda: [nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 3), nn.Softmax(dim=1), nn.Identity()],
        "softmax of norm": lambda: [nn.Linear(12, 6), nn.ReLU(), drawn(nn.BatchNorm1d(6)), nn.Softmax(dim=-1)],
        "log softmax": lambda: [nn.Linear(12, 6), nn.ReLU6(), nn.LogSoftmax(dim=1)],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_from_sequential_folds_what_eval_mode_makes_affine(make):
    torch.manual_seed(4)
    model = nn.Sequential(*make[1]()).double().eval()
    net = from_sequential(model)
    x = 5 * torch.randn(40, 3, 4, dtype=F64)
    x = x if isinstance(model[0], nn.Flatten) else x.flatten(1)
    x.requires_grad_()
    y = model(x)
    program = fg.compile(net, executor="python")
    rows = x.detach().flatten(1).numpy()
    np.testing.assert_allclose(program.predict(rows), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    C = torch.randn(y.shape, dtype=F64)
    (dx,) = torch.autograd.grad(y, x, C)
    np.testing.assert_allclose(program.vjp(rows, C.numpy())[1], dx.flatten(1).numpy(), rtol=1e-10, atol=1e-11)


def test_a_softmax_is_of_large_logits_too_and_is_not_trained():
    model = nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=1)).double()
    model[0].weight.data.mul_(2000)
    program = fg.compile(from_sequential(model), executor="python")
    x = torch.randn(20, 3, dtype=F64)
    np.testing.assert_allclose(program.predict(x.numpy()), model(x).detach().numpy(), rtol=0, atol=1e-12)
    assert program.theta.size == 12


def test_from_sequential_freezes_what_torch_freezes():
    mlp = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2, bias=False))
    mlp[0].weight.requires_grad_(False)
    assert fg.compile(from_sequential(mlp)).theta.size == 4 + 8


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.Linear(2, 3), nn.Dropout()], r"layer 1, a Dropout, drops neurons: call model\.eval"),
        ([nn.Linear(2, 3), nn.Sequential(nn.BatchNorm1d(3))], r"layer 1\.0, a BatchNorm1d, normalises by its batch"),
        ([nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False).eval()], "has no running statistics"),
        ([nn.Linear(2, 3), nn.BatchNorm1d(4).eval()], "layer 1 wants 4 inputs and gets 3"),
        ([nn.BatchNorm1d(4).eval(), nn.Linear(2, 3)], "layer 1 wants 2 inputs and gets 4"),
        ([nn.Linear(2, 3), nn.Softmax(1), nn.Linear(3, 3)], "layer 2, a Linear, stands after a Softmax"),
        ([nn.Softmax(1), nn.Linear(2, 3)], "layer 0, a Softmax, stands before"),
        ([nn.Linear(2, 3), nn.Softmax(0)], "must have dim=1"),
        ([nn.Flatten(0), nn.Linear(2, 3)], "must flatten all axes but the first"),
        ([nn.Linear(2, 3), nn.BatchNorm2d(3).eval()], "layer 1, a BatchNorm2d, is no Linear"),
        ([nn.Linear(2, 3), nn.ReLU(), nn.BatchNorm1d(3).eval(), nn.Tanh()], "stands after another activation"),
        ([nn.Linear(2, 3), nn.GELU(approximate="tanh")], "'gelu' has other settings"),
        ([nn.Linear(2, 3), nn.LeakyReLU(0.2)], "'leaky_relu' has other settings"),
        ([nn.Linear(2, 3), nn.ReLU(), nn.Tanh()], "layer 2, a Tanh, stands after another activation"),
        ([nn.ReLU(), nn.Linear(2, 3)], "layer 0, a ReLU, stands before"),
        ([nn.Linear(2, 3), nn.Linear(4, 1)], "layer 1 wants 4 inputs and gets 3"),
        ([], "no Linear"),
    ],
)
def test_from_sequential_refuses_the_rest_by_name(layers, message):
    with pytest.raises((GraphError, ShapeError), match=message):
        from_sequential(nn.Sequential(*layers))
