"""Read weight-agnostic networks (Gaier & Ha 2019): `.out`, a matrix of weights and a column of activation numbers.

The file has N rows of N + 1 numbers, and no header. Entry (u, v) is the weight from node u to node v, 0 or nan if there
is no connection; the last column is the activation of node u. Node 0 is the bias, the constant 1; it is followed by the
inputs, the hidden neurons and the outputs, sorted topologically.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.attributes import encode
from flowgrad.columns import Columns
from flowgrad.errors import ConfigError, FileError, brief
from flowgrad.format import Format, Source, read_bytes
from flowgrad.formats._delimited import Place, table
from flowgrad.formats._strict import parse
from flowgrad.network import Network

ACTIVATIONS = (
    "identity",
    "step",
    "wann-sin",
    "wann-gaussian",
    "tanh",
    "sigmoid",
    "wann-inverse",
    "abs",
    "relu",
    "wann-cos",
    "square",
)
"""Activations by their number in the file, from 1. The paper's sigmoid is written with tanh: the same function."""


def read(
    source: Source, *, n_inputs: int | None = None, n_outputs: int | None = None, output_activation: Any = None
) -> Network:
    """Read a network with the file's node numbers as ids; neuron 0 has no in-edges and a frozen bias of 1.

    Args:
        n_inputs: number of inputs, without node 0. Default: that of the nodes after node 0 and before the first that
            has an in-edge.
        n_outputs: number of outputs. Default: that of the nodes after the last one that has an out-edge.
        output_activation: activation that replaces those of the outputs, a name or an Activation. Default: those of the
            file.

    Raises:
        FileError: the file is not such a matrix, a connection runs against the order or into an input, or an activation
            is unknown; the message names the line or the node.
        ConfigError: the number of inputs or outputs is impossible.
    """
    what = str(source.path)
    rows, place = table(source.read(), what, ",")
    N = len(rows)
    if len(rows[0]) != N + 1:
        raise FileError(f"{what}: {N} rows of {len(rows[0])} numbers: N rows have N + 1")
    matrix = _matrix(rows, place)
    sigma, W = matrix[:, N], np.where(np.isnan(matrix[:, :N]), 0.0, matrix[:, :N])
    backward = np.argwhere(np.tril(W) != 0)
    if len(backward):
        u, v = backward[0].tolist()
        raise FileError(f"{place(u)}: a connection from node {u} to node {v}, against the order")
    known = np.isin(sigma, np.arange(1, len(ACTIVATIONS) + 1))
    if not known.all():
        row = int(np.flatnonzero(~known)[0])
        raise FileError(f"{place(row)}: activation {sigma[row]:g}: must be 1 … {len(ACTIVATIONS)}")
    fed, feeds = (W != 0).any(axis=0), (W != 0).any(axis=1)
    n_in = _count(n_inputs, int(np.argmax(fed)) - 1 if fed.any() else N - 1, "n_inputs", N - 1)
    n_out = _count(n_outputs, int(np.argmax(feeds[::-1])) if feeds.any() else N, "n_outputs", N - 1 - n_in)
    return _network(W, sigma, n_in, n_out, what, output_activation)


def _matrix(rows: list[list[str]], place: Place) -> npt.NDArray[np.float64]:
    try:
        matrix = np.array([list(map(float, fields)) for fields in rows])
    except ValueError:
        matrix = np.array([[np.inf]])
    if not np.isinf(matrix).any():
        return matrix
    for k, fields in enumerate(rows):
        for value in fields:
            try:
                good = abs(float(value)) < np.inf or float(value) != float(value)
            except ValueError:
                good = False
            if not good:
                raise FileError(f"{place(k)}: {brief(value)} is no finite number, and no nan")
    raise AssertionError("some field is no number")


def _count(given: Any, found: int, name: str, most: int) -> int:
    if given is None:
        given = found
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= most:
        raise ConfigError(f"{name}={brief(given)}: must be an integer, 1 to {most}")
    return given


def _network(W: npt.NDArray[np.float64], sigma: Any, n_in: int, n_out: int, what: str, of_outputs: Any) -> Network:
    N = len(W)
    fed_input = np.flatnonzero((W[:, 1 : n_in + 1] != 0).any(axis=0))
    if len(fed_input) or (W[:, 0] != 0).any():
        raise FileError(
            f"{what}: node {int(fed_input[0]) + 1 if len(fed_input) else 0} is an input, and something feeds it"
        )
    is_input = (np.arange(N) >= 1) & (np.arange(N) <= n_in)
    names: list[Any] = [None if i else ACTIVATIONS[int(s) - 1] for i, s in zip(is_input, sigma, strict=True)]
    names[0] = "identity"
    if of_outputs is not None:
        names[N - n_out :] = [of_outputs] * n_out
    target, source = np.nonzero(W.T)
    return Network.from_columns(
        Columns.of(
            range(N),
            np.flatnonzero(is_input),
            np.arange(N - n_out, N),
            source,
            target,
            encode("activations", names, range(N)),
            weight=W[source, target],
            bias=np.where(np.arange(N) == 0, 1.0, 0.0),
            trainable=False,  # the only bias is that of node 0
        )
    )


def read_tuned(path: Path | str, net: Network, weight_bias: float = -0.7) -> npt.NDArray[np.float64]:
    """Read tuned weights from a `.wann.json`, `[[weight, …], …]`; return (E,) float64 in the order of `net.columns`.

    Only the first list is read. Its k-th number plus `weight_bias` is the weight of the k-th connection of the matrix,
    row by row.

    Args:
        path: the file.
        net: the network, as returned by `read`.
        weight_bias: number that is added to every weight.

    Raises:
        FileError: the file is not of this form, or the number of weights differs from the network's number of edges.
    """
    data = parse(read_bytes(Path(path)), str(path))
    tuned = data[0] if isinstance(data, list) and data and isinstance(data[0], list) else None
    E = net.columns.n_edges
    if tuned is None or not all(type(w) in (int, float) for w in tuned):
        raise FileError(f"{path}: must be a list whose first entry is a list of weights")
    if len(tuned) != E:
        raise FileError(f"{path} has {len(tuned)} weights, and the network {E} edges")
    weight = np.empty(E)
    weight[np.lexsort((net.columns.target, net.columns.source))] = np.array(tuned, np.float64) + weight_bias
    return weight


entry = Format(
    name="wann",
    suffixes=(".out",),
    summary="weight-agnostic networks: a matrix of weights, a column of activations",
    read=read,
    example=b"0,0,0,0.5,-1,1\n0,0,0,1.5,nan,1\n0,0,0,0,2,1\n0,0,0,0,0.25,3\n0,0,0,0,0,5\n",
)
