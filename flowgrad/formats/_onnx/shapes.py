"""Read operators that only rearrange entries: they compute nothing, and make neurons for constants only."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import FileError
from flowgrad.formats._onnx.external import inlined
from flowgrad.formats._onnx.node import OPEN, Node, Operator
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value, signals, view

INT64 = np.iinfo(np.int64)


def reshaped(node: Node, x: Value, shape: list[int]) -> Value:
    """Reshape x, where one length may be −1; the first axis of signals must remain the batch axis."""
    size = math.prod(x.shape)
    if shape.count(-1) > 1 or any(n < -1 for n in shape):
        node.refuse(f"no shape: {shape}")
    known = math.prod(n for n in shape if n != -1)
    if node.batch is None or isinstance(x, Constant):
        if (-1 in shape and (known == 0 or size % known)) or (-1 not in shape and known != size):
            node.refuse(f"{x.shape} into {shape} does not go")
        return view(x, lambda v: v.reshape(shape))
    if not shape:
        node.kept(())
    first, rest = shape[0], shape[1:]
    if -1 in rest:
        known = math.prod(n for n in rest if n != -1)
        if known and size % known == 0:
            rest = [size // known if n == -1 else n for n in rest]
    if math.prod(rest) != size or first not in (-1, node.batch):
        node.refuse(f"{['batch', *x.shape[1:]]} into {shape} mixes samples: read one whole input with batch=False")
    return view(x, lambda v: v.reshape([1, *rest]))


def _reshape(node: Node) -> Value:
    x, shape = node.input(), node.integers(1, "the shape")
    if OPEN in shape[1:] or (OPEN in shape and isinstance(x, Constant)):
        node.refuse("makes the batch, whose length is open, an axis of something else")
    if shape and shape[0] == OPEN:
        rest = [
            math.prod(x.shape) // max(math.prod(n for n in shape[1:] if n != -1), 1) if n == -1 else n
            for n in shape[1:]
        ]
        shape = [-1, *rest] if shape.count(-1) < 2 else shape
    if not node.attribute("allowzero"):
        if shape.count(-1) > 1 or any(n == 0 and k >= len(x.shape) for k, n in enumerate(shape)):
            node.refuse(f"shape {shape} of {x.shape} is none")
        signal = isinstance(x, Signals) and node.batch is not None
        axes = [node.batch if signal and k == 0 and node.batch is not None else n for k, n in enumerate(x.shape)]
        shape = [axes[k] if n == 0 else n for k, n in enumerate(shape)]
        if signal and shape.count(-1) > 1 and shape[0] == -1:  # the open batch axis is kept; one other length is −1
            return reshaped(node, x, [node.batch or 0, *_found(node, x, shape[1:])])
    return reshaped(node, x, shape)


def _found(node: Node, x: Value, rest: list[int]) -> list[int]:
    """Replace a −1 in the lengths after the batch axis by the length that fits."""
    known, size = math.prod(n for n in rest if n != -1), math.prod(x.shape)
    if rest.count(-1) > 1 or not known or size % known:
        node.refuse(f"{x.shape} into {rest} does not go")
    return [size // known if n == -1 else n for n in rest]


def _flatten(node: Node) -> Value:
    x = node.input()
    axis = node.whole("axis")
    axis = axis if axis == len(x.shape) else node.axis(axis, len(x.shape))
    if isinstance(x, Signals) and node.batch is not None and math.prod(x.shape[1:axis]) != 1:
        node.not_across(0)
    if axis == 0 and isinstance(x, Signals):
        node.not_across(0)
    return view(x, lambda v: v.reshape(math.prod(v.shape[:axis]), -1))


def _transpose(node: Node) -> Value:
    x = node.input()
    rank = len(x.shape)
    axes = node.attribute("perm")
    axes = list(range(rank))[::-1] if axes is None else axes
    if sorted(axes) != list(range(rank)):
        node.refuse(f"perm {axes} of {rank} axes")
    if isinstance(x, Signals) and rank and axes[0] != 0:
        node.not_across(0)
    return view(x, lambda v: v.transpose(axes))


def _squeeze(node: Node) -> Value:
    x, given = node.input(), node.listed("axes", 1, 13)
    signal = isinstance(x, Signals) and node.batch is not None
    if given is None:
        axes = [k for k, n in enumerate(x.shape) if n == 1 and not (signal and k == 0 and node.batch != 1)]
    else:
        axes = [node.axis(a, len(x.shape)) for a in given]
    if any(x.shape[a] != 1 for a in axes):
        node.refuse(f"axes {axes} of {x.shape} are not all of length 1")
    if signal:
        node.not_across(*axes)
    return view(x, lambda v: v.reshape([n for k, n in enumerate(v.shape) if k not in axes]))


def _unsqueeze(node: Node) -> Value:
    x, given = node.input(), node.listed("axes", 1, 13)
    if given is None:
        node.refuse("no axes")
    rank = len(x.shape) + len(given)
    axes = {node.axis(a, rank) for a in given}
    if len(axes) < len(given) or rank > 64:
        node.refuse(f"axes {given} make no shape")
    if isinstance(x, Signals):
        node.not_across(*axes)
    rest = iter(x.shape)
    shape = [1 if k in axes else next(rest) for k in range(rank)]
    return view(x, lambda v: v.reshape(shape))


def joined(parts: list[Any], axis: int) -> Value:
    """Concatenate signals, or constants, along an axis."""
    if all(isinstance(p, Constant) for p in parts):
        keys = None
        if any(p.keys is not None for p in parts):
            keys = np.concatenate([np.full(p.shape, -1) if p.keys is None else p.keys for p in parts], axis)
        return Constant(np.concatenate([p.values for p in parts], axis), keys)
    rows = np.concatenate([p.rows for p in parts], axis)
    own = all(p.own for p in parts)
    if all(p.weight is None for p in parts):
        return Signals(rows, own=own)
    weights = np.concatenate([np.ones(p.shape) if p.weight is None else p.weight for p in parts], axis)
    keys = np.concatenate([np.full(p.shape, -1) if p.keys is None else p.keys for p in parts], axis)
    return Signals(rows, weights, keys, own=own)


def _concat(node: Node) -> Value:
    parts = [node.input(k) for k in range(len(node.inputs))]
    axis = node.attribute("axis")
    if axis is None:
        node.refuse("no axis")
    axis = node.axis(axis, len(parts[0].shape))
    for p in parts:
        if [*p.shape[:axis], *p.shape[axis + 1 :]] != [*parts[0].shape[:axis], *parts[0].shape[axis + 1 :]]:
            node.refuse(f"shapes {[v.shape for v in parts]} do not fit")
    node.budget(sum(math.prod(p.shape) for p in parts))
    constants = [p for p in parts if isinstance(p, Constant)]
    if len({p.values.dtype.kind for p in constants}) > 1:
        node.refuse("whole and other numbers together")
    if len(constants) == len(parts):
        return joined(parts, axis)
    node.not_across(axis)
    if constants and node.batch not in (None, 1):
        node.refuse("puts a constant of one sample beside signals of any number of them")
    if any(p.values.dtype.kind != "f" for p in constants):
        node.refuse("of integers is not read")
    return joined([signals(node.net, p, f"{node.label}.constant") for p in parts], axis)


def _slice(node: Node) -> Value:
    x = node.input()
    rank = len(x.shape)
    starts, ends = (node.listed(name, k, 10) for k, name in enumerate(("starts", "ends"), 1))
    if starts is None or ends is None:
        node.refuse("no starts, or no ends")
    axes = node.listed("axes", 3, 10)
    axes = [node.axis(a, rank) for a in (range(len(starts)) if axes is None else axes)]
    steps = [1] * len(starts) if node.opset < 10 or node.inputs[4] is None else node.integers(4, "steps")
    if not len(starts) == len(ends) == len(axes) == len(steps) == len(set(axes)) or 0 in steps:
        node.refuse(f"starts {starts}, ends {ends}, axes {axes}, steps {steps} do not fit")
    places: list[slice] = [slice(None)] * rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if isinstance(x, Signals) and node.batch is not None and axis == 0:
            whole = node.batch if node.batch > 0 else INT64.max // 2
            if start != 0 or step != 1 or end < min(whole, 2**31 - 1):
                node.not_across(0)
            continue
        places[axis] = _python_slice(start, end, step, x.shape[axis])
    return view(x, lambda v: v[tuple(places)])


def _python_slice(start: int, end: int, step: int, size: int) -> slice:
    """Convert ONNX's bounds to a slice: negative ones count from the end, and all are clipped to the axis."""
    start, end = (n + size if n < 0 else n for n in (start, end))
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    end = min(max(end, -1), size - 1)
    return slice(min(max(start, 0), size - 1), None if end < 0 else end, step)


