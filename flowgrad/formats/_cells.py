"""Read matrices of genes × cells: CSV, 10x Genomics' matrix market with features and barcodes, AnnData's `.h5ad`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, MissingDependencyError, brief
from flowgrad.format import Claim, read_bytes
from flowgrad.formats._delimited import numbers, table, text
from flowgrad.gzipped import SUFFIX as GZ
from flowgrad.gzipped import inner

FloatArray = npt.NDArray[np.float64]
MATRIX, FEATURES, BARCODES = "matrix.mtx", ("features.tsv", "genes.tsv"), ("barcodes.tsv",)


@dataclass(frozen=True)
class Cells:
    """Hold the names in a file of genes × cells, and functions that read its values.

    rows(genes)  returns (n, cells) float64, the values of n genes given by position
    place(gene)  returns where in the file a gene is, for messages
    """

    genes: tuple[str, ...]
    cells: tuple[str, ...]
    rows: Callable[[Sequence[int]], FloatArray]
    place: Callable[[int], str]


def read(path: Path, max_bytes: int | None = None) -> Cells:
    """Read the names of genes and cells in a file; the values are returned on demand, by `Cells.rows`.

    Args:
        path: `.mtx`, with the files of names beside it as 10x Genomics calls them; `.h5ad`; anything else is CSV with
            the cells' names in the first row, the genes' in the first column. Text may be gzipped.
        max_bytes: limit of the memory that the file may need; None is 1 GiB plus 64 bytes for each byte of the file.

    Raises:
        FileError: the file is missing, damaged, of another form, or needs too much memory.
        MissingDependencyError: SciPy (`.mtx`) or anndata (`.h5ad`) is not installed.
    """
    match inner(path).suffix.lower():
        case ".mtx":
            return _matrix_market(path, Claim(path, max_bytes))
        case ".h5ad":
            return _annotated(path, Claim(path, max_bytes))
    rows, place = table(read_bytes(path), str(path), ",", comment="")

    def of(genes: Sequence[int]) -> FloatArray:
        found = [numbers(rows[k + 1][1:], f"{rows[k + 1][0]} of a cell", partial(_at, place, k + 1)) for k in genes]
        return np.stack(found) if found else np.empty((0, len(rows[0]) - 1))

    return Cells(tuple(row[0] for row in rows[1:]), tuple(rows[0][1:]), of, lambda k: place(k + 1))


def _at(place: Callable[[int], str], row: int, _: int) -> str:
    return place(row)


def _finite(values: Any, genes: Sequence[str], cells: Sequence[str], what: str) -> FloatArray:
    """Convert to (genes, cells) float64; FileError names the gene and the cell of a number that is not finite."""
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        g, c = np.argwhere(~np.isfinite(found))[0].tolist()
        said = f"{brief(genes[g])} of cell {brief(cells[c])} is {found[g, c]}"
        raise FileError(f"{what}: {said}: must be a finite number")
    return found


@contextmanager
def _said(what: str) -> Iterator[None]:
    """Convert the exceptions of a library that reads a file to FileError, and suppress its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (FileError, MemoryError):
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileError(f"{what}: {said}") from None


# ---- matrix market ------------------------------------------------------------------------------------------


def _matrix_market(path: Path, claim: Claim) -> Cells:
    try:
        from scipy.io import mmread
    except ModuleNotFoundError:
        raise MissingDependencyError("SciPy", "scipy", "reading .mtx") from None
    genes, cells = (_names(path, names, column) for names, column in ((FEATURES, 1), (BARCODES, 0)))
    data = read_bytes(path)
    _check_header(data, path, len(genes), len(cells))
    with _said(f"{path} is no readable matrix market file"):
        matrix = mmread(io.BytesIO(data))
        rows = matrix.tocsr() if hasattr(matrix, "tocsr") else np.asarray(matrix)
    if rows.dtype.kind not in "iufb":
        raise FileError(f"{path} holds numbers of type {rows.dtype}: must be real")

    def of(chosen: Sequence[int]) -> FloatArray:
        claim.add(8 * len(chosen) * len(cells), str(path), f"{len(chosen):,} genes of {len(cells):,} cells")
        some = rows[list(chosen)]
        dense = some.toarray() if hasattr(some, "toarray") else some
        return _finite(dense, [genes[k] for k in chosen], cells, str(path))

    return Cells(genes, cells, of, lambda k: f"{path}, row {k + 1}")


