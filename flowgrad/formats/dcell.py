"""Read DCell's topology: blocks of three lines, `ROOT: term count`, `GENES: g g …`, `TERMS: t t …`.

A block lists the predecessors of its term: the genes annotated to it, and its child terms. The signal runs from genes
to terms to their parents. `count` is the number of genes below the term.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source, read_bytes
from flowgrad.formats._delimited import text
from flowgrad.formats._edges import Function, Initial, network
from flowgrad.network import Network

KEYS = ("ROOT:", "GENES:", "TERMS:")


def read(
    source: Source,
    *,
    duplicates: Literal["error", "first"] = "error",
    drop_self_loops: bool = False,
    activation: Function = "tanh",
    output_activation: Function = "tanh",
    seed: int = 0,
    initializer: Initial = None,
) -> Network:
    """Read a network whose inputs are the genes, sorted, with the ids `g:<name>`, and whose neurons are the terms.

    Terms without a parent are the outputs. Their activation is tanh, as in DCell; `output_activation="identity"` gives
    linear outputs, which the losses cross_entropy, binary_cross_entropy and poisson require.

    Args:
        duplicates: for several edges between the same two nodes: "first" keeps the first, "error" raises FileError.
        drop_self_loops: whether edges from a node to itself are skipped; otherwise they raise FileError.
        activation, output_activation: activation of the hidden neurons and of the outputs, a name or an Activation.
        seed, initializer: seed (an integer ≥ 0) and initializer of the weights, which the file does not give.

    Raises:
        FileError: a line is malformed, a term has two blocks or none, or its count differs from the number of genes
            below it in the file; the message names the line.
        GraphError, CycleError: the terms do not form a valid network.
    """
    what = str(source.path)
    below: dict[str, set[str]] = {}
    sources: list[str] = []
    targets: list[str] = []
    lines: list[int] = []
    roots: dict[str, tuple[int, int]] = {}
    for number, term, count, genes, terms in _blocks(text(source.read(), what), what):
        if term in roots:
            raise FileError(f"{what}, line {number}: term {brief(term)} has a second block")
        roots[term] = (number, count)
        below[term] = {f"g:{g}" for g in genes}
        for name in (*(f"g:{g}" for g in genes), *terms):
            sources.append(name)
            targets.append(term)
            lines.append(number)
    for name, number in zip(sources, lines, strict=True):
        if not name.startswith("g:") and name not in roots:
            raise FileError(f"{what}, line {number}: term {brief(name)} has no block of its own")
    net = network(
        sources,
        targets,
        lambda row: f"{what}, block at line {lines[row]}",
        nodes=sorted({name for name in sources if name.startswith("g:")}),
        duplicates=duplicates,
        drop_self_loops=drop_self_loops,
        activation=activation,
        output_activation=output_activation,
        seed=seed,
        initializer=initializer,
    )
    _check_counts(net, below, roots, what)
    return net


def _blocks(content: str, what: str) -> Iterator[tuple[int, str, int, list[str], list[str]]]:
    """Yield line, term, count, genes and child terms of each block."""
    lines = [(number, line.split()) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    if not lines:
        raise FileError(f"{what} is empty")
    for k in range(0, len(lines), 3):
        for (number, words), key in zip(lines[k : k + 3], KEYS, strict=False):
            if words[0] != key:
                raise FileError(f"{what}, line {number}: {brief(words[0])}, where {brief(key)} must stand")
        if len(lines) < k + 3:
            raise FileError(f"{what}, line {lines[-1][0]}: the last block is cut off after {brief(lines[-1][1][0])}")
        number, root = lines[k]
        if len(root) != 3 or not root[2].isdecimal() or len(root[2]) > 18:
            raise FileError(f"{what}, line {number}: must be 'ROOT: term count'")
        yield number, root[1], int(root[2]), lines[k + 1][1][1:], lines[k + 2][1][1:]


def _check_counts(net: Network, below: dict[str, set[str]], roots: dict[str, tuple[int, int]], what: str) -> None:
    """Raise FileError if the number of genes below a term differs from the term's count."""
    for name in net.nodes:  # children before parents
        if name in roots:
            for child in net.graph.pred[name]:
                below[name] |= below.get(child, set())
            number, count = roots[name]
            if len(below[name]) != count:
                found = len(below[name])
                raise FileError(
                    f"{what}, line {number}: term {brief(name)} says {count} genes and has {found} below it"
                )


def read_pairs(path: Path | str, inputs: tuple[str, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read DCell's data, one sample `k gene1 … genek score` per line, as arrays X and T.

    Args:
        path: the file.
        inputs: ids of the network's inputs, `g:<name>`.

    Returns:
        X (N, I) float64, 1 at deleted genes, else 0, its columns in the order of `inputs`; T (N, 1) float64, the
        scores.

    Raises:
        FileError: a line has another form or repeats a gene. UnknownNameError: a gene is not an input. The messages
            name the line.
    """
    column = {name: k for k, name in enumerate(inputs)}
    content = text(read_bytes(Path(path)), str(path))
    samples = [(number, line.split()) for number, line in enumerate(content.splitlines(), 1) if line.strip()]
    X, T = np.zeros((len(samples), len(inputs))), np.empty((len(samples), 1))
    for row, (number, words) in enumerate(samples):
        try:
            k, T[row, 0] = int(words[0]), float(words[-1])
        except ValueError:
            k = -1
        if k != len(words) - 2 or not np.isfinite(T[row, 0]):
            raise FileError(f"{path}, line {number}: must be 'k gene1 … genek score'")
        for gene in words[1:-1]:
            if f"g:{gene}" not in column:
                raise UnknownNameError(
                    f"{path}, line {number}: gene {brief(gene)} is no input{suggest(f'g:{gene}', inputs)}"
                )
            if X[row, column[f"g:{gene}"]]:
                raise FileError(f"{path}, line {number}: gene {brief(gene)} is given twice, and can be deleted once")
            X[row, column[f"g:{gene}"]] = 1.0
    return X, T


entry = Format(
    name="dcell",
    suffixes=(),
    summary="DCell's topology: blocks of ROOT, GENES and TERMS",
    read=read,
    example=b"ROOT: top 3\nGENES: A \nTERMS: mid \nROOT: mid 2\nGENES: B C \nTERMS: \n",
)
