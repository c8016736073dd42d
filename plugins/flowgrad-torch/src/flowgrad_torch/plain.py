"""Convert a network to torch's own operators, by `to_torch`, and back.

Neurons are computed level by level. Neurons of a level that have the same sources are an `nn.Linear`; for the others,
activations of sources are gathered, together for all neurons with the same number of in-edges. Everything that torch
supports for its own operators therefore works: ONNX, forward mode, derivatives of any order, any device and compiler.
Gathered neurons store one number for each in-edge and sample: if there are many, a GraphModule is faster and takes less
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from flowgrad.arguments import instance
from flowgrad.errors import ConfigError, GraphError, ShapeError, brief, listing
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.program import compile
from flowgrad_torch.pieces import Part, Pieces

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
"""Torch dtype → flowgrad's name of it; flowgrad has no others."""
Array = npt.NDArray[Any]
Values = list[Tensor]


class Elementwise(nn.Module):
    """Apply the activation of the given name by torch's operators."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, z: Tensor) -> Tensor:
        return FORMULAS[self.name](z)

    def extra_repr(self) -> str:
        return self.name


FORMULAS: dict[str, Callable[[Tensor], Tensor]] = {
    "arctan": torch.arctan,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "gaussian": lambda z: torch.exp(-z * z),
    "step": lambda z: torch.relu(torch.sign(z)),
    "sign": torch.sign,
    "abs": torch.abs,
    "square": torch.square,
    "cube": lambda z: z * z * z,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "reciprocal": torch.reciprocal,
}
MODULES: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "softplus": lambda: nn.Softplus(threshold=40.0),
    "softsign": nn.Softsign,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_tanh": nn.Hardtanh,
}


def _median(t: Tensor) -> Tensor:
    ordered, K = t.sort(dim=-1, stable=True).values, t.shape[-1]
    return (ordered[..., (K - 1) // 2] + ordered[..., K // 2]) / 2


AGGREGATIONS: dict[str, Callable[[Tensor], Tensor]] = {  # of terms (B, n, K) to m (B, n)
    "sum": lambda t: t.sum(-1),
    "mean": lambda t: t.mean(-1),
    "product": lambda t: t.prod(-1),
    "max": lambda t: t.max(-1).values,
    "min": lambda t: t.min(-1).values,
    "median": _median,
    "max_abs": lambda t: t.gather(-1, t.abs().argmax(-1, keepdim=True)).squeeze(-1),
}


class Dense(nn.Module):
    """Compute n neurons with the same K sources: σ(W·a + b)."""

    columns: Tensor | None

    def __init__(self, columns: Tensor | None, linear: nn.Linear, sigma: nn.Module) -> None:
        super().__init__()
        self.linear, self.sigma = linear, sigma
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, pool: Tensor, values: Tensor) -> Tensor:
        a = pool if self.columns is None else pool[:, self.columns]
        found: Tensor = self.sigma(self.linear(a))
        return found


class Gathered(nn.Module):
    """n neurons with K in-edges each, one aggregation and one σ.

    columns (n, K): columns of the pool; weight (n, K), bias (n,): indices into `values`; response (n,): r of (2)
    """

    columns: Tensor
    weight: Tensor
    bias: Tensor
    response: Tensor

    def __init__(self, aggregation: str, sigma: nn.Module, **buffers: Tensor) -> None:
        super().__init__()
        self.aggregation, self.sigma = aggregation, sigma
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, pool: Tensor, values: Tensor) -> Tensor:
        m = aggregated(self.aggregation, pool, self.columns, values[self.weight])
        found: Tensor = self.sigma(self.response * m + values[self.bias])
        return found

    def extra_repr(self) -> str:
        return f"{self.columns.shape[0]} neurons, {self.columns.shape[1]} in-edges each, {self.aggregation}"


class Level(nn.Module):
    """Compute one level of neurons from the earlier levels that `reads` lists."""

    def __init__(self, reads: list[int], parts: list[nn.Module]) -> None:
        super().__init__()
        self.reads, self.parts = reads, nn.ModuleList(parts)

    def forward(self, levels: Values, values: Tensor) -> Tensor:
        pool = joined([levels[k] for k in self.reads]) if self.reads else levels[0]
        return joined([part(pool, values) for part in self.parts])


def aggregated(aggregation: str, pool: Tensor, columns: Tensor, weight: Tensor) -> Tensor:
    """Compute m (B, n) of (1) from the weights (n, K) and the columns (n, K) of their sources in the pool."""
    n, K = columns.shape
    terms = pool[:, columns.reshape(-1)].reshape(pool.shape[0], n, K) * weight
    return AGGREGATIONS[aggregation](terms) if K else terms.sum(-1)


def joined(tensors: Values) -> Tensor:
    """Concatenate tensors (B, …) along axis 1."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1)


