"""Read operators that work entry by entry, and softmax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import (
    Array,
    Constant,
    Signals,
    Value,
    activated,
    distinct,
    gathered,
    scaled,
    settled,
    shifted,
    signals,
    view,
)
from flowgrad.registry import find

PLAIN = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
    "Mish": "mish", "Abs": "abs", "Sign": "sign", "Exp": "exp", "Log": "log", "Sqrt": "sqrt",
    "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Atan": "arctan", "Erf": "erf",
}  # fmt: skip
"""Operators that equal one of flowgrad's activations."""


def applied(node: Node, activation: str, x: Value) -> Value:
    """Return σ(x); for a constant, its values by the activation's formula."""
    if isinstance(x, Signals):
        return activated(node.net, x, activation, node.label)
    if x.values.dtype.kind != "f":
        node.refuse("of integers is not read")
    node.budget(x.values.size, 20)
    with np.errstate(all="ignore"):
        values = np.array([find("activations", activation).f(v) for v in x.values.ravel()], np.float64)
    return node.fold(values.reshape(x.shape), x)


def _plain(node: Node) -> Value:
    return applied(node, PLAIN[node.kind], node.input())


def _identity(node: Node) -> Value:
    return node.input()


def bent(node: Node, x: Value, curve: str, of_curve: float, of_relu: float) -> Value:
    """Return of_curve · curve(x) + of_relu · relu(x): rectifiers of any slope and scale."""
    if isinstance(x, Constant):
        a, b = applied(node, curve, x), applied(node, "relu", x)
        assert isinstance(a, Constant)
        assert isinstance(b, Constant)
        return node.fold(of_curve * a.values + of_relu * b.values, x)
    x = replace(settled(node.net, x, f"{node.label}.z"), own=False)
    parts = [x if f == "identity" else activated(node.net, x, f, f"{node.label}.{f}") for f in (curve, "relu")]
    rows = node.net.neurons(x.shape, node.label)
    for part, weight in zip(parts, (of_curve, of_relu), strict=True):
        node.net.connect(part.rows, rows, weight)
    return Signals(rows, own=True)


def _near(value: float, ours: float) -> bool:
    """Tell whether an attribute, of 32 bits, equals flowgrad's constant."""
    return bool(np.float32(value) == np.float32(ours))


def _leaky_relu(node: Node) -> Value:
    slope = node.attribute("alpha")
    if _near(slope, 0.01):
        return applied(node, "leaky_relu", node.input())
    return bent(node, node.input(), "identity", slope, 1.0 - slope)


def _elu(node: Node) -> Value:
    alpha = node.attribute("alpha")
    return applied(node, "elu", node.input()) if alpha == 1.0 else bent(node, node.input(), "elu", alpha, 1.0 - alpha)


def _selu(node: Node) -> Value:
    alpha, gamma = node.attribute("alpha"), node.attribute("gamma")
    if _near(alpha, SELU[0]) and _near(gamma, SELU[1]):
        return applied(node, "selu", node.input())
    return bent(node, node.input(), "elu", gamma * alpha, gamma * (1.0 - alpha))


SELU = 1.6732632423543772, 1.0507009873554805


def _hard_sigmoid(node: Node) -> Value:
    """Read HardSigmoid, clip(αx + β, 0, 1), as hard_sigmoid, clip(z/6 + ½, 0, 1), of z = 6αx + 6β − 3."""
    alpha, beta = node.attribute("alpha"), node.attribute("beta")
    slope, start = 1.0 if _near(alpha, 1 / 6) else 6.0 * alpha, 6.0 * beta - 3.0
    x = node.input()
    if isinstance(x, Constant):
        return applied(node, "hard_sigmoid", node.fold(slope * x.values + start, x))
    if slope != 1.0:
        x = scaled(node.net, x, Constant(np.full(x.shape, slope)), node.label)
    if start != 0.0:
        x = shifted(node.net, x, Constant(np.full(x.shape, start)), node.label)
    return applied(node, "hard_sigmoid", x)


def _clip(node: Node) -> Value:
    """Read Clip, min(max(x, low), high), as hard_tanh or relu where it equals one of them."""
    if node.opset < 11:
        bounds = [None if node.attribute(k) is None else np.asarray(node.attribute(k)) for k in ("min", "max")]
    else:
        given = (node.inputs[k] for k in (1, 2))
        bounds = [None if v is None else node.constant(k, "a bound").values for k, v in enumerate(given, 1)]
    if any(b is not None and b.size != 1 for b in bounds):
        node.refuse("a bound must be one number")
    low, high = (None if b is None else float(b.reshape(())) for b in bounds)
    x = node.input()
    if (low, high) == (-1.0, 1.0):
        return applied(node, "hard_tanh", x)
    for bound, extreme in ((low, "max"), (high, "min")):
        if bound == 0.0 and extreme == "max":
            x = applied(node, "relu", x)
        elif bound is not None:
            x = extremum(node, [x, Constant(np.full((1,) * len(x.shape), bound))], extreme)
    return x


# ---- two operands -------------------------------------------------------------------------------------------


