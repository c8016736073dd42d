"""neat-python's JSON, version 1.0, of feed-forward networks: act(bias + response · aggregation(weight · value)).

Nodes are numbered; inputs are negative. A disabled connection is not there. neat-python's functions differ from
ours of the same name where they scale or clamp (`flowgrad.maths.foreign`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.attributes import encode, numbers
from flowgrad.columns import Columns
from flowgrad.errors import DataError, FileError, GraphError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._edges import text
from flowgrad.formats._strict import parse
from flowgrad.network import Network
from flowgrad.order import grouped, offsets, upstream

VERSION = "1.0"
ACTIVATIONS = {
    "sigmoid": "neat-sigmoid",
    "tanh": "neat-tanh",
    "sin": "neat-sin",
    "gauss": "neat-gauss",
    "relu": "relu",
    "elu": "elu",
    "lelu": "neat-lelu",
    "selu": "selu",
    "softplus": "neat-softplus",
    "identity": "identity",
    "clamped": "hard_tanh",
    "inv": "neat-inv",
    "log": "neat-log",
    "exp": "neat-exp",
    "abs": "abs",
    "hat": "neat-hat",
    "square": "square",
    "cube": "cube",
}
AGGREGATIONS = {
    "sum": "sum",
    "product": "product",
    "max": "max",
    "min": "min",
    "maxabs": "max_abs",
    "median": "median",
    "mean": "mean",
}


def read(source: Source, *, output_activation: Any = None) -> Network:
    """The network with every node of the file, those without connections too.

    The product of nothing is 1 there and 0 here: a product without connections gets that 1 in its bias.
    `output_activation` takes the place of the file's own at the outputs.

    Raises:
        FileError: no such JSON, another version, a recurrent network, a value of the wrong kind; with its place.
        UnknownNameError: a function that neat-python does not have, and that is not the user's own.
    """
    what = str(source.path)
    data = source.read()
    text(data, what)
    reader = _Reader(what, parse(data, what), source)
    return reader.network(output_activation)


class _Reader:
    """One document, and where it is from."""

    def __init__(self, what: str, document: Any, source: Source) -> None:
        self.what, self.source = what, source
        self.document = self.mapping(document, "the document")
        version, kind = self.document.get("format_version"), self.document.get("network_type")
        if version != VERSION:
            raise FileError(f"{what}: format_version is {brief(version)}: {brief(VERSION)} is read")
        if kind != "feedforward":
            raise FileError(f"{what}: network_type is {brief(kind)}: only 'feedforward' is one without cycles")

    def network(self, of_outputs: Any) -> Network:
        topology = self.mapping(self.document.get("topology"), "topology")
        inputs = [self.integer(k, "topology.input_keys") for k in self.rows(topology, "input_keys")]
        outputs = [self.integer(k, "topology.output_keys") for k in self.rows(topology, "output_keys")]
        nodes = self.nodes(inputs)
        ids = [*inputs, *nodes]
        index = dict(zip(ids, range(len(ids)), strict=True))
        if len(index) < len(ids) or len(set(outputs)) < len(outputs):
            raise FileError(f"{self.what}: an input or output key comes twice")
        for key in outputs:
            if key not in index:
                raise UnknownNameError(f"{self.what}: output {key} is no node{suggest(key, index)}")
        edges = self.connections(index)
        fed = {v for _, v in edges}
        if of_outputs is not None:
            nodes |= {k: (of_outputs, *nodes[k][1:]) for k in outputs if k in nodes}
        bias = {k: b + r * (agg == "product" and index[k] not in fed) for k, (_, agg, b, r) in nodes.items()}
        none = [None] * len(inputs)
        ends = np.array(list(edges), np.int32).reshape(-1, 2)
        metadata = self.mapping(self.document.get("metadata", {}), "metadata")
        return Network.from_columns(
            Columns.of(
                ids,
                np.arange(len(inputs)),
                [index[k] for k in outputs],
                ends[:, 0].copy(),
                ends[:, 1].copy(),
                encode("activations", [*none, *(n[0] for n in nodes.values())], ids),
                encode("aggregations", [*none, *(n[1] for n in nodes.values())], ids),
                bias=[*np.zeros(len(inputs)), *bias.values()],
                response=[*np.ones(len(inputs)), *(n[3] for n in nodes.values())],
                weight=list(edges.values()),
                graph_extra={"neat": dict(metadata)} if metadata else {},
            )
        )

    def nodes(self, inputs: list[int]) -> dict[int, tuple[Any, str, float, float]]:
        """Activation, aggregation, bias and response by key, inputs left out."""
        found: dict[int, tuple[Any, str, float, float]] = {}
        for k, entry in enumerate(self.rows(self.document, "nodes")):
            place = f"nodes[{k}]"
            node = self.mapping(entry, place)
            key = self.integer(node.get("id"), f"{place}.id")
            if key in inputs:
                continue
            if key in found:
                raise FileError(f"{self.what}: {place}: node {key} is given twice")
            activation = self.function(node.get("activation"), ACTIVATIONS, "activations", f"{place}.activation")
            aggregation = self.function(node.get("aggregation"), AGGREGATIONS, "aggregations", f"{place}.aggregation")
            bias, response = (self.number(node.get(name), f"{place}.{name}") for name in ("bias", "response"))
            found[key] = activation, aggregation, bias, response
        return found

    def connections(self, index: Mapping[int, int]) -> dict[tuple[int, int], float]:
        """Weights of the enabled connections, by rows."""
        edges: dict[tuple[int, int], float] = {}
        for k, entry in enumerate(self.rows(self.document, "connections")):
            place = f"connections[{k}]"
            link = self.mapping(entry, place)
            enabled = link.get("enabled")
            if not isinstance(enabled, bool):
                raise FileError(f"{self.what}: {place}.enabled is {brief(enabled)}: must be true or false")
            u, v = (self.integer(link.get(end), f"{place}.{end}") for end in ("from", "to"))
            for end in (u, v):
                if end not in index:
                    raise UnknownNameError(f"{self.what}: {place}: {end} is no node{suggest(end, index)}")
            weight = self.number(link.get("weight"), f"{place}.weight")
            if not enabled:
                continue
            if (index[u], index[v]) in edges:
                raise FileError(f"{self.what}: {place}: connection {u} → {v} is given twice")
            edges[index[u], index[v]] = weight
        return edges

    def function(self, entry: Any, known: Mapping[str, str], kind: str, place: str) -> Any:
        """Our function for theirs; one that is marked custom is the user's own."""
        given = self.mapping(entry, place)
        name, custom = given.get("name"), given.get("custom", False)
        if not isinstance(name, str) or not isinstance(custom, bool):
            raise FileError(f"{self.what}: {place} is {brief(entry)}: must have a name, and custom true or false")
        if custom:
            return self.source.function(kind, name)
        if name not in known:
            raise UnknownNameError(f"{self.what}: {place}: neat-python has no {brief(name)}{suggest(name, known)}")
        return known[name]

    def mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise FileError(f"{self.what}: {place} is {brief(value)}: must be an object")
        return value

    def rows(self, holder: Mapping[str, Any], key: str) -> list[Any]:
        value = holder.get(key)
        if not isinstance(value, list):
            raise FileError(f"{self.what}: {key} is {brief(value)}: must be a list")
        return value

    def integer(self, value: Any, place: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise FileError(f"{self.what}: {place} is {brief(value)}: must be a whole number")
        return value

    def number(self, value: Any, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            raise FileError(f"{self.what}: {place} is {brief(value)}: must be a finite number")
        return float(value)


def write(net: Network, path: Path) -> Mapping[str, bytes]:
    """Every node and edge, with the weights as they stand; what neat-python said of the network is kept.

    Raises:
        GraphError: an id that is no whole number, a function that neat-python does not have.
    """
    c = net.columns
    for name in c.ids:
        if type(name) is not int:
            raise GraphError(f"node {brief(name)} is a {type(name).__name__}: neat-python numbers its nodes")
    fan_in = np.bincount(c.target, minlength=c.n_nodes)
    nodes = []
    outputs = set(c.outputs.tolist())
    for row, name in enumerate(c.ids):
        if c.activation[row] < 0:
            functions, bias, kind = ("identity", "none"), 0.0, "input"
        else:
            activation, aggregation = c.activations[c.activation[row]], c.aggregations[c.aggregation[row]]
            functions = _theirs(ACTIVATIONS, activation, name), _theirs(AGGREGATIONS, aggregation, name)
            bias = float(c.bias[row])
            if functions[1] == "product" and not fan_in[row]:
                functions, bias = _empty_product(functions[0], bias, float(c.response[row]))
            kind = "output" if row in outputs else "hidden"
        node: dict[str, Any] = {"id": name, "type": kind}
        for label, function in zip(("activation", "aggregation"), functions, strict=True):
            node[label] = {"name": function, "custom": False}
        nodes.append(node | {"bias": bias, "response": float(c.response[row])})
    links = zip(c.source.tolist(), c.target.tolist(), c.weights.tolist(), strict=True)
    document = {
        "format_version": VERSION,
        "network_type": "feedforward",
        "metadata": c.graph_extra.get("neat", {}),
        "topology": {
            "num_inputs": len(net.inputs),
            "num_outputs": len(net.outputs),
            "input_keys": list(net.inputs),
            "output_keys": list(net.outputs),
        },
        "nodes": nodes,
        "connections": [{"from": c.ids[u], "to": c.ids[v], "weight": w, "enabled": True} for u, v, w in links],
    }
    return {path.name: (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()}


def _empty_product(activation: str, bias: float, response: float) -> tuple[tuple[str, str], float]:
    """What neat-python takes for a product of nothing, which is 1 there: that 1 off the bias where nothing is
    rounded, else a sum, which is the same neuron."""
    if (bias - response) + response == bias:
        return (activation, "product"), bias - response
    return (activation, "sum"), bias


def _theirs(known: Mapping[str, str], function: Any, node: Any) -> str:
    """neat-python's name of one of our functions."""
    for theirs, ours in known.items():
        if ours == function.name:
            return theirs
    raise GraphError(
        f"neuron {brief(node)}: neat-python has no function {function.name!r}{suggest(function.name, known)}"
    )


# ---- genomes as neat-python has them ------------------------------------------------------------------------


def population(genomes: Iterable[Any], config: Any) -> Network:
    """One network of all genomes, as `fg.union` of theirs: shared inputs keep their keys, node `id` of genome k is (k, id).

    As in neat-python's `FeedForwardNetwork.create`, disabled connections and nodes that reach no output are left out,
    and a node that nothing feeds gives activation(bias). `program.theta_slices[k]` are the slots of genome k.

    Args:
        genomes: neat-python's genomes, its pairs (id, genome), or its dict of them.
        config: neat-python's Config, of which the input and output keys are read.

    Raises:
        DataError: no genomes, or something that is none.
        GraphError: a connection or output without a node gene, a number that is not finite.
        CycleError: a genome that is not feed-forward.
        UnknownNameError: a function that neat-python does not have.
    """
    inputs, outputs = (list(getattr(config.genome_config, f"{end}_keys")) for end in ("input", "output"))
    every = _genomes(genomes)
    links = [[gene for gene in g.connections.values() if gene.enabled] for g in every]
    part = np.repeat(np.arange(len(every)), [len(g.nodes) for g in every])
    key = np.array([k for g in every for k in g.nodes], np.int64)
    ends = np.array([gene.key for some in links for gene in some], np.int64).reshape(-1, 2)
    of_edge = np.repeat(np.arange(len(every)), list(map(len, links)))
    rows = _Rows(inputs, part, key)
    source, target = (rows.find(of_edge, ends[:, end]) for end in (0, 1))
    output_rows = rows.find(np.repeat(np.arange(len(every)), len(outputs)), np.tile(outputs, len(every)))
    I, V = len(inputs), len(inputs) + len(key)
    wanted = upstream(output_rows, offsets(target, V), source[grouped(target, V)])
    wanted[:I] = True
    new, kept = np.cumsum(wanted) - 1, wanted[target]
    chosen = np.flatnonzero(wanted[I:])
    genes = [gene for g in every for gene in g.nodes.values()]
    genes = [genes[k] for k in chosen.tolist()]
    part, key = part[chosen], key[chosen]
    ids = [*inputs, *zip(part.tolist(), key.tolist(), strict=True)]
    products = np.array([gene.aggregation == "product" for gene in genes], np.bool_)
    bias, response = (
        numbers([getattr(gene, name) for gene in genes], name, lambda row: f"node {ids[I + row]}")
        for name in ("bias", "response")
    )
    fed = np.bincount(new[target[kept]], minlength=len(ids))[I:] > 0
    source, target = new[source[kept]], new[target[kept]]
    weight = numbers([gene.weight for some in links for gene in some], "weight", lambda row: f"connection {ends[row]}")
    c = Columns.of(
        ids,
        np.arange(I),
        new[output_rows],
        source,
        target,
        _coded(ACTIVATIONS, "activations", [gene.activation for gene in genes], I),
        _coded(AGGREGATIONS, "aggregations", [gene.aggregation for gene in genes], I),
        weight=weight[kept],
        bias=np.concatenate([np.zeros(I), bias + response * (products & ~fed)]),
        response=np.concatenate([np.ones(I), response]),
        part=np.concatenate([np.full(I, -1), part]).astype(np.int32),
    )
    place = np.zeros(len(ids), np.int64)
    place[I + np.lexsort((key, c.level[I:], part))] = np.arange(len(key))
    return Network.from_columns(replace(c, place=place, known_level=c.level))


def write_back(net: Network, genomes: Iterable[Any]) -> None:
    """Write the weights and biases of a network that `population` made, trained perhaps, into the same genomes.

    Raises:
        DataError: these are not the genomes that the network was made of.
    """
    every, c = _genomes(genomes), net.columns
    if c.part is None or int(c.part.max()) >= len(every):
        raise DataError(f"write_back wants the genomes of the network, and {len(every):,} are given")
    part, fed = c.part.tolist(), np.bincount(c.target, minlength=c.n_nodes) > 0
    product = np.array([a.name == "product" for a in c.aggregations] + [False])[c.aggregation] & ~fed
    bias = c.bias - c.response * product
    key = [name if k < 0 else name[1] for k, name in zip(part, c.ids, strict=True)]  # type: ignore[index]
    try:
        nodes = [None if k < 0 else every[k].nodes[v] for k, v in zip(part, key, strict=True)]
        links = zip(c.source.tolist(), c.target.tolist(), strict=True)
        edges = [every[part[v]].connections[key[u], key[v]] for u, v in links]
    except KeyError as error:
        raise DataError(f"write_back: a genome has no gene {brief(error.args[0])}: give those of the network") from None
    for node, b in zip(nodes, bias.tolist(), strict=True):
        if node is not None:
            node.bias = b
    for edge, w in zip(edges, c.weights.tolist(), strict=True):
        edge.weight = w


def _genomes(given: Any) -> list[Any]:
    """The genomes alone, of whatever neat-python holds them in."""
    every = list(given.values() if isinstance(given, Mapping) else given)
    every = [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in every]
    if not every:
        raise DataError("a population needs one genome or more")
    for k, one in enumerate(every):
        if not hasattr(one, "connections") or not hasattr(one, "nodes"):
            raise DataError(f"genome {k} is {brief(one)}: must be one of neat-python, with nodes and connections")
    return every


class _Rows:
    """Rows of nodes by genome and key: the shared inputs first, then the genomes' nodes."""

    def __init__(self, inputs: list[int], part: Any, key: Any) -> None:
        self.inputs, self.part, self.key = np.array(inputs, np.int64), part, key
        both = np.concatenate([self.inputs, key])
        self.least, self.span = int(both.min()), int(np.ptp(both)) + 1
        code = part * self.span + (key - self.least)
        self.order = np.argsort(code, kind="stable")
        self.code = code[self.order]

    def find(self, part: Any, key: Any) -> Any:
        """(n,) int64: the row of each; GraphError where a genome has no such node."""
        by_input = np.argsort(self.inputs)
        near = by_input[np.searchsorted(self.inputs[by_input], key).clip(max=len(by_input) - 1)]
        shared = self.inputs[near] == key
        code = part * self.span + (key - self.least)
        at = np.searchsorted(self.code, code).clip(max=len(self.code) - 1)
        within = (key >= self.least) & (key < self.least + self.span)
        lost = np.flatnonzero(~shared & ((self.code[at] != code) | ~within))
        if len(lost):
            raise GraphError(f"genome {part[lost[0]]}: {key[lost[0]]} is neither an input nor has it a node gene")
        return np.where(shared, near, len(self.inputs) + self.order[at])


def _coded(known: Mapping[str, str], kind: str, given: list[Any], n_inputs: int) -> Any:
    """Codes, inputs first, and table of neat-python's functions."""
    code = {name: k for k, name in enumerate(dict.fromkeys(given))}
    for name in code:
        if name not in known:
            raise UnknownNameError(f"neat-python has no {kind[:-1]} {brief(name)}{suggest(str(name), known)}")
    codes, table = encode(kind, [known[name] for name in code], list(code))
    return np.concatenate([np.full(n_inputs, -1), codes[[code[name] for name in given]]]), table


entry = Format(
    name="neat",
    suffixes=(".neat.json",),
    summary="neat-python's JSON 1.0 of feed-forward networks",
    read=read,
    write=write,
    keeps="functions",
)
