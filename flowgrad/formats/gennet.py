"""Read GenNet's topology: one path per row, in columns `layer0_node, layer0_name, layer1_node, layer1_name, …`.

The same integer in different layers is a different node, so ids are (layer, node); names are kept as the attribute
`name`. The last layer feeds one output neuron. Headers and names may be padded with blanks.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Any

from flowgrad.columns import ABSENT
from flowgrad.errors import FileError, brief
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import table
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network

OUTPUT = "output"


def read(
    source: Source,
    *,
    activation: Function = "tanh",
    output_activation: Function = "sigmoid",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read a network whose inputs are the nodes of layer 0, sorted by number, and whose output has the id "output".

    The activation of the output is a sigmoid, as in GenNet; `output_activation="identity"` gives a linear output, which
    the losses cross_entropy, binary_cross_entropy and poisson require.

    Args:
        activation, output_activation: activation of the hidden neurons and of the output, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: columns are missing, a number is invalid, or a node has two names; the message names the line.
    """
    what = str(source.path)
    rows, place = table(source.read(), what, ",")
    header = [name.strip().casefold() for name in rows.pop(0)]
    if not rows:
        raise FileError(f"{what} has a header and no rows")
    depth = _depth(header, what)
    names: dict[Hashable, str] = {}
    edges: dict[tuple[Hashable, Hashable], int] = {}
    for k, fields in enumerate(rows):
        path: list[Hashable] = []
        for layer in range(depth):
            number = fields[header.index(f"layer{layer}_node")].strip()
            if not number.isdecimal() or len(number) > 18:
                raise FileError(f"{place(k + 1)}: layer{layer}_node is {brief(number)}: must be an integer")
            node = (layer, int(number))
            name = fields[header.index(f"layer{layer}_name")].strip()
            if names.setdefault(node, name) != name:
                raise FileError(
                    f"{place(k + 1)}: node {number} of layer {layer} is {brief(name)}, and was {brief(names[node])}"
                )
            path.append(node)
        for edge in zip(path, [*path[1:], OUTPUT], strict=True):
            edges.setdefault(edge, k)
    sources, targets = zip(*edges, strict=True)
    first = list(edges.values())
    genes = sorted(node for node in names if isinstance(node, tuple) and node[0] == 0)

    def attributes(ids: Sequence[Hashable]) -> dict[str, list[Any]]:
        return {"name": [names.get(node, ABSENT) for node in ids]}

    return network(
        sources,
        targets,
        lambda row: place(first[row] + 1),
        nodes=genes,
        inputs=genes,
        outputs=[OUTPUT],
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
        node_extra=attributes,
    )


def _depth(header: list[str], what: str) -> int:
    """Return the number of layers in the header, each with _node and _name; other columns (chr, …) are ignored."""
    layers = {int(m[1]) for name in header if (m := re.fullmatch(r"layer(\d{1,4})_node", name))}
    if layers != set(range(len(layers))) or not layers:
        raise FileError(f"{what}, line 1: columns layer0_node, layer1_node, … must be there, without a gap")
    for layer in sorted(layers):
        if header.count(f"layer{layer}_node") != 1 or header.count(f"layer{layer}_name") != 1:
            raise FileError(f"{what}, line 1: one layer{layer}_node and one layer{layer}_name must be there")
    return len(layers)


entry = Format(
    name="gennet",
    suffixes=(),
    summary="GenNet's topology.csv: a row a path through the layers",
    read=read,
    example=b"chr,layer0_node,layer0_name ,layer1_node,layer1_name\n0,0,s0  ,0,g0 \n0,1,s1,0,g0\n1,2,s2,1,g1\n",
)
