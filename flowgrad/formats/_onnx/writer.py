"""Convert a network to a model, level by level.

The neurons of one level with the same activation, aggregation and fan-in K are one group, n of them. Where they have
the same sources they are a Gemm; else their sources are gathered, (N, n·K), weighted as (N, n, K) and reduced. A level
reads one tensor, concatenated from the columns of earlier ones that it needs, so that all levels together copy at most
one column for each edge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, GraphError, brief, suggest
from flowgrad.formats._onnx import metadata
from flowgrad.formats._onnx.assembly import Array
from flowgrad.formats._onnx.expressions import form
from flowgrad.formats._onnx.model import AGGREGATIONS, IR, OPSET, Model
from flowgrad.inspection.local import reached
from flowgrad.maths.activation import Activation
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.registry import is_own, singular

DTYPES = ("float32", "float64")
GEMM = 256  # minimal number of weights for which neurons with the same sources get a Gemm of their own


def write(net: Network, path: Path, *, dtype: str = "float32") -> Mapping[str, bytes]:
    """Return an ONNX model for inference, `x` (N, I) → `y` (N, O), as {file name: content}.

    N is the batch; the columns have the order of the network's inputs and outputs. The metadata hold the ids of all
    neurons. Neurons on which no output depends are omitted, and constants that are added are folded into biases.
    onnxruntime lacks Gelu and Atan in float64, and runs everything else.

    Args:
        net: the network.
        path: path of the file, which gives its name.
        dtype: dtype of all numbers, "float32" or "float64".

    Raises:
        GraphError: ONNX cannot express an activation, an aggregation is user-defined, a number exceeds the dtype, the
            file cannot hold an id, or the model exceeds 2 GB.
        ConfigError: the dtype is another one.
        MissingDependencyError: the library onnx is not installed.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype {brief(dtype)}{suggest(dtype, DTYPES)}")
    writer = _Writer(net, np.dtype(dtype))
    model = writer.proto(writer.output())
    try:
        return {path.name: model.SerializeToString(deterministic=True)}
    except Exception as error:  # protobuf's own, of a message beyond 2 GiB
        raise GraphError(f"the model is too large for a file of ONNX: {error}") from None


@dataclass(frozen=True)
class _Pool:
    """Hold the tensor that a level reads: its columns `columns` hold the nodes at the positions `at`, ascending."""

    tensor: str
    width: int
    at: Array
    columns: Array

    def column(self, at: Array) -> Array:
        found: Array = self.columns[np.searchsorted(self.at, at)]
        return found


@dataclass(frozen=True)
class _Group:
    """Hold n neurons of one level with the same activation, aggregation and fan-in K.

    at (n,) positions; source (n, K) columns of the pool; weight (n, K); adds: whether m is the sum of the terms
    """

    at: Array
    source: Array
    weight: Array
    activation: Activation
    aggregation: str
    adds: bool

    def part(self, rows: Array) -> _Group:
        return replace(self, at=self.at[rows], source=self.source[rows], weight=self.weight[rows])


