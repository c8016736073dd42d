"""Represent one node of a model while it is read: its operator, attributes and inputs, and the errors that name it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from flowgrad.errors import FileError, listing, show, suggest
from flowgrad.formats._onnx.assembly import Assembly
from flowgrad.formats._onnx.values import Array, Constant, Signals, Value

KINDS: dict[Any, int] = {float: 1, int: 2, str: 3, "tensor": 4, "floats": 6, "ints": 7, "strings": 8}
"""Types of attributes → AttributeProto's numbers for them."""

OPEN = -(2**61)
"""Marks, among the lengths of a shape, the length of a batch that a file leaves open."""


@dataclass(frozen=True)
class Operator:
    """Describe how one kind of node is read.

    read        node → the value of its first output; if `many`, those of all, None for one that no neuron holds
    inputs      the least and the greatest number of inputs; a greatest of −1 is any number
    attributes  name → its type (of `KINDS`), or its default, which implies the type
    """

    read: Callable[[Node], Value | Sequence[Value | None]]
    inputs: tuple[int, int]
    attributes: Mapping[str, Any]
    many: bool = False


class Node:
    """Hold a node and the values of its inputs; an omitted input is None."""

    def __init__(self, net: Assembly, proto: Any, opset: int, batch: int | None, readers: Mapping[str, int]) -> None:
        self.net, self.proto, self.opset = net, proto, opset
        self.readers = readers  # tensor → how often it is read
        self.batch = batch  # None: no batch axis; else its length, −1 where it is open
        self.kind, self.label = proto.op_type, next(iter(proto.output), "")
        self.inputs: list[Value | None] = []
        self.given: dict[str, Any] = {}
        self.defaults: Mapping[str, Any] = {}

    @property
    def place(self) -> str:
        return f"{self.net.what}: node {show(self.proto.name or self.label)}, operator {self.kind}"

    def refuse(self, reason: str) -> NoReturn:
        raise FileError(f"{self.place}: {reason}")

    def take(self, operator: Operator, inputs: Sequence[Value | None]) -> None:
        """Check the number of inputs and outputs and the types of the attributes."""
        least, most = operator.inputs
        self.inputs = [*inputs, *[None] * (max(most, 0) - len(inputs))]
        if len(inputs) < least or 0 <= most < len(inputs):
            takes = f"{least} or more" if most < 0 else f"{least} to {most}" if least < most else f"{least}"
            self.refuse(f"{len(inputs)} inputs: takes {takes}")
        if any(v is None for v in self.inputs[: least if most >= 0 else None]):
            self.refuse("an input is left out")
        others = [name for name in self.proto.output[1:] if name and self.readers.get(name)]
        if (others and not operator.many) or not self.label:
            self.refuse(f"its output {listing(others)} is not read: only the first is")
        self.defaults = operator.attributes
        for a in self.proto.attribute:
            if a.name not in operator.attributes:
                self.refuse(f"attribute {show(a.name)} is not read{suggest(a.name, operator.attributes)}")
            wanted = operator.attributes[a.name]
            kind = wanted if wanted in KINDS else type(wanted)
            if a.type != KINDS[kind] or a.ref_attr_name:
                self.refuse(f"attribute {a.name} is of another type than {getattr(kind, '__name__', kind)}")
            fields = {float: a.f, int: a.i, str: a.s, "floats": list(a.floats), "ints": list(a.ints), "tensor": a.t}
            fields["strings"] = list(a.strings)
            self.given[a.name] = fields[kind]

    def attribute(self, name: str) -> Any:
        """Return an attribute as given, else its default; None where there is neither."""
        default = self.defaults[name]
        value = self.given.get(name, None if default in KINDS else default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def whole(self, name: str) -> int:
        return int(self.attribute(name))

    # ---- inputs ---------------------------------------------------------------------------------------------

    def input(self, k: int = 0) -> Value:
        value = self.inputs[k]
        assert value is not None
        return value

    def constant(self, k: int, what: str) -> Constant:
        """Return input k, which must be constant; `what` names it in the message."""
        value = self.input(k)
        if isinstance(value, Signals):
            self.refuse(f"{what} depends on the input of the network: must be constant")
        return value

    def integers(self, k: int, what: str) -> list[int]:
        """Return input k, a constant, as a list of integers."""
        value = self.constant(k, what).values
        if value.dtype.kind != "i" or value.ndim > 1:
            self.refuse(f"{what} must be a list of integers")
        found: list[int] = np.atleast_1d(value).tolist()
        return found

    def listed(self, name: str, k: int, since: int) -> list[int] | None:
        """Return integers that are an attribute before opset `since`, and input k from then on."""
        if self.opset < since:
            given: list[int] | None = self.attribute(name)
            return given
        if name in self.given:
            self.refuse(f"attribute {name} is an input since opset {since}")
        return None if self.inputs[k] is None else self.integers(k, name)

    def axis(self, axis: int, rank: int, what: str = "axis") -> int:
        """Return the axis, counted from the front.

        Raises:
            FileError: there is no such axis.
        """
        if not -rank <= axis < rank:
            self.refuse(f"{what} {axis} of {rank} axes")
        return axis % rank

    def not_across(self, *axes: int) -> None:
        """Refuse an operation along the batch axis, which would mix samples."""
        if self.batch is not None and 0 in axes:
            self.refuse("works across the first axis, the batch: read one whole input with batch=False")

    def kept(self, shape: tuple[int, ...]) -> None:
        """Refuse a shape of signals without the batch axis, or with one that is not of length 1."""
        if self.batch is not None and (not shape or shape[0] != 1):
            self.refuse("sets samples apart, or does away with the batch axis: read one whole input with batch=False")

    def no_batch_length(self, *values: Value) -> None:
        """Refuse arithmetic with the length of an open batch."""
        if any(isinstance(v, Constant) and v.values.dtype.kind == "i" and (v.values == OPEN).any() for v in values):
            self.refuse("computes with the length of the batch, which is open: export the model with a batch of 1")

    def budget(self, *sizes: int) -> None:
        """Refuse a result of too many numbers, the product of `sizes`, before it is made."""
        amount = 1
        for size in sizes:
            amount *= int(size)
        self.net.spend(numbers=amount)

    def fold(self, values: Array, *of: Constant) -> Constant:
        """Return a constant computed from others: new parameters, where any of them has parameters."""
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            self.refuse(f"comes to {values[~np.isfinite(values)][0]}: must be finite")
        trains = any(v.keys is not None for v in of) and values.dtype.kind == "f"
        return Constant(values, self.net.fresh(values.shape, self.label) if trains else None)
