"""Read and write neat-python's JSON 1.0 of feed-forward networks: act(bias + response · aggregation(weight · value)).

Ids are integers, negative for inputs. Disabled connections are skipped. Some of neat-python's functions differ from
flowgrad's functions of the same name by a scale or a clamp; see `flowgrad.maths.foreign`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.attributes import encode
from flowgrad.columns import Columns
from flowgrad.errors import FileError, GraphError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import text
from flowgrad.formats._genomes import ACTIVATIONS, AGGREGATIONS
from flowgrad.formats._genomes import population as population
from flowgrad.formats._genomes import write_back as write_back
from flowgrad.formats._strict import parse
from flowgrad.network import Network

VERSION = "1.0"


def read(source: Source, *, output_activation: Any = None) -> Network:
    """Read a network with all nodes of the file, also those without connections.

    An empty product is 1 in neat-python and 0 in flowgrad: in a node that aggregates by a product and has no
    connections, the response is added to the bias.

    Args:
        output_activation: activation that replaces those of the outputs, a name or an Activation. Default: those of the
            file.

    Raises:
        FileError: the file is not such JSON, has another version, a recurrent network or a value of the wrong type; the
            message names its place.
        UnknownNameError: neat-python has no such function, or a function marked as custom was not given to `load`.
        GraphError, CycleError: the nodes and connections do not form a valid network.
    """
    what = str(source.path)
    data = source.read()
    text(data, what)
    reader = _Reader(what, parse(data, what), source)
    return reader.network(output_activation)


class _Reader:
    """Read one document; `what` names the file in messages."""

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
        """Return activation, aggregation, bias and response by key, without the inputs."""
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
        """Return the weights of the enabled connections, by rows (source, target)."""
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
        """Return flowgrad's function for neat-python's; one that is marked custom is the user's own."""
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
            raise FileError(f"{self.what}: {place} is {brief(value)}: must be an integer")
        return value

    def number(self, value: Any, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
            raise FileError(f"{self.what}: {place} is {brief(value)}: must be a finite number")
        return float(value)


def write(net: Network, path: Path) -> Mapping[str, bytes]:
    """Return neat-python's JSON of a network, all nodes and weighted edges, as {file name: content}.

    Metadata of neat-python that `read` kept are written back.

    Args:
        net: the network.
        path: path of the file, which gives its name.

    Raises:
        GraphError: an id is not an integer, or neat-python has no such function.
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
    """Return functions and bias for an empty product, which is 1 in neat-python.

    The response is subtracted from the bias if nothing is rounded; otherwise a sum, which is the same neuron, is
    returned.
    """
    if (bias - response) + response == bias:
        return (activation, "product"), bias - response
    return (activation, "sum"), bias


def _theirs(known: Mapping[str, str], function: Any, node: Any) -> str:
    """Return neat-python's name of one of flowgrad's functions."""
    for theirs, ours in known.items():
        if ours == function.name:
            return theirs
    raise GraphError(
        f"neuron {brief(node)}: neat-python has no function {function.name!r}{suggest(function.name, known)}"
    )


entry = Format(
    name="neat",
    suffixes=(".neat.json",),
    summary="neat-python's JSON 1.0 of feed-forward networks",
    read=read,
    write=write,
    keeps="functions",
)
