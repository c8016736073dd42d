"""Read DrugCell's ontology: `parent child default` between terms, `term gene gene` from a term to a gene it annotates.

Three fields a line, separated by tabs (or blanks where there are none). The signal runs gene → term → parent.
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
    """Read a network whose inputs are the genes, by first mention, as `gene:<name>`; terms keep their names.

    Outputs are tanh as DrugCell's; `output_activation="identity"` gives linear outputs, which
    cross_entropy, binary_cross_entropy and poisson require.

    Args:
        duplicates: for lines between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: leaves out lines from a node to itself.

    Raises:
        FileError: a line that is not `parent child default|gene`, with its number.
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
