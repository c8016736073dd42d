"""Read matrix products, and sums and extremes along axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from flowgrad.formats._onnx.elementwise import added, log_sum_exp, stacked, together
from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Constant, Signals, Value, activated, distinct, gathered, scaled, settled, view


def product(node: Node, a: Value, b: Value, label: str) -> Value:
    """Return a @ b as in NumPy: (…, M, K) and (…, K, N) → (…, M, N)."""
    if not a.shape or not b.shape:
        node.refuse(f"shapes {a.shape} and {b.shape} are no matrices")
    ends = len(a.shape) == 1, len(b.shape) == 1
    if ends[0]:
        a = view(a, lambda v: v[None, :])
    if ends[1]:
        b = view(b, lambda v: v[:, None])
    _keeps_samples_apart(node, a, b)
    if a.shape[-1] != b.shape[-2]:
        node.refuse(f"shapes {a.shape} and {b.shape} do not fit")
    first = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    node.budget(*first, a.shape[-2], a.shape[-1], b.shape[-1])
    if isinstance(a, Constant) and isinstance(b, Constant):
        if a.values.dtype.kind != "f" or b.values.dtype.kind != "f":
            node.refuse("of integers is not read")
        found: Value = node.fold(a.values @ b.values, a, b)
    else:
        found = _neurons(node, a, b, label)
    if ends[0]:
        found = view(found, lambda v: v[..., 0, :])
    if ends[1]:
        found = view(found, lambda v: v[..., 0])
    if isinstance(found, Signals):
        node.kept(found.shape)
    return found


def _keeps_samples_apart(node: Node, a: Value, b: Value) -> None:
    """Refuse a product that sums over the batch axis, or in whose result it is not the first axis."""
    if node.batch is None:
        return
    for mine, other, contracted in ((a, b, -1), (b, a, -2)):
        if isinstance(mine, Signals):
            rank = len(mine.shape)
            node.not_across(contracted + rank, *([0] if mine is b and rank == 2 else []))
            if len(other.shape) > rank:
                node.refuse("puts an axis before the batch: read one whole input with batch=False")


def _neurons(node: Node, a: Value, b: Value, label: str) -> Signals:
    """Make a neuron for each entry of the result; if both sides are signals, also a product for each term."""
    net = node.net
    if isinstance(a, Signals) and isinstance(b, Signals):
        left, right = view(a, lambda v: v[..., :, None, :]), view(b, lambda v: v.swapaxes(-1, -2)[..., None, :, :])
        pair = [v for v in together(node, [left, right]) if isinstance(v, Signals)]
        return gathered(net, gathered(net, stacked(pair), f"{label}.terms", "product"), label)
    if isinstance(a, Signals):
        x, W = distinct(net, settled(net, a, f"{label}.x"), label).rows[..., :, None, :], b
        turned = view(W, lambda v: v.swapaxes(-1, -2)[..., None, :, :])
    else:
        assert isinstance(b, Signals)
        x = settled(net, b, f"{label}.x").rows.swapaxes(-1, -2)
        x = distinct(net, Signals(x), label).rows[..., None, :, :]
        turned = view(a, lambda v: v[..., :, None, :])
    assert isinstance(turned, Constant)
    if turned.values.dtype.kind != "f":
        node.refuse("of integers is not read")
    rows = net.neurons(np.broadcast_shapes(x.shape, turned.shape)[:-1], label)
    net.connect(x, rows[..., None], turned.values, turned.keys)
    return Signals(rows, own=True)


def _matmul(node: Node) -> Value:
    return product(node, node.input(0), node.input(1), node.label)


def _gemm(node: Node) -> Value:
    """Read Gemm: α A B + β C, with A and B transposed where transA and transB are set."""
    A, B, C = node.input(0), node.input(1), node.inputs[2]
    if len(A.shape) != 2 or len(B.shape) != 2:
        node.refuse(f"shapes {A.shape} and {B.shape} are no two matrices")
    for value, name in ((A, "transA"), (B, "transB")):
        if node.whole(name) and isinstance(value, Signals):
            node.not_across(0)
    A, B = (view(v, np.transpose) if node.whole(n) else v for v, n in ((A, "transA"), (B, "transB")))
    alpha, beta = node.attribute("alpha"), node.attribute("beta")
    if alpha != 1.0:
        A, B = (A, times(node, B, alpha)) if isinstance(B, Constant) else (times(node, A, alpha), B)
    found = product(node, A, B, f"{node.label}.AB" if isinstance(C, Signals) else node.label)
    if C is None or beta == 0.0:
        return found
    if isinstance(C, Constant) and C.values.dtype.kind != "f":
        node.refuse("of integers is not read")
    if len(C.shape) > 2 or np.broadcast_shapes(C.shape, found.shape) != found.shape:
        node.refuse(f"C of shape {C.shape} does not fit {found.shape}")
    if node.opset < 7 and not node.attribute("broadcast") and C.shape != found.shape:
        node.refuse(f"C of shape {C.shape} is not {found.shape}, and it does not broadcast")
    result = together(node, [found, C if beta == 1.0 else times(node, C, beta)])
    if all(isinstance(v, Constant) for v in result):
        a, b = (v for v in result if isinstance(v, Constant))
        return node.fold(a.values + b.values, a, b)
    return added(node, *result)


def times(node: Node, x: Value, factor: float) -> Value:
    """Return x · factor, where the factor is no parameter."""
    if isinstance(x, Constant):
        return node.fold(x.values * factor, x)
    return scaled(node.net, x, Constant(np.full(x.shape, factor)), node.label)


# ---- along axes ---------------------------------------------------------------------------------------------

REDUCE = {
    "ReduceSum": ("sum", 13), "ReduceMean": ("mean", 18), "ReduceMax": ("max", 18), "ReduceMin": ("min", 18),
    "ReduceProd": ("product", 18),
}  # fmt: skip
"""Operator → aggregation, and the opset from which on the axes are an input."""


COMPOSED = {
    "ReduceL1": ("abs", "identity"), "ReduceL2": ("square", "sqrt"), "ReduceSumSquare": ("square", "identity"),
    "ReduceLogSum": ("identity", "log"), "ReduceLogSumExp": ("exp", "log"),
}  # fmt: skip
"""Operator → the activations before the sum and after it."""

REDUCE |= dict.fromkeys(COMPOSED, ("sum", 18))


def _composed(node: Node, x: Signals) -> Signals:
    before, after = COMPOSED[node.kind]
    if node.kind == "ReduceLogSumExp":
        return log_sum_exp(node, x)
    x = activated(node.net, replace(x, own=False), before, f"{node.label}.{before}") if before != "identity" else x
    return gathered(node.net, x, node.label, activation=after)


def _of_constant(node: Node, x: Constant, axes: tuple[int, ...]) -> Value:
    folds: dict[str, Callable[..., Any]] = {
        "ReduceSum": np.sum,
        "ReduceProd": np.prod,
        "ReduceMax": np.max,
        "ReduceMin": np.min,
        "ReduceMean": np.mean,
    }
    if node.kind not in folds or not x.values.size:
        node.refuse("of a constant is not read")
    node.no_batch_length(x)
    with np.errstate(all="ignore"):
        values = np.asarray(folds[node.kind](x.values, axis=axes, keepdims=bool(node.whole("keepdims"))))
    return node.fold(values.astype(x.values.dtype), x)


def _reduce(node: Node) -> Value:
    x, (aggregation, since) = node.input(), REDUCE[node.kind]
    rank = len(x.shape)
    given = node.listed("axes", 1, since)
    if not given and node.attribute("noop_with_empty_axes"):
        return x
    axes = sorted({node.axis(a, rank) for a in given} if given else range(rank))
    if isinstance(x, Constant):
        return _of_constant(node, x, tuple(axes))
    node.not_across(*axes)
    if not axes:
        return x
    rest = tuple(a for a in range(rank) if a not in axes)
    last = view(x, lambda v: v.transpose(*rest, *axes).reshape(*(v.shape[a] for a in rest), -1))
    assert isinstance(last, Signals)
    if not last.shape[-1]:
        node.refuse("of nothing: an axis has length 0")
    found = _composed(node, last) if node.kind in COMPOSED else gathered(node.net, last, node.label, aggregation)
    if not node.whole("keepdims"):
        return found
    shape = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    return view(found, lambda v: v.reshape(shape))


OPERATORS = {
    "MatMul": Operator(_matmul, (2, 2), {}),
    "Gemm": Operator(_gemm, (2, 3), {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, "broadcast": 0}),
    **{kind: Operator(_reduce, (1, 2), {"axes": "ints", "keepdims": 1, "noop_with_empty_axes": 0}) for kind in REDUCE},
}
