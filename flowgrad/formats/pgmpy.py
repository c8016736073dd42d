"""Read linear Gaussian networks as pgmpy and bnlearn write them in JSON: nodes, arcs, and a regression for each node.

The mean of a node is its intercept plus Σ coefficient · parent: a linear neuron. A node without parents is an
input, and keeps its intercept as the attribute `intercept`; every node keeps its `variance` as an attribute.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import networkx as nx

from flowgrad.errors import FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._strict import parse
from flowgrad.network import Network

INTERCEPT = "(Intercept)"


def read(source: Source) -> Network:
    """Read a linear Gaussian network: nodes without parents are inputs, other nodes without children are outputs.

    Raises:
        FileError: the file is not such JSON, a node has no regression, or arcs and coefficients do not correspond.
        UnknownNameError: a name is not a node; the message suggests the nearest name.
        GraphError, CycleError: the nodes do not form a valid network.
    """
    what = str(source.path)
    document = _mapping(parse(source.read(), what), f"{what}: the document")
    nodes, arcs, cpds = (document.get(key) for key in ("nodes", "arcs", "cpds"))
    if not isinstance(nodes, list) or not all(isinstance(n, str) and n for n in nodes) or len(set(nodes)) < len(nodes):
        raise FileError(f"{what}: nodes must be a list of names, each once")
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    for k, arc in enumerate(arcs if isinstance(arcs, list) else [arcs]):
        if not isinstance(arc, list) or len(arc) != 2 or not all(isinstance(end, str) for end in arc):
            raise FileError(f"{what}: arcs[{k}] is {brief(arc)}: must be [from, to]")
        for end in arc:
            if end not in graph:
                raise UnknownNameError(f"{what}: arcs[{k}]: {brief(end)} is no node{suggest(end, nodes)}")
        if graph.has_edge(*arc):
            raise FileError(f"{what}: arcs[{k}]: {brief(arc[0])} → {brief(arc[1])} is given twice")
        graph.add_edge(*arc)
    regressions = _mapping(cpds, f"{what}: cpds")
    for name in regressions:
        if name not in graph:
            raise UnknownNameError(f"{what}: cpds has {brief(name)}, which is no node{suggest(name, nodes)}")
    for name in nodes:
        _regress(graph, name, _mapping(regressions.get(name), f"{what}: cpds[{name!r}]"), f"{what}: cpds[{name!r}]")
    return Network.from_networkx(graph)


def _regress(graph: nx.DiGraph[Any], name: str, cpd: Mapping[str, Any], place: str) -> None:
    """Check the regression of one node, and add it to the graph."""
    coefficients = {
        key: _number(value, f"{place}.coefficients[{key!r}]")
        for key, value in _mapping(cpd.get("coefficients"), f"{place}.coefficients").items()
    }
    if INTERCEPT not in coefficients:
        raise FileError(f"{place}.coefficients has no {brief(INTERCEPT)}")
    intercept = coefficients.pop(INTERCEPT)
    parents = set(graph.pred[name])
    if set(coefficients) != parents:
        odd = sorted(set(coefficients) ^ parents)[0]
        lacks = "no arc" if odd in coefficients else "no coefficient"
        raise FileError(f"{place}: there is {lacks} for parent {brief(odd)}")
    regress(graph, name, intercept, coefficients, _number(cpd.get("variance"), f"{place}.variance"))


def regress(
    graph: nx.DiGraph[Any], name: str, intercept: float, coefficients: Mapping[str, float], variance: float
) -> None:
    """Add a node's regression to the graph: E[node] = intercept + Σ coefficient · parent, and its variance."""
    graph.nodes[name]["variance"] = variance
    if coefficients:
        graph.nodes[name].update(bias=intercept, activation="identity")
    else:
        graph.nodes[name]["intercept"] = intercept
    for parent, weight in coefficients.items():
        graph.add_edge(parent, name, weight=weight)


def _mapping(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FileError(f"{place} is {brief(value)}: must be an object")
    return value


def _number(value: Any, place: str) -> float:
    """Return a finite number, which may be the only entry of a list."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise FileError(f"{place} is {brief(value)}: must be one finite number")
    return float(value)


EXAMPLE = b"""{"nodes": ["a", "b"], "arcs": [["a", "b"]], "cpds": {
"a": {"coefficients": {"(Intercept)": [1.5]}, "variance": [2.0], "parents": []},
"b": {"coefficients": {"(Intercept)": [0.5], "a": [-2.0]}, "variance": [1.0], "parents": ["a"]}}}
"""

entry = Format(
    name="pgmpy",
    suffixes=(),
    summary="linear Gaussian networks of pgmpy and bnlearn, in JSON",
    read=read,
    example=EXAMPLE,
)
