"""Read operators on shapes, types and constants, which are mostly evaluated while the file is read."""

from __future__ import annotations

import math

import numpy as np

from flowgrad.formats._onnx.elementwise import applied
from flowgrad.formats._onnx.node import OPEN, Node, Operator
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value, view

WHOLE = {2, 3, 4, 5, 6, 7, 12, 13}  # TensorProto's integer types
REAL = {1, 10, 11, 16}  # its floating-point types
TRUTH = 9  # its type of truth values


def _shape(node: Node) -> Value:
    """Read Shape: the lengths of the axes; an open batch has length `OPEN`, which only Reshape and Expand accept."""
    x = node.input()
    lengths = list(x.shape)
    if isinstance(x, Signals) and node.batch is not None:
        lengths[0] = node.batch if node.batch > 0 else OPEN
    end = node.attribute("end")
    return Constant(np.array(lengths[node.whole("start") : end], np.int64))


def _size(node: Node) -> Value:
    x = node.input()
    if isinstance(x, Signals) and node.batch is not None and node.batch < 1:
        node.refuse("counts the samples of a batch whose length is open")
    return Constant(np.array(math.prod(x.shape) * (node.batch or 1 if isinstance(x, Signals) else 1), np.int64))


def _cast(node: Node) -> Value:
    """Read Cast and CastLike; between floating-point types nothing is rounded: a network computes in one type."""
    x, to = node.input(), node.attribute("to")
    if node.kind == "CastLike":
        like = node.input(1)
        to = 1 if isinstance(like, Signals) or like.values.dtype.kind == "f" else 7
    if to not in WHOLE | REAL | {TRUTH}:
        node.refuse(f"to type {to} is not read: to floating point, integers and truth values are")
    if isinstance(x, Signals):
        if to in WHOLE:
            node.refuse("rounds to integers, which no neuron does: take the model's output before it")
        return x if to in REAL else applied(node, "abs", applied(node, "sign", x))
    if to == TRUTH:
        return Constant((x.values != 0).astype(np.int64))
    if to in REAL:
        node.no_batch_length(x)
        return Constant(x.values.astype(np.float64), x.keys)
    if np.abs(x.values.astype(np.float64)).max(initial=0.0) >= 2.0**63:
        node.refuse("a number is too large for an integer")
    return Constant(x.values.astype(np.int64))


def _constant_of_shape(node: Node) -> Value:
    from flowgrad.formats._onnx.shapes import tensor

    shape = node.integers(0, "the shape")
    if any(n < 0 for n in shape):
        node.refuse(f"no shape: {shape}" if OPEN not in shape else "of a batch whose length is open")
    node.budget(*shape)
    given = node.given.get("value")
    value: Array = np.zeros(1) if given is None else tensor(node.place, given, node.net.folder)
    if value.size != 1:
        node.refuse("the value must be one number")
    return Constant(np.full(shape, value.reshape(())))


def _range(node: Node) -> Value:
    first, last, step = (node.constant(k, "a bound").values for k in range(3))
    if any(v.size != 1 or v.dtype.kind != "i" for v in (first, last, step)) or not step.any():
        node.refuse("bounds must be integers, and the step not 0")
    node.no_batch_length(Constant(first), Constant(last))
    bounds = [int(v.reshape(())) for v in (first, last, step)]
    node.budget(len(range(*bounds)))
    return Constant(np.array(range(*bounds), np.int64))


def _expand(node: Node) -> Value:
    """Read Expand: broadcast to the larger of both shapes, axis by axis; the batch axis of signals is kept."""
    x, shape = node.input(), node.integers(1, "the shape")
    if isinstance(x, Signals) and node.batch is not None:
        if len(shape) >= len(x.shape):
            at = len(shape) - len(x.shape)
            if shape[at] in (1, OPEN, node.batch):
                shape[at] = 1
    elif OPEN in shape:
        node.refuse("repeats a constant for each sample of a batch whose length is open")
    if any(n < 1 for n in shape):
        node.refuse(f"no shape: {shape}")
    whole = np.broadcast_shapes(x.shape, tuple(shape))
    if isinstance(x, Signals):
        node.kept(whole)
    node.budget(*whole)
    return view(x, lambda v: np.broadcast_to(v, whole))


OPERATORS = {
    "Shape": Operator(_shape, (1, 1), {"start": 0, "end": int}),
    "Size": Operator(_size, (1, 1), {}),
    "Cast": Operator(_cast, (1, 1), {"to": int, "saturate": 1, "round_mode": "up"}),
    "CastLike": Operator(_cast, (2, 2), {"to": int, "saturate": 1, "round_mode": "up"}),
    "ConstantOfShape": Operator(_constant_of_shape, (1, 1), {"value": "tensor"}),
    "Range": Operator(_range, (3, 3), {}),
    "Expand": Operator(_expand, (2, 2), {}),
}