class _Writer:
    def __init__(self, net: Network, dtype: np.dtype[Any]) -> None:
        self.net, self.plan, self.model = net, lower(net), Model(dtype)
        plan = self.plan
        self.edges = _Edges(plan)
        self.refuse_what_does_not_fit(np.finfo(dtype).max)
        self.tensors, self.held = [("x", len(plan.inputs))], {"x"}
        self.tensor = np.full(plan.n_nodes, -1)  # (V,) index of the tensor that holds each node; column (V,) in it
        self.column = np.zeros(plan.n_nodes, np.int64)
        self.hold(0, plan.inputs)

    def refuse_what_does_not_fit(self, largest: float) -> None:
        edges, plan, ids = self.edges, self.plan, self.net.columns.ids
        for kind, codes, records in (
            ("activations", plan.activation, plan.activations),
            ("aggregations", plan.aggregation, plan.aggregations),
        ):
            for code in np.unique(codes[edges.neurons]).tolist():
                record: Any = records[code]
                if not _has_form(kind, record):
                    v = edges.neurons[np.flatnonzero(codes[edges.neurons] == code)[0]]
                    what = f"the {singular(kind)} {record.name!r} has no form in ONNX"
                    raise GraphError(f"neuron {brief(ids[plan.nodes[v]])}: {what}")
        for values, at, what in (
            (edges.weight, edges.target, "a weight"),
            (edges.bias[edges.neurons], edges.neurons, "the bias"),
            (plan.response[edges.neurons], edges.neurons, "the response"),
        ):
            far = np.flatnonzero(np.abs(values) > largest)
            if len(far):
                v = ids[plan.nodes[at[far[0]]]]
                raise GraphError(f"neuron {brief(v)}: {what} is {values[far[0]]}, beyond float32: give dtype='float64'")

    def hold(self, tensor: int, at: Array) -> None:
        """Record that the columns of tensor `tensor` hold these nodes, in this order."""
        self.tensor[at], self.column[at] = tensor, np.arange(len(at))

    # ---- levels ---------------------------------------------------------------------------------------------

    def output(self) -> str:
        """Write every level; return the name of the tensor of the outputs."""
        level = self.plan.level[self.edges.neurons]
        order = np.argsort(level, kind="stable")
        starts = np.flatnonzero(np.diff(level[order], prepend=-1))
        for at in np.split(self.edges.neurons[order], starts[1:]):
            if len(at):
                self.model.prefix = f"level{self.plan.level[at[0]]}."
                self.level(at)
        self.model.prefix = ""
        pool = self.pool(np.unique(self.plan.outputs))
        return self.picked(pool, pool.column(self.plan.outputs))

    def level(self, at: Array) -> None:
        into = self.edges.into(at)
        pool = self.pool(np.unique(self.edges.source[into])) if len(into) else None
        parts, names = [], []
        for group in self.groups(at, pool):
            for part, dense in _dense(group):
                names.append(self.activated(part, self.sums(part, pool, dense)))
                parts.append(part.at)
        name = names[0] if len(names) == 1 else self.model.op("Concat", *names, axis=1)
        if name in self.held:  # this tensor holds another level already
            name = self.model.op("Identity", name)
        self.tensors.append((name, len(at)))
        self.held.add(name)
        self.hold(len(self.tensors) - 1, np.concatenate(parts))

    def groups(self, at: Array, pool: _Pool | None) -> Iterator[_Group]:
        plan, edges = self.plan, self.edges
        keys = np.stack([plan.activation[at], plan.aggregation[at], edges.fan_in[at]], axis=1)
        for key in np.unique(keys, axis=0):
            mine = at[(keys == key).all(axis=1)]
            which = edges.start[mine][:, None] + np.arange(key[2])
            source = which if pool is None else pool.column(edges.source[which])
            activation, aggregation = plan.activations[key[0]], plan.aggregations[key[1]].name
            adds = bool((plan.coefficient[mine] == 1.0).all())
            yield _Group(mine, source, edges.weight[which], activation, aggregation, adds)

    def pool(self, needed: Array) -> _Pool:
        """Write one tensor of the nodes at these positions, which ascend."""
        places, names, width = np.empty(len(needed), np.int64), [], 0
        for tensor in np.unique(self.tensor[needed]).tolist():
            mine = self.tensor[needed] == tensor
            name, size = self.tensors[tensor]
            columns = np.sort(self.column[needed[mine]])
            if len(columns) < size:
                name = self.model.op("Gather", name, self.model.whole(columns), axis=1)
            names.append(name)
            places[mine] = width + np.searchsorted(columns, self.column[needed[mine]])
            width += len(columns)
        name = names[0] if len(names) == 1 else self.model.op("Concat", *names, axis=1)
        return _Pool(name, width, needed, places)

    def picked(self, pool: _Pool, columns: Array) -> str:
        """Write a tensor of these columns of the pool, in this order."""
        if np.array_equal(columns, np.arange(pool.width)):
            return pool.tensor
        return self.model.op("Gather", pool.tensor, self.model.whole(columns), axis=1)

    # ---- neurons --------------------------------------------------------------------------------------------

    def sums(self, g: _Group, pool: _Pool | None, dense: bool) -> str:
        """Write z of (2), (N, n)."""
        m, plan, K = self.model, self.plan, g.source.shape[1]
        bias, response = self.edges.bias[g.at], plan.response[g.at]
        if K == 0 or pool is None:
            return self.constants(bias)
        straight = bool((response == 1.0).all())
        if dense:
            order = np.argsort(g.source[0])
            x, W = self.picked(pool, g.source[0][order]), m.weights(g.weight[:, order], "weight")
            if straight:
                return m.op("Gemm", x, W, m.weights(bias, "bias"), transB=1)
            z = m.op("Gemm", x, W, transB=1)
        else:
            z = self.gathered(g, pool)
        if not straight:
            z = m.op("Mul", z, m.fixed(response))
        return m.op("Add", z, m.weights(bias, "bias")) if bias.any() else z

    def gathered(self, g: _Group, pool: _Pool) -> str:
        """Write m of (1), (N, n)."""
        model, (n, K) = self.model, g.source.shape
        terms = self.picked(pool, g.source.ravel())
        if K > 1:
            terms = model.op("Reshape", terms, model.whole([0, n, K]))
        if (g.weight != 1.0).any():
            terms = model.op("Mul", terms, model.weights(g.weight if K > 1 else g.weight[:, 0], "weight"))
        if K == 1:
            return terms
        return AGGREGATIONS[g.aggregation](model, terms, K)

    def constants(self, values: Array) -> str:
        """Write (N, n) with the same n values in every sample: a column of ones times the values."""
        m, key = self.model, ("one",)
        if key not in m.known:
            padded = m.op("Pad", "x", m.whole([0, 0, 0, 1]), m.fixed(1.0))
            m.known[key] = m.op("Gather", padded, m.whole([self.tensors[0][1]]), axis=1)
        return m.op("Mul", m.known[key], m.weights(values, "bias"))

    def activated(self, g: _Group, z: str) -> str:
        written = form(g.activation)
        assert written is not None  # functions without a form were refused before
        return written(self.model, z)

    def ids(self, last: str) -> metadata.Ids:
        """Return the ids of every tensor's neurons; the tensor `last` is called `y`."""
        ids, nodes = self.net.columns.ids, self.plan.nodes
        held = np.lexsort((self.column, self.tensor))
        tensors: dict[str, list[Any]] = {name: [] for name, _ in self.tensors[1:]}
        for v in held[np.searchsorted(self.tensor[held], 1) :].tolist():
            tensors[self.tensors[self.tensor[v]][0]].append(ids[nodes[v]])
        named = {"y" if name == last else name: some for name, some in tensors.items()}
        return metadata.Ids(self.net.inputs, self.net.outputs, named)

    # ---- the whole ------------------------------------------------------------------------------------------

    def proto(self, last: str) -> Any:
        from flowgrad import __version__

        m, helper = self.model, self.model.onnx.helper
        if last == "x":
            last = m.op("Identity", "x")
        for node in m.nodes:
            for names in (node.input, node.output):
                said = ["y" if name == last else name for name in names]
                del names[:]
                names.extend(said)
        kind = helper.np_dtype_to_tensor_dtype(m.dtype)
        x, y = (
            helper.make_tensor_value_info(name, kind, ["N", len(ids)])
            for name, ids in (("x", self.net.inputs), ("y", self.net.outputs))
        )
        graph = helper.make_graph(m.nodes, "network", [x], [y], m.initializers)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=IR, producer_name="flowgrad")
        model.producer_version = __version__
        helper.set_model_props(model, {metadata.KEY: metadata.text(self.ids(last))})
        return model


