"""What torch does with a layer besides calling it: compile, func, export, autocast, states, optimizers."""

from __future__ import annotations

import contextlib
import copy
import pickle
import shutil
import weakref

import pytest
import torch
import torch.utils.checkpoint
from flowgrad_torch import GraphModule, direct, to_torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import flowgrad as fg
from flowgrad.errors import ConfigError, FileError, GraphError

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


def test_groups_are_given_once_and_a_copy_has_its_own():
    module = layer()
    module.groups({}, {})
    with pytest.raises(ConfigError, match=r"groups\(\) was called before"):
        module.groups({}, {})
    twin = copy.deepcopy(module)
    weights, _ = (group["params"][0] for group in twin.groups({}, {}))
    twin(rows()).sum().backward()
    assert weights.grad is not None
    assert len(pickle.loads(pickle.dumps(module)).groups({}, {})) == 2


def test_groups_of_a_module_that_was_moved_raise_instead_of_training_nothing():
    module = layer()
    module.groups({}, {})
    module.float()
    with pytest.raises(ConfigError, match=r"call groups\(\) after \.to\(\)"):
        module(rows().float()).sum().backward()


def both_ways(module, x, monkeypatch):
    """y and its gradients on the short way, and by the operators."""
    for short in (True, False):
        if not short:
            monkeypatch.setattr(direct, "is_plain", lambda *_: False)
        module.theta.grad = x.grad = None
        y = module(x)
        y.square().sum().backward()
        yield y.detach(), x.grad, module.theta.grad


@pytest.mark.parametrize("executor", ["numba", "python", "torch"])
@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (1, 3), (40, 3)])
def test_the_short_way_of_eager_calls_gives_the_same_bits(executor, shape, monkeypatch):
    module = GraphModule(layer()._network, executor=executor, dtype=F64)
    x = torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for short, by_operators in zip(*both_ways(module, x, monkeypatch), strict=True):
        assert torch.equal(short, by_operators)


def test_backward_goes_on_from_forward_and_frees_what_that_kept(monkeypatch):
    module = GraphModule(fg.topologies.layered([30, 200, 10], seed=1), executor="numba", dtype=F64)
    program, seen = module.program, []
    vjp = program.vjp

    def spy(*args, kept=None, **options):
        seen.append(None if kept is None else weakref.ref(kept))
        assert kept is None or kept.size
        return vjp(*args, kept=kept, **options)

    monkeypatch.setattr(program, "vjp", spy)
    y = module(torch.ones(64, 30, dtype=F64))
    held = y.grad_fn.kept.nbytes
    y.sum().backward(retain_graph=True)
    first = module.theta.grad.clone()
    assert held > 64 * 200 * 8
    assert seen[0]() is None  # though y and its graph live
    y.sum().backward()
    assert seen[1] is None
    assert torch.equal(module.theta.grad, 2 * first)


def test_memory_of_many_steps_is_that_of_one():
    """What forward keeps is used again: ten steps at 6 MB each leave the process as large as two did."""
    module = GraphModule(fg.topologies.layered([30, 1000, 10], seed=1), executor="numba", dtype=F64)
    x, at = torch.ones(512, 30, dtype=F64), set()
    for _ in range(10):
        y = module(x)
        at.add(y.grad_fn.kept.ctypes.data)
        y.sum().backward()
        del y
    assert len(at) == 1


@pytest.mark.parametrize("wants", ["nothing", "no_grad", "inference"])
def test_without_a_gradient_to_come_nothing_is_kept(wants, monkeypatch):
    module = layer()
    monkeypatch.setattr(module.program, "predict_keeping", lambda *_, **__: pytest.fail("it keeps"))
    module.theta.requires_grad_(wants != "nothing")
    context = {"no_grad": torch.no_grad, "inference": torch.inference_mode}.get(wants, contextlib.nullcontext)
    with context():
        assert not module(rows()).requires_grad


