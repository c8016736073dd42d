"""Convert a model to a network: its inputs, nodes and outputs in turn."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flowgrad.errors import FileError, MissingDependencyError, brief, listing, show, suggest
from flowgrad.format import Claim, Source
from flowgrad.formats._onnx import (
    composed,
    einsum,
    elementwise,
    folding,
    linear,
    metadata,
    ml,
    patterns,
    shapes,
    windows,
)  # fmt: skip
from flowgrad.formats._onnx.assembly import Array, Assembly
from flowgrad.formats._onnx.functions import inlined
from flowgrad.formats._onnx.node import Node
from flowgrad.formats._onnx.values import Constant, Signals, Value, distinct, settled, signals
from flowgrad.network import Network

OPERATORS = {
    **elementwise.OPERATORS, **composed.OPERATORS, **linear.OPERATORS, **windows.OPERATORS, **shapes.OPERATORS,
    **folding.OPERATORS, **einsum.OPERATORS,
}  # fmt: skip
DOMAINS = {"": OPERATORS, "ai.onnx": OPERATORS, "ai.onnx.ml": ml.OPERATORS}
OPSETS = range(6, 29)  # versions of the operators that are implemented
REFUSED = {
    **dict.fromkeys(
        ("If", "Loop", "Scan"), "is not read: a graph of neurons has no control flow; export the model without it"
    ),
    **dict.fromkeys(
        ("LSTM", "GRU", "RNN"), "is not read: a recurrent layer runs over time, a graph of neurons does not"
    ),
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "TopK"), "is not read: no neuron holds a place; take the scores before it for an output"
    ),
    **dict.fromkeys(
        ("Floor", "Ceil", "Round", "Mod"), "is not read: no neuron rounds; take the tensor before it for an output"
    ),
}
FLOATS = {1: "float", 10: "float16", 11: "double", 16: "bfloat16"}  # TensorProto's floating-point types


def read(source: Source, *, batch: bool | None = None, max_bytes: int | None = None) -> Network:
    """Read the network that computes one sample, with one neuron for each number that a tensor holds per sample.

    Inputs and outputs keep their ids if flowgrad wrote the file; otherwise their ids are `tensor[i,j]`. Numbers of
    initializers are trainable; those of Constants, and those implied by an operator's definition (the 1/n of a mean,
    the sums of a softmax), are not. Entries of an initializer that are used more than once are shared parameters.
    Weights become float64, whatever the file's type.

    Args:
        batch: whether the first axis of every input is the batch. None decides: it is the batch if the file leaves its
            length open; if all lengths are given, it is if every input has two axes or more and the same first length.
        max_bytes: limit on the memory, in bytes, for reading the network. Default: 1 GiB plus 64 bytes for each byte of
            the file, and at most 50,000,000 neurons, edges and numbers.

    Raises:
        FileError: the file is not an ONNX model; an operator, attribute, type, shape or opset is not supported; data
            are in other files; an operator mixes samples; or the network is too large. The message names node and
            operator.
        GraphError: the model does not describe a valid network.
        MissingDependencyError: the library onnx is not installed.
    """
    what = str(source.path)
    return _Reader(Claim(source.path, max_bytes), parsed(source.read(), what), batch).network()


def parsed(data: bytes, what: str) -> Any:
    """Parse the bytes to a ModelProto, and inline its functions.

    Raises:
        FileError: the bytes are not an ONNX model. MissingDependencyError: the library onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingDependencyError("onnx", "onnx", "reading an ONNX model") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except MemoryError:
        raise
    except Exception:  # the type of protobuf's errors differs between versions
        raise FileError(f"{what} is no ONNX model, or a damaged one") from None
    if not model.HasField("graph") or not model.graph.output:
        raise FileError(f"{what} is no ONNX model: it has no graph with outputs")
    odd = next((text for text in _texts(model) if not isinstance(text, str)), None)
    if odd is not None:  # protobuf returns a text that is no UTF-8 as bytes
        raise FileError(f"{what}: the name {brief(odd)} is no UTF-8 text")
    return inlined(model, what)