def together(node: Node, values: list[Value]) -> list[Value]:
    """Broadcast the values to one shape."""
    shape = np.broadcast_shapes(*(v.shape for v in values))
    if any(isinstance(v, Signals) for v in values):
        ranks = {len(v.shape) for v in values if isinstance(v, Signals)}
        if node.batch is not None and ranks != {len(shape)}:
            node.refuse(f"the batch axis does not stand first in all of {[v.shape for v in values]}")
        node.kept(shape)
    node.budget(*shape)
    return [v if v.shape == shape else view(v, lambda a: np.broadcast_to(a, shape)) for v in values]


def _aligned(node: Node) -> list[Value]:
    """Broadcast both inputs; before opset 7 the second, only if `broadcast` is set, its axes starting at `axis`."""
    a, b = node.input(0), node.input(1)
    if node.opset < 7:
        if not node.attribute("broadcast"):
            if a.shape != b.shape:
                node.refuse(f"shapes {a.shape} and {b.shape} differ, and it does not broadcast")
        elif node.attribute("axis") is not None:
            axis = node.axis(node.whole("axis"), len(a.shape))
            b = view(b, lambda v: v.reshape((*v.shape, *[1] * (len(a.shape) - axis - v.ndim))))
    elif node.given:
        node.refuse("broadcasts by itself since opset 7: no attribute")
    return together(node, [a, b])


FOLDS: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
}  # fmt: skip