class TorchNetwork(nn.Module):
    """Compute a network by torch operators, x (…, I) to y (…, O); `to_torch` makes such modules.

    Attributes:
        weight: `nn.Parameter` of all trainable weights and biases that are not in an `nn.Linear`.
        frozen: buffer of the frozen ones.
    """

    frozen: Tensor
    at: Tensor

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        super().__init__()
        self._network, self._inputs, pieces = network, len(network.inputs), pieces_of(network)
        plan = pieces.plan
        self.weight = nn.Parameter(torch.tensor(plan.theta[pieces.slots], dtype=dtype))
        self.register_buffer("frozen", torch.tensor(pieces.frozen, dtype=dtype), persistent=False)
        self.slots, self.levels, self._reads = {"weight": pieces.slots}, nn.ModuleList(), pieces.reads
        self.register_buffer("at", torch.tensor(pieces.outputs), persistent=False)
        for level in pieces.levels:
            name = f"levels.{len(self.levels)}.parts"
            self.levels.append(Level(level.reads, [_part(pieces, part, level.width, dtype) for part in level.parts]))
            for k, part in enumerate(level.parts):
                if part.dense:
                    for kind, slot in ("weight", plan.weight_slot[part.edges]), ("bias", plan.bias_slot[part.at]):
                        if slot.flat[0] >= 0:
                            self.slots[f"{name}.{k}.linear.{kind}"] = slot.reshape(-1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute y (…, O) from x (…, I).

        Raises:
            ShapeError: the last axis of x is not I.
        """
        I = self._inputs
        if x.ndim == 0 or x.shape[-1] != I:
            raise ShapeError(f"x has shape {tuple(x.shape)}: must be (…, {I}), a column an input of the network")
        found, values = [x.reshape(-1, I)], torch.cat([self.weight, self.frozen])
        for level in self.levels:
            found.append(level(found, values))
        y = joined([found[k] for k in self._reads])[:, self.at]
        return y.reshape(*x.shape[:-1], y.shape[1])

    def network(self) -> Network:
        """Return the network with the current weights; all else is as in the network given to `to_torch`."""
        program = compile(self._network, executor="python")
        theta, own = program.theta.copy(), dict(self.named_parameters())
        for name, slots in self.slots.items():
            theta[slots] = own[name].detach().cpu().double().numpy().reshape(-1)
        return program.network(theta)

    def extra_repr(self) -> str:
        """Describe the module for `print(module)`."""
        return repr(self._network)


def to_torch(network: Network, dtype: torch.dtype | None = None) -> TorchNetwork:
    """Convert a network to a module of torch's own operators: dense parts are `nn.Linear`, the rest is gathered.

    Args:
        network: the network to convert; shared weights stay shared, frozen ones frozen.
        dtype: dtype of the parameters, torch.float32 or torch.float64. Default: torch's default dtype.

    Returns:
        A module that maps x (…, I) to y (…, O), whose `network()` returns the network with the current weights. If
        terms are equally large, max, min and max_abs send the gradient to one of them, which need not be the first.

    Raises:
        GraphError: an activation or aggregation cannot be expressed in torch's operators; the message names the neuron.
        ConfigError: the dtype is another one, or the argument is not a Network.

    >>> import flowgrad as fg
    >>> module = to_torch(fg.topologies.layered([3, 4, 2], seed=1))
    >>> [type(part).__name__ for part in module.modules()].count("Linear")
    2
    >>> module.network()
    Network(9 nodes, 20 edges, depth 2, 3 inputs: 0, 1, 2, 2 outputs: 7, 8)
    """
    instance("to_torch", network, Network, ConfigError)
    dtype = torch.get_default_dtype() if dtype is None else dtype
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype}: must be torch.float32 or torch.float64")
    return TorchNetwork(network, dtype)


def _part(pieces: Pieces, part: Part, width: int, dtype: torch.dtype) -> nn.Module:
    """Build the module of a part; its level reads `width` columns."""
    plan, (n, K), sigma = pieces.plan, part.columns.shape, sigma_of(pieces.plan, part)
    if not part.dense:
        return Gathered(
            aggregation_of(plan, part),
            sigma,
            columns=torch.tensor(part.columns),
            weight=torch.tensor(pieces.of_edge[part.edges]),
            bias=torch.tensor(pieces.of_bias[part.at]),
            response=torch.tensor(plan.response[part.at], dtype=dtype),
        )
    linear = nn.Linear(K, n, device="meta")  # draws nothing from torch's generator
    weight, bias = plan.parameters(plan.theta)
    for name, values, slot in (
        ("weight", weight[part.edges], plan.weight_slot[part.edges]),
        ("bias", bias[part.at], plan.bias_slot[part.at]),
    ):
        trained = bool(slot.flat[0] >= 0)
        setattr(linear, name, nn.Parameter(torch.tensor(values, dtype=dtype), requires_grad=trained))
    columns = part.columns[0]
    whole = width == K and bool((columns == np.arange(K)).all())
    return Dense(None if whole else torch.tensor(columns), linear, sigma)


def sigma_of(plan: Plan, part: Part) -> nn.Module:
    """Make the module that applies the activation σ of a part's neurons."""
    name = plan.activations[plan.activation[part.at[0]]].name
    return MODULES[name]() if name in MODULES else Elementwise(name)


def aggregation_of(plan: Plan, part: Part) -> str:
    """Return the name of a part's aggregation."""
    name: str = plan.aggregations[plan.aggregation[part.at[0]]].name
    return name


def pieces_of(network: Network) -> Pieces:
    """Cut a network into levels and parts that torch's own operators compute.

    Raises:
        GraphError: a function that has no form in torch's operators.
    """
    plan = lower(network)
    _refuse(network, plan)
    return Pieces(plan)


def _refuse(network: Network, plan: Plan) -> None:
    """Raise GraphError for an activation or aggregation that has no form in this module."""
    for kind, known, codes, records in (
        ("activation", MODULES.keys() | FORMULAS.keys(), plan.activation, plan.activations),
        ("aggregation", AGGREGATIONS.keys(), plan.aggregation, plan.aggregations),
    ):
        for code in np.unique(codes[codes >= 0]).tolist():
            if records[code].name not in known:
                row = plan.nodes[np.flatnonzero(codes == code)[0]]
                raise GraphError(
                    f"{kind} {brief(records[code].name)} at neuron {brief(network.columns.ids[row])} has no form in "
                    f"torch's operators; there are {listing(sorted(known), limit=30)}"
                )
