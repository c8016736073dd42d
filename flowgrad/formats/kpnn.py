"""KPNN's edge list: `parent,child` with that header, the signal from child to parent, inputs `<gene>_gene`.

Knowledge-primed neural networks (Fortelny & Bock 2020) give, beside it, class labels and a table of genes × cells.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, FileError, GraphError, UnknownNameError, brief, listing, suggest
from flowgrad.format import Format, Source, read_bytes
from flowgrad.formats._delimited import Place, names_only, numbers, quoted, table
from flowgrad.formats._edges import Duplicates, Function, Initial, network
from flowgrad.network import Network

SUFFIX = "_gene"


def read(
    source: Source,
    *,
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    outputs: Iterable[Hashable] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "identity",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Nodes without children are the inputs, and must be genes; roots are the outputs.

    The program of the paper has sigmoids throughout, `activation="sigmoid"`, which learn slowly in deep hierarchies.

    Args:
        duplicates: of rows between the same two nodes, "first" takes the first, "error" none.
        drop_self_loops: leaves out rows from a node to itself.

    Raises:
        FileError: another header, or a node without children that is no `<gene>_gene`, with its line.
    """
    what = str(source.path)
    rows, place = table(source.read(), what, ",")
    header = [name.strip() for name in rows.pop(0)]
    if [name.casefold() for name in header] != ["parent", "child"]:
        raise FileError(f"{what}, line 1: the header is {brief(','.join(header))}: must be 'parent,child'")
    if not rows:
        raise FileError(f"{what} has a header and no edges")
    parent, child = zip(*rows, strict=True)
    fed = set(parent)
    for row, name in enumerate(child):
        if name not in fed and not name.endswith(SUFFIX):
            raise FileError(
                f"{place(row + 1)}: {brief(name)} has no children, and only a gene ('…{SUFFIX}') is an input"
            )
    return network(
        child,
        parent,
        lambda row: place(row + 1),
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


def read_data(
    path: Path | str, inputs: Iterable[Hashable], *, duplicates: Duplicates = "error"
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """A table of genes × cells as CSV, the first row the cells' names, the first column the genes': X and the cells.

    X is (cells, I), the columns in the order of `inputs`; a gene `G` belongs to input `G_gene`. Rows of genes that
    are no inputs are let be.

    Args:
        duplicates: of several rows of one gene, "first" takes the first, "sum" adds them up cell by cell, "error"
            takes none.

    Raises:
        UnknownNameError: an input whose gene has no row. FileError: a gene given twice, a field that is no number;
            with its line. ConfigError: `duplicates` is none of these.
    """
    if duplicates not in get_args(Duplicates):
        raise ConfigError(f"duplicates={brief(duplicates)}: must be one of {listing(get_args(Duplicates))}")
    rows, place = table(read_bytes(Path(path)), str(path), ",", comment="")
    cells = tuple(rows[0][1:])
    rows_of: dict[str, list[int]] = {}
    for k, fields in enumerate(rows[1:], 1):
        rows_of.setdefault(fields[0], []).append(k)
    columns = []
    for name in inputs:
        gene = str(name).removesuffix(SUFFIX)
        if gene not in rows_of:
            raise UnknownNameError(f"{path} has no row of gene {brief(gene)}{suggest(gene, rows_of)}")
        mine = rows_of[gene]
        if len(mine) > 1 and duplicates == "error":
            raise FileError(
                f"{place(mine[1])}: gene {brief(gene)} is given twice (duplicates='first' takes the first, 'sum' adds "
                "up its rows)"
            )
        values = [
            numbers(rows[k][1:], f"{gene} of a cell", partial(_at, place, k))
            for k in (mine if duplicates == "sum" else mine[:1])
        ]
        columns.append(np.sum(values, axis=0))
    return np.stack(columns, axis=1), cells


def read_labels(
    path: Path | str, cells: Iterable[str], outputs: Iterable[Hashable]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...] | None]:
    """KPNN's class labels, CSV with columns `barcode`, one for each output, perhaps `Set`: T and the sets.

    T is (cells, O), the rows in the order of `cells`, the columns in that of `outputs`; the sets are those of the
    cells, None where the file has no such column. Cells of the file that are not asked for are let be.

    Raises:
        UnknownNameError: an output without a column, a cell without a row. FileError: a cell given twice, a field
            that is no number; with its line.
    """
    rows, place = table(read_bytes(Path(path)), str(path), ",", comment="")
    header = [name.strip() for name in rows.pop(0)]
    wanted = ["barcode", *map(str, outputs)]
    for name in wanted:
        if header.count(name) != 1:
            raise UnknownNameError(f"{path}, line 1: not one column {brief(name)}{suggest(name, header)}")
    row_of: dict[str, int] = {}
    for k, fields in enumerate(rows):
        cell = fields[header.index("barcode")]
        if row_of.setdefault(cell, k) != k:
            raise FileError(f"{place(k + 1)}: cell {brief(cell)} is given twice")
    chosen = []
    for cell in cells:
        if cell not in row_of:
            raise UnknownNameError(f"{path} has no row of cell {brief(cell)}{suggest(cell, row_of)}")
        chosen.append(row_of[cell])
    columns = [
        numbers([rows[k][header.index(name)] for k in chosen], f"label {name}", lambda row: place(chosen[row] + 1))
        for name in wanted[1:]
    ]
    sets = tuple(rows[k][header.index("Set")] for k in chosen) if "Set" in header else None
    return np.stack(columns, axis=1), sets


def _at(place: Place, row: int, _: int) -> str:
    return place(row)


def write(net: Network, path: Path) -> dict[str, bytes]:
    """`parent,child` rows. Weights and functions are not kept.

    Raises:
        GraphError: an id that is no text, or an input that is no `<gene>_gene`.
    """
    names_only(net.nodes, "a KPNN edge list")
    for name in net.inputs:
        if not str(name).endswith(SUFFIX):
            raise GraphError(f"input {brief(name)}: KPNN's inputs are called '<gene>{SUFFIX}'")
    c = net.columns
    fields = list(map(quoted, c.ids))
    rows = (f"{fields[v]},{fields[u]}\n" for u, v in zip(c.source.tolist(), c.target.tolist(), strict=True))
    return {path.name: "".join(["parent,child\n", *rows]).encode()}


entry = Format(
    name="kpnn",
    suffixes=(),
    summary="KPNN's edge list: parent,child, inputs <gene>_gene",
    read=read,
    write=write,
    keeps="edges",
)
