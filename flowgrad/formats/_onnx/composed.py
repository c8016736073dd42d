"""Read operators that several neurons compute together, exactly, by the identity in each docstring."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from flowgrad.formats._onnx.elementwise import added, applied, extremum, multiplied, negative, together
from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value, gathered, settled, view


def share(node: Node, x: Value) -> Value:
    """Prepare x to be read more than once: no activation or bias is put onto its own neurons."""
    if isinstance(x, Constant):
        return x
    return replace(settled(node.net, x, f"{node.label}.z"), own=False)


def add(node: Node, a: Value, b: Value | float) -> Value:
    return _both(node, a, b, "+")


def mul(node: Node, a: Value, b: Value | float) -> Value:
    return _both(node, a, b, "*")


def _both(node: Node, a: Value, b: Value | float, sign: str) -> Value:
    if not isinstance(b, Constant | Signals):
        b = Constant(np.full((1,) * len(a.shape), float(b)))
    a, b = together(node, [a, b])
    for v in (a, b):
        if isinstance(v, Constant) and v.values.dtype.kind != "f":
            node.refuse("of integers is not read")
    if isinstance(a, Constant) and isinstance(b, Constant):
        return node.fold(a.values + b.values if sign == "+" else a.values * b.values, a, b)
    return added(node, a, b) if sign == "+" else multiplied(node, a, b)


def power(node: Node, x: Value, p: float) -> Value:
    """Return x^p, p a multiple of ½, composed of squares, cubes, roots and reciprocals."""
    if p == 0.0 or 2.0 * p != round(2.0 * p) or abs(p) > 16.0:
        node.refuse(f"exponent {p:g}: must be a multiple of 0.5 between -16 and 16, and not 0")
    if p < 0.0:
        return applied(node, "reciprocal", power(node, x, -p))
    if p in (1.0, 0.5, 2.0, 3.0):
        return applied(node, {1.0: "identity", 0.5: "sqrt", 2.0: "square", 3.0: "cube"}[p], x)
    x = share(node, x)
    if p != round(p):
        return mul(node, power(node, x, p - 0.5), power(node, x, 0.5))
    half = share(node, power(node, x, float(p // 2)))
    even = applied(node, "square", half)
    return even if p % 2 == 0 else mul(node, even, x)


def _pow(node: Node) -> Value:
    p = node.constant(1, "the exponent").values.astype(np.float64)
    if p.size != 1:
        node.refuse("the exponent must be one number")
    x = node.input()
    if isinstance(x, Constant):
        if x.values.dtype.kind != "f":
            node.refuse("of integers is not read")
        with np.errstate(all="ignore"):
            return node.fold(x.values ** p.reshape(()), x)
    return power(node, x, float(p.reshape(())))


# ---- activations --------------------------------------------------------------------------------------------


def _prelu(node: Node) -> Value:
    """Read PRelu: relu(x) − slope · relu(−x)."""
    x, slope = share(node, node.input()), node.input(1)
    if isinstance(x, Signals) and len(slope.shape) > len(x.shape):
        node.refuse(f"a slope of shape {slope.shape} for {x.shape}")
    below = negative(node, applied(node, "relu", negative(node, x)))
    if isinstance(slope, Constant) and node.opset < 7 and slope.values.ndim == 1 and len(x.shape) > 1:
        slope = view(slope, lambda v: v.reshape(-1, *[1] * (len(x.shape) - 2)))
    return add(node, applied(node, "relu", x), mul(node, below, slope))


def _hard_swish(node: Node) -> Value:
    """Read HardSwish: x · clip(x/6 + ½, 0, 1)."""
    x = share(node, node.input())
    return mul(node, x, applied(node, "hard_sigmoid", x))


def _celu(node: Node) -> Value:
    """Read Celu: α elu(x/α)."""
    alpha = node.attribute("alpha")
    if alpha == 0.0:
        node.refuse("alpha 0 divides by 0")
    if alpha < 0.0:
        node.refuse(f"alpha {alpha:g}: must be above 0")
    return mul(node, applied(node, "elu", mul(node, node.input(), 1.0 / alpha)), alpha)


def _swish(node: Node) -> Value:
    """Read Swish: x · sigmoid(αx)."""
    x, alpha = share(node, node.input()), node.attribute("alpha")
    return mul(node, x, applied(node, "sigmoid", mul(node, x, alpha)))


def gelu_by_tanh(node: Node) -> Value:
    """Read Gelu with approximate="tanh": ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    x = share(node, node.input())
    inner = add(node, mul(node, applied(node, "cube", x), 0.044715), x)
    bend = applied(node, "tanh", mul(node, inner, math.sqrt(2.0 / math.pi)))
    return mul(node, mul(node, x, add(node, bend, 1.0)), 0.5)


def _gelu(node: Node) -> Value:
    approximate = node.attribute("approximate")
    if approximate not in ("none", "tanh"):
        node.refuse(f"approximate {approximate!r}: 'none' and 'tanh' are read")
    return gelu_by_tanh(node) if approximate == "tanh" else applied(node, "gelu", node.input())