def _names(path: Path, wanted: Sequence[str], column: int) -> tuple[str, ...]:
    """Read the names of rows or columns from a field of a tab-separated file beside the matrix, of the same prefix."""
    prefix, found, _ = path.name.partition(MATRIX)
    prefix = prefix if found else ""
    beside = [path.parent / f"{prefix}{name}{packed}" for name in wanted for packed in ("", GZ)]
    chosen = next((p for p in beside if p.is_file()), None)
    if chosen is None:
        raise FileError(f"{path}: no file {' or '.join(p.name for p in beside[::2])} beside it, plain or under gzip")
    lines = text(read_bytes(chosen), str(chosen)).splitlines()
    fields = [line.split("\t") for line in lines if line]
    return tuple(row[min(column, len(row) - 1)] for row in fields)


def _check_header(data: bytes, path: Path, n_genes: int, n_cells: int) -> None:
    """Refuse a matrix whose shape is not (n_genes, n_cells), or with more entries than its bytes can hold."""
    lines = iter(data[: 1 << 20].split(b"\n"))
    kind = next(lines, b"").lower().split()
    if kind[:2] != [b"%%matrixmarket", b"matrix"] or len(kind) < 3:
        raise FileError(f"{path}, line 1: no header '%%MatrixMarket matrix coordinate …'")
    shape = next((line.split() for line in lines if line.strip() and not line.startswith(b"%")), [])
    if not all(part.isdigit() and len(part) < 16 for part in shape) or len(shape) != 2 + (kind[2] == b"coordinate"):
        raise FileError(f"{path}: its shape must be the numbers of rows, of columns and of entries")
    rows, columns, entries = (*map(int, shape), int(shape[0]) * int(shape[1]))[:3]
    if (rows, columns) != (n_genes, n_cells):
        said = f"{path} has {rows:,} rows and {columns:,} columns"
        raise FileError(f"{said}, and beside it stand {n_genes:,} genes and {n_cells:,} cells")
    if entries > len(data):
        raise FileError(f"{path} says that it has {entries:,} entries, which its {len(data):,} bytes cannot hold")


# ---- AnnData ------------------------------------------------------------------------------------------------


def _annotated(path: Path, claim: Claim) -> Cells:
    """Read AnnData's file, which has cells in rows; references to other files are refused."""
    try:
        import anndata
        import h5py
    except ModuleNotFoundError:
        raise MissingDependencyError("anndata", "anndata", "reading .h5ad") from None
    if not path.is_file():
        raise FileError(f"no file {path}")
    with _said(f"{path} is no readable .h5ad"), h5py.File(path, "r") as file:
        _check_inside(file, claim, path)
    with _said(f"{path} is no readable .h5ad"):
        data = anndata.read_h5ad(path, backed="r")
        genes, cells = tuple(map(str, data.var_names)), tuple(map(str, data.obs_names))
        data.file.close()

    def of(chosen: Sequence[int]) -> FloatArray:
        claim.add(8 * len(chosen) * len(cells), str(path), f"{len(chosen):,} genes of {len(cells):,} cells")
        with _said(f"{path} is no readable .h5ad"):
            again = anndata.read_h5ad(path, backed="r")
            order = np.unique(np.array(chosen, np.int64))  # HDF5 takes positions in ascending order
            values = again[:, order].X
            again.file.close()
        dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
        found = dense.T[np.searchsorted(order, chosen)]
        return _finite(found, [genes[k] for k in chosen], cells, str(path))

    return Cells(genes, cells, of, lambda k: f"{path}, variable {k + 1}")


def _check_inside(file: Any, claim: Claim, path: Path) -> None:
    """Refuse links and data in other files; count the bytes of names and sparse values before they are read."""
    import h5py

    todo = [(name, file) for name in file]
    while todo:
        name, group = todo.pop()
        link = group.get(name.rpartition("/")[2], getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise FileError(f"{path}: {brief(name)} lies in the file {brief(link.filename)}, which is not followed")
        if isinstance(link, h5py.SoftLink):
            raise FileError(f"{path}: {brief(name)} is a link within the file, which is not followed")
        held = group[name.rpartition("/")[2]]
        if isinstance(held, h5py.Group):
            if held.name.count("/") > 16:
                raise FileError(f"{path}: {brief(name)} is nested more than 16 deep")
            todo += [(f"{name}/{inside}", held) for inside in held]
        elif held.external or held.is_virtual:
            raise FileError(f"{path}: the numbers of {brief(name)} lie in another file, which is not followed")
        elif name.startswith(("obs/", "var/", "X/")):
            claim.add(2 * held.size * held.dtype.itemsize, str(path), f"the {held.size:,} entries of {brief(name)}")
