"""Read DrugCell's ontology: `parent child default` between terms, `term gene gene` from a term to a gene it annotates.

A line has three fields, separated by tabs (or by blanks, if the file has no tab). The signal runs gene → term → parent.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Literal

from flowgrad.errors import FileError, brief
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import table
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network

KINDS = ("default", "gene")


def read(
    source: Source,
    *,
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    outputs: Iterable[Hashable] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "tanh",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read a network whose inputs are the genes, in order of first mention, as `gene:<name>`; terms keep their names.

    The activation of outputs is tanh, as in DrugCell; `output_activation="identity"` gives linear outputs, which the
    losses cross_entropy, binary_cross_entropy and poisson require.

    Args:
        duplicates: for several edges between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: whether edges from a node to itself are skipped; otherwise they raise FileError.
        outputs: ids of the outputs, in order; None takes the terms that have no parent.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: a line is not `parent child default|gene` (the message names it), or the file annotates no gene.
        UnknownNameError: an output is not a node. GraphError, CycleError: the edges do not form a valid network.
    """
    what = str(source.path)
    data = source.read()
    rows, place = table(data, what, "\t" if b"\t" in data else " ")
    sources, targets = [], []
    genes: dict[Hashable, None] = {}
    for k, fields in enumerate(rows):
        if len(fields) != 3 or fields[2] not in KINDS:
            raise FileError(f"{place(k)}: {brief(fields)} is not parent, child and one of {', '.join(KINDS)}")
        parent, child, kind = fields
        if kind == "gene":
            child = f"gene:{child}"
            genes[child] = None
        sources.append(child)
        targets.append(parent)
    if not genes:
        raise FileError(f"{what} annotates no gene: no line ends in 'gene'")
    return network(
        sources,
        targets,
        place,
        nodes=genes,
        inputs=genes,
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


entry = Format(
    name="drugcell",
    suffixes=(),
    summary="DrugCell's ontology: parent, child, default or gene",
    read=read,
    example=b"top\tmid\tdefault\nmid\tA\tgene\ntop\tB\tgene\nmid\tB\tgene\n",
)
