"""Convert a population of neat-python's genome objects to one network; map the names of its functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flowgrad.attributes import encode, numbers
from flowgrad.columns import Columns
from flowgrad.errors import DataError, GraphError, UnknownNameError, brief, suggest
from flowgrad.network import Network
from flowgrad.order import grouped, offsets, upstream

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


def population(genomes: Iterable[Any], config: Any) -> Network:
    """Make one network of all genomes, as `fg.union` does: inputs are shared, and node `id` of genome k is (k, id).

    As in neat-python's `FeedForwardNetwork.create`, disabled connections and nodes from which no output can be reached
    are omitted, and a node without in-edges gives activation(bias). `program.theta_slices[k]` are the slots of genome
    k.

    Args:
        genomes: neat-python's genomes, pairs (id, genome), or a mapping whose values are genomes.
        config: neat-python's Config, which gives the keys of inputs and outputs.

    Raises:
        DataError: there are no genomes, an object is not a genome, or `config` is not a Config.
        GraphError: a connection or an output has no node gene, or a number is not finite.
        CycleError: a genome is not feed-forward.
        UnknownNameError: neat-python has no such function.
    """
    every = _genomes(genomes)
    if not hasattr(config, "genome_config"):
        raise DataError(f"config is {brief(config)}: must be neat-python's Config, with a genome_config")
    inputs, outputs = (list(getattr(config.genome_config, f"{end}_keys")) for end in ("input", "output"))
    part, key, output_rows, source, target, weight, genes = _wanted(every, inputs, outputs)
    I, V = len(inputs), len(inputs) + len(key)
    ids = [*inputs, *zip(part.tolist(), key.tolist(), strict=True)]
    bias, response = (
        numbers([getattr(gene, name) for gene in genes], name, lambda row: f"node {ids[I + row]}")
        for name in ("bias", "response")
    )
    product = np.array([gene.aggregation == "product" for gene in genes], np.bool_)
    empty = product & (np.bincount(target, minlength=V)[I:] == 0)  # an empty product is 1 in neat-python, 0 here
    c = Columns.of(
        ids,
        np.arange(I),
        output_rows,
        source,
        target,
        _coded(ACTIVATIONS, "activations", [gene.activation for gene in genes], I),
        _coded(AGGREGATIONS, "aggregations", [gene.aggregation for gene in genes], I),
        weight=weight,
        bias=np.concatenate([np.zeros(I), bias + response * empty]),
        response=np.concatenate([np.ones(I), response]),
        part=np.concatenate([np.full(I, -1), part]).astype(np.int32),
    )
    place = np.zeros(V, np.int64)
    place[I + np.lexsort((key, c.level[I:], part))] = np.arange(len(key))
    return Network.from_columns(replace(c, place=place, known_level=c.level))


def _wanted(every: list[Any], inputs: list[int], outputs: list[int]) -> tuple[Any, ...]:
    """Select what leads to an output: genome and key of nodes, output rows, edges' sources, targets, weights; genes."""
    links = [[gene for gene in g.connections.values() if gene.enabled] for g in every]
    number = np.arange(len(every))
    part = np.repeat(number, [len(g.nodes) for g in every])
    key = np.array([k for g in every for k in g.nodes], np.int64)
    ends = np.array([gene.key for some in links for gene in some], np.int64).reshape(-1, 2)
    of_edge = np.repeat(number, list(map(len, links)))
    rows = Rows(inputs, part, key)
    source, target = (rows.find(of_edge, ends[:, end]) for end in (0, 1))
    output_rows = rows.find(np.repeat(number, len(outputs)), np.tile(outputs, len(every)))
    I, V = len(inputs), len(inputs) + len(key)
    wanted = upstream(output_rows, offsets(target, V), source[grouped(target, V)])
    wanted[:I] = True
    new, kept = np.cumsum(wanted) - 1, wanted[target]

    def name(row: int) -> str:
        return f"connection {tuple(ends[row].tolist())} of genome {of_edge[row]}"

    weight = numbers([gene.weight for some in links for gene in some], "weight", name)[kept]
    chosen = np.flatnonzero(wanted[I:])
    every_gene = [gene for g in every for gene in g.nodes.values()]
    genes = [every_gene[k] for k in chosen.tolist()]
    return part[chosen], key[chosen], new[output_rows], new[source[kept]], new[target[kept]], weight, genes


def write_back(net: Network, genomes: Iterable[Any]) -> None:
    """Write the weights and biases of a network, for instance after training, into the genomes it was made of.

    Args:
        net: a network made by `population`; `program.network()` returns one with the trained weights.
        genomes: the same genomes, in the same order; their genes are changed in place.

    Raises:
        DataError: these are not the genomes that the network was made of.
    """
    every, c = _genomes(genomes), net.columns
    if c.part is None or int(c.part.max()) >= len(every):
        raise DataError(f"write_back wants the genomes of the network, and {len(every):,} are given")
    part, fed = c.part.tolist(), np.bincount(c.target, minlength=c.n_nodes) > 0
    product = np.array([a.name == "product" for a in c.aggregations] + [False])[c.aggregation] & ~fed
    bias = c.bias - c.response * product
    key = [name if k < 0 else name[1] for k, name in zip(part, c.ids, strict=True)]  # type: ignore[index]  # ids of parts are pairs
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
    """Return the genomes from any of the containers that neat-python uses."""
    if not isinstance(given, Iterable):
        raise DataError(f"a population is a list of genomes, not {brief(given)}")
    every = list(given.values() if isinstance(given, Mapping) else given)
    every = [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in every]
    if not every:
        raise DataError("a population needs one genome or more")
    for k, one in enumerate(every):
        if not hasattr(one, "connections") or not hasattr(one, "nodes"):
            raise DataError(f"genome {k} is {brief(one)}: must be one of neat-python, with nodes and connections")
    return every


class Rows:
    """Look up rows of nodes by genome and key: the shared inputs first, then the genomes' nodes."""

    def __init__(self, inputs: list[int], part: Any, key: Any) -> None:
        self.inputs, self.part, self.key = np.array(inputs, np.int64), part, key
        both = np.concatenate([self.inputs, key])
        self.least, self.span = int(both.min()), int(np.ptp(both)) + 1
        code = part * self.span + (key - self.least)
        self.order = np.argsort(code, kind="stable")
        self.code = code[self.order]

    def find(self, part: Any, key: Any) -> Any:
        """Return the row of each node, (n,) int64; GraphError where a genome has no such node."""
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
    """Return codes (V,), −1 at the inputs, which come first, and the table of the neurons' functions."""
    code = {name: k for k, name in enumerate(dict.fromkeys(given))}
    for name in code:
        if name not in known:
            raise UnknownNameError(f"neat-python has no {kind[:-1]} {brief(name)}{suggest(str(name), known)}")
    codes, table = encode(kind, [known[name] for name in code], list(code))
    return np.concatenate([np.full(n_inputs, -1), codes[[code[name] for name in given]]]), table
