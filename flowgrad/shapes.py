"""Networks of a named topology, sized for the columns of a data set, with inputs and outputs named after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any

import numpy as np

from flowgrad import topologies
from flowgrad.arguments import repeated
from flowgrad.errors import ConfigError, GraphError, brief
from flowgrad.network import Network
from flowgrad.registry import find

KEYS = ("hidden", "skips", "n", "k", "m", "p")
"""Options of topologies besides their size, activations, initializer and seed."""


def takes(shape: str) -> dict[str, bool]:
    """List the options among `KEYS` that a topology takes: name → whether it is required.

    Raises:
        UnknownNameError: there is no such topology.
        ConfigError: it does not take numbers of inputs and outputs.
    """
    if shape == "layered":
        return {"hidden": False, "skips": False}
    parameters = signature(find("topologies", shape)).parameters
    if not {"n_inputs", "n_outputs"} <= set(parameters):
        raise ConfigError(
            f"network.topology = {brief(shape)}: it does not take the data's numbers of inputs and outputs"
        )
    return {key: parameters[key].default is Parameter.empty for key in KEYS if key in parameters}


def shaped(shape: str, options: Mapping[str, Any], inputs: Sequence[str], outputs: Sequence[str]) -> Network:
    """Make a network of a topology with these inputs and outputs; hidden neurons are h1, h2, … in canonical order.

    Args:
        shape: name of a topology in the registry.
        options: all `KEYS`, None where not given, and `activation`, `output_activation`, `seed`, `initializer`.

    Raises:
        ConfigError: an option is missing.
        GraphError: as `renamed`.
    """
    common = {name: options[name] for name in ("activation", "output_activation", "seed", "initializer")}
    if shape == "layered":
        sizes = [len(inputs), *(options["hidden"] or []), len(outputs)]
        return renamed(topologies.layered(sizes, skips=options["skips"] or 0, **common), inputs, outputs)
    known = takes(shape)
    for name, needed in known.items():
        if needed and options[name] is None:
            raise ConfigError(f"network.{name} is missing: topology {brief(shape)} takes {', '.join(known)}")
    sized = {name: options[name] for name in known if options[name] is not None}
    make = find("topologies", shape)
    return renamed(make(**sized, n_inputs=len(inputs), n_outputs=len(outputs), **common), inputs, outputs)


def with_outputs(network: Network, activation: str) -> Network:
    """Replace the activation of all outputs that are neurons; returns a new network."""
    c, record = network.columns, find("activations", activation)
    known = c.activations if record in c.activations else (*c.activations, record)
    codes = c.activation.copy()
    codes[c.outputs[~c.is_input[c.outputs]]] = known.index(record)
    return Network.from_columns(replace(c, activation=codes, activations=known))


def renamed(network: Network, inputs: Sequence[str], outputs: Sequence[str]) -> Network:
    """Rename inputs and outputs; hidden neurons become h1, h2, … in canonical order. Returns a new network.

    Raises:
        GraphError: an input and an output, or a hidden neuron, would share a name.
    """
    c = network.columns
    ends = {**dict(zip(c.inputs.tolist(), inputs, strict=True)), **dict(zip(c.outputs.tolist(), outputs, strict=True))}
    hidden = [row for row in c.order.tolist() if row not in ends]
    names = ends | {row: f"h{k}" for k, row in enumerate(hidden, start=1)}
    ids = [names[row] for row in range(c.n_nodes)]
    twice = repeated(ids)
    if twice is not None:
        raise GraphError(f"two nodes would be called {brief(twice)}: rename the column")
    weights = np.array(c.weights)  # drawn before the ids change, so that weights do not depend on names
    return Network.from_columns(replace(c, ids=ids, weight=weights))
