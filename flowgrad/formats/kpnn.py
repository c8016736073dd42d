"""Read and write KPNN's edge list: header `parent,child`, the signal from child to parent, inputs `<gene>_gene`.

Knowledge-primed neural networks (Fortelny & Bock 2020) come with class labels and a table of genes × cells. In
MicroKPNN (Monshizadeh & Ye 2024) the names of inputs have no suffix: they are the names of the data's rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from flowgrad.errors import ConfigError, FileError, FileWarning, GraphError, UnknownNameError, brief, listing, suggest
from flowgrad.format import Format, Source, read_bytes
from flowgrad.formats import _cells
from flowgrad.formats._delimited import names_only, numbers, quoted, table
from flowgrad.formats._edges import Duplicates, Function, Initial, network
from flowgrad.network import Network

SUFFIX = "_gene"
BARCODE, SET = "barcode", "Set"  # columns of class labels


def read(
    source: Source,
    *,
    suffix: str | None = None,
    measured: str | PathLike[str] | Iterable[str] | None = None,
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    outputs: Iterable[Hashable] | None = None,
    activation: Function = "tanh",
    output_activation: Function = "identity",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read a network: nodes without children are the inputs, and must be genes; nodes without parents are the outputs.

    The program of the paper uses sigmoids throughout, `activation="sigmoid"`, which learn slowly in deep hierarchies.

    Args:
        suffix: suffix that the names of inputs must have. None is "_gene", or "" if `measured` is given.
        measured: the genes that were measured, as names or as a data file that `read_data` reads. A node without
            children that is neither a measured gene nor its name with "_gene" is removed with its edges, and so is a
            parent whose children are all removed. None removes nothing.
        duplicates: for several rows between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: whether rows from a node to itself are skipped; otherwise they raise FileError.
        outputs: ids of the outputs, in order; None takes the nodes without parents.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: the header is another one, or the name of a node without children lacks the suffix (the message names
            the line), or no edges remain.
        UnknownNameError: an output is not a node. GraphError, CycleError: the edges do not form a valid network.

    Warns:
        FileWarning: nodes were removed because they depend on no measured gene; the message gives their number.
    """
    what = str(source.path)
    rows, place = table(source.read(), what, ",")
    header = [name.strip() for name in rows.pop(0)]
    if [name.casefold() for name in header] != ["parent", "child"]:
        raise FileError(f"{what}, line 1: the header is {brief(','.join(header))}: must be 'parent,child'")
    if not rows:
        raise FileError(f"{what} has a header and no edges")
    ending = suffix if suffix is not None else SUFFIX if measured is None else ""
    kept = _fed(rows, what, measured) if measured is not None else list(range(len(rows)))
    parent, child = zip(*(rows[k] for k in kept), strict=True)
    fed = set(parent)
    for k, name in zip(kept, child, strict=True):
        if name not in fed and not name.endswith(ending):
            said = f"{brief(name)} has no children, and only a gene ('…{ending}') is an input"
            more = "suffix='' takes every such node, measured= the rows of the data"
            raise FileError(f"{place(k + 1)}: {said} ({more})")
    return network(
        child,
        parent,
        lambda row: place(kept[row] + 1),
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        outputs=outputs,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )


def _fed(rows: list[list[str]], what: str, measured: str | PathLike[str] | Iterable[str]) -> list[int]:
    """Return the rows that remain without the nodes that no measured node reaches, and warn of those nodes."""
    genes = read_genes(measured) if isinstance(measured, (str, PathLike)) else tuple(measured)
    known = {*genes, *(f"{gene}{SUFFIX}" for gene in genes)}
    of_child: dict[str, list[int]] = {}
    left: dict[str, int] = {}  # children of each parent that are not left out
    for k, (parent, child) in enumerate(rows):
        of_child.setdefault(child, []).append(k)
        left[parent] = left.get(parent, 0) + 1
    todo = [child for child in of_child if child not in left and child not in known]
    out = dict.fromkeys(todo)
    while todo:
        for k in of_child.get(todo.pop(), ()):
            parent = rows[k][0]
            left[parent] -= 1
            if left[parent] == 0:
                out[parent] = None
                todo.append(parent)
    kept = [k for k, (_, child) in enumerate(rows) if child not in out]
    if not kept:
        raise FileError(f"{what}: none of its nodes without children is measured, as {listing(list(out)[:3])}")
    if out:
        said = f"{len(out):,} nodes to which nothing measured leads are left out, first {next(iter(out))!r:.80}"
        warnings.warn(f"{what}: {said}", FileWarning, stacklevel=4)
    return kept


def read_genes(path: str | PathLike[str]) -> tuple[str, ...]:
    """Read the names of the genes in a data file, in its order.

    Args:
        path: the file, as for `read_data`.

    Raises:
        FileError, MissingDependencyError: as `read_data`.
    """
    return _cells.read(Path(path)).genes