def _folded(node: Node, a: Constant, b: Constant) -> Value:
    if a.values.dtype.kind != b.values.dtype.kind:
        node.refuse("whole and other numbers together")
    if node.kind == "Div" and not b.values.all():
        node.refuse("divides by 0")
    node.no_batch_length(a, b)
    if node.kind == "Div" and a.values.dtype.kind == "i":
        return Constant(np.sign(a.values) * np.sign(b.values) * (abs(a.values) // abs(b.values)))
    with np.errstate(all="ignore"):
        return node.fold(FOLDS[node.kind](a.values, b.values), a, b)


def _binary(node: Node) -> Value:
    a, b = _aligned(node)
    if isinstance(a, Constant) and isinstance(b, Constant):
        return _folded(node, a, b)
    for v in (a, b):
        if isinstance(v, Constant) and v.values.dtype.kind != "f":
            node.refuse("of integers is not read")
    match node.kind:
        case "Add":
            return added(node, a, b)
        case "Sub":
            return added(node, a, negative(node, b))
        case "Mul":
            return multiplied(node, a, b)
    if isinstance(b, Constant):
        if not b.values.all():
            node.refuse("divides by 0")
        return multiplied(node, a, node.fold(1.0 / b.values, b))
    return multiplied(node, a, activated(node.net, b, "reciprocal", f"{node.label}.1/x"))


def negative(node: Node, x: Value) -> Value:
    if isinstance(x, Constant):
        return node.fold(-x.values, x)
    return scaled(node.net, x, Constant(np.full(x.shape, -1.0)), node.label)


def _neg(node: Node) -> Value:
    return negative(node, node.input())


def added(node: Node, a: Value, b: Value) -> Value:
    """Return a + b: a constant becomes a bias, two signals feed one neuron."""
    if isinstance(a, Constant):
        a, b = b, a
    assert isinstance(a, Signals)
    if isinstance(b, Constant):
        return shifted(node.net, a, b, node.label)
    return paired(node, a, b, "sum")


def multiplied(node: Node, a: Value, b: Value) -> Value:
    """Return a · b: a constant becomes a weight, two signals feed a product, equal signals are squared."""
    if isinstance(a, Constant):
        a, b = b, a
    assert isinstance(a, Signals)
    if isinstance(b, Constant):
        return scaled(node.net, a, b, node.label)
    if a.weight is None and b.weight is None and (a.rows == b.rows).all():
        return activated(node.net, replace(a, own=False), "square", node.label)
    return paired(node, a, b, "product")


def paired(node: Node, a: Signals, b: Signals, aggregation: str) -> Signals:
    return gathered(node.net, stacked([a, b]), node.label, aggregation)


def stacked(parts: list[Signals]) -> Signals:
    """Stack signals, of one shape, along a new last axis."""
    rows = np.stack([p.rows for p in parts], -1)
    if all(p.weight is None for p in parts):
        return Signals(rows)
    weights = [np.ones(p.shape) if p.weight is None else p.weight for p in parts]
    keys = [np.full(p.shape, -1) if p.keys is None else p.keys for p in parts]
    return Signals(rows, np.stack(weights, -1), np.stack(keys, -1))


def extremum(node: Node, values: list[Value], extreme: str) -> Value:
    """Return the largest or smallest of the values, entry by entry; constants beside signals become neurons."""
    constants = [v for v in values if isinstance(v, Constant)]
    node.no_batch_length(*constants)
    if len({v.values.dtype.kind for v in constants}) > 1 or (
        len(constants) < len(values) and any(v.values.dtype.kind != "f" for v in constants)
    ):
        node.refuse("of integers is not read")
    if len(constants) == len(values):
        fold = {"max": np.maximum, "min": np.minimum}[extreme]
        same = [v for v in together(node, values) if isinstance(v, Constant)]
        return node.fold(fold.reduce([v.values for v in same]), *constants)
    rank = max(len(v.shape) for v in values)
    full = [view(v, lambda a: a.reshape((1,) * (rank - a.ndim) + a.shape)) for v in constants]
    bounds = iter([signals(node.net, v, f"{node.label}.bound") for v in full])
    parts = together(node, [next(bounds) if isinstance(v, Constant) else v for v in values])
    found = [p for p in parts if isinstance(p, Signals)]
    return found[0] if len(found) == 1 else gathered(node.net, stacked(found), node.label, extreme)


def _extremum(node: Node) -> Value:
    return extremum(node, [node.input(k) for k in range(len(node.inputs))], node.kind.lower())


# ---- softmax ------------------------------------------------------------------------------------------------


def _softmax(node: Node) -> Value:
    """Read Softmax and LogSoftmax, along one axis; before opset 13 over that axis and all after it."""
    x, axis = node.input(), node.attribute("axis")
    if isinstance(x, Constant):
        node.refuse("of a constant is not read")
    axis = node.axis((-1 if node.opset >= 13 else 1) if axis is None else int(axis), len(x.shape))
    node.not_across(axis)
    if node.opset >= 13:
        last: Value = view(x, lambda a: np.moveaxis(a, axis, -1))
    else:
        last = view(x, lambda a: a.reshape((*a.shape[:axis], -1)))
    assert isinstance(last, Signals)
    found = {"Softmax": softmax, "LogSoftmax": log_softmax}[node.kind](node, distinct(node.net, last, node.label))
    rows = np.moveaxis(found, -1, axis) if node.opset >= 13 else found.reshape(x.shape)
    node.net.name(rows, node.label)
    return Signals(rows, own=True)


def _exps(node: Node, x: Signals) -> tuple[Array, Array]:
    """Return the rows of the largest x (…, 1), and of e^(x − largest) (…, K), which cannot overflow."""
    net, label, weight = node.net, node.label, 1.0 if x.weight is None else x.weight
    largest = gathered(net, x, f"{label}.max", "max").rows[..., None]
    exps = net.neurons(x.shape, f"{label}.exp", "exp")
    net.connect(x.rows, exps, weight, x.keys)
    net.connect(largest, exps, -1.0)
    return largest, exps


def softmax(node: Node, x: Signals) -> Array:
    """Return the rows (…, K) of e_j / Σ_i e_i with e_j = exp(x_j − max_i x_i), along the last axis."""
    net, label = node.net, node.label
    _, exps = _exps(node, x)
    total = gathered(net, Signals(exps), f"{label}.1/sum", activation="reciprocal").rows[..., None]
    rows = net.neurons(x.shape, label, aggregation="product")
    net.connect(exps, rows)
    net.connect(total, rows)
    return rows


def log_softmax(node: Node, x: Signals) -> Array:
    """Return the rows (…, K) of x_j − max_i x_i − log Σ_i e_i, along the last axis."""
    net, label, weight = node.net, node.label, 1.0 if x.weight is None else x.weight
    largest, exps = _exps(node, x)
    total = gathered(net, Signals(exps), f"{label}.log(sum)", activation="log").rows[..., None]
    rows = net.neurons(x.shape, label)
    net.connect(x.rows, rows, weight, x.keys)
    net.connect(largest, rows, -1.0)
    net.connect(total, rows, -1.0)
    return rows


def log_sum_exp(node: Node, x: Signals) -> Signals:
    """Return max_i x_i + log Σ_i exp(x_i − max_i x_i), along the last axis."""
    largest, exps = _exps(node, distinct(node.net, x, node.label))
    total = gathered(node.net, Signals(exps), f"{node.label}.log(sum)", activation="log").rows
    rows = node.net.neurons(total.shape, node.label)
    node.net.connect(total, rows)
    node.net.connect(largest[..., 0], rows)
    return Signals(rows, own=True)


BROADCAST = {"broadcast": 0, "axis": int}  # before opset 7
OPERATORS = {
    **{kind: Operator(_plain, (1, 1), {}) for kind in PLAIN},
    "Identity": Operator(_identity, (1, 1), {}),
    "LeakyRelu": Operator(_leaky_relu, (1, 1), {"alpha": 0.01}),
    "Elu": Operator(_elu, (1, 1), {"alpha": 1.0}),
    "Selu": Operator(_selu, (1, 1), {"alpha": SELU[0], "gamma": SELU[1]}),
    "HardSigmoid": Operator(_hard_sigmoid, (1, 1), {"alpha": 0.2, "beta": 0.5}),
    "Clip": Operator(_clip, (1, 3), {"min": float, "max": float}),
    **{kind: Operator(_binary, (2, 2), BROADCAST) for kind in FOLDS},
    "Neg": Operator(_neg, (1, 1), {}),
    "Max": Operator(_extremum, (1, -1), {}),
    "Min": Operator(_extremum, (1, -1), {}),
    "Softmax": Operator(_softmax, (1, 1), {"axis": int}),
    "LogSoftmax": Operator(_softmax, (1, 1), {"axis": int}),
}