def _texts(model: Any) -> Iterator[Any]:
    """Yield every text of a model that the reader uses."""
    graph = model.graph
    yield from (o.domain for o in model.opset_import)
    for function in model.functions:
        yield from (function.domain, function.name, *(o.domain for o in function.opset_import))
    yield from (text for entry in model.metadata_props for text in (entry.key, entry.value))
    yield from (tensor.name for tensor in graph.initializer)
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for node in (*graph.node, *(node for function in model.functions for node in function.node)):
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (text for a in node.attribute for text in (a.name, a.ref_attr_name))


class _Reader:
    """Read one model; `values` maps names of tensors to their values."""

    def __init__(self, claim: Claim, model: Any, batch: bool | None) -> None:
        what = str(claim.path)
        self.what, self.model, self.graph = what, model, model.graph
        self.net, self.opset = Assembly(claim), self.default_opset()
        self.values: dict[str, Value] = {}
        self.given = metadata.ids(model, what)
        self.results = self.numbers_out()
        self.nodes = self.needed()
        names = [name for node in self.nodes for name in node.input]
        self.readers = Counter([*names, *(output.name for output in self.results)])
        made = Counter(name for node in self.graph.node for name in node.output if name)
        if made and made.most_common(1)[0][1] > 1:
            raise FileError(f"{what}: tensor {show(made.most_common(1)[0][0])} is given twice")
        self.patterns = patterns.guards(self.graph, self.readers) | patterns.patterns(self.graph, self.readers)
        if self.graph.sparse_initializer:
            raise FileError(f"{what}: sparse initializers are not read")
        whole = len(self.results) == len(self.graph.output)
        for tensor in self.graph.initializer:
            if whole or self.readers[tensor.name]:  # names of classes belong to an omitted label
                self.initializer(tensor)
        fixed = {tensor.name for tensor in self.graph.initializer}
        given = [v for v in self.graph.input if v.name not in fixed]
        self.shapes = {v.name: self.shape(v) for v in given}
        if len(self.shapes) < len(given):
            raise FileError(f"{what}: two inputs have one name")
        self.batch = self.batch_axis(batch)
        self.net.batch = self.batch is not None

    def default_opset(self) -> int:
        """Return the version of the default domain's operators."""
        versions = sorted({o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")})
        if len(versions) != 1 or versions[0] not in OPSETS:
            raise FileError(f"{self.what}: opset {listing(versions)}: {OPSETS.start} to {OPSETS.stop - 1} are read")
        return int(versions[0])

    def numbers_out(self) -> list[Any]:
        """Return the outputs that hold numbers: a classifier's label is omitted beside its probabilities.

        Raises:
            FileError: there are none.
        """
        kinds = [self.kind_of(output) for output in self.graph.output]
        found = [o for o, kind in zip(self.graph.output, kinds, strict=True) if kind in (0, *FLOATS)]
        if not found:
            names = listing(o.name for o in self.graph.output)
            raise FileError(f"{self.what}: outputs {names} are labels, integers or texts, which no neuron holds")
        return found

    def kind_of(self, output: Any) -> int:
        """Return the type of an output's entries, for a ZipMap that of its values; 0 where it is not given."""
        kind = output.type
        if kind.HasField("sequence_type"):
            kind = kind.sequence_type.elem_type
        if kind.HasField("map_type"):
            kind = kind.map_type.value_type
        return int(kind.tensor_type.elem_type) if kind.HasField("tensor_type") else 0

    def needed(self) -> list[Any]:
        """Return the nodes on which the outputs depend; all nodes if no output is omitted."""
        if len(self.results) == len(self.graph.output):
            return list(self.graph.node)
        wanted, found = {o.name for o in self.results}, []
        for node in reversed(self.graph.node):
            if wanted & set(node.output):
                wanted |= set(node.input)
                found.append(node)
        return found[::-1]

    def network(self) -> Network:
        rows = [self.input(name) for name in self.shapes]
        inputs = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
        if self.given is not None:
            self.fits(self.given.inputs, len(inputs), "inputs")
            self.net.identify(inputs, self.given.inputs)
        for proto in self.nodes:
            self.node(proto)
        return self.net.network(inputs, self.outputs(inputs))

    # ---- inputs ---------------------------------------------------------------------------------------------

    def initializer(self, tensor: Any) -> None:
        self.net.place = f"{self.what}: initializer {show(tensor.name)}"
        self.net.spend(numbers=math.prod(tensor.dims) if all(n > 0 for n in tensor.dims) else 0)
        values = shapes.tensor(f"{self.what}: initializer {show(tensor.name)}", tensor, self.net.folder)
        trains = values.dtype.kind == "f"
        keys = self.net.fresh(values.shape, tensor.name) if trains else None
        self.put(tensor.name, Constant(values, keys), f"initializer {show(tensor.name)}")

    def shape(self, value: Any) -> list[int]:
        """Return the lengths of an input's axes; −1 where the first is open."""
        place = f"{self.what}: input {show(value.name)}"
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
            raise FileError(f"{place}: is no tensor of a shape")
        if kind.elem_type not in FLOATS:
            raise FileError(f"{place}: is of type {kind.elem_type}: {listing(FLOATS.values())} are read")
        lengths = []
        for axis, dim in enumerate(kind.shape.dim):
            known = dim.HasField("dim_value")
            if (not known and axis) or (known and dim.dim_value < 1):
                said = dim.dim_value if known else dim.dim_param or "open"
                rule = "only the first axis, the batch, may be open" if not known else "must be 1 or more"
                raise FileError(f"{place}: axis {axis} is {said}: {rule}")
            lengths.append(int(dim.dim_value) if known else -1)
        return lengths

    def batch_axis(self, wanted: bool | None) -> int | None:
        """Return the length of the batch axis, −1 where it is open; None where there is none."""
        firsts = {shape[0] if shape else None for shape in self.shapes.values()}
        open_ = -1 in firsts
        if wanted is None:
            wanted = open_ or (len(firsts) == 1 and all(len(shape) > 1 for shape in self.shapes.values()))
        if not wanted:
            if open_:
                raise FileError(f"{self.what}: an input's first axis is open: it is the batch, and batch=False is not")
            return None
        if len(firsts) > 1 or firsts <= {None}:
            said = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
            raise FileError(f"{self.what}: the inputs agree in no first axis, the batch: {said or 'there are none'}")
        return firsts.pop()

    def input(self, name: str) -> Array:
        """Make the inputs for one sample of a tensor; return their rows."""
        shape = self.shapes[name]
        whole = tuple(shape) if self.batch is None else (1, *shape[1:])
        self.net.place = f"{self.what}: input {show(name)}"
        rows = self.net.neurons(whole, name, "input")
        self.put(name, Signals(rows), f"input {show(name)}")
        return rows.ravel()

    def put(self, name: str, value: Value, place: str) -> None:
        if not name or name in self.values:
            raise FileError(f"{self.what}: {place}: tensor {show(name)} is given twice, or has no name")
        self.values[name] = value

    # ---- nodes ----------------------------------------------------------------------------------------------

    def node(self, proto: Any) -> None:
        node = Node(self.net, proto, self.opset, self.batch, self.readers)
        self.net.place = node.place
        if proto.domain not in DOMAINS:
            node.refuse(f"of the domain {show(proto.domain)} is not read")
        pattern = self.patterns.get(node.label)
        if pattern is None and node.label in self.patterns:
            return
        try:
            value = self.alone(node) if pattern is None else patterns.read(node, pattern, self.values)
        except (FileError, MemoryError):
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            node.refuse(f"shapes or values do not fit: {(str(error) or type(error).__name__).splitlines()[0][:200]}")
        values = [value] if isinstance(value, Constant | Signals) else value
        for name, one in zip(proto.output, values, strict=False):
            if name and one is not None:
                self.put(name, self.checked(node, name, one), f"node {show(proto.name or name)}")

    def checked(self, node: Node, name: str, value: Value) -> Value:
        """Check one output of a node, and return it, with the ids that the metadata have for it."""
        if isinstance(value, Signals):
            node.kept(value.shape)
            value = replace(value, own=value.own and self.readers[name] == 1)
        if len(value.shape) > 0 and 0 in value.shape and isinstance(value, Signals):
            node.refuse(f"comes to nothing: a tensor of shape {value.shape}")
        if self.given is not None and name in self.given.tensors:
            value = self.called(node, value, self.given.tensors[name])
        return value

    def alone(self, node: Node) -> Value | Sequence[Value | None]:
        """Read a node that belongs to no pattern."""
        known, names = DOMAINS[node.proto.domain], list(node.proto.input)
        operator = known.get(node.kind)
        if operator is None:
            node.refuse(REFUSED.get(node.kind, f"is not read{suggest(node.kind, sorted(known))}"))
        for name in names:
            if name and name not in self.values:
                node.refuse(f"reads {show(name)}, which nothing before it gives")
        node.take(operator, [self.values[name] if name else None for name in names])
        return operator.read(node)

    def called(self, node: Node, value: Value, ids: Sequence[Hashable]) -> Value:
        """Give the signals' neurons these ids; copy those that have one already or occur again."""
        if not isinstance(value, Signals):
            node.refuse("is constant, and the metadata say that it holds neurons")
        self.fits(ids, math.prod(value.shape), f"columns of {show(node.label)}")
        value = settled(self.net, value, node.label)
        rows = value.rows.copy()
        again = self.net.nodes["named"][rows]
        first = np.zeros(rows.size, np.bool_)
        first[np.unique(rows, return_index=True)[1]] = True
        again |= ~first.reshape(rows.shape)
        rows[again] = self.net.neurons((int(again.sum()),), f"{node.label}.copy")
        self.net.connect(value.rows[again], rows[again])
        self.net.identify(rows, ids)
        return Signals(rows)

    def fits(self, ids: Sequence[Hashable], many: int, kind: str) -> None:
        if len(ids) != many:
            raise FileError(
                f"{self.what}: its metadata name {len(ids):,} {kind}, and the graph has {many:,}: "
                "it was changed since flowgrad wrote it"
            )

    # ---- outputs --------------------------------------------------------------------------------------------

    def outputs(self, inputs: Array) -> Array:
        """Return the rows of the outputs, each once."""
        found: list[Array] = []
        for output in self.results:
            value = self.values.get(output.name)
            if value is None:
                raise FileError(f"{self.what}: output {show(output.name)}: nothing gives it")
            if isinstance(value, Constant):
                if value.values.dtype.kind != "f":
                    raise FileError(f"{self.what}: output {show(output.name)}: is of integers")
                if self.batch not in (None, 1) or (self.batch and value.shape[:1] != (1,)):
                    raise FileError(f"{self.what}: output {show(output.name)}: a constant, of one sample only")
            of = settled(self.net, signals(self.net, value, output.name), output.name)
            if not np.isin(of.rows, inputs).any() and len(np.unique(of.rows)) == of.rows.size:
                self.net.name(of.rows, output.name)
            found.append(of.rows.ravel())
        rows = distinct(self.net, Signals(np.concatenate(found)), self.results[0].name).rows
        if self.given is not None:
            self.fits(self.given.outputs, len(rows), "outputs")
            if [self.net.ids.get(row) for row in rows.tolist()] != list(self.given.outputs):
                raise FileError(f"{self.what}: its metadata name other outputs than the graph has")
        return rows
