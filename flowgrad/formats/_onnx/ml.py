"""Operators of the domain ai.onnx.ml that perceptrons of scikit-learn are exported with."""

from __future__ import annotations

import numpy as np

from flowgrad.formats._onnx.composed import add, mul
from flowgrad.formats._onnx.linear import product
from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Constant, Value


def _scaler(node: Node) -> Value:
    """(x − offset) · scale"""
    x = node.input()
    for name in ("offset", "scale"):
        given = np.array(node.attribute(name) or [], np.float64)
        if given.size not in (1, x.shape[-1] if x.shape else 0) or not np.isfinite(given).all():
            node.refuse(f"{name} of {given.size} numbers: must be finite, 1 or {x.shape[-1:]}")
        x = add(node, x, Constant(-given)) if name == "offset" else mul(node, x, Constant(given))
    return x


def _zipmap(node: Node) -> Value:
    """Names beside numbers: the numbers."""
    return node.input()


def _linear_regressor(node: Node) -> Value:
    x, many = node.input(), node.whole("targets")
    W = np.array(node.attribute("coefficients") or [], np.float64)
    if many < 1 or len(x.shape) != 2 or W.size != many * x.shape[1] or node.attribute("post_transform") != "NONE":
        node.refuse(f"{W.size} coefficients for {many} targets of {x.shape}, {node.attribute('post_transform')}")
    found = product(node, x, node.fold(W.reshape(many, -1).T), node.label)
    bias = np.array(node.attribute("intercepts") or [0.0] * many, np.float64)
    if bias.size != many:
        node.refuse(f"{bias.size} intercepts for {many} targets")
    return add(node, found, node.fold(bias))


OPERATORS = {
    "Scaler": Operator(_scaler, (1, 1), {"offset": "floats", "scale": "floats"}),
    "ZipMap": Operator(_zipmap, (1, 1), {"classlabels_int64s": "ints", "classlabels_strings": "strings"}),
    "LinearRegressor": Operator(
        _linear_regressor,
        (1, 1),
        {"coefficients": "floats", "intercepts": "floats", "targets": 1, "post_transform": "NONE"},
    ),
}
