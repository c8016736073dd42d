"""Convert a network's columns to a JSON document and named tensors, and back: shared by both native formats.

docs/files.md describes every key. Rows are positions in `ids`; floats are always tensors, bit-identical when read
back; columns of integers are arrays in the document, or tensors, to which {"tensor": name} refers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from flowgrad.attributes import numbers
from flowgrad.columns import ABSENT, Coded, Columns
from flowgrad.errors import FileError, GraphError, brief, show
from flowgrad.format import Source
from flowgrad.formats._tensors import Tensors
from flowgrad.formats._values import decode_all, encode, encode_all
from flowgrad.network import Network
from flowgrad.registry import find, names, singular

FORMAT, VERSION = "flowgrad network", 1
FLOATS = ("weight", "bias", "response")
KEYS = (
    *("format", "version", "seed", "ids", "inputs", "outputs"),
    *("activations", "activation", "aggregations", "aggregation", "frozen_nodes"),
    *("source", "target", "frozen_edges", "params", "param", "part", "place"),
    *("node_extra", "edge_extra", "graph_extra"),
)

WEIGHTS_OF = "weights_of"  # optional key of networks that a training saves: `History.weights_of`

Ints = npt.NDArray[np.integer[Any]]


# ---- out ----------------------------------------------------------------------------------------------------


def describe(network: Network, keep: Callable[[str, Ints], Any]) -> tuple[dict[str, Any], Tensors]:
    """Return the document and the tensors of floats; `keep(name, column)` returns the entry for a column of integers.

    Raises:
        GraphError: an id, a param or an attribute of a type that files do not keep; a weight that is not
            finite; a function whose name also stands for another one.
    """
    c = network.columns
    weights = numbers(c.weights, "weight", lambda row: f"edge {c.edge_name(row)}")
    bias, response = (
        numbers(column, what, lambda row: f"node {c.ids[row]!r}")
        for what, column in (("bias", c.bias), ("response", c.response))
    )
    tensors: Tensors = {"weight": weights, "bias": bias, "response": response}
    shared = len(c.params) > 0
    values: tuple[Any, ...] = (
        *(FORMAT, VERSION, _seed(c.seed), _ids(c, keep), keep("inputs", c.inputs), keep("outputs", c.outputs)),
        *(_names("activations", c.activations), keep("activation", c.activation)),
        *(_names("aggregations", c.aggregations), keep("aggregation", c.aggregation)),
        keep("frozen_nodes", np.flatnonzero(~c.trainable & ~c.is_input).astype(np.int32)),
        *(keep("source", c.source), keep("target", c.target)),
        keep("frozen_edges", np.flatnonzero(~c.edge_trainable).astype(np.int32)),
        _all(c.params, lambda k: f"param {k + 1}"),
        keep("param", c.param) if shared else None,
        None if c.part is None else keep("part", c.part),
        None if c.place is None else keep("place", c.place),
        _extra("node_extra", c.node_extra, lambda row: f"node {c.ids[row]!r}", keep),
        _extra("edge_extra", c.edge_extra, lambda row: f"edge {c.edge_name(row)}", keep),
        _all([[k, v] for k, v in c.graph_extra.items()], lambda k: f"attribute {k + 1} of the graph"),
    )
    return dict(zip(KEYS, values, strict=True)), tensors


def _seed(seed: object) -> Any:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise GraphError(f"seed {brief(seed)} is not an integer, 0 or more: a file cannot keep it")
    return encode(int(seed))


def _ids(c: Columns, keep: Callable[[str, Ints], Any]) -> Any:
    """Return the entry of the ids: {"range": V}, `keep` of ids that are all integers, or one value a node."""
    if isinstance(c.ids, range):
        return {"range": c.n_nodes}
    encoded = _all(c.ids, lambda row: f"id {row + 1} of {c.n_nodes}")
    if set(map(type, encoded)) == {int}:
        return keep("ids", np.array(encoded, np.int64))
    return encoded


def _all(values: Sequence[Any], name: Callable[[int], str]) -> list[Any]:
    try:
        return encode_all(values, name)
    except TypeError as error:
        raise GraphError(
            f"{error}: a file keeps text, int, float, bool, bytes, None, tuples, lists and dicts of them, and "
            "NumPy's numbers"
        ) from None


def _names(kind: str, functions: Sequence[Any]) -> list[Any]:
    """Return the functions' names; GraphError if a name stands for two functions, or a user's for one of flowgrad's."""
    mine: dict[str, Any] = {}
    for function in functions:
        known = find(kind, function.name) if function.name in names(kind) else None
        other = mine.setdefault(function.name, function) if known is None else known
        if other != function:
            raise GraphError(
                f"the network has {brief(function)}, and its name {show(function.name)} also stands for "
                f"{brief(other)}: a file keeps the name alone, so give your {singular(kind)} another"
            )
    return _all([f.name for f in functions], lambda k: f"{singular(kind)} {k + 1}")


