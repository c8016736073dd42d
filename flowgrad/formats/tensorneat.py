"""Read TensorNEAT's genomes: an `.npz` of the arrays `nodes` and `conns`, of one genome or of a population.

A row of `nodes` is (key, bias, response, aggregation, activation), without the response if the genes have none; a row
of `conns` is (from, to, weight), possibly with a marker before the weight; rows of NaN are unused. Nodes compute
act(bias + response · aggregation(weight · value)), except that outputs have no activation.

TensorNEAT writes its best genomes in this form. `State.save` writes a pickle, which is never read; pass its arrays to
`population`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.attributes import encode, numbers
from flowgrad.columns import Columns
from flowgrad.errors import ConfigError, DataError, FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats import _npz
from flowgrad.formats._genomes import Rows
from flowgrad.network import Network

ACTIVATIONS = {
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "sin": "sin",
    "relu": "relu",
    "lelu": "neat-lelu",
    "identity": "identity",
    "log": "neat-log",
    "exp": "exp",
    "abs": "abs",
}
AGGREGATIONS = {"sum": "sum", "product": "product", "max": "max", "min": "min", "maxabs": "max_abs", "mean": "mean"}
OF_NOTHING = ("sum", "product", "maxabs")  # aggregations that are a number without connections in TensorNEAT
PICKLE = b"\x80"  # first byte of every pickle since protocol 2
FloatArray = npt.NDArray[np.float64]


def read(
    source: Source,
    *,
    n_inputs: int | None = None,
    n_outputs: int | None = None,
    activation_options: Sequence[str] = ("sigmoid",),
    aggregation_options: Sequence[str] = ("sum",),
) -> Network:
    """Read the network of a file written by TensorNEAT's pipeline, or by `np.savez(path, nodes=…, conns=…)`.

    Args:
        n_inputs, n_outputs, activation_options, aggregation_options: as for `population`.

    Raises:
        FileError: the file is a pickle, not an archive, or has no arrays `nodes` and `conns`; or its arrays are
            invalid, for which `population` raises DataError. Otherwise as `population`.
    """
    what = str(source.path)
    if source.path.is_file() and _begins(source, PICKLE):
        raise FileError(
            f"{what} is a pickle, which runs code when it is read: write np.savez(path, nodes=…, conns=…) of its arrays"
        )
    arrays = _npz.arrays(source.path)
    for name in ("nodes", "conns"):
        if name not in arrays:
            raise FileError(f"{what} has no array {brief(name)}{suggest(name, arrays)}")
    try:
        return population(
            arrays["nodes"],
            arrays["conns"],
            n_inputs=n_inputs,
            n_outputs=n_outputs,
            activation_options=activation_options,
            aggregation_options=aggregation_options,
        )
    except DataError as error:
        raise FileError(f"{what}: {error}") from None


def _begins(source: Source, mark: bytes) -> bool:
    with source.path.open("rb") as file:
        return file.read(len(mark)) == mark


def population(
    nodes: Any,
    conns: Any,
    *,
    n_inputs: int | None = None,
    n_outputs: int | None = None,
    activation_options: Sequence[str] = ("sigmoid",),
    aggregation_options: Sequence[str] = ("sum",),
) -> Network:
    """Make one network of a population, as `fg.union` of its genomes does.

    The inputs are shared, and node `key` of genome k is (k, key). A single genome keeps its keys as ids.

    Args:
        nodes: (P, N, 5) or (P, N, 4) floats, as `state.pop_nodes`; (N, 5) or (N, 4) for a single genome.
        conns: (P, C, 3) or (P, C, 4) floats; (C, 3) or (C, 4) for a single genome.
        n_inputs: number of inputs. Default: that of the nodes 0, 1, … before the first that has an in-edge.
        n_outputs: number of outputs. Default: that of the nodes after the inputs and before the first with an out-edge.
        activation_options, aggregation_options: TensorNEAT's names, in the order in which they were given to its node
            gene.

    Raises:
        DataError: an array has another shape, a key is not an integer or occurs twice, a number is not finite, a genome
            lacks an input or output, a code exceeds the options; a node without connections has an aggregation that is
            not defined then; without n_inputs, a node without connections may be an input or an output.
        ConfigError: the numbers of inputs or outputs are impossible.
        UnknownNameError: an activation or aggregation is not supported.
        GraphError: a connection refers to a node that does not exist. CycleError: a genome is not feed-forward.

    >>> genome = [[0, 0, 1, 0, 0], [1, 0.5, 2, 0, 0]], [[0, 1, -1.5]]
    >>> population(*genome).columns.ends
    [(0, 1)]
    """
    cells, links = _array("nodes", nodes, (4, 5)), _array("conns", conns, (3, 4))
    alone = np.ndim(nodes) == 2
    if len(cells) != len(links):
        raise DataError(f"nodes are of {len(cells)} genomes and conns of {len(links)}")
    part, gene = _present(cells)
    of_link, link = _present(links)
    key, ends = _keys("nodes", gene[:, 0]), _keys("conns", link[:, :2])
    I = _count(n_inputs, "n_inputs", _run(0, key, ends[:, 1]), len(np.unique(key)))
    O = _count(n_outputs, "n_outputs", _run(I, key, ends[:, 0]), len(np.unique(key)) - I)
    _whole_genomes(part, key, len(cells), I + O)
    _doubtful(key, ends, I, n_inputs)
    inner = key >= I
    part, gene, key = part[inner], gene[inner], key[inner]
    rows = Rows(list(range(I)), part, key)
    source, target = (rows.find(of_link, ends[:, end]) for end in (0, 1))
    ids: list[Any] = list(range(I))
    ids += key.tolist() if alone else list(zip(part.tolist(), key.tolist(), strict=True))
    options = activation_options, aggregation_options
    activations, aggregations = _functions(gene, key < I + O, options, ids[I:])
    fed = np.bincount(target, minlength=len(ids))[I:] > 0
    for row in np.flatnonzero(~fed).tolist():
        if aggregations[row] not in OF_NOTHING:
            raise DataError(f"node {ids[I + row]}: {aggregations[row]} of no connections is no number in TensorNEAT")

    def column(name: str, values: FloatArray) -> FloatArray:
        return numbers(values.tolist(), name, lambda row: f"node {ids[I + row]}")

    bias = column("bias", gene[:, 1])
    response = column("response", gene[:, 2] if gene.shape[1] == 5 else np.ones(len(gene)))
    one = np.array([name == "product" for name in aggregations], np.bool_) & ~fed  # empty products, 1 in TensorNEAT
    none = [None] * I
    c = Columns.of(
        ids,
        np.arange(I),
        rows.find(np.repeat(np.arange(len(cells)), O), np.tile(np.arange(I, I + O), len(cells))),
        source,
        target,
        encode("activations", [*none, *map(ACTIVATIONS.__getitem__, activations)], ids),
        encode("aggregations", [*none, *map(AGGREGATIONS.__getitem__, aggregations)], ids),
        weight=numbers(
            link[:, -1].tolist(), "weight", lambda row: f"connection {ids[source[row]]} → {ids[target[row]]}"
        ),
        bias=np.concatenate([np.zeros(I), bias + response * one]),
        response=np.concatenate([np.ones(I), response]),
        part=None if alone else np.concatenate([np.full(I, -1), part]).astype(np.int32),
    )
    if alone:
        return Network.from_columns(c)
    place = np.zeros(len(ids), np.int64)
    place[I + np.lexsort((key, c.level[I:], part))] = np.arange(len(key))
    return Network.from_columns(replace(c, place=place, known_level=c.level))


def _array(name: str, given: Any, widths: tuple[int, ...]) -> FloatArray:
    """Convert an argument to (P, n, width) float64."""
    try:
        array = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} are no array of numbers") from None
    found = array[None] if array.ndim == 2 else array
    if found.ndim != 3 or found.shape[2] not in widths or not len(found):
        said = " or ".join(map(str, widths))
        raise DataError(f"{name} have shape {array.shape}: must be (genomes, rows, {said}), or (rows, {said}) of one")
    return found


def _present(genes: FloatArray) -> tuple[Any, FloatArray]:
    """Return the genome (n,) of each row that is not NaN, and these rows (n, width)."""
    there = ~np.isnan(genes[:, :, 0])
    return np.nonzero(there)[0], genes[there]


def _keys(name: str, column: FloatArray) -> npt.NDArray[np.int64]:
    wrong = ~(np.isfinite(column) & (column == np.round(column)) & (column >= 0) & (column < 2**31))
    if wrong.any():
        raise DataError(f"{name} have a key {column[wrong][0]}: must be an integer, 0 or more")
    return column.astype(np.int64)


def _run(first: int, key: Any, used: Any) -> int:
    """Count the consecutive keys first, first + 1, … that exist and are not in `used`."""
    free = np.setdiff1d(key, used)
    free = free[free >= first]
    return int((free == first + np.arange(len(free))).cumprod().sum())


def _count(given: int | None, name: str, found: int, most: int) -> int:
    count = found if given is None else given
    if not 1 <= count <= most:
        raise ConfigError(f"{name}={brief(count)}: must be an integer, 1 to {most}")
    return count


def _whole_genomes(part: Any, key: Any, n_genomes: int, n_ends: int) -> None:
    """Refuse a genome that has a key twice, or lacks an input or output."""
    order = np.lexsort((key, part))
    again = (np.diff(part[order]) == 0) & (np.diff(key[order]) == 0)
    if again.any():
        row = order[np.flatnonzero(again)[0]]
        raise DataError(f"genome {part[row]} has node {key[row]} twice")
    held = np.bincount(part[key < n_ends], minlength=n_genomes)
    if (held < n_ends).any():
        k = int(np.argmin(held))
        lacks = np.setdiff1d(np.arange(n_ends), key[part == k])[0]
        raise DataError(f"genome {k} has no node {lacks}, which is an input or output of the others")


def _doubtful(key: Any, ends: Any, I: int, given: int | None) -> None:
    """Refuse to guess whether a node that nothing feeds, and that feeds nothing, is an input."""
    idle = np.setdiff1d(np.arange(I), ends[:, 0])
    if given is None and len(idle):
        raise DataError(f"node {idle[0]} has no connection, and may be an input or an output: n_inputs= says which")


def _functions(
    gene: FloatArray, is_output: Any, options: tuple[Sequence[str], Sequence[str]], ids: Sequence[Any]
) -> tuple[list[str], list[str]]:
    """Return TensorNEAT's names of each node's activation and aggregation."""
    found = []
    kinds = (("activation", -1, options[0], ACTIVATIONS), ("aggregation", -2, options[1], AGGREGATIONS))
    for kind, column, names, known in kinds:
        for name in names:
            if name not in known:
                raise UnknownNameError(f"TensorNEAT's {kind} {brief(name)} is not read{suggest(name, known)}")
        code = gene[:, column].copy()
        if kind == "activation":
            code[is_output] = -1  # TensorNEAT's code of identity
        wrong = ~np.isin(code, np.arange(-1 if kind == "activation" else 0, len(names)))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            said = f"node {ids[row]} has {kind} {code[row]:g}, and {kind}_options has {len(names)}"
            raise DataError(f"{said}: give those of TensorNEAT's node gene, in their order")
        found.append(["identity" if k < 0 else names[int(k)] for k in code.tolist()])
    return found[0], found[1]


def _example() -> bytes:
    """Return a file of one genome: two inputs, an output and a hidden node between."""
    import io

    nan = [np.nan] * 5
    nodes = [[0, 0, 1, 0, 0], [1, 0, 1, 0, 0], [2, 0.25, 1, 0, 0], [3, -0.5, 1.5, 0, 0], nan]
    conns = [[0, 3, 1.0], [1, 3, -2.0], [3, 2, 0.5], [0, 2, 1.5], nan[:3]]
    out = io.BytesIO()
    np.savez(out, nodes=np.array(nodes, np.float32), conns=np.array(conns, np.float32), fitness=np.float32(1.0))
    return out.getvalue()


entry = Format(
    name="tensorneat",
    suffixes=(),
    summary="TensorNEAT's genomes and populations, as arrays",
    packs=False,
    read=read,
    example=_example(),
)