def _has_form(kind: str, record: Any) -> bool:
    if kind == "activations":
        return form(record) is not None
    return record.name in AGGREGATIONS and is_own(kind, record)


def _dense(g: _Group) -> Iterator[tuple[_Group, bool]]:
    """Split a group: (part, True) for each list of sources that is worth a Gemm, and (rest, False)."""
    K = g.source.shape[1]
    if not g.adds or K < 2:
        yield g, False
        return
    lists, which, count = np.unique(g.source, axis=0, return_inverse=True, return_counts=True)
    which = which.ravel()
    pays = (count * K >= GEMM) | (len(lists) == 1)
    for k in np.flatnonzero(pays).tolist():
        yield g.part(which == k), True
    rest = ~pays[which]
    if rest.any():
        yield g.part(rest), False


class _Edges:
    """Hold the edges to write: of neurons on which an output depends, without constant terms of sums.

    neurons          positions of the neurons to write, ascending
    source, target   positions; weight; the edges into v are start[v] … start[v] + fan_in[v] − 1
    bias             (V,) biases, to which the constant terms are added
    """

    def __init__(self, plan: Plan) -> None:
        V, target = plan.n_nodes, plan.in_target
        kept = reached(plan)
        fixed = (plan.activation >= 0) & (np.diff(plan.in_ptr) == 0)
        value = np.zeros(V)
        with np.errstate(all="ignore"):
            for v in np.flatnonzero(fixed).tolist():
                value[v] = plan.activations[plan.activation[v]].f(plan.bias[v])
            added = plan.response[target] * plan.weight * value[plan.in_source]
        folded = fixed[plan.in_source] & (plan.coefficient == 1.0)[target] & np.isfinite(added)
        self.bias = plan.bias + np.bincount(target[folded], added[folded], V)
        here = kept[target] & ~folded
        self.source, self.target, self.weight = plan.in_source[here], target[here], plan.weight[here]
        self.fan_in = np.bincount(self.target, minlength=V)
        self.start = np.cumsum(self.fan_in) - self.fan_in
        needed = kept & ~fixed
        needed[self.source] = True
        needed[plan.outputs] = True
        self.neurons = np.flatnonzero(needed & (plan.activation >= 0))

    def into(self, at: Array) -> Array:
        """Return the indices of the edges into these positions."""
        count = self.fan_in[at]
        ends = np.cumsum(count)
        return np.repeat(self.start[at] - ends + count, count) + np.arange(ends[-1] if len(ends) else 0)