def _extra(
    key: str, columns: Mapping[str, Sequence[Any]], where: Callable[[int], str], keep: Callable[[str, Ints], Any]
) -> list[Any]:
    """Return one {"name", "rows", "values"} an attribute; rows is null where every node or edge has it."""

    def one(k: int, name: str, column: Sequence[Any]) -> dict[str, Any]:
        rows = [row for row, value in enumerate(column) if value is not ABSENT]
        whole = len(rows) == len(column)
        return {
            "name": _all([name], lambda _: f"the name of attribute {k + 1} in {key}")[0],
            "rows": None if whole else keep(f"{key}.{k}", np.array(rows, np.int32)),
            "values": _all(
                column if whole else [column[row] for row in rows],
                lambda place: f"attribute {show(name)} of {where(rows[place])}",
            ),
        }

    return [one(k, name, column) for k, (name, column) in enumerate(columns.items())]


# ---- in -----------------------------------------------------------------------------------------------------


def restore(document: Any, tensors: Tensors, source: Source) -> Network:
    """Rebuild the network from the results of `describe`; every number is checked, since files are not trusted.

    Raises:
        FileError: a key or tensor is missing, unknown, or has an invalid value.
        UnknownNameError: a function's name is unknown here.
        GraphError: nodes and edges do not form a valid network.
    """
    return _Reader(document, tensors, source).network()


def noted(document: Mapping[str, Any]) -> str | None:
    """Return the text under `WEIGHTS_OF` in a document, or None."""
    said = document.get(WEIGHTS_OF)
    return said if isinstance(said, str) else None


