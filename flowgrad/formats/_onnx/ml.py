"""Read operators of the domain ai.onnx.ml, to which scikit-learn's linear models and perceptrons are exported."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowgrad.formats._onnx.composed import add, mul, share
from flowgrad.formats._onnx.elementwise import applied, softmax
from flowgrad.formats._onnx.linear import product
from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value, distinct, gathered, settled, view


def _scaler(node: Node) -> Value:
    """Read Scaler: (x − offset) · scale."""
    x = node.input()
    for name in ("offset", "scale"):
        given = np.array(node.attribute(name) or [], np.float64)
        if given.size not in (1, x.shape[-1] if x.shape else 0) or not np.isfinite(given).all():
            node.refuse(f"{name} of {given.size} numbers: must be finite, 1 or {x.shape[-1:]}")
        x = add(node, x, Constant(-given)) if name == "offset" else mul(node, x, Constant(given))
    return x


def _zipmap(node: Node) -> Value:
    """Read ZipMap, which pairs numbers with the names of classes: return the numbers."""
    return node.input()


def _linear(node: Node, x: Value, rows: int, what: str) -> Value:
    """Return x @ coefficients.T + intercepts."""
    W = np.array(node.attribute("coefficients") or [], np.float64)
    bias = np.array(node.attribute("intercepts") or [0.0] * rows, np.float64)
    if rows < 1 or len(x.shape) != 2 or W.size != rows * x.shape[1]:
        node.refuse(f"{W.size} coefficients for {rows} {what} of {x.shape}")
    if bias.size != rows:
        node.refuse(f"{bias.size} intercepts for {rows} {what}")
    return add(node, product(node, x, node.fold(W.reshape(rows, -1).T), node.label), node.fold(bias))


def _linear_regressor(node: Node) -> Value:
    if node.attribute("post_transform") != "NONE":
        node.refuse(f"post_transform {node.attribute('post_transform')!r} is not read: 'NONE' is")
    return _linear(node, node.input(), node.whole("targets"), "targets")


def _linear_classifier(node: Node) -> list[Value | None]:
    """Read LinearClassifier: None for the label, which no neuron holds, and one score for each class."""
    labels: list[Any] = node.attribute("classlabels_ints") or node.attribute("classlabels_strings") or []
    found: Value = _linear(node, node.input(), len(labels), "classes")
    after = node.attribute("post_transform")
    if after == "LOGISTIC":
        found = applied(node, "sigmoid", found)
    elif after == "SOFTMAX" and isinstance(found, Signals):
        found = Signals(softmax(node, distinct(node.net, found, node.label)), own=True)
    elif after != "NONE":
        node.refuse(f"post_transform {after!r} is not read: 'NONE', 'LOGISTIC' and 'SOFTMAX' are")
    return [None, found]


NORMS = {"L1": ("abs", "sum", "identity"), "L2": ("square", "sum", "sqrt"), "MAX": ("identity", "max", "identity")}
"""Norm → activation of the entries, aggregation over a sample's entries, activation of the result."""


def _normalizer(node: Node) -> Value:
    """Read Normalizer: divide each sample by its norm; a norm of 0 gives NaN."""
    norm, x = node.attribute("norm"), share(node, node.input())
    if norm not in NORMS or not isinstance(x, Signals) or len(x.shape) != 2:
        node.refuse(f"norm {norm!r} of {x.shape}: {', '.join(NORMS)} of samples are read")
    before, together, after = NORMS[norm]
    parts = applied(node, before, x)
    assert isinstance(parts, Signals)
    total = gathered(
        node.net, settled(node.net, parts, f"{node.label}.{before}"), f"{node.label}.norm", together, after
    )
    over = applied(node, "reciprocal", total)

    def a_sample(v: Array) -> Array:
        return v[..., None]

    return mul(node, x, view(over, a_sample))


def _extractor(node: Node) -> Value:
    """Read ArrayFeatureExtractor: select columns of the samples."""
    x, places = node.input(), node.integers(1, "the places")
    if len(x.shape) != 2 or not places or not all(0 <= k < x.shape[1] for k in places):
        node.refuse(f"places {places} of {x.shape}: must be columns of samples")
    return view(x, lambda v: v[:, places])


LABELS = {"classlabels_ints": "ints", "classlabels_strings": "strings"}
LINEAR = {"coefficients": "floats", "intercepts": "floats", "post_transform": "NONE"}
OPERATORS = {
    "Scaler": Operator(_scaler, (1, 1), {"offset": "floats", "scale": "floats"}),
    "ZipMap": Operator(_zipmap, (1, 1), {"classlabels_int64s": "ints", "classlabels_strings": "strings"}),
    "LinearRegressor": Operator(_linear_regressor, (1, 1), LINEAR | {"targets": 1}),
    "LinearClassifier": Operator(_linear_classifier, (1, 1), LINEAR | LABELS | {"multi_class": 0}, many=True),
    "ArrayFeatureExtractor": Operator(_extractor, (2, 2), {}),
    "Normalizer": Operator(_normalizer, (1, 1), {"norm": "MAX"}),
}
