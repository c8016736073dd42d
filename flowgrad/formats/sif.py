"""Read SIF, Cytoscape's simple interaction format: one line per source node, `node relation node node …`.

Fields are separated by tabs or, if the file has no tab, by blanks. The signal runs from the first node to each of the
others. A line of two fields is an edge without a relation, a line of one field a node without edges. The relation is
the edge's attribute `interaction`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from flowgrad.columns import ABSENT
from flowgrad.errors import FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import COMMENT, text
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network

INTERACTION = "interaction"
OTHERS = ("<", "{", "[")  # first characters of files in other formats, whose lines would be read as words


def read(
    source: Source,
    *,
    relations: Iterable[str] | None = None,
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    inputs: Iterable[Hashable] | None = None,
    outputs: Iterable[Hashable] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "identity",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read nodes in order of first mention and their edges; the weight of every edge is drawn from the seed.

    A line that begins with "#" is a comment if a space, another "#" or nothing follows, or if it has a single field.

    Args:
        relations: the relations whose edges, with their nodes, are read; None reads all edges and nodes.
        duplicates: for several edges between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: whether edges from a node to itself are skipped; otherwise they raise FileError.
        inputs: ids of the inputs, in order; None takes the nodes without in-edges.
        outputs: ids of the outputs, in order; None takes the neurons without out-edges.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights.

    Raises:
        FileError: a field is empty, an edge is a self-loop or given twice (the message names the line); there are no
            edges; the file begins as XML or JSON does.
        UnknownNameError: no line has such a relation, or no such node exists.
        GraphError, CycleError: the edges do not form a valid network.
    """
    what = str(source.path)
    rows = _Rows()
    content = text(source.read(), what)
    if content.lstrip()[:1] in OTHERS:
        raise FileError(f"{what} begins with {brief(content.lstrip()[:1])}, as XML and JSON do, and SIF does not")
    tabs = "\t" in content
    for number, line in enumerate(re.split(r"\r\n|\r|\n", content), 1):
        fields = [part.strip() for part in line.strip(" \r\n").split("\t")] if tabs else line.split()
        if not any(fields) or _is_comment(line, fields):
            continue
        if not all(fields):
            raise FileError(f"{what}, line {number}: an empty field between tabs")
        rows.add(fields, number)
    if relations is not None:
        rows = rows.only(list(relations), what)
    if not rows.sources:
        raise FileError(f"{what} has no edges: lines of SIF are node, relation, node")
    place = [f"{what}, line {number}" for number in rows.lines]
    return network(
        rows.sources,
        rows.targets,
        place.__getitem__,
        nodes=rows.nodes,
        edge_extra={INTERACTION: rows.relations} if any(r is not ABSENT for r in rows.relations) else None,
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        inputs=inputs,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


def _is_comment(line: str, fields: list[str]) -> bool:
    return line.startswith(COMMENT) and (line[1:2] in ("", " ", COMMENT) or len(fields) == 1)


@dataclass
class _Rows:
    """Collect edges, one entry each in four lists, and all nodes in the order of first mention."""

    nodes: dict[str, None] = field(default_factory=dict)
    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    relations: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, fields: list[str], line: int) -> None:
        """Add the edges of one line."""
        relation, targets = (fields[1], fields[2:]) if len(fields) > 2 else (ABSENT, fields[1:])
        self.nodes.update(dict.fromkeys((fields[0], *targets)))
        for target in targets:
            self.sources.append(fields[0])
            self.targets.append(target)
            self.relations.append(relation)
            self.lines.append(line)

    def only(self, relations: list[str], what: str) -> _Rows:
        """Return the edges of these relations, with their nodes."""
        known = {relation: None for relation in self.relations if relation is not ABSENT}
        for relation in relations:
            if relation not in known:
                raise UnknownNameError(f"{what} has no relation {brief(relation)}{suggest(relation, known)}")
        found = _Rows()
        for u, v, relation, line in zip(self.sources, self.targets, self.relations, self.lines, strict=True):
            if relation in relations:
                found.add([u, relation, v], line)
        return found


entry = Format(
    name="sif",
    suffixes=(".sif",),
    summary="Cytoscape's simple interactions: node, relation, nodes",
    read=read,
    example=b"TP53\tactivates\tMDM2\tCDKN1A\nMDM2\tinhibits\tCDKN1A\nalone\n",
)