def _thresholded(node: Node) -> Value:
    """Read ThresholdedRelu: x · step(x − α)."""
    x = share(node, node.input())
    return mul(node, x, applied(node, "step", add(node, x, -node.attribute("alpha"))))


# ---- truth values: 1 and 0 ----------------------------------------------------------------------------------


def _compare(node: Node) -> Value:
    """Read comparisons: a > b is step(a − b), a ≥ b is 1 − step(b − a), a = b is 1 − |sign(a − b)|."""
    a, b = node.input(0), node.input(1)
    if isinstance(a, Constant) and isinstance(b, Constant):
        known = {"Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal,
                 "LessOrEqual": np.less_equal, "Equal": np.equal}  # fmt: skip
        node.no_batch_length(a, b)
        found: Array = known[node.kind](*np.broadcast_arrays(a.values, b.values)).astype(np.int64)
        return Constant(found)
    a, b = (Constant(v.values.astype(np.float64), v.keys) if isinstance(v, Constant) else v for v in (a, b))
    if node.kind in ("Less", "GreaterOrEqual"):
        a, b = b, a
    above = add(node, share(node, a), negative(node, share(node, b)))
    if node.kind == "Equal":
        return inverse(node, applied(node, "abs", applied(node, "sign", above)))
    above = applied(node, "step", above)
    return above if node.kind in ("Greater", "Less") else inverse(node, above)


def inverse(node: Node, x: Value) -> Value:
    return add(node, negative(node, x), 1.0)


def _logical(node: Node) -> Value:
    values = [
        Constant(v.values.astype(np.float64)) if isinstance(v, Constant) else v for v in map(node.input, range(2))
    ]
    if all(isinstance(v, Constant) for v in values):
        node.refuse("of constants is not read")
    return mul(node, *values) if node.kind == "And" else extremum(node, list(values), "max")


def _not(node: Node) -> Value:
    x = node.input()
    return Constant((x.values == 0).astype(np.int64)) if isinstance(x, Constant) else inverse(node, x)


def _where(node: Node) -> Value:
    """Read Where: c a + (1 − c) b; a constant c selects or masks entries."""
    c, a, b = (node.input(k) for k in range(3))
    if isinstance(c, Constant):
        return _chosen(node, c, a, b)
    a, b = (Constant(v.values.astype(np.float64), v.keys) if isinstance(v, Constant) else v for v in (a, b))
    c = share(node, c)
    for v in (a, b):
        if isinstance(v, Constant) and not v.values.any() and v.keys is None:
            rest = b if v is a else a
            return mul(node, inverse(node, c) if v is a else c, share(node, rest))
    return add(node, mul(node, c, share(node, a)), mul(node, inverse(node, c), share(node, b)))


def _chosen(node: Node, c: Constant, a: Value, b: Value) -> Value:
    yes = c.values != 0
    if isinstance(a, Constant) and isinstance(b, Constant) and a.values.dtype.kind == b.values.dtype.kind == "i":
        node.budget(*np.broadcast_shapes(c.shape, a.shape, b.shape))
        return Constant(np.where(yes, a.values, b.values))
    if yes.all() or not yes.any():
        kept, shape = (a if yes.all() else b), np.broadcast_shapes(c.shape, a.shape, b.shape)
        node.budget(*shape)
        return view(kept, lambda v: np.broadcast_to(v, shape))
    mask = Constant(yes.astype(np.float64))
    return add(node, mul(node, a, mask), mul(node, b, Constant(1.0 - mask.values)))


# ---- several inputs, and along axes -------------------------------------------------------------------------


def _sum(node: Node) -> Value:
    values = [share(node, node.input(k)) for k in range(len(node.inputs))]
    total = values[0]
    for v in values[1:]:
        total = add(node, total, v)
    return mul(node, total, 1.0 / len(values)) if node.kind == "Mean" and len(values) > 1 else total


def standardised(node: Node, x: Signals, epsilon: float) -> Value:
    """Return (x − mean) / √(variance + ε) along the last axis."""
    x, n = Signals(settled(node.net, x, f"{node.label}.x").rows), x.shape[-1]
    if not n:
        node.refuse("of nothing: an axis has length 0")
    net, label = node.net, node.label
    mean = Signals(gathered(net, Signals(x.rows, np.full(x.shape, 1.0 / n)), f"{label}.mean").rows[..., None])
    d = share(node, add(node, x, negative(node, mean)))
    return mul(node, d, _inverse_root(node, d, epsilon))


def _inverse_root(node: Node, d: Value, epsilon: float) -> Value:
    """Return 1 / √(mean of d² + ε) along the last axis, which is kept with length 1."""
    squares = settled(node.net, _signals(applied(node, "square", d)), node.label)
    weights = np.full(squares.shape, 1.0 / squares.shape[-1])
    mean = gathered(node.net, Signals(squares.rows, weights), f"{node.label}.variance")
    spread = applied(node, "reciprocal", applied(node, "sqrt", add(node, mean, epsilon)))
    return view(_signals(spread), lambda v: v[..., None])


def _signals(value: Value) -> Signals:
    assert isinstance(value, Signals)
    return value


