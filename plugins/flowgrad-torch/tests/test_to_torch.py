"""Networks as torch's own operators, and back."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from flowgrad_torch import GraphModule, from_sequential, to_torch
from flowgrad_torch.plain import AGGREGATIONS, FORMULAS, MODULES
from flowgrad_torch.table import ACTIVATIONS
from torch import nn

import flowgrad as fg
from flowgrad.errors import ConfigError, GraphError, ShapeError

F64 = torch.float64


def odd():
    """Shared and frozen weights and biases, responses, every aggregation, a neuron without in-edges, an unused one."""
    rng = np.random.default_rng(3)
    G = nx.DiGraph()
    for k in range(4):
        G.add_node(f"x{k}")
    names = [f"x{k}" for k in range(4)]
    for k in range(30):
        name = f"h{k}"
        aggregation, activation = list(AGGREGATIONS)[k % 7], ["tanh", "softplus", "sin", "identity"][k % 4]
        G.add_node(
            name,
            activation=activation,
            aggregation=aggregation,
            bias=float(rng.normal()),
            response=float(rng.choice([1.0, 0.5])),
            trainable=bool(rng.random() < 0.8),
        )
        for u in rng.choice(names, int(rng.integers(1, 5)), replace=False) if k != 5 else ():
            G.add_edge(str(u), name, weight=float(rng.normal()), trainable=bool(rng.random() < 0.8))
            if rng.random() < 0.2:
                G.edges[str(u), name].update(param="shared", weight=0.5, trainable=True)
        names.append(name)
    return fg.Network.from_networkx(G, inputs=["x2", "x0", "x1", "x3"], outputs=["h29", "h3", "h28"])


def skips():
    """Dense layers, one of which reads two layers, and the inputs among the outputs' sources."""
    G = nx.DiGraph()
    layers = [[f"{letter}{k}" for k in range(n)] for letter, n in (("x", 5), ("h", 6), ("k", 4), ("y", 3))]
    for before, after in ((layers[:1], layers[1]), (layers[:2], layers[2]), (layers[1:3], layers[3])):
        G.add_edges_from((u, v) for layer in before for u in layer for v in after)
    return fg.Network.from_networkx(G, inputs=layers[0], outputs=[*layers[3], "h2"], seed=1)


NETS = {
    "odd": odd,
    "skips": skips,
    "layered": lambda: fg.topologies.layered([5, 6, 3], activation="gelu", seed=1),
    "sparse": lambda: fg.topologies.random_dag(6, 60, fan_in=4, seed=2),
    "input is output": lambda: fg.Network.from_arrays([0, 1], [2, 2], inputs=[0, 1], outputs=[2, 0]),
    "no neuron": lambda: fg.Network.from_arrays([], [], inputs=[0, 1], outputs=[1], n_nodes=2),
}


@pytest.mark.parametrize("name", NETS)
def test_outputs_and_gradients_are_those_of_the_definition(name):
    net = NETS[name]()
    module, program = to_torch(net, dtype=F64), fg.compile(net, executor="python")
    x = torch.randn(7, len(net.inputs), dtype=F64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = module(x)
    X = x.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), program.predict(X), rtol=1e-12, atol=1e-13)
    C = np.random.default_rng(1).standard_normal(y.shape)
    (y * torch.from_numpy(C)).sum().backward()
    g, dx = program.vjp(X, C)
    np.testing.assert_allclose(x.grad.numpy(), dx, rtol=1e-11, atol=1e-12)
    found = np.zeros_like(g)
    for parameter, slots in module.slots.items():
        grad = module.get_parameter(parameter).grad
        found[slots] = 0.0 if grad is None else grad.numpy().reshape(-1)
    np.testing.assert_allclose(found, g, rtol=1e-11, atol=1e-12)
    covered = np.concatenate([*module.slots.values()])
    assert sorted(covered.tolist()) == list(range(program.theta.size))