def test_saved_tensors_of_checkpointing_and_of_hooks_make_no_difference():
    module, x = layer(), rows().requires_grad_()
    module(x).square().sum().backward()
    want = module.theta.grad.clone(), x.grad.clone()
    module.theta.grad = x.grad = None
    torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False).square().sum().backward()
    with torch.autograd.graph.save_on_cpu():
        module(x).square().sum().backward()
    for found, wanted in zip((module.theta.grad, x.grad), want, strict=True):
        torch.testing.assert_close(found, 2 * wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, when jvp is first called
def test_forward_mode():
    module, x = layer(), rows()
    theta = module.theta.detach()
    v, dtheta = torch.ones_like(x), torch.linspace(-1, 1, len(theta), dtype=F64)

    def f(theta, x):
        return torch.func.functional_call(module, {"theta": theta}, (x,))

    y, along = torch.func.jvp(f, (theta, x), (dtheta, v))
    torch.testing.assert_close(y, f(theta, x))
    by_theta, by_x = torch.func.jacrev(f, argnums=(0, 1))(theta, x)
    torch.testing.assert_close(along, by_theta @ dtheta + by_x.flatten(2) @ v.flatten())
    torch.testing.assert_close(torch.func.jacfwd(f, argnums=1)(theta, x), by_x)
    with torch.autograd.forward_ad.dual_level():
        with torch.no_grad():  # forward mode works there, too
            dual = module(torch.autograd.forward_ad.make_dual(x, v))
        tangent = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(tangent, by_x.flatten(2) @ v.flatten())
    leaves = theta.clone().requires_grad_(), x.clone().requires_grad_()
    assert torch.autograd.gradcheck(f, leaves, check_forward_ad=True)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_forward_mode_of_what_torch_has_no_operators_for_is_refused_by_name():
    module = GraphModule(fg.Network.from_arrays([0], [1], activation="neat-sin"), dtype=F64)
    with pytest.raises(GraphError, match="'neat-sin' at neuron 1"):
        torch.func.jvp(module, (torch.ones(2, 1, dtype=F64),), (torch.ones(2, 1, dtype=F64),))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("form", [GraphModule, to_torch])
def test_onnx_export_of_a_model_with_a_graph_inside(form, dynamo, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    if dynamo:
        pytest.importorskip("onnxscript")
    net = fg.topologies.random_dag(3, 12, fan_in=2, seed=1)
    model = nn.Sequential(nn.Linear(4, 3), form(net), nn.Softmax(1)).eval()
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    torch.onnx.export(model, (x,), tmp_path / "m.onnx", dynamo=dynamo, input_names=["x"])
    (y,) = runtime.InferenceSession(tmp_path / "m.onnx").run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), model(x).detach())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, by inductor itself
def test_inductor_compiles_around_it():
    if shutil.which("gcc") is None and shutil.which("cl") is None:
        pytest.skip("inductor needs a C++ compiler")
    module, found = layer(), []
    model = nn.Sequential(module, nn.Tanh())
    torch._dynamo.reset()
    for f in (torch.compile(model, backend="inductor", fullgraph=True), model):
        x, module.theta.grad = rows().requires_grad_(), None
        y = f(x)
        y.square().sum().backward()
        found.append((y.detach(), x.grad, module.theta.grad))
    for compiled, eager in zip(*found, strict=True):
        torch.testing.assert_close(compiled, eager)


def test_shapes_and_devices_on_a_cuda_device_that_is_not_there():
    """Fake tensors claim to be on it: x goes there, y and both gradients are there. No autograd: torch aborts."""
    module = layer()
    with FakeTensorMode():
        theta, x = (torch.empty(n, dtype=F64, device="cuda") for n in ((26,), (7, 3)))
        y = torch.ops.flowgrad.graph(theta, x, module._key)
        g, dx = torch.ops.flowgrad.graph_vjp(theta, x, y, module._key, True)
        none = torch.ops.flowgrad.graph_vjp(theta, x, y, module._key, False)[1]
        moved = torch.func.functional_call(module, {"theta": theta}, (x,))
    assert {t.device.type for t in (y, g, dx, none, moved)} == {"cuda"}
    assert (y.shape, g.shape, dx.shape, none.shape, moved.shape) == ((7, 2), (26,), (7, 3), (0, 3), (7, 2))
