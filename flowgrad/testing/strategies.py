"""Draw random networks for property tests: `networks()` and `cases()` are Hypothesis strategies.

    from hypothesis import given
    from flowgrad.testing.strategies import networks

    @given(networks())
    def test_my_executor(network): ...

They include rare cases in which programs often fail: bias-only, dead and isolated neurons, outputs that feed other
neurons, inputs that are outputs, outputs without a path from an input, shared and frozen weights, exact ties and zeros,
ids of several types, nodes and edges in shuffled order. `random_case(rng)` draws from a seeded Generator without
Hypothesis, for long test runs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from flowgrad.errors import MissingDependencyError
from flowgrad.maths import aggregations as known_aggregations
from flowgrad.maths import losses as known_losses
from flowgrad.maths.activation import Activation
from flowgrad.network import Network
from flowgrad.registry import names
from flowgrad.testing import oracle

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

IDS = ("str", "int", "tuple", "mixed", "unorderable")
Functions = Sequence[str | Activation]
FORMULAS = tuple(name for name in names("activations") if name in oracle.SIGMA)


class Opaque:
    """A node id that cannot be sorted; it is hashed and compared by identity, so that nodes keep insertion order."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"<neuron {self.number}>"


@dataclass(frozen=True, eq=False)
class Case:
    """A network as plain data, with the attributes that `Network.from_networkx` reads.

    Attributes:
        nodes: (id, attributes) of each node; the attributes of an input are empty.
        edges: (source id, target id, attributes) of each edge.
        inputs, outputs: ids, in order.
    """

    nodes: tuple[tuple[Hashable, dict[str, Any]], ...]
    edges: tuple[tuple[Hashable, Hashable, dict[str, Any]], ...]
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]

    def network(self) -> Network:
        """Build the network node by node, in the order of `nodes` and `edges`."""
        net = Network()
        for v in self.inputs:
            net.add_input(v)
        for v, given in self.nodes:
            if v not in self.inputs:
                net.add_neuron(v, **given)
        for u, v, given in self.edges:
            net.connect(u, v, **given)
        net.set_outputs(self.outputs)
        return net

    def batch(self, rows: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Draw a batch X of shape (rows, I), float64, from the standard normal distribution."""
        return np.random.default_rng(seed).standard_normal((rows, len(self.inputs)))


def cases(
    *,
    max_neurons: int = 10,
    activations: Functions | None = None,
    aggregations: Sequence[str] | None = None,
    ids: Sequence[str] = IDS,
) -> SearchStrategy[Case]:
    """Return a Hypothesis strategy for random networks as plain data (`Case`).

    Args:
        max_neurons: largest number of neurons, an integer ≥ 1; there are 1 to 3 inputs besides.
        activations: names or records to choose from. Default: those for which `flowgrad.testing.oracle` has a formula.
        aggregations: names to choose from. Default: all of flowgrad's own.
        ids: kinds of ids to choose from, entries of `IDS`.

    Raises:
        MissingDependencyError: Hypothesis is not installed.
    """
    try:
        from hypothesis import strategies as st
    except ImportError:
        raise MissingDependencyError("hypothesis", "test", "flowgrad.testing.strategies") from None

    @st.composite
    def drawn(draw: Callable[[Any], Any]) -> Case:
        return _Assembly(_Drawn(draw, st), max_neurons, activations, aggregations, ids).case()

    return drawn()


def networks(**options: Any) -> SearchStrategy[Network]:
    """Return a Hypothesis strategy for random networks (`Network`); options as for `cases`."""
    return cases(**options).map(Case.network)


def random_case(
    rng: np.random.Generator,
    *,
    max_neurons: int = 10,
    activations: Functions | None = None,
    aggregations: Sequence[str] | None = None,
    ids: Sequence[str] = IDS,
) -> Case:
    """Draw one random network as plain data (`Case`) by a Generator; options as for `cases`."""
    return _Assembly(_Seeded(rng), max_neurons, activations, aggregations, ids).case()


# ---- building a case ----------------------------------------------------------------------------------------


class _Decisions(Protocol):
    """A source of random integers: Hypothesis, which can shrink them, or a Generator."""

    def whole(self, low: int, high: int) -> int: ...


class _Drawn:
    def __init__(self, draw: Callable[[Any], Any], st: Any) -> None:
        self._draw, self._st = draw, st

    def whole(self, low: int, high: int) -> int:
        return int(self._draw(self._st.integers(low, high)))


class _Seeded:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def whole(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high, endpoint=True))


class _Assembly:
    """A case under construction: `decide` draws the structure, and the seed of the generator of weights and orders."""

    def __init__(
        self,
        decide: _Decisions,
        max_neurons: int,
        activations: Functions | None,
        aggregations: Sequence[str] | None,
        ids: Sequence[str],
    ) -> None:
        self.decide = decide
        self.activations = FORMULAS if activations is None else activations
        self.aggregations = tuple(known_aggregations.entries) if aggregations is None else aggregations
        self.n_inputs = decide.whole(1, 3)
        self.n_neurons = decide.whole(1, max_neurons)
        self.rng = np.random.default_rng(decide.whole(0, 2**32 - 1))
        self.ids = _ids(self.choice(ids), self.n_inputs + self.n_neurons)

    def choice(self, options: Sequence[Any]) -> Any:
        return options[self.decide.whole(0, len(options) - 1)]

    def chance(self, one_in: int) -> bool:
        """Return True with probability 1/one_in; shrinks to False."""
        return self.decide.whole(1, one_in) == one_in

    def case(self) -> Case:
        V = self.n_inputs + self.n_neurons
        neurons = range(self.n_inputs, V)
        edges = [edge for v in neurons for edge in self.edges_into(v)]
        nodes = [(self.ids[v], self.neuron() if v in neurons else {}) for v in range(V)]
        outputs = [v for v in range(V) if self.chance(4)] or [V - 1]
        self.rng.shuffle(outputs)
        inputs = [self.ids[k] for k in self.rng.permutation(self.n_inputs)]
        return Case(
            nodes=tuple(nodes[k] for k in self.rng.permutation(V)),
            edges=tuple(edges[k] for k in self.rng.permutation(len(edges))),
            inputs=tuple(inputs),
            outputs=tuple(self.ids[v] for v in outputs),
        )

    def neuron(self) -> dict[str, Any]:
        given: dict[str, Any] = {"activation": self.choice(self.activations)}
        if self.chance(2):
            given["aggregation"] = self.choice(self.aggregations)
        given["bias"] = float(self.rng.choice([self.rng.standard_normal(), 0.0], p=[0.8, 0.2]))
        if self.chance(3):
            given["response"] = float(self.rng.standard_normal())
        if self.chance(5):
            given["trainable"] = False
        return given

    def edges_into(self, v: int) -> list[tuple[Hashable, Hashable, dict[str, Any]]]:
        """Draw in-edges from earlier nodes; none with probability 1/6."""
        if self.chance(6):
            return []
        sources = self.rng.choice(v, min(v, self.decide.whole(1, 5)), replace=False)
        return [(self.ids[u], self.ids[v], self.edge()) for u in sources.tolist()]

    def edge(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        if self.chance(6):
            number = self.decide.whole(0, 1)
            given["param"], given["weight"] = ("shared", number), (0.75, -1.25)[number]
        else:  # a few exact values, so that terms tie and vanish
            given["weight"] = float(
                self.rng.choice([self.rng.standard_normal(), 0.0, 1.0, -1.0], p=[0.85, *[0.05] * 3])
            )
        if self.chance(6):
            given["trainable"] = False
        return given


def suited(loss: str, outputs: int) -> str:
    """Return the name `loss`, or "squared_error" if that loss needs more outputs."""
    return loss if outputs >= known_losses.entries[loss].outputs else "squared_error"


def _ids(kind: str, n: int) -> list[Hashable]:
    """Return n ids of a kind; their canonical order differs from that of the list, except for "unorderable"."""
    if kind == "str":
        return [f"n{n - k}" for k in range(n)]  # n10 comes before n9
    if kind == "int":
        return [n - 2 * k for k in range(n)]
    if kind == "tuple":
        return [("layer", k % 3, n - k) for k in range(n)]
    if kind == "unorderable":
        return [Opaque(k) for k in range(n)]
    made: list[Hashable] = [
        f"n{k}" if k % 4 == 0 else k if k % 4 == 1 else (k, "x") if k % 4 == 2 else k + 0.5 for k in range(n)
    ]
    return made[::-1]
