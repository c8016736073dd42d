"""Network: a validated DAG of neurons, stored as columns and available as a NetworkX graph."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flowgrad import arrays
from flowgrad.arguments import hashable, instance
from flowgrad.attributes import formula, number, rows_of
from flowgrad.columns import Columns
from flowgrad.draft import LEFT_OUT, Draft
from flowgrad.errors import GraphError, UnknownNameError, brief, listing
from flowgrad.registry import find
from flowgrad.rules import check
from flowgrad.weights import initializer_for

if TYPE_CHECKING:
    import networkx as nx
    from numpy.typing import ArrayLike

    from flowgrad.maths.activation import Activation
    from flowgrad.maths.aggregations import Aggregation
    from flowgrad.maths.initializers import Initializer


class Network:
    """A feed-forward network of individual neurons over any directed acyclic graph.

    Node ids are anything hashable. Every neuron has an activation, an aggregation, a bias and a response, every
    edge a weight: equations (1)–(3). Made from a NetworkX graph (`from_networkx`), from columns (`from_arrays`),
    or by hand:

    >>> net = Network()
    >>> net.add_input("x")
    >>> net.add_neuron("h", {"x": 0.5}, bias=0.1, activation="tanh")
    >>> net.set_outputs(["h"])
    >>> net
    Network(2 nodes, 1 edge, depth 1, 1 input: x, 1 output: h)

    A network changes only by its own methods; programs keep the plan they were compiled from. Weights that
    nobody gave are drawn from `seed`, by `initializer`, or where that is None by the one that suits the activation.
    """

    def __init__(self, *, seed: int = 0, initializer: str | Initializer | None = None) -> None:
        self._seed, self._initializer = seed, initializer_for(initializer)
        self._draft: Draft | None = Draft()
        self._columns: Columns | None = None
        self._graph: nx.DiGraph[Any] | None = None

    # ---- making one -----------------------------------------------------------------------------------------

    @classmethod
    def from_columns(cls, columns: Columns) -> Network:
        """A network of these columns, checked: what readers of formats call."""
        columns = instance("from_columns", columns, Columns)
        net = cls(seed=columns.seed, initializer=columns.initializer)
        net._draft, net._columns = None, check(columns)
        return net

    @classmethod
    def from_networkx(
        cls,
        G: nx.DiGraph[Any],
        inputs: Iterable[Hashable] | None = None,
        outputs: Iterable[Hashable] | None = None,
        activation: str | Activation = "tanh",
        output_activation: str | Activation = "identity",
        seed: int = 0,
        *,
        initializer: str | Initializer | None = None,
    ) -> Network:
        """A snapshot of any `nx.DiGraph`.

        A node may carry `activation`, `aggregation`, `bias`, `response`, `trainable`; an edge `weight`,
        `trainable`, `param` (edges that name the same param share one weight). Other attributes are kept.

        Args:
            G: the graph; it is read, never kept or changed.
            inputs: ids, in order; None takes the nodes without in-edges that carry no activation, aggregation
                or bias (with one of these they are bias-only neurons), of `net.reverse()` the outputs of `net`.
            outputs: ids, in order; None takes the neurons without out-edges.
            activation: of hidden neurons that name none themselves.
            output_activation: of outputs that name none themselves.
            seed: draws the weights that the graph does not give.
            initializer: of these weights, a name (`flowgrad list initializers`) or an Initializer; None takes the one
                that suits the activation of each edge's target.

        Raises:
            GraphError: undirected, a multigraph, empty, no inputs or outputs, a self-loop, an edge into an
                input, a value that is no finite number.
            CycleError: a cycle, named node by node.
            UnknownNameError: an input, output, activation, aggregation or initializer that does not exist.
        """
        from flowgrad.nxgraph import read

        return cls.from_columns(read(G, inputs, outputs, activation, output_activation, seed, initializer))

    @classmethod
    def from_arrays(
        cls,
        source: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        bias: ArrayLike | None = None,
        activation: str | Activation | Sequence[str | Activation] = "tanh",
        inputs: Iterable[int] | None = None,
        outputs: Iterable[int] | None = None,
        n_nodes: int | None = None,
        seed: int = 0,
        *,
        output_activation: str | Activation | None = None,
        initializer: str | Initializer | None = None,
        part: ArrayLike | None = None,
    ) -> Network:
        """A network from columns: edge k goes from neuron `source[k]` to `target[k]`, numbered 0 … n_nodes−1.

        Args:
            source, target: (E,) integers, arrays or columns of a data frame.
            weight: (E,) finite numbers; None draws them from `seed`.
            bias: (n_nodes,) finite numbers, an input's is ignored; None is all 0.
            activation: one for every neuron, or one a node (an input's is ignored).
            inputs: numbers of the inputs, in order; None takes the nodes without in-edges.
            outputs: numbers of the outputs, in order; None takes the neurons without out-edges.
            n_nodes: None takes the largest number that occurs, plus 1.
            output_activation: of the outputs, where `activation` is one for all; None takes that one for them too.
            initializer: as for `from_networkx`.
            part: (n_nodes,) integers, where these are many networks in one, as `fg.union` makes: the number of the
                network, from 0, that each node belongs to; −1 is an input that several may read.

        Raises:
            GraphError: an edge given twice, a self-loop, a number out of range, columns of unequal length, a
                value that is no finite number, output_activation beside one activation a node, an edge between two
                networks of `part`.
            CycleError: a cycle, named node by node.

        >>> Network.from_arrays([0, 1, 0], [1, 2, 2], weight=[0.5, -1.0, 2.0])
        Network(3 nodes, 3 edges, depth 2, 1 input: 0, 1 output: 2)
        """
        ends = source, target, weight, bias, activation, inputs, outputs, n_nodes, seed
        return cls.from_columns(arrays.read(*ends, output_activation, initializer, part))

    # ---- by hand --------------------------------------------------------------------------------------------

    def add_input(self, name: Hashable) -> None:
        """Add an input: a neuron with a_v = x_v. Inputs keep the order in which they were added."""
        self._edit().add_node(name, None, None, 0.0, 1.0, False)

    def add_neuron(
        self,
        name: Hashable,
        predecessors: Mapping[Any, float] | Iterable[Hashable] = (),
        *,
        bias: float = 0.0,
        activation: str | Activation | None = None,
        aggregation: str | Aggregation = "sum",
        response: float = 1.0,
        trainable: bool = True,
    ) -> None:
        """Add a neuron behind nodes that exist already.

        Args:
            predecessors: {node: weight}, or just nodes, whose weights are then drawn from the seed.
            activation: None is tanh, or identity if the neuron turns out to be an output.
            response: r_v of (2), never trained.
            trainable: whether θ holds the bias.

        Raises:
            UnknownNameError: a predecessor, activation or aggregation does not exist.
            GraphError: the name is taken, or a value is no finite number.
        """
        draft = self._edit()
        place = f" at neuron {brief(name)}"
        sigma = LEFT_OUT if activation is None else formula("activations", activation, lambda: place)
        agg = formula("aggregations", aggregation, lambda: place)
        b = number(bias, "bias", lambda _: f"neuron {brief(name)}")
        r = number(response, "response", lambda _: f"neuron {brief(name)}")
        if isinstance(predecessors, (str, bytes)) or not isinstance(predecessors, Iterable):
            raise GraphError(f"predecessors={brief(predecessors)}{place}: give a list or {{node: weight}}")
        pairs = predecessors.items() if isinstance(predecessors, Mapping) else ((u, None) for u in predecessors)
        given = list(pairs)
        edges = {draft.row(u): _weight(w, u, name) for u, w in given}
        if len(edges) < len(given):
            raise GraphError(f"neuron {brief(name)} names a predecessor twice: {listing(u for u, _ in given)}")
        draft.add_node(name, sigma, agg, b, r, trainable)
        for u, w in edges.items():
            draft.add_edge(u, draft.index[name], w, True, None)

    def connect(
        self,
        source: Hashable,
        target: Hashable,
        weight: float | None = None,
        *,
        trainable: bool = True,
        param: Hashable = None,
    ) -> None:
        """Add an edge; `param` names a weight that several edges share, `None` as a weight lets the seed decide.

        Raises:
            UnknownNameError: an end is no node.
            GraphError: a self-loop, an edge that exists, an edge into an input, a weight that is no finite number,
                a param that is not hashable.
        """
        draft = self._edit()
        u, v = draft.row(source), draft.row(target)
        if not hashable(param):
            raise GraphError(f"param={brief(param)} at edge {brief(source)} → {brief(target)}: must be hashable")
        draft.add_edge(u, v, _weight(weight, source, target), trainable, param)

    def set_outputs(self, names: Iterable[Hashable]) -> None:
        """Say which nodes are outputs, in order; without it the neurons without out-edges are."""
        draft = self._edit()
        draft.outputs = rows_of(names, draft.index, "output").tolist()

    def _edit(self) -> Draft:
        """Return the draft to edit, made from the columns where needed; drops the cached columns and graph."""
        if self._draft is None:
            self._draft = Draft.of(self.columns)
        self._columns = self._graph = None
        return self._draft

    # ---- looking at it --------------------------------------------------------------------------------------

    @property
    def columns(self) -> Columns:
        """The network as validated arrays; read-only by agreement."""
        if self._columns is None:
            assert self._draft is not None
            self._columns = check(self._draft.columns(self._seed, self._initializer))
        return self._columns

    @property
    def nodes(self) -> tuple[Hashable, ...]:
        """Ids in canonical order: inputs, then neurons by level and id."""
        c = self.columns
        return tuple(c.ids[k] for k in c.order.tolist())

    @property
    def inputs(self) -> tuple[Hashable, ...]:
        """Ids of the inputs: the columns of X."""
        return tuple(self.columns.ids[k] for k in self.columns.inputs.tolist())

    @property
    def outputs(self) -> tuple[Hashable, ...]:
        """Ids of the outputs: the columns of Y."""
        return tuple(self.columns.ids[k] for k in self.columns.outputs.tolist())

    @property
    def output_slices(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Of a union, the columns of Y that are each network's; of any other network, all of them.

        An output that is an input which networks share is none's. `program.theta_slices` does so for θ.
        """
        part, outputs = self.columns.part, self.columns.outputs
        if part is None:
            return (np.arange(len(outputs)),)
        of, networks = part[outputs], int(part.max()) + 1
        order = np.argsort(of, kind="stable")
        ends = np.cumsum(np.bincount(of + 1, minlength=networks + 1))
        return tuple(np.split(order, ends[:-1]))[1:]

    @property
    def depth(self) -> int:
        """Edges on the longest path."""
        return int(self.columns.level.max())

    @property
    def graph(self) -> nx.DiGraph[Any]:
        """The network as a read-only `nx.DiGraph` with every attribute, for any NetworkX algorithm."""
        if self._graph is None:
            from flowgrad.nxgraph import view

            self._graph = view(self.columns)
        return self._graph

    def reverse(self) -> nx.DiGraph[Any]:
        """`graph` with every arrow turned round: a read-only view that shares its attributes.

        `Network.from_networkx(net.reverse())` makes a network of it: outputs that feed no other node are its inputs,
        inputs its outputs. The network that computes gradients is `fg.reversed_network(program, acts)`.
        """
        from flowgrad.nxgraph import ReversedView

        return ReversedView.of(self.graph, self.inputs, self.outputs)

    def plot(
        self,
        values: Any = None,
        *,
        edge_values: Any = None,
        labels: bool | None = None,
        label: str = "",
        edge_label: str = "",
        title: str = "",
        ax: Any = None,
    ) -> Any:
        """A picture for papers: levels from left to right; `net.plot().savefig("net.pdf")` writes it.

        Inputs are squares, outputs have a heavy rim. Blue is above 0 and orange below, of edges and of neurons, as on
        the page and in notebooks; edges are the wider the larger, and a legend says what they show. Colours stay
        apart for the colour-blind. Nothing is random.

        Args:
            values: of neurons, as colours: a mapping by id (importance, one sample's activations) or (V,) in the
                order of `nodes`; None colours nothing.
            edge_values: a mapping by (source, target) or (E,) as `grads.weight.array`; None takes the weights.
            labels: write the ids where there is room for them; None does so up to 80 nodes.
            label: of the colour bar. edge_label: what edges show, for the legend; left out: weight, or edge value.
            title: above the picture.
            ax: axes of matplotlib to draw on; None makes a figure.

        Returns:
            the matplotlib Figure.

        Raises:
            UnknownNameError, ShapeError: values that are of no node or edge, or of another shape.
            ConfigError: labels or ax is of the wrong type, or a value is no number.
            MissingDependencyError: matplotlib is not installed.
        """
        words = {"label": label, "edge_label": edge_label, "title": title}
        return find("displays", "plot")(self, values, edge_values=edge_values, labels=labels, ax=ax, **words)

    def _repr_html_(self) -> str:
        return str(find("displays", "network")(self))

    def __repr__(self) -> str:
        try:
            c = self.columns
        except (GraphError, UnknownNameError) as error:
            return f"Network(unfinished: {error})"
        inputs = f"{_plural(len(c.inputs), 'input')}: {_few(c, c.inputs)}"
        outputs = f"{_plural(len(c.outputs), 'output')}: {_few(c, c.outputs)}"
        size = f"{_plural(c.n_nodes, 'node')}, {_plural(c.n_edges, 'edge')}, depth {self.depth}"
        return f"Network({size}, {inputs}, {outputs})"

    def __getstate__(self) -> dict[str, Any]:
        kept = {"_seed": self._seed, "_initializer": self._initializer}
        return kept | {"_draft": self._draft, "_columns": self._columns, "_graph": None}


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _few(c: Columns, rows: Any) -> str:
    return listing((c.ids[k] for k in rows.tolist()), limit=3)


def _weight(value: float | None, source: Hashable, target: Hashable) -> float:
    return np.nan if value is None else number(value, "weight", lambda _: f"edge {brief(source)} → {brief(target)}")
