"""Read gene sets as MSigDB and Enrichr provide them: one set per line, `name<TAB>description<TAB>gene<TAB>gene …`.

Genes are the inputs; sets are the neurons that they feed, and the outputs. A gene in several sets is one input. If
every gene of the file has the form `gene,number`, as in older libraries of Enrichr, the number is the edge's attribute
`membership`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from flowgrad.columns import ABSENT
from flowgrad.errors import FileError, FileWarning, brief
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import COMMENT, text
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network

MEMBER = re.compile(r"(.+),([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
Notes = dict[str, list[str]]
"""Kind of ignored entries → their places in the file, for a warning."""


def read(
    source: Source,
    *,
    duplicates: Literal["error", "first", "union"] = "error",
    set_prefix: str = "",
    activation: Function | None = None,
    output_activation: Function | None = None,
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read genes in order of first mention, then sets in the order of lines, with their descriptions as an attribute.

    Redundant entries are ignored, with one warning: a gene that is repeated in its set, a set that is repeated with the
    same genes, a field without a gene, a set without genes. Blanks around names and tabs at the end of a line are
    stripped. A line that begins with "#" and has no tab is a comment.

    Args:
        duplicates: for two lines of one set with different genes: "first" keeps the first, "union" the genes of both,
            "error" raises FileError.
        set_prefix: prefix for the name of every set, such as "set:" if a set and a gene have the same name.
        activation, output_activation: activation of the sets, which are neurons and outputs at once, a name or an
            Activation; output_activation takes precedence. Default: "identity".
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: a line is not a set, a set is given twice with different genes or has the name of a gene, or a gene
            has two memberships in one set; the message names the line.

    Warns:
        FileWarning: entries were ignored.
    """
    what, notes = str(source.path), Notes()
    sets: dict[Hashable, _Set] = {}
    for one in _sets(text(source.read(), what), what, notes):
        name = set_prefix + one.name
        if name in sets:
            _fold(sets[name], one, duplicates, what, notes)
        else:
            sets[name] = one
    genes: dict[Hashable, int] = {}
    for one in sets.values():
        for gene in one.genes:
            genes.setdefault(gene, one.line)
    for clash in [name for name in sets if name in genes]:
        said = f"set {clash!r:.150} is also a gene, in line {genes[clash]}"
        raise FileError(f"{what}, line {sets[clash].line}: {said} (set_prefix='set:' tells them apart)")
    if notes:
        said = "; ".join(f"{kind}: {len(places):,}, first in {places[0]}" for kind, places in notes.items())
        warnings.warn(f"{what}: {said}", FileWarning, stacklevel=3)
    function = output_activation or activation or "identity"
    return _network(sets, genes, what, output_activation=function, seed=seed, initializer=initializer)


@dataclass
class _Set:
    """Hold a line: its number, name and description, and gene → membership, None where the file gives none."""

    line: int
    name: str
    description: str
    genes: dict[str, float | None] = field(default_factory=dict)


def _sets(content: str, what: str, notes: Notes) -> Iterator[_Set]:
    """Yield the sets that have genes, each gene of a set once."""
    numbered = enumerate(re.split(r"\r\n|\r|\n", content), 1)
    lines = [(k, line) for k, line in numbered if line.strip() and ("\t" in line or not line.startswith(COMMENT))]
    rows = [[part.strip() for part in line.rstrip("\t").split("\t")] for _, line in lines]
    named = [part for row in rows for part in row[2:] if part]
    weighted = bool(named) and all(map(MEMBER.fullmatch, named))
    for (number, line), row in zip(lines, rows, strict=True):
        place = f"line {number}"
        if not row[0] or "\t" not in line or not named:
            raise FileError(f"{what}, {place}: must be a name, a description and genes, with tabs between")
        one = _Set(number, row[0], row[1] if len(row) > 1 else "")
        for part in row[2:]:
            gene, membership = _member(part) if weighted and part else (part, None)
            if not gene:
                notes.setdefault("empty fields are skipped", []).append(place)
            elif gene not in one.genes:
                one.genes[gene] = membership
            elif one.genes[gene] == membership:
                notes.setdefault("repeated genes count once", []).append(f"{place}: {gene!r:.80}")
            else:
                raise FileError(f"{what}, {place}: gene {brief(gene)} has two memberships in one set")
        if one.genes:
            yield one
        else:
            notes.setdefault("sets without genes are left out", []).append(f"{place}: {one.name!r:.80}")


def _member(part: str) -> tuple[str, float]:
    """Split `gene,number`."""
    gene, _, number = part.rpartition(",")
    return gene.strip(), float(number)


def _fold(old: _Set, new: _Set, duplicates: str, what: str, notes: Notes) -> None:
    """Merge a repeated set into its first line, according to `duplicates`.

    Raises:
        FileError: it has different genes, and `duplicates` is "error".
    """
    place = f"line {new.line}"
    if old.genes == new.genes:
        notes.setdefault("repeated sets of the same genes count once", []).append(f"{place}: {new.name!r:.80}")
    elif duplicates == "union":
        old.genes = old.genes | {gene: m for gene, m in new.genes.items() if gene not in old.genes}
    elif duplicates != "first":
        said = f"set {new.name!r:.150} was given in line {old.line}, with other genes"
        raise FileError(f"{what}, {place}: {said} (duplicates='first' takes the first, 'union' the genes of both)")


def _network(sets: Mapping[Hashable, _Set], genes: Mapping[Hashable, int], what: str, **options: Any) -> Network:
    """Build the network: genes, then sets."""
    edges = [(gene, name, one.line, m) for name, one in sets.items() for gene, m in one.genes.items()]
    sources, targets, lines, memberships = ([edge[k] for edge in edges] for k in range(4))

    def descriptions(ids: Sequence[Hashable]) -> dict[str, list[Any]]:
        return {"description": [sets[name].description if name in sets else ABSENT for name in ids]}

    return network(
        sources,
        targets,
        lambda row: f"{what}, line {lines[row]}",
        nodes=[*genes, *sets],
        inputs=genes,
        outputs=list(sets),
        **options,
        node_extra=descriptions,
        edge_extra={"membership": memberships} if None not in memberships and memberships else None,
    )


entry = Format(
    name="gmt",
    suffixes=(".gmt",),
    summary="gene sets: name, description, genes, with tabs between",
    read=read,
    example=b"SET_1\tthe first\tTP53\tMYC\nSET_2\tna\tMYC\tKRAS\tEGFR\n",
)
