"""Gene sets as MSigDB and Enrichr give them: a set a line, `name<TAB>description<TAB>gene<TAB>gene …`.

Genes are inputs, sets the neurons that they feed and the outputs. A gene in several sets is one input.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from flowgrad.columns import ABSENT
from flowgrad.errors import FileError
from flowgrad.format import Format, Source
from flowgrad.formats._edges import network, text
from flowgrad.network import Network


def read(source: Source, *, activation: Any = "tanh", output_activation: Any = None, seed: int = 0) -> Network:
    """Genes in the order of first mention, then sets in the order of lines, the description as an attribute.

    Sets are the outputs: `output_activation` says what they apply, and without it `activation`.

    Raises:
        FileError: a line without genes, an empty name, a set given twice or named as a gene is, a gene twice in one
            set; with its line.
    """
    what = str(source.path)
    sets: dict[Hashable, tuple[int, str]] = {}
    genes: dict[Hashable, int] = {}
    sources, targets, lines = [], [], []
    for number, line in enumerate(text(source.read(), what).split("\n"), 1):
        if not line.strip():
            continue
        name, *rest = line.removesuffix("\r").rstrip("\t").split("\t")
        if len(rest) < 2 or not name:
            raise FileError(f"{what}, line {number}: must be a name, a description and genes, with tabs between")
        if name in sets:
            raise FileError(f"{what}, line {number}: set {name!r} was given in line {sets[name][0]}")
        sets[name] = number, rest[0]
        for gene in rest[1:]:
            genes.setdefault(gene, number)
            sources.append(gene)
            targets.append(name)
            lines.append(number)
    for clash in [name for name in sets if name in genes]:
        raise FileError(f"{what}, line {sets[clash][0]}: set {clash!r} is also a gene, in line {genes[clash]}")

    def descriptions(ids: Sequence[Hashable]) -> dict[str, list[Any]]:
        return {"description": [sets[name][1] if name in sets else ABSENT for name in ids]}

    return network(
        sources,
        targets,
        lambda row: f"{what}, line {lines[row]}",
        nodes=[*genes, *sets],
        inputs=genes,
        outputs=list(sets),
        output_activation=activation if output_activation is None else output_activation,
        seed=seed,
        node_extra=descriptions,
    )


entry = Format(
    name="gmt",
    suffixes=(".gmt",),
    summary="gene sets: name, description, genes, with tabs between",
    read=read,
    example=b"SET_1\tthe first\tTP53\tMYC\nSET_2\tna\tMYC\tKRAS\tEGFR\n",
)
