"""What torch does with a layer besides calling it: compile, func, export, autocast, states, optimizers."""

from __future__ import annotations

import pytest
import torch
from flowgrad_torch import GraphModule
from torch import nn

import flowgrad as fg
from flowgrad.errors import ConfigError, FileError

F64 = torch.float64


def layer(dtype=F64):
    return GraphModule(fg.topologies.layered([3, 4, 2], activation="tanh", seed=1), executor="python", dtype=dtype)


def rows(n=5):
    return torch.randn(n, 3, dtype=F64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_torch_compile_before_the_first_call_is_one_graph_with_equal_gradients(backend):
    module, found = layer(), []
    model = nn.Sequential(module, nn.Tanh())
    torch._dynamo.reset()
    for f in (torch.compile(model, backend=backend, fullgraph=True), model):
        x, module.theta.grad = rows().requires_grad_(), None
        y = f(x)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, module.theta.grad))
    for compiled, eager in zip(*found, strict=True):
        assert torch.equal(compiled, eager)


def test_torch_func_equals_autograd():
    module, x = layer(), rows()
    theta = module.theta.detach()

    def f(theta, x):
        return torch.func.functional_call(module, {"theta": theta}, (x,))

    def loss(theta, x):
        return f(theta, x).square().sum()

    loss(module.theta, x).backward()
    torch.testing.assert_close(torch.func.grad(loss)(theta, x), module.theta.grad)
    each = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(theta, x)
    torch.testing.assert_close(each.sum(0), module.theta.grad)
    expected = torch.autograd.functional.jacobian(module, x[0])
    torch.testing.assert_close(torch.func.jacrev(f, argnums=1)(theta, x[0]), expected)
    two = torch.vmap(f, in_dims=(0, None))(torch.stack([theta, 2 * theta]), x)
    torch.testing.assert_close(two, torch.stack([f(theta, x), f(2 * theta, x)]))


def test_torch_export_holds_one_operator():
    module, x = layer(), rows()
    exported = torch.export.export(module, (x,))
    assert "flowgrad.graph" in str(exported.graph)
    assert torch.equal(exported.module()(x), module(x))


def test_shapes_on_a_device_without_data():
    x = torch.empty(7, 3, device="meta", dtype=F64, requires_grad=True)
    module = layer().to("meta")
    y = module(x)
    y.sum().backward()
    assert (y.device.type, y.shape, x.grad.shape, module.theta.grad.shape) == ("meta", (7, 2), (7, 3), (26,))


def test_autocast_casts_what_another_layer_made_half():
    model = nn.Sequential(nn.Linear(3, 3), layer(torch.float32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model[0](rows().float()).dtype == torch.bfloat16
        y = model(rows().float())
    assert y.dtype == torch.float32
    y.sum().backward()
    assert model[0].weight.grad.any()


@pytest.mark.parametrize("convert", [nn.Module.half, nn.Module.bfloat16])
def test_half_is_refused_in_words_and_print_does_not_fail(convert):
    module = layer()
    before = module.theta.detach().clone()
    with pytest.raises(ConfigError, match=r"stays torch\.float32 or torch\.float64"):
        convert(module)
    assert torch.equal(module.theta, before)
    assert "26 parameters" in repr(module)


def named(first, second):
    net = fg.Network()
    for name in (first, second):
        net.add_input(name)
    net.add_neuron("y", {first: 0.3, second: 0.7})
    net.set_outputs(["y"])
    return net


def test_a_state_with_other_names_is_refused_and_leaves_theta():
    module = GraphModule(named("TP53", "MYC"), executor="python")
    other = GraphModule(named("MYC", "TP53"), executor="python")
    before = module.theta.detach().clone()
    with pytest.raises(FileError, match="another network"):
        module.load_state_dict(other.state_dict())
    assert torch.equal(module.theta, before)


def test_every_entry_of_the_state_is_a_tensor():
    module = layer()
    assert all(isinstance(v, torch.Tensor) for v in module.state_dict().values())
    averaged = torch.optim.swa_utils.AveragedModel(module)
    averaged.update_parameters(module)
    averaged.load_state_dict(averaged.state_dict())
    assert torch.equal(averaged(rows()), module(rows()))


def test_safetensors_goes_round(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    one, two = layer(), layer()
    one.reset_parameters()
    files.save_model(one, str(tmp_path / "layer.safetensors"))
    files.load_model(two, str(tmp_path / "layer.safetensors"))
    assert torch.equal(one.theta, two.theta)


def test_reset_parameters_follows_manual_seed():
    module, drawn = layer(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        module.reset_parameters()
        drawn.append(module.theta.detach().clone())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_groups_share_thetas_memory_and_take_their_own_options():
    module = layer()
    before = module.theta.detach().clone()
    optimizer = torch.optim.SGD(module.groups({"lr": 0.1}, {"lr": 0.0}))
    module(rows()).sum().backward()
    module(rows()).sum().backward()
    g = torch.cat([group["params"][0].grad for group in optimizer.param_groups])
    optimizer.step()
    torch.testing.assert_close(module.theta[:20], before[:20] - 0.1 * g[:20])
    assert torch.equal(module.theta[20:], before[20:])