def read_data(
    path: str | PathLike[str],
    inputs: Iterable[Hashable],
    *,
    duplicates: Duplicates = "error",
    max_bytes: int | None = None,
) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Read a table of genes × cells; return X and the names of the cells.

    Args:
        path: a CSV, with the names of the cells in the first row and those of the genes in the first column; an `.mtx`,
            with `features.tsv` (or `genes.tsv`) and `barcodes.tsv` beside it, as 10x Genomics writes them; or an
            `.h5ad`. Text may be gzipped.
        inputs: ids of the network's inputs; gene `G` belongs to input `G` or `G_gene`. Other genes are ignored.
        duplicates: for several rows of one gene: "first" keeps the first, "sum" adds them up for each cell, "error"
            raises FileError.
        max_bytes: limit on the memory, in bytes, that an `.mtx` or `.h5ad` may need. Default: 1 GiB plus 64 bytes for
            each byte of the file.

    Returns:
        X (cells, I) float64, its columns in the order of `inputs`; and the names of the cells.

    Raises:
        UnknownNameError: the gene of an input has no row. FileError: a gene is given twice or a field is not a finite
            number (the message names the line), the file is damaged, or it needs too much memory. ConfigError:
            `duplicates` is none of these. MissingDependencyError: SciPy or anndata is not installed.
    """
    if duplicates not in get_args(Duplicates):
        raise ConfigError(f"duplicates={brief(duplicates)}: must be one of {listing(get_args(Duplicates))}")
    held = _cells.read(Path(path), max_bytes)
    rows_of: dict[str, list[int]] = {}
    for k, gene in enumerate(held.genes):
        rows_of.setdefault(gene, []).append(k)
    chosen: list[list[int]] = []
    for name in map(str, inputs):
        gene = name if name in rows_of else name.removesuffix(SUFFIX)
        if gene not in rows_of:
            raise UnknownNameError(f"{path} has no row of gene {brief(gene)}{suggest(gene, rows_of)}")
        mine = rows_of[gene]
        if len(mine) > 1 and duplicates == "error":
            raise FileError(
                f"{held.place(mine[1])}: gene {brief(gene)} is given twice (duplicates='first' takes the first, 'sum' "
                "adds up its rows)"
            )
        chosen.append(mine if duplicates == "sum" else mine[:1])
    values = held.rows([k for mine in chosen for k in mine])
    ends = np.cumsum([0, *map(len, chosen)])
    X = np.add.reduceat(values, ends[:-1], axis=0) if chosen else values
    return np.ascontiguousarray(X.T), held.cells


def read_labels(
    path: Path | str, cells: Iterable[str], outputs: Iterable[Hashable]
) -> tuple[npt.NDArray[np.float64], tuple[str, ...] | None]:
    """Read KPNN's class labels: a CSV with a column `barcode`, one column per output, and optionally a column `Set`.

    Args:
        path: the file.
        cells: names of the cells, which select rows by their barcode; other rows are ignored.
        outputs: ids of the network's outputs, the names of the columns to read.

    Returns:
        T (cells, O) float64, its rows in the order of `cells`, its columns in that of `outputs`; and the entries of
        `Set` of these cells, or None if the file has no such column.

    Raises:
        UnknownNameError: an output does not have exactly one column, or a cell has no row. FileError: a cell is given
            twice, or a field is not a finite number; the message names the line.
    """
    rows, place = table(read_bytes(Path(path)), str(path), ",", comment="")
    header = [name.strip() for name in rows.pop(0)]
    for name in (BARCODE, SET):  # tools write them in any letter case
        found = [k for k, given in enumerate(header) if given.casefold() == name.casefold()]
        if len(found) == 1:
            header[found[0]] = name
    wanted = [BARCODE, *map(str, outputs)]
    for name in wanted:
        if header.count(name) != 1:
            raise UnknownNameError(f"{path}, line 1: not one column {brief(name)}{suggest(name, header)}")
    row_of: dict[str, int] = {}
    for k, fields in enumerate(rows):
        cell = fields[header.index(BARCODE)]
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
    sets = tuple(rows[k][header.index(SET)] for k in chosen) if SET in header else None
    return np.stack(columns, axis=1), sets


def write(net: Network, path: Path, *, suffix: str = SUFFIX) -> dict[str, bytes]:
    """Return the rows `parent,child` of a network, without weights and functions, as {file name: content}.

    Args:
        net: the network.
        path: path of the file, which gives its name.
        suffix: suffix that the names of inputs must have; "" permits any name, as in MicroKPNN.

    Raises:
        GraphError: an id is not text, or an input lacks the suffix.
    """
    names_only(net.nodes, "a KPNN edge list")
    for name in net.inputs:
        if not str(name).endswith(suffix):
            raise GraphError(f"input {brief(name)}: KPNN's inputs are called '<gene>{suffix}' (suffix='' takes any)")
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
