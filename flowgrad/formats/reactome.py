"""Read Reactome's pathway hierarchy: `parent<TAB>child`, without a header, all species in one file.

The signal runs from child to parent: the most specific pathways are the inputs, the roots the outputs. A stable
identifier has the form `R-<species>-<number>`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Literal

from flowgrad.errors import FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import table
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network


def read(
    source: Source,
    *,
    species: str | None = "HSA",
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "identity",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read the network of pathways of one species.

    Args:
        species: three letters, as in `R-HSA-109581`; None reads the pathways of all species.
        duplicates: for several lines between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: whether lines from a node to itself are skipped; otherwise they raise FileError.
        inputs, outputs: ids of the inputs and outputs, in order; None takes the nodes without children, and those
            without parents.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: a line does not consist of two stable identifiers of one species.
        UnknownNameError: there is no pathway of this species (the message suggests the nearest), or no such node.
        GraphError, CycleError: the lines do not form a valid network.
    """
    what = str(source.path)
    rows, place = table(source.read(), what, "\t")
    kept: list[int] = []
    found: dict[str, None] = {}
    for k, fields in enumerate(rows):
        kinds = {_species(name) for name in fields}
        if len(fields) != 2 or len(kinds) != 1 or None in kinds:
            raise FileError(f"{place(k)}: {brief(fields)} is not a parent and a child of one species, as R-HSA-109581")
        (kind,) = kinds
        found[str(kind)] = None
        if species is None or kind == species:
            kept.append(k)
    if not kept:
        raise UnknownNameError(f"{what} has no pathway of species {brief(species)}{suggest(species, found)}")
    parent, child = zip(*(rows[k] for k in kept), strict=True)
    return network(
        child,
        parent,
        lambda row: place(kept[row]),
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


def _species(name: str) -> str | None:
    parts = name.split("-")
    known = len(parts) >= 3 and parts[0] == "R" and len(parts[1]) == 3 and parts[1].isalpha() and parts[2].isdigit()
    return parts[1] if known else None


entry = Format(
    name="reactome",
    suffixes=(),
    summary="Reactome's pathway hierarchy: parent<TAB>child, one species of it",
    read=read,
    example=b"R-HSA-1\tR-HSA-2\nR-HSA-1\tR-HSA-3\nR-BTA-1\tR-BTA-2\n",
)
