"""Read the .nnet format of aircraft collision avoidance (Stanford, 2016): layers of relu neurons, with normalisation.

Inputs are clipped to their range and normalised, x ← (clip(x) − mean) / range; the last layer is linear, and its
outputs are scaled back, y ← y · range + mean. All of this becomes neurons; only the weights and biases of the
layers are trainable. Ids: `x<k>`, `clip<k>`, `norm<k>`, `h<layer>.<k>`, `raw<k>`, `y<k>`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import text
from flowgrad.network import Network

Floats = npt.NDArray[np.float64]
MOST = 100_000  # maximal number of neurons in a layer, and of layers


def read(source: Source) -> Network:
    """Read a network that takes and returns values in physical units.

    Raises:
        FileError: a line has a wrong number of values, or a value that is not finite or out of range; the message names
            the line.
    """
    lines = _Lines(text(source.read(), str(source.path)), str(source.path))
    layers, n_in, n_out, _ = (lines.count(v) for v in lines.values(4))
    sizes = [lines.count(v) for v in lines.values(layers + 1)]
    if sizes[0] != n_in or sizes[-1] != n_out:
        lines.refuse(f"layers of {sizes} neurons do not begin with {n_in} and end with {n_out}")
    lines.skip()
    low, high = lines.values(n_in), lines.values(n_in)
    if (low > high).any():
        lines.refuse("an input's minimum is above its maximum")
    mean, span = lines.values(n_in + 1), lines.values(n_in + 1)
    if (span == 0).any():
        lines.refuse("a range is 0")
    net = Network()
    before = _normalised(net, low, high, mean[:-1], span[:-1])
    for k, (width, fan_in) in enumerate(zip(sizes[1:], sizes, strict=False), 1):
        W = np.array([lines.values(fan_in) for _ in range(width)])
        b = np.array([lines.values(1)[0] for _ in range(width)])
        last = k == layers
        names = [f"raw{j}" if last else f"h{k}.{j}" for j in range(width)]
        for j, name in enumerate(names):
            weights = dict(zip(before, W[j].tolist(), strict=True))
            net.add_neuron(name, weights, bias=b[j], activation="identity" if last else "relu")
        before = names
    lines.end()
    for j, name in enumerate(before):
        net.add_neuron(f"y{j}", bias=float(mean[-1]), activation="identity", trainable=False)
        net.connect(name, f"y{j}", float(span[-1]), trainable=False)
    net.set_outputs([f"y{j}" for j in range(n_out)])
    return net


def _normalised(net: Network, low: Floats, high: Floats, mean: Floats, span: Floats) -> list[str]:
    """Add the inputs, clip them by hard_tanh around the middle of their range, and normalise; return the names."""
    for k in range(len(low)):
        net.add_input(f"x{k}")
    for k in range(len(low)):
        middle, half = (low[k] + high[k]) / 2, (high[k] - low[k]) / 2
        into = 1.0 / half if half > 0 else 0.0
        net.add_neuron(f"clip{k}", bias=-middle * into, activation="hard_tanh", trainable=False)
        net.connect(f"x{k}", f"clip{k}", float(into), trainable=False)
        net.add_neuron(f"norm{k}", bias=(middle - mean[k]) / span[k], activation="identity", trainable=False)
        net.connect(f"clip{k}", f"norm{k}", float(half / span[k]), trainable=False)
    return [f"norm{k}" for k in range(len(low))]


class _Lines:
    """Read comma-separated numbers line by line; comments (//) and empty lines are skipped."""

    def __init__(self, content: str, what: str) -> None:
        self.what, self.number = what, 0
        numbered: Iterator[tuple[int, str]] = enumerate(content.splitlines(), 1)
        self.rest = ((n, line) for n, line in numbered if line.strip() and not line.lstrip().startswith("//"))

    def refuse(self, rule: str) -> None:
        raise FileError(f"{self.what}, line {self.number}: {rule}")

    def skip(self) -> str:
        found = next(self.rest, None)
        if found is None:
            raise FileError(f"{self.what} ends after line {self.number}: truncated")
        self.number, line = found
        return line

    def values(self, n: int) -> Floats:
        """Return the next line's n finite numbers; a comma may follow the last."""
        fields = self.skip().strip().removesuffix(",").split(",")
        if len(fields) != n:
            self.refuse(f"{len(fields)} values, where {n} must stand")
        try:
            found = np.array(list(map(float, fields)))
        except ValueError:
            found = np.array([np.nan])
        if not np.isfinite(found).all():
            self.refuse("a value is no finite number")
        return found

    def count(self, value: float) -> int:
        if value != int(value) or not 1 <= value <= MOST:
            self.refuse(f"{value:g} must be an integer, 1 to {MOST}")
        return int(value)

    def end(self) -> None:
        found = next(self.rest, None)
        if found is not None:
            raise FileError(f"{self.what}, line {found[0]}: more lines than the layers ask for")


EXAMPLE = b"""// two inputs, a layer of two, one output
2,2,1,2,
2,2,1,
0,
-1.0,0.0,
1.0,4.0,
0.0,2.0,10.0,
2.0,4.0,100.0,
1.0,2.0,
-1.0,0.5,
0.25,
-0.5,
3.0,-2.0,
0.125,
"""

entry = Format(
    name="nnet",
    suffixes=(".nnet",),
    summary="aircraft collision avoidance networks: relu layers, normalisation included",
    read=read,
    example=EXAMPLE,
)
