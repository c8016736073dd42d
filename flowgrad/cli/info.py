"""`flowgrad info`: describe the network in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

import flowgrad as fg
from flowgrad.cli import _options
from flowgrad.cli._console import table
from flowgrad.cli._opened import open_network
from flowgrad.errors import listing
from flowgrad.inspection import network_facts
from flowgrad.runs.models import weights_of


def entry(
    network: _options.Network,
    read_as: _options.ReadAs = None,
    option: _options.Reading = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Number of entries of a list to show.")] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as one line of JSON.")] = False,
) -> None:
    """Describe a network: size, depth, levels, fan-in, functions, parameters, dead neurons, dense blocks."""
    net = open_network(network, read_as=read_as, option=option, quiet=as_json).network
    moment = weights_of(network) if network.is_dir() else None
    if as_json:
        found = network_facts(net) | ({} if moment is None else {"weights_of": moment})
        print(json.dumps(found | {key: list(map(repr, found[key])) for key in ("dead", "constant")}))
        return
    table(("", ""), [*facts(net, top).items(), *(() if moment is None else [("weights of", moment)])])


def facts(net: fg.Network, top: int = 12) -> Mapping[str, str]:
    """Collect the lines that the command prints, by name; of lists the first `top` entries."""
    f = network_facts(net)
    neurons = {size: n - (f["inputs"] if size == 0 else 0) for size, n in f["fan_in"].items()}
    share = f"{f['block_edges'] / f['edges']:.0%} of the edges" if f["edges"] else ""
    return {
        "nodes": f"{f['nodes']:,}: {f['inputs']:,} inputs, {f['neurons']:,} neurons",
        "edges": f"{f['edges']:,}, {f['skip_edges']:,} of them skip a level",
        "depth": f"{f['depth']:,}",
        "neurons a level": _counts(f["nodes_per_level"], top),
        "fan-in": _histogram({size: n for size, n in neurons.items() if n}, top),
        "fan-out": _histogram(f["fan_out"], top),
        "sources, sinks": f"{f['sources']:,}, {f['sinks']:,}",
        "parts not connected": f"{f['weak_components']:,}",
        "activations": _used(f["activations"]),
        "aggregations": _used(f["aggregations"]),
        "parameters": f"{f['parameters']:,}: {f['weights']:,} weights, {f['biases']:,} biases",
        "frozen": f"{f['frozen_weights']:,} weights, {f['frozen_biases']:,} biases",
        "shared weights": f"{f['shared_edges']:,} edges under {f['shared_weights']:,} names",
        "dense blocks": _blocks(f["blocks"]) + (f": {share}" if f["blocks"] else ""),
        "dead: no output depends on them": _some(f["dead"], top),
        "constant: they depend on no input": _some(f["constant"], top),
    }


def _some(ids: Sequence[Any], most: int) -> str:
    return f"{len(ids):,} neurons" + (f": {listing(ids, limit=most)}" if ids else "")


def _counts(values: list[int], most: int) -> str:
    said = ", ".join(f"{n:,}" for n in values[:most])
    return said + (f", … ({len(values)} levels)" if len(values) > most else "")


def _histogram(counts: Mapping[int, int], most: int) -> str:
    said = [f"{n:,} × {size:,}" for size, n in counts.items()]
    return ", ".join(said[:most]) + (f", … up to {max(counts):,}" if len(said) > most else "")


def _used(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _blocks(blocks: Sequence[Mapping[str, int]], most: int = 3) -> str:
    if not blocks:
        return "none"
    said = ", ".join(f"{b['neurons']:,} × {b['fan_in']:,}" for b in blocks[:most])
    return f"{len(blocks):,} ({said}{', …' if len(blocks) > most else ''})"