@pytest.mark.parametrize("name", NETS)
def test_back_it_has_ids_and_what_training_made_of_the_weights(name):
    net = NETS[name]()
    module = to_torch(net, dtype=F64)
    assert module.network().columns.weights.tolist() == fg.compile(net).network().columns.weights.tolist()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += 0.25
    back = module.network()
    assert (back.nodes, back.inputs, back.outputs) == (net.nodes, net.inputs, net.outputs)
    x = torch.ones(2, len(net.inputs), dtype=F64)
    np.testing.assert_allclose(fg.compile(back).predict(x.numpy()), module(x).detach().numpy(), rtol=1e-12)
    theta, after = fg.compile(net).theta, fg.compile(back).theta
    np.testing.assert_allclose(after, theta + 0.25, rtol=1e-12)


@pytest.mark.parametrize("name", [*MODULES, *FORMULAS])
def test_every_activation_and_its_slope(name):
    net = fg.Network.from_arrays([0], [1], weight=[1.0], activation=name, inputs=[0])
    x = torch.tensor([[0.7], [2.5], [1e-3], [40.5]], dtype=F64)
    x = (x if name in ("log", "sqrt") else torch.cat([x, -x])).requires_grad_()
    y = to_torch(net, dtype=F64)(x)
    program = fg.compile(net, executor="python")
    X = x.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), program.predict(X), rtol=1e-12, atol=1e-15)
    y.sum().backward()
    near = 1e-7 if name == "hard_sigmoid" else 1e-10  # torch multiplies by 1/6 in float32
    np.testing.assert_allclose(x.grad.numpy(), program.vjp(X, np.ones_like(X))[1], rtol=near, atol=1e-13)


def test_it_writes_what_the_executor_runs():
    assert set(ACTIVATIONS) == MODULES.keys() | FORMULAS.keys()


def test_dense_parts_are_linear_and_a_perceptron_comes_back_from_them():
    mlp = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    module = to_torch(from_sequential(mlp), dtype=F64)
    linear = [part for part in module.modules() if isinstance(part, nn.Linear)]
    assert [torch.equal(a.weight, b.weight) for a, b in zip(linear, (mlp[0], mlp[2]), strict=True)] == [True, True]
    assert not module.weight.numel()
    torch.testing.assert_close(module(torch.ones(2, 5, dtype=F64)), mlp(torch.ones(2, 5, dtype=F64)))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, when jvp is first called
def test_forward_mode_second_derivatives_and_states():
    module = to_torch(NETS["odd"](), dtype=F64)
    x, v = (torch.randn(2, 4, dtype=F64, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    _, along = torch.func.jvp(module, (x,), (v,))
    jacobian = torch.autograd.functional.jacobian(module, x)
    torch.testing.assert_close(along, torch.einsum("bojk,jk->bo", jacobian, v))
    smooth = to_torch(NETS["sparse"](), dtype=F64)
    assert torch.autograd.gradgradcheck(smooth, (torch.randn(1, 6, dtype=F64, requires_grad=True),))
    other = to_torch(NETS["odd"](), dtype=F64)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(x), module(x))
    assert module.float()(x.float()).dtype == torch.float32


@pytest.mark.parametrize("name", NETS)
def test_torch_compile_makes_one_graph_of_it(name):
    net = NETS[name]()
    module, x = to_torch(net, dtype=F64), torch.ones(3, len(net.inputs), dtype=F64)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(module, backend="aot_eager", fullgraph=True)(x), module(x))


@pytest.mark.parametrize("layer", [to_torch, GraphModule])
def test_what_is_no_network_is_refused_by_its_type(layer):
    program = fg.compile(skips(), executor="python")
    for given, said in ((program, "not a Program: give program"), ("net.json", "not a str"), (3, "not an int")):
        with pytest.raises(ConfigError, match=said):
            layer(given)


def test_what_has_no_form_is_refused_by_name():
    with pytest.raises(GraphError, match=r"activation 'neat-sin' at neuron 1 has no form in torch's operators"):
        to_torch(fg.Network.from_arrays([0], [1], activation="neat-sin"))
    G = nx.DiGraph([("x", "y")])
    G.nodes["y"]["activation"] = fg.Activation("half", lambda z: 0.5 * z, lambda z: 0.5)
    with pytest.raises(GraphError, match="'half' at neuron 'y'"):
        to_torch(fg.Network.from_networkx(G))
    with pytest.raises(ConfigError, match=r"must be torch\.float32 or"):
        to_torch(NETS["layered"](), dtype=torch.float16)
    with pytest.raises(ShapeError, match=r"must be \(…, 5\)"):
        to_torch(NETS["layered"]())(torch.ones(3))
