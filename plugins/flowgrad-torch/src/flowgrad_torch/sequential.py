"""Convert a torch multilayer perceptron to a network, by `from_sequential`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from flowgrad.errors import GraphError, ShapeError, listing
from flowgrad.network import Network
from flowgrad_torch.drawing import Drawing

Array = npt.NDArray[Any]

Plain = Callable[[Any], bool]


def _always(module: Any) -> bool:
    return True


# torch layer → flowgrad's activation, and a test of whether the layer's settings are those of flowgrad's formula
ACTIVATIONS: dict[type[nn.Module], tuple[str, Plain]] = {
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
    nn.ReLU6: ("hard_tanh", _always),  # 3 + 3·hard_tanh(z/3 − 1)
}
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ENDS = (nn.Softmax, nn.LogSoftmax)


@dataclass
class Dense:
    """Hold a layer σ(W·a + b) in float64: weight (m, n), bias (m,), and whether weight and bias are trained."""

    weight: Array
    bias: Array
    trains: tuple[bool, bool]
    activation: str | None = None

    def scaled(self, scale: Array, shift: Array, trains: bool = False) -> None:
        """Fold scale·z + shift, in the place of z, into weight and bias."""
        self.weight = scale[:, None] * self.weight
        self.bias = scale * self.bias + shift
        self.trains = self.trains[0], self.trains[1] or trains


@dataclass
class Read:
    """Hold the layers read so far; `after` is a map a ↦ scale·a + shift behind them, to fold into the next."""

    layers: list[Dense] = field(default_factory=list)
    width: int = 0
    after: tuple[Array, Array] | None = None
    end: nn.Module | None = None

    @property
    def open(self) -> Dense | None:
        """The last Linear if it has no activation yet, else None."""
        return self.layers[-1] if self.layers and self.layers[-1].activation is None else None

    def linear(self, place: str, layer: nn.Linear) -> None:
        n = layer.in_features
        if self.width not in (0, n):
            raise ShapeError(f"layer {place} wants {n} inputs and gets {self.width}")
        weight, bias = _values(layer.weight), np.zeros(layer.out_features)
        if layer.bias is not None:
            bias = _values(layer.bias)
        if self.after is not None:
            scale, shift = self.after
            weight, bias = weight * scale, bias + weight @ shift
        trains = bool(layer.weight.requires_grad), layer.bias is not None and bool(layer.bias.requires_grad)
        self.layers.append(Dense(weight, bias, trains))
        self.width, self.after = layer.out_features, None

    def affine(self, scale: Array, shift: Array, trains: bool = False) -> None:
        """Fold a ↦ scale·a + shift, as of a BatchNorm, into the Linear before it or into `after`."""
        if self.open is not None:
            self.open.scaled(scale, shift, trains)
        elif self.after is None:
            self.after = scale, shift
        else:
            self.after = scale * self.after[0], scale * self.after[1] + shift
        self.width = len(scale)

    def norm(self, place: str, layer: nn.BatchNorm1d) -> None:
        if layer.training or layer.running_mean is None or layer.running_var is None:
            why = "normalises by its batch: call model.eval() first" if layer.training else "has no running statistics"
            raise GraphError(f"layer {place}, a BatchNorm1d, {why}")
        if self.width not in (0, layer.num_features):
            raise ShapeError(f"layer {place} wants {layer.num_features} inputs and gets {self.width}")
        scale = 1.0 / np.sqrt(_values(layer.running_var) + layer.eps)
        scale = scale if layer.weight is None else scale * _values(layer.weight)
        shift = -scale * _values(layer.running_mean)
        trains = layer.bias is not None and bool(layer.bias.requires_grad)
        self.affine(scale, shift if layer.bias is None else shift + _values(layer.bias), trains)

    def activate(self, place: str, layer: nn.Module) -> None:
        name = _activation(place, layer)
        if self.open is None:
            where = "after another activation" if self.layers else "before the first Linear"
            raise GraphError(f"layer {place}, a {type(layer).__name__}, stands {where}: each Linear takes one after it")
        third = np.full(self.width, 1.0 / 3.0)
        if type(layer) is nn.ReLU6:
            self.open.scaled(third, np.full(self.width, -1.0))
        self.open.activation = name
        if type(layer) is nn.ReLU6:
            self.after = 9.0 * third, 9.0 * third

    def close(self, place: str, layer: Any) -> None:
        """Record the softmax at the end, which must be over the features."""
        if not self.layers:
            raise GraphError(f"layer {place}, a {type(layer).__name__}, stands before the first Linear")
        if layer.dim not in (1, -1):
            raise GraphError(f"layer {place}, {layer!r}: must have dim=1 or dim=-1, the features")
        self.end = layer


def from_sequential(model: nn.Sequential) -> Network:
    """Convert a torch multilayer perceptron to a network: `nn.Linear` layers with activations between and after them.

    Neurons are numbered layer by layer, the inputs first. Weights and biases are copied in float64. A layer without
    bias gets biases 0 that are not trainable; a parameter with `requires_grad=False` is not trainable either. Nested
    Sequentials are flattened; a Linear without an activation after it becomes linear neurons.

    BatchNorm1d is folded into the Linear directly before it (whose bias becomes trainable if that of BatchNorm1d is)
    or, if there is none, into the Linear after it. ReLU6 becomes hard_tanh between two scalings, which are folded
    likewise. At the end of the model, such a scaling becomes linear neurons with frozen weights. Dropout, Identity and
    Flatten (of all axes but the first) are skipped. A Softmax or LogSoftmax at the end becomes neurons with frozen
    weights; remove it from a model that is to be trained with the loss cross_entropy, which takes logits.

    Args:
        model: the model, in eval mode if it contains Dropout or BatchNorm1d.

    Raises:
        GraphError: a layer is not one of these nor an activation of flowgrad, has other settings or is in training
            mode; two activations follow each other, an activation precedes the first Linear, a layer follows the
            Softmax, or there is no Linear. The message names the layer by its place and class.
        ShapeError: two layers do not fit together.

    >>> from_sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    Network(9 nodes, 20 edges, depth 2, 3 inputs: 0, 1, 2, 2 outputs: 7, 8)
    """
    read = _read(model)
    if not read.layers:
        raise GraphError("the model has no Linear layer")
    drawing = Drawing(read.layers[0].weight.shape[1])
    values = drawing.inputs
    for layer in read.layers:
        before, of_weight = values, layer.trains[0]
        values = drawing.neurons(
            len(layer.bias), layer.activation or "identity", bias=layer.bias, trains=layer.trains[1]
        )
        drawing.connect(
            np.tile(before, len(values)), np.repeat(values, len(before)), layer.weight.reshape(-1), of_weight
        )
    if read.after is not None:
        scale, shift = read.after
        before, values = values, drawing.neurons(read.width, "identity", bias=shift)
        drawing.connect(before, values, scale)
    if read.end is not None:
        values = drawing.softmax(values, log=type(read.end) is nn.LogSoftmax)
    return drawing.network(values)


def _read(model: nn.Sequential) -> Read:
    """Read all layers in order."""
    if not isinstance(model, nn.Sequential):
        raise GraphError(f"from_sequential reads an nn.Sequential, not a {type(model).__name__}")
    read = Read()
    for place, layer in _flat(model, ""):
        if type(layer) is nn.Identity or _passes(place, layer):
            continue
        if read.end is not None:
            raise GraphError(f"layer {place}, a {type(layer).__name__}, stands after a {type(read.end).__name__}")
        if type(layer) is nn.Linear:
            read.linear(place, layer)
        elif type(layer) is nn.BatchNorm1d:
            read.norm(place, layer)
        elif type(layer) in ENDS:
            read.close(place, layer)
        else:
            read.activate(place, layer)
    return read


def _passes(place: str, layer: nn.Module) -> bool:
    """Return whether a layer changes nothing; raise GraphError if so only in eval mode or with other settings."""
    if isinstance(layer, DROPOUTS):
        if layer.training and layer.p > 0:
            raise GraphError(f"layer {place}, a {type(layer).__name__}, drops neurons: call model.eval() first")
        return True
    if isinstance(layer, nn.Flatten):
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise GraphError(f"layer {place}, {layer!r}: must flatten all axes but the first")
        return True
    return False


def _values(tensor: Any) -> Array:
    """Convert a tensor to a float64 array."""
    found: Array = tensor.detach().cpu().double().numpy()
    return found


def _flat(model: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, layer in model.named_children():
        if type(layer) is nn.Sequential:
            yield from _flat(layer, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", layer


def _activation(place: str, layer: nn.Module) -> str:
    if type(layer) not in ACTIVATIONS:
        kinds = (*ACTIVATIONS, *DROPOUTS, *ENDS, nn.BatchNorm1d, nn.Flatten)
        known = listing(sorted(kind.__name__ for kind in kinds), limit=30)
        raise GraphError(f"layer {place}, a {type(layer).__name__}, is no Linear and none of {known}")
    name, plain = ACTIVATIONS[type(layer)]
    if not plain(layer):
        raise GraphError(f"layer {place}, {layer!r}: flowgrad's {name!r} has other settings")
    return name