class _Reader:
    """Read and check a document and its tensors; keys and tensors that are unknown or missing are refused."""

    def __init__(self, document: Any, tensors: Tensors, source: Source) -> None:
        self.source, self.tensors, self.used = source, tensors, set[str]()
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            self.refuse("it holds no network of flowgrad's")
        if document.get("version") != VERSION:
            self.refuse(
                f"it is of version {document.get('version')!r}, this flowgrad reads {VERSION}: a newer one wrote it"
            )
        odd = set(document) ^ set(KEYS)
        if odd:
            self.refuse(f"the key {min(odd)!r} is {'unknown' if min(odd) in document else 'missing'}")
        self.document: dict[str, Any] = document

    def refuse(self, why: str) -> NoReturn:
        raise FileError(f"{self.source.path}: {why}")

    def network(self) -> Network:
        bias, response, weight = self.floats("bias"), self.floats("response"), self.floats("weight")
        V, E = len(bias), len(weight)
        if len(response) != V:
            self.refuse(f"response has {len(response)} entries for {V} nodes")
        inputs, outputs = self.ints("inputs", 0, V), self.ints("outputs", 0, V)
        neuron = np.ones(V, np.bool_)
        neuron[inputs] = False
        activation = self.functions("activations", "activation", neuron)
        aggregation = self.functions("aggregations", "aggregation", neuron)
        frozen_nodes, frozen_edges = self.mask("frozen_nodes", V), self.mask("frozen_edges", E)
        param = self.params(E)
        part, place = self.union(V, len(outputs))
        self.once("inputs", inputs)
        if part is None:
            self.once("outputs", outputs)
        columns = Columns.of(
            self.ids(V),
            inputs,
            outputs,
            self.ints("source", 0, V, E),
            self.ints("target", 0, V, E),
            activation,
            aggregation,
            weight=weight,
            bias=bias,
            response=response,
            trainable=~frozen_nodes,
            edge_trainable=~frozen_edges,
            param=param,
            seed=self.seed(),
            part=part,
            place=place,
            node_extra=self.extra("node_extra", V),
            edge_extra=self.extra("edge_extra", E),
            graph_extra=self.pairs("graph_extra"),
        )
        if set(self.tensors) - self.used:
            self.refuse(f"the tensor {min(set(self.tensors) - self.used)!r} is unknown")
        network = Network.from_columns(columns)
        _ = columns.weights  # raises where edges of one param have different weights
        self.check_union(columns)
        return network

    # ---- numbers

    def tensor(self, name: str, kind: str) -> npt.NDArray[Any]:
        """Return the tensor, (n,) of dtype kind "f" or "i"."""
        array = self.tensors.get(name)
        if array is None or array.ndim != 1 or array.dtype.kind != kind:
            self.refuse(f"the tensor {name!r} is {'missing' if array is None else 'of the wrong type or shape'}")
        self.used.add(name)
        return array

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        array = self.tensor(name, "f").astype(np.float64)
        if not np.isfinite(array).all():
            self.refuse(f"{name} holds {array[~np.isfinite(array)][0]}: must be finite")
        return array

    def column(self, name: str, data: Any) -> npt.NDArray[np.int64]:
        """Return a column of integers, from the document or a tensor."""
        if isinstance(data, dict) and set(data) == {"tensor"} and isinstance(data["tensor"], str):
            return self.tensor(data["tensor"], "i").astype(np.int64)
        if not isinstance(data, list) or not set(map(type, data)) <= {int}:
            self.refuse(f"{name} must be an array of integers, or name a tensor")
        try:
            return np.array(data, np.int64)
        except OverflowError:
            self.refuse(f"{name} holds an integer beyond 64 bits")

    def ints(self, name: str, low: int, high: int, n: int | None = None, data: Any = None) -> npt.NDArray[np.int32]:
        """Return a column of integers in low … high−1; `n` is its length where that is known."""
        column = self.column(name, self.document[name] if data is None else data)
        if n is not None and len(column) != n:
            self.refuse(f"{name} has {len(column)} entries: {n} are wanted")
        if len(column) and (column.min() < low or column.max() >= high):
            bad = int(column.min()) if column.min() < low else int(column.max())
            self.refuse(f"{name} holds {bad}: must be {low} … {high - 1}")
        return column.astype(np.int32)

    def mask(self, name: str, n: int) -> npt.NDArray[np.bool_]:
        """Return (n,) bool: True at the rows that the column lists."""
        found = np.zeros(n, np.bool_)
        found[self.ints(name, 0, n)] = True
        return found

    def once(self, name: str, rows: Ints) -> None:
        if len(np.unique(rows)) < len(rows):
            self.refuse(f"{name} name a node twice")

    def seed(self) -> int:
        seed = self.value("seed")
        if type(seed) is not int or seed < 0:
            self.refuse(f"seed is {seed!r}: must be an integer, 0 or more")
        return seed

    # ---- names and values

    def value(self, key: str) -> Any:
        return self.values(key, [self.document[key]])[0]

    def values(self, what: str, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.refuse(f"{what} is no array")
        try:
            return decode_all(data)
        except ValueError as error:
            self.refuse(f"{what}: {error}")

    def ids(self, V: int) -> Sequence[Hashable]:
        data = self.document["ids"]
        if isinstance(data, dict) and set(data) == {"range"}:
            if type(data["range"]) is not int or data["range"] != V:
                self.refuse(f"ids are a range of {data['range']!r}, and there are {V} nodes")
            return range(V)
        ids = self.column("ids", data).tolist() if isinstance(data, dict) else self.values("ids", data)
        if len(ids) != V:
            self.refuse(f"ids has {len(ids)} entries for {V} nodes")
        self.distinct("ids", ids)
        return ids

    def distinct(self, what: str, values: list[Any]) -> None:
        try:
            if len(set(values)) < len(values):
                self.refuse(f"{what} holds a value twice (to Python 1, 1.0 and True are one)")
        except TypeError as error:
            self.refuse(f"{what}: {error}")

    def functions(self, table: str, code: str, neuron: npt.NDArray[np.bool_]) -> Coded:
        """Return the codes (V,) of functions, −1 exactly at inputs, and the table of functions that they index."""
        named = self.values(table, self.document[table])
        if not all(isinstance(name, str) for name in named):
            self.refuse(f"{table} must be names")
        codes = self.ints(code, -1, len(named), len(neuron))
        if ((codes >= 0) != neuron).any():
            self.refuse(f"{code} must be −1 at the inputs and nowhere else")
        return codes, tuple(self.source.function(table, name) for name in named)

    def params(self, E: int) -> Coded:
        params = self.values("params", self.document["params"])
        self.distinct("params", params)
        if self.document["param"] is None and not params:
            return -1, ()
        return self.ints("param", -1, len(params), E), tuple(params)

    def extra(self, key: str, n: int) -> dict[str, list[Any]]:
        """Return the columns of the user's attributes, n entries each, ABSENT where a node or edge has none."""
        found: dict[str, list[Any]] = {}
        entries = self.document[key]
        if not isinstance(entries, list):
            self.refuse(f"{key} is no array")
        for entry in entries:
            if not isinstance(entry, dict) or set(entry) != {"name", "rows", "values"}:
                self.refuse(f"{key} must hold objects of name, rows and values")
            (name,), values = self.values(key, [entry["name"]]), self.values(key, entry["values"])
            self.distinct(key, [*found, name])
            column = found[name] = [ABSENT] * n if entry["rows"] is not None else values
            if column is values and len(values) != n:
                self.refuse(f"{key} has {len(values)} values of {name!r}: {n} are wanted")
            if column is not values:
                rows = self.ints(key, 0, n, len(values), entry["rows"])
                for row, value in zip(rows.tolist(), values, strict=True):
                    column[row] = value
        return found

    def pairs(self, key: str) -> dict[Any, Any]:
        pairs = self.values(key, self.document[key])
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            self.refuse(f"{key} must hold pairs of a name and a value")
        self.distinct(key, [name for name, _ in pairs])
        return dict(pairs)

    # ---- unions

    def union(self, V: int, n_outputs: int) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[np.int64] | None]:
        part, place = self.document["part"], self.document["place"]
        if (part is None) != (place is None):
            self.refuse("part and place go together")
        if part is None:
            return None, None
        places = self.column("place", place)
        if len(places) != V:
            self.refuse(f"place has {len(places)} entries for {V} nodes")
        return self.ints("part", -1, n_outputs, V), places

    def check_union(self, c: Columns) -> None:
        """Check that `place` orders the neurons part by part, each after those that it reads: lowering relies on it."""
        if c.part is None or c.place is None:
            return
        neurons = c.order[len(c.inputs) :]
        part, place = c.part[neurons], c.place[neurons]
        inner = ~c.is_input[c.source]
        behind = c.place[c.target[inner]] > c.place[c.source[inner]]
        if not behind.all() or (place[1:] == place[:-1]).any() or (part[1:] < part[:-1]).any() or (part < 0).any():
            self.refuse("place does not order the neurons part by part, each behind those that it reads")
