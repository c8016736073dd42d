"""Read convolution and pooling, unrolled: a neuron for each entry of the result; edges share kernel parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value, distinct, gathered, settled


@dataclass(frozen=True)
class Windows:
    """Hold the windows over one image.

    shape   lengths of the axes of the result
    inside  (windows, cells) int64: flat index into the image of each cell, −1 in the padding
    beyond  whether a window reaches past the padding, which rounding up permits
    """

    shape: tuple[int, ...]
    inside: Array
    beyond: bool


def _lists(node: Node, kernel: tuple[int, ...]) -> tuple[list[int], list[int], list[int]]:
    """Return strides, dilations and pads (before each axis, then after each), checked."""
    n = len(kernel)
    strides = node.attribute("strides") or [1] * n
    dilations = (node.attribute("dilations") if "dilations" in node.defaults else None) or [1] * n
    pads = node.attribute("pads") or [0] * (2 * n)
    for name, values, least, length in (
        ("kernel_shape", kernel, 1, n),
        ("strides", strides, 1, n),
        ("dilations", dilations, 1, n),
        ("pads", pads, 0, 2 * n),
    ):
        if len(values) != length or any(v < least for v in values):
            node.refuse(f"{name} {list(values)}: must be {length} numbers, {least} or more")
    return strides, dilations, pads


def windows(node: Node, image: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """Compute the windows over an image from the node's strides, dilations, padding and rounding."""
    if not image or len(image) != len(kernel):
        node.refuse(f"a kernel of {len(kernel)} axes over an image of {len(image)}")
    strides, dilations, pads = _lists(node, kernel)
    auto, up = node.attribute("auto_pad"), bool(node.defaults.get("ceil_mode") is not None and node.whole("ceil_mode"))
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"auto_pad {auto!r} is not known")
    if auto != "NOTSET" and any(pads):
        node.refuse("pads and auto_pad together")
    n, lengths, starts, beyond = len(image), [], [], False
    for k, (size, cells) in enumerate(zip(image, kernel, strict=True)):
        reach, before, behind = (cells - 1) * dilations[k] + 1, pads[k], pads[n + k]
        if auto.startswith("SAME"):
            total = max((-(-size // strides[k]) - 1) * strides[k] + reach - size, 0)
            before, behind = (
                (total // 2, total - total // 2) if auto == "SAME_UPPER" else (total - total // 2, total // 2)
            )
        room = size + before + behind - reach
        if room < 0:
            node.refuse(f"a window of {reach} does not fit into {size + before + behind}")
        length = (-(-room // strides[k]) if up else room // strides[k]) + 1
        if up and (length - 1) * strides[k] >= size + before:
            length -= 1  # no window begins in the padding after the image
        beyond |= (length - 1) * strides[k] > room
        lengths.append(length)
        starts.append(before)
    node.budget(*lengths, *kernel)
    inside: Array = np.zeros((1, 1), np.int64)
    for k, size in enumerate(image):
        place = np.arange(lengths[k])[:, None] * strides[k] + np.arange(kernel[k]) * dilations[k] - starts[k]
        place = np.where((place >= 0) & (place < size), place, -1)
        both = np.where(
            (inside[:, None, :, None] >= 0) & (place[None, :, None, :] >= 0),
            inside[:, None, :, None] * size + place[None, :, None, :],
            -1,
        )
        inside = both.reshape(both.shape[0] * both.shape[1], -1)
    return Windows(tuple(lengths), inside, beyond)


def _image(node: Node, least: int = 3) -> Signals:
    """Return input 0, signals of samples, channels and the axes of an image."""
    x = node.input()
    if isinstance(x, Constant):
        node.refuse("of a constant is not read")
    if len(x.shape) < least:
        node.refuse(f"an input of shape {x.shape}: must have samples, channels and an image")
    return settled(node.net, x, f"{node.label}.x")


def _conv(node: Node) -> Value:
    x, W, B = _image(node), node.constant(1, "the kernel"), node.inputs[2]
    kernel = W.shape[2:]
    if len(W.shape) != len(x.shape) or list(node.attribute("kernel_shape") or kernel) != list(kernel):
        node.refuse(f"a kernel of shape {W.shape}, kernel_shape {node.attribute('kernel_shape')}, input {x.shape}")
    N, C, M, groups = x.shape[0], x.shape[1], W.shape[0], node.whole("group")
    if groups < 1 or W.shape[1] * groups != C or M % groups or not M:
        node.refuse(f"{C} channels and {M} kernels over {W.shape[1]} in {groups} groups")
    if W.values.dtype.kind != "f":
        node.refuse("a kernel of integers")
    win = windows(node, x.shape[2:], kernel)
    n_windows, cells = win.inside.shape
    node.budget(N, C, n_windows, cells)
    flat = np.concatenate([x.rows.reshape(N, C, -1), np.full((N, C, 1), -1)], -1)  # −1 reads the last row: none
    terms = flat[:, :, win.inside].reshape(N, groups, C // groups, n_windows, cells)
    terms = terms.transpose(0, 1, 3, 2, 4).reshape(N, groups, 1, n_windows, -1)
    terms = distinct(node.net, Signals(terms), node.label).rows
    rows = node.net.neurons((N, M, *win.shape), node.label)
    target = rows.reshape(N, groups, M // groups, n_windows, 1)
    weight, keys = (None if v is None else v.reshape(1, groups, M // groups, 1, -1) for v in (W.values, W.keys))
    node.net.connect(terms, target, weight, keys)
    if B is not None:
        b = node.constant(2, "the bias")
        if b.shape != (M,) or b.values.dtype.kind != "f":
            node.refuse(f"a bias of shape {b.shape}: must be ({M},)")
        shape = (N, M, n_windows)
        keys = None if b.keys is None else np.broadcast_to(b.keys[:, None], shape)
        node.net.bias(rows.reshape(shape), np.broadcast_to(b.values[:, None], shape), keys)
    return Signals(rows, own=True)


# ---- pooling ------------------------------------------------------------------------------------------------


def _cells(node: Node, x: Signals, win: Windows) -> Array:
    """Return the rows (N, C, windows, cells) under each window, −1 in the padding."""
    N, C = x.shape[:2]
    node.budget(N, C, *win.inside.shape)
    flat = np.concatenate([x.rows.reshape(N, C, -1), np.full((N, C, 1), -1)], -1)
    if (win.inside < 0).all(axis=1).any():
        node.refuse("a window that lies in the padding alone")
    return distinct(node.net, Signals(flat[:, :, win.inside]), node.label).rows


def _pool(node: Node) -> Value:
    x, kernel = _image(node), tuple(node.attribute("kernel_shape") or ())
    if node.kind == "MaxPool" and node.whole("storage_order"):
        node.refuse("storage_order 1 is not read")
    win = windows(node, x.shape[2:], kernel)
    cells = _cells(node, x, win)
    net = node.net
    if node.kind == "MaxPool":
        rows = net.neurons((*x.shape[:2], *win.shape), node.label, aggregation="max")
        net.connect(cells, rows.reshape(*cells.shape[:-1], 1))
        return Signals(rows, own=True)
    count = (cells >= 0).sum(axis=-1, keepdims=True)
    if node.whole("count_include_pad"):
        if win.beyond:
            node.refuse("count_include_pad and ceil_mode, with windows beyond the padding")
        count = np.full_like(count, math.prod(kernel))
    rows = net.neurons((*x.shape[:2], *win.shape), node.label)
    net.connect(cells, rows.reshape(*cells.shape[:-1], 1), 1.0 / count)
    return Signals(rows, own=True)


def _global(node: Node) -> Value:
    """Read GlobalAveragePool and GlobalMaxPool: the whole image is one window."""
    x = _image(node)
    n = len(x.shape) - 2
    flat = Signals(x.rows.reshape(*x.shape[:2], *[1] * n, -1))
    if not flat.shape[-1]:
        node.refuse("of nothing: an axis has length 0")
    if node.kind == "GlobalMaxPool":
        return gathered(node.net, flat, node.label, "max")
    mean = Signals(flat.rows, np.full(flat.shape, 1.0 / flat.shape[-1]))
    return gathered(node.net, mean, node.label)


WINDOW: dict[str, Any] = {
    "auto_pad": "NOTSET", "kernel_shape": "ints", "strides": "ints", "dilations": "ints", "pads": "ints",
}  # fmt: skip
OPERATORS = {
    "Conv": Operator(_conv, (2, 3), WINDOW | {"group": 1}),
    "MaxPool": Operator(_pool, (1, 1), WINDOW | {"ceil_mode": 0, "storage_order": 0}),
    "AveragePool": Operator(_pool, (1, 1), WINDOW | {"ceil_mode": 0, "count_include_pad": 0}),
    "GlobalAveragePool": Operator(_global, (1, 1), {}),
    "GlobalMaxPool": Operator(_global, (1, 1), {}),
}
