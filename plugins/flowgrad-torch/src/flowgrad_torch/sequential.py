"""A torch MLP as a network: `from_sequential`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from flowgrad.errors import GraphError, ShapeError, listing
from flowgrad.network import Network

Plain = Callable[[Any], bool]


def _always(module: Any) -> bool:
    return True


# layer → our activation, and whether its settings are those of our formula
ACTIVATIONS: dict[type[nn.Module], tuple[str, Plain]] = {
    nn.Identity: ("identity", _always),
    nn.Sigmoid: ("sigmoid", _always),
    nn.Tanh: ("tanh", _always),
    nn.ReLU: ("relu", _always),
    nn.LeakyReLU: ("leaky_relu", lambda m: m.negative_slope == 0.01),
    nn.ELU: ("elu", lambda m: m.alpha == 1.0),
    nn.SELU: ("selu", _always),
    nn.CELU: ("celu", lambda m: m.alpha == 1.0),
    nn.Softplus: ("softplus", lambda m: m.beta == 1.0 and m.threshold >= 20.0),  # above 20 torch drops e^−z < 2.1e-9
    nn.Softsign: ("softsign", _always),
    nn.GELU: ("gelu", lambda m: m.approximate == "none"),
    nn.SiLU: ("silu", _always),
    nn.Mish: ("mish", _always),
    nn.Hardsigmoid: ("hard_sigmoid", _always),
    nn.Hardtanh: ("hard_tanh", lambda m: (m.min_val, m.max_val) == (-1.0, 1.0)),
}


def from_sequential(model: nn.Sequential) -> Network:
    """The network of a torch MLP: `nn.Linear` layers with activations between and after them.

    Neurons are numbered layer by layer, the inputs first. Weights and biases are taken over as they are; a layer
    without bias gets biases 0 that are not trainable, and a parameter with `requires_grad=False` is not trainable
    either. Nested Sequentials are read through; a Linear with no activation after it has linear neurons.

    Raises:
        GraphError: a layer that is no Linear and no activation of flowgrad's, or has other settings; two activations in
            a row; an activation before the first Linear. The message names the layer by its place and class.
        ShapeError: two Linear layers that do not fit.

    >>> from_sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    Network(9 nodes, 20 edges, depth 2, 3 inputs: 0, 1, 2, 2 outputs: 7, 8)
    """
    layers = list(_layers(model))
    if not layers:
        raise GraphError("the model has no Linear layer")
    sizes = [layers[0][0].in_features, *(linear.out_features for linear, _ in layers)]
    first = np.concatenate([[0], np.cumsum(sizes)])  # of each layer's nodes
    V = int(first[-1])
    source, target, weight, edge_trains = [], [], [], []
    bias, trains, names = np.zeros(V), np.zeros(V, np.bool_), ["identity"] * V
    for k, (linear, activation) in enumerate(layers):
        n_in, n_out = sizes[k], sizes[k + 1]
        here = slice(int(first[k + 1]), int(first[k + 2]) if k + 2 < len(first) else V)
        source.append(np.tile(np.arange(first[k], first[k + 1]), n_out))
        target.append(np.repeat(np.arange(here.start, here.stop), n_in))
        weight.append(linear.weight.detach().cpu().double().numpy().reshape(-1))
        edge_trains.append(np.full(n_in * n_out, linear.weight.requires_grad))
        if linear.bias is not None:
            bias[here], trains[here] = linear.bias.detach().cpu().double().numpy(), linear.bias.requires_grad
        names[here] = [activation] * n_out
    net = Network.from_arrays(
        np.concatenate(source),
        np.concatenate(target),
        weight=np.concatenate(weight),
        bias=bias,
        activation=names,
        inputs=range(sizes[0]),
        outputs=range(V - sizes[-1], V),
        n_nodes=V,
    )
    return Network.from_columns(replace(net.columns, trainable=trains, edge_trainable=np.concatenate(edge_trains)))


def _layers(model: nn.Sequential) -> Iterator[tuple[nn.Linear, str]]:
    """Each Linear with the activation after it."""
    if not isinstance(model, nn.Sequential):
        raise GraphError(f"from_sequential reads an nn.Sequential, not a {type(model).__name__}")
    linear: nn.Linear | None = None
    activation: str | None = None
    for place, layer in _flat(model, ""):
        if type(layer) is nn.Linear:
            if linear is not None:
                yield linear, activation or "identity"
                if linear.out_features != layer.in_features:
                    raise ShapeError(f"layer {place} wants {layer.in_features} inputs and gets {linear.out_features}")
            linear, activation = layer, None
        elif linear is None or activation is not None:
            where = "before the first Linear" if linear is None else "after another activation"
            _activation(place, layer)
            raise GraphError(f"layer {place}, a {type(layer).__name__}, stands {where}: each Linear takes one after it")
        else:
            activation = _activation(place, layer)
    if linear is not None:
        yield linear, activation or "identity"


def _flat(model: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in model.named_children():
        if type(layer) is nn.Sequential:
            yield from _flat(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _activation(place: str, layer: nn.Module) -> str:
    if type(layer) not in ACTIVATIONS:
        known = listing(sorted(kind.__name__ for kind in ACTIVATIONS), limit=20)
        raise GraphError(f"layer {place}, a {type(layer).__name__}, is no Linear and none of {known}")
    name, plain = ACTIVATIONS[type(layer)]
    if not plain(layer):
        raise GraphError(f"layer {place}, {layer!r}: flowgrad's {name!r} has other settings")
    return name