def _part(place: tuple[slice, ...], values: Array) -> Array:
    return values[place]


def _split(node: Node) -> list[Value]:
    x, many = node.input(), len(node.proto.output)
    axis = node.axis(node.whole("axis"), len(x.shape))
    if isinstance(x, Signals):
        node.not_across(axis)
    sizes, n = node.listed("split", 1, 13), x.shape[axis]
    if sizes is None:
        if node.attribute("num_outputs") not in (None, many):
            node.refuse(f"num_outputs {node.attribute('num_outputs')} of {many} outputs")
        each = -(-n // many)
        sizes = [each] * (many - 1) + [n - each * (many - 1)]
    if len(sizes) != many or sum(sizes) != n or min(sizes) < 0:
        node.refuse(f"{many} outputs of sizes {sizes} out of {n}")
    ends = np.cumsum([0, *sizes]).tolist()
    before = (slice(None),) * axis
    places = [(*before, slice(a, b)) for a, b in pairwise(ends)]
    return [view(x, partial(_part, place)) for place in places]


def _gather(node: Node) -> Value:
    x, index = node.input(), node.constant(1, "which entries").values
    if index.dtype.kind != "i":
        node.refuse("which entries: must be integers")
    axis = node.axis(node.whole("axis"), len(x.shape))
    if isinstance(x, Signals):
        node.not_across(axis)
    size = x.shape[axis]
    if index.size and (index.min() < -size or index.max() >= size):
        node.refuse(f"entry {index.max() if index.max() >= size else index.min()} of {size}")
    node.budget(math.prod(x.shape[:axis]), index.size, math.prod(x.shape[axis + 1 :]))
    return view(x, lambda v: v.take(index, axis))


def _pad(node: Node) -> Value:
    """Read Pad: add entries of one constant before and after axes."""
    x = node.input()
    rank = len(x.shape)
    if node.attribute("mode") != "constant":
        node.refuse(f"mode {node.attribute('mode')!r}: only 'constant' is read")
    pads = node.listed("pads", 1, 11)
    axes = list(range(rank)) if node.inputs[3] is None else [node.axis(a, rank) for a in node.integers(3, "axes")]
    n = len(axes)
    if pads is None or len(pads) != 2 * n or len(set(axes)) < n or min(pads, default=0) < 0:
        node.refuse(f"pads {pads}: must be {2 * n} numbers, 0 or more")
    value = Constant(np.array(float(node.attribute("value"))))
    if node.opset >= 11 and node.inputs[2] is not None:
        value = node.constant(2, "the value")
    if value.values.size != 1 or value.values.dtype.kind != "f":
        node.refuse("the value must be one number")
    if isinstance(x, Constant):
        node.refuse("of a constant is not read")
    node.not_across(*(a for k, a in enumerate(axes) if pads[k] or pads[n + k]))
    for k, axis in enumerate(axes):
        sides: list[Signals] = []
        for many in (pads[k], pads[n + k]):
            shape = tuple(many if a == axis else size for a, size in enumerate(x.shape))
            node.budget(*shape)
            sides.append(_constant_neuron(node, value, shape) if many else Signals(np.empty(shape, np.int64)))
        if pads[k] or pads[n + k]:
            found = joined([sides[0], x, sides[1]], axis)
            assert isinstance(found, Signals)
            x = found
    return x


def _constant_neuron(node: Node, value: Constant, shape: tuple[int, ...]) -> Signals:
    """Return signals of one neuron, whose value is the constant, in every entry."""
    single = signals(node.net, view(value, lambda v: v.reshape(())), f"{node.label}.constant")
    return Signals(np.broadcast_to(single.rows, shape))


def _constant(node: Node) -> Value:
    """Read Constant, which is not trained."""
    if len(node.given) != 1:
        node.refuse("must have one value")
    ((name, value),) = node.given.items()
    if name == "value":
        return Constant(tensor(node.place, value, node.net.folder))
    found: Array = np.array(value, np.float64 if "float" in name else np.int64)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        node.refuse(f"holds {found[~np.isfinite(found)][0] if found.ndim else found}: must be finite")
    return Constant(found)


def tensor(place: str, proto: Any, folder: Path) -> Array:
    """Return the numbers of a TensorProto, float64 or int64; truth values are 1 and 0. External data are in `folder`.

    Raises:
        FileError: external data that cannot be read, a damaged tensor, text, a number that is not finite.
    """
    from onnx import numpy_helper

    if proto.data_location or proto.external_data:
        proto = inlined(place, proto, folder)
    if any(n < 0 for n in proto.dims):
        raise FileError(f"{place}: no shape: {list(proto.dims)}")
    try:
        values: Array = np.asarray(numpy_helper.to_array(proto))
        whole = values.dtype.kind in "iub"
        found = values.astype(np.int64) if whole else values.astype(np.float64)
    except Exception as error:  # any error of a damaged tensor
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileError(f"{place}: its numbers cannot be read: {said}") from None
    if values.dtype.kind in "OSUc" or found.shape != tuple(proto.dims):
        raise FileError(f"{place}: is of type {values.dtype}: must be numbers")
    if not np.isfinite(found).all():
        raise FileError(f"{place}: holds {found[~np.isfinite(found)][0]}: must be finite")
    return found


OPERATORS = {
    "Reshape": Operator(_reshape, (2, 2), {"allowzero": 0}),
    "Flatten": Operator(_flatten, (1, 1), {"axis": 1}),
    "Transpose": Operator(_transpose, (1, 1), {"perm": "ints"}),
    "Squeeze": Operator(_squeeze, (1, 2), {"axes": "ints"}),
    "Unsqueeze": Operator(_unsqueeze, (1, 2), {"axes": "ints"}),
    "Concat": Operator(_concat, (1, -1), {"axis": int}),
    "Slice": Operator(_slice, (1, 5), {"starts": "ints", "ends": "ints", "axes": "ints"}),
    "Split": Operator(_split, (1, 2), {"axis": 0, "split": "ints", "num_outputs": int}, many=True),
    "Gather": Operator(_gather, (2, 2), {"axis": 0}),
    "Pad": Operator(_pad, (1, 4), {"mode": "constant", "pads": "ints", "value": 0.0}),
    "Constant": Operator(
        _constant,
        (0, 0),
        {"value": "tensor", "value_float": float, "value_floats": "floats", "value_int": int, "value_ints": "ints"},
    ),
}