def _layer_norm(node: Node) -> Value:
    x = node.input()
    if isinstance(x, Constant):
        node.refuse("of a constant is not read")
    rank, axis = len(x.shape), node.axis(node.whole("axis"), len(x.shape))
    node.not_across(*range(axis, rank))
    flat = _signals(view(x, lambda v: v.reshape(*v.shape[:axis], -1)))
    if node.kind == "RMSNormalization":
        flat = _signals(share(node, flat))
        found = mul(node, flat, _inverse_root(node, flat, node.attribute("epsilon")))
    else:
        found = standardised(node, flat, node.attribute("epsilon"))
    found = mul(node, view(found, lambda v: v.reshape(x.shape)), node.constant(1, "the scale"))
    return found if len(node.inputs) < 3 or node.inputs[2] is None else add(node, found, node.constant(2, "the bias"))


def _of_channels(node: Node, k: int, what: str, x: Value) -> Constant:
    value = node.constant(k, what)
    if len(x.shape) < 2 or value.shape != (x.shape[1],) or value.values.dtype.kind != "f":
        node.refuse(f"{what} of shape {value.shape}: must be one number for each channel of {x.shape}")
    found = view(value, lambda v: v.reshape(-1, *[1] * (len(x.shape) - 2)))
    assert isinstance(found, Constant)
    return found


def _instance_norm(node: Node) -> Value:
    """Read InstanceNormalization and GroupNormalization: standardise each channel, or each group of channels."""
    x = node.input()
    if isinstance(x, Constant) or len(x.shape) < 3 - (node.kind == "GroupNormalization"):
        node.refuse(f"an input of shape {x.shape}: must have samples, channels and an image")
    groups = node.whole("num_groups") if node.kind == "GroupNormalization" else x.shape[1]
    if groups < 1 or x.shape[1] % groups:
        node.refuse(f"{groups} groups of {x.shape[1]} channels")
    if node.kind == "GroupNormalization" and node.opset < 21:
        node.refuse("of an opset below 21, where scale and bias are of groups, is not read: export with opset 21")
    flat = _signals(view(x, lambda v: v.reshape(x.shape[0], groups, -1)))
    found = view(standardised(node, flat, node.attribute("epsilon")), lambda v: v.reshape(x.shape))
    scale, bias = (_of_channels(node, k, what, x) for k, what in ((1, "the scale"), (2, "the bias")))
    return add(node, mul(node, found, scale), bias)


def _batch_norm(node: Node) -> Value:
    """Read BatchNormalization: x s + t, s = scale/√(variance + ε), t = bias − mean s, constants of the model."""
    x = node.input()
    if node.attribute("training_mode"):
        node.refuse("training_mode 1 takes the mean of a batch: export the model for inference (model.eval())")
    names = ("the scale", "the bias", "the mean", "the variance")
    scale, bias, mean, variance = (_of_channels(node, k, what, x) for k, what in enumerate(names, 1))
    spread = variance.values + node.attribute("epsilon")
    if (spread <= 0).any():
        node.refuse("a variance is below 0")
    s = node.fold(scale.values / np.sqrt(spread), scale)
    return add(node, mul(node, x, s), node.fold(bias.values - mean.values * s.values, bias))


def _dropout(node: Node) -> Value:
    training = node.inputs[2]
    if training is not None and node.constant(2, "training_mode").values.any():
        node.refuse("training_mode drops at random: export the model for inference (model.eval())")
    return node.input()


NORM = {"epsilon": 1e-5}
OPERATORS = {
    "Pow": Operator(_pow, (2, 2), {}),
    "PRelu": Operator(_prelu, (2, 2), {}),
    "HardSwish": Operator(_hard_swish, (1, 1), {}),
    "Celu": Operator(_celu, (1, 1), {"alpha": 1.0}),
    "Swish": Operator(_swish, (1, 1), {"alpha": 1.0}),
    "Gelu": Operator(_gelu, (1, 1), {"approximate": "none"}),
    "ThresholdedRelu": Operator(_thresholded, (1, 1), {"alpha": 1.0}),
    **{k: Operator(_compare, (2, 2), {}) for k in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")},
    "And": Operator(_logical, (2, 2), {}),
    "Or": Operator(_logical, (2, 2), {}),
    "Not": Operator(_not, (1, 1), {}),
    "Where": Operator(_where, (3, 3), {}),
    "Sum": Operator(_sum, (1, -1), {}),
    "Mean": Operator(_sum, (1, -1), {}),
    "LayerNormalization": Operator(_layer_norm, (2, 3), NORM | {"axis": -1, "stash_type": 1}),
    "RMSNormalization": Operator(_layer_norm, (2, 2), NORM | {"axis": -1, "stash_type": 1}),
    "InstanceNormalization": Operator(_instance_norm, (3, 3), NORM),
    "GroupNormalization": Operator(_instance_norm, (3, 3), NORM | {"num_groups": int, "stash_type": 1}),
    "BatchNormalization": Operator(_batch_norm, (5, 5), NORM | {"momentum": 0.9, "training_mode": 0, "spatial": 1}),
    "Dropout": Operator(_dropout, (1, 3), {"ratio": 0.5, "seed": int}),
}
