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

    A node id is any hashable object. Every neuron has an activation, an aggregation, a bias and a response, and every
    edge has a weight: equations (1)–(3). A network is created from a NetworkX graph (`from_networkx`), from arrays
    (`from_arrays`), or node by node:

    >>> net = Network()
    >>> net.add_input("x")
    >>> net.add_neuron("h", {"x": 0.5}, bias=0.1, activation="tanh")
    >>> net.set_outputs(["h"])
    >>> net
    Network(2 nodes, 1 edge, depth 1, 1 input: x, 1 output: h)

    Only `add_input`, `add_neuron`, `connect` and `set_outputs` change a network. A program that was compiled before
    the change keeps the earlier state. Rules that concern the whole graph, such as the absence of cycles, are checked
    when the network is used after a change. Weights that were not given are drawn then; they depend on all edges.

    Args:
        seed: seed of the generator that draws the weights that are not given; an integer ≥ 0.
        initializer: rule for the standard deviation of these weights: a name (`flowgrad list initializers`) or an
            `Initializer`. Default: for each edge, the initializer of its target's activation.

    Raises:
        UnknownNameError: no initializer has this name.
        GraphError: `initializer` is neither a name nor an `Initializer`; or, when the network is used, it has no
            nodes, no inputs or no outputs, or two edges of one `param` were given different weights.
        CycleError: the network has a cycle when it is used; the message lists its nodes.
    """

    def __init__(self, *, seed: int = 0, initializer: str | Initializer | None = None) -> None:
        self._seed, self._initializer = seed, initializer_for(initializer)
        self._draft: Draft | None = Draft()
        self._columns: Columns | None = None
        self._graph: nx.DiGraph[Any] | None = None

    # ---- making one -----------------------------------------------------------------------------------------

    @classmethod
    def from_columns(cls, columns: Columns) -> Network:
        """Create a network from a `Columns` record, as the readers of file formats do, and check that it is valid.

        Raises:
            DataError: `columns` is no `Columns`.
            GraphError: the columns describe no valid network. CycleError: they have a cycle.
        """
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
        """Create a network from an `nx.DiGraph`; later changes of the graph have no effect on the network.

        A node may have the attributes `activation`, `aggregation`, `bias`, `response` and `trainable` (whether its
        bias is trained). An edge may have `weight`, `trainable` (whether its weight is trained) and `param`: edges
        with the same `param` share one weight. Other attributes of nodes, edges and the graph are kept.

        Args:
            G: the graph; it is not modified.
            inputs: ids of the input nodes, in order. Default: the nodes without in-edges and without an attribute
                `activation`, `aggregation` or `bias` (with one of these, such a node is a neuron that has only a
                bias). If G is `net.reverse()`, the default is the outputs of `net` that feed no other node.
            outputs: ids of the output nodes, in order. Default: the neurons without out-edges; if G is
                `net.reverse()`, the inputs of `net`.
            activation: activation of hidden neurons without an attribute `activation`.
            output_activation: activation of outputs without an attribute `activation`.
            seed: seed of the generator that draws weights that the graph does not give; an integer ≥ 0.
            initializer: rule for the standard deviation of these weights: a name (`flowgrad list initializers`) or
                an `Initializer`. Default: for each edge, the initializer of its target's activation.

        Raises:
            GraphError: G is no `nx.DiGraph` or is a multigraph; it is empty, or has no inputs or outputs; it has a
                self-loop or an edge into an input; an input or output is listed twice; an attribute or argument is of
                the wrong type, or is not finite; two edges of one `param` have different weights.
            CycleError: the graph has a cycle; the message lists its nodes.
            UnknownNameError: an input, output, activation, aggregation or initializer does not exist.
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
        """Create a network from arrays: edge k goes from node `source[k]` to node `target[k]`.

        Nodes are numbered 0 … n_nodes − 1, and these numbers are their ids.

        Args:
            source, target: (E,) integers, as arrays or columns of a data frame.
            weight: (E,) finite numbers. Default: all weights are drawn from `seed`.
            bias: (n_nodes,) finite numbers; entries at inputs are ignored. Default: all 0.
            activation: one activation for all neurons, or a sequence with one for each node (entries at inputs are
                ignored).
            inputs: numbers of the input nodes, in order. Default: the nodes without in-edges.
            outputs: numbers of the output nodes, in order. Default: the neurons without out-edges.
            n_nodes: number of nodes. Default: the largest number in `source` and `target`, plus 1.
            seed, initializer: as for `from_networkx`.
            output_activation: activation of the outputs, allowed if `activation` is one for all neurons. Default: the
                outputs have `activation` too.
            part: (n_nodes,) integers, for several networks in one, as `fg.union` creates: the number of the network
                to which each node belongs, from 0 without gaps, or −1 for an input that several networks may read.

        Raises:
            GraphError: an edge is given twice; there is a self-loop or an edge into an input; there are no nodes,
                inputs or outputs; a node number in `source` or `target` is out of range; an array has the wrong
                length or type; a value is not finite; an input or output is listed twice; `output_activation` is
                given with one activation for each node; `part` is invalid, or an edge joins two networks of `part`.
            CycleError: the graph has a cycle; the message lists its nodes.
            UnknownNameError: an input or output is no node; an activation or initializer does not exist.
            DataError: an array is masked, or cannot be converted. ShapeError: its rows have unequal lengths.
            ConfigError: the network does not fit into memory.

        >>> Network.from_arrays([0, 1, 0], [1, 2, 2], weight=[0.5, -1.0, 2.0])
        Network(3 nodes, 3 edges, depth 2, 1 input: 0, 1 output: 2)
        """
        ends = source, target, weight, bias, activation, inputs, outputs, n_nodes, seed
        return cls.from_columns(arrays.read(*ends, output_activation, initializer, part))

    # ---- by hand --------------------------------------------------------------------------------------------

    def add_input(self, name: Hashable) -> None:
        """Add an input node, whose activation a_v is x_v; inputs are in the order in which they were added.

        Raises:
            GraphError: a node has this name already, or the name is not hashable.
        """
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
        """Add a neuron, with an edge from each of its predecessors, which must exist already.

        Args:
            name: id of the neuron, any hashable object.
            predecessors: a mapping {node: weight}, or an iterable of nodes. Weights that are not given, or are None,
                are drawn from the seed of the network.
            bias: b_v of (2), a finite number.
            activation: a name (`flowgrad list activations`) or an `Activation`. Default: identity if the neuron is an
                output, else tanh.
            aggregation: a name (`flowgrad list aggregations`) or an `Aggregation`.
            response: r_v of (2), a finite number; it is never trained.
            trainable: whether the bias is trained, and so part of θ. The weights of the new edges are trainable.

        Raises:
            UnknownNameError: a predecessor, activation or aggregation does not exist.
            GraphError: a node has this name already, or the name is not hashable; a number is not finite; a
                predecessor is given twice; an argument is of the wrong type.
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
        """Add an edge between two existing nodes.

        Args:
            source, target: ids of the nodes.
            weight: a finite number. Default: drawn from the seed of the network, or, if another edge of the same
                `param` was given a weight, that weight.
            trainable: whether the weight is trained, and so part of θ. A shared weight is trained if any of its edges
                is trainable.
            param: name of a weight that several edges share, any hashable object. Default: the edge has its own.

        Raises:
            UnknownNameError: `source` or `target` is no node.
            GraphError: the edge is a self-loop, exists already, or goes into an input; the weight is no finite
                number; `param` is not hashable.
        """
        draft = self._edit()
        u, v = draft.row(source), draft.row(target)
        if not hashable(param):
            raise GraphError(f"param={brief(param)} at edge {brief(source)} → {brief(target)}: must be hashable")
        draft.add_edge(u, v, _weight(weight, source, target), trainable, param)

    def set_outputs(self, names: Iterable[Hashable]) -> None:
        """Set the output nodes, in order.

        If it is not called, the neurons without out-edges are the outputs. A network that was read or created from a
        graph or arrays keeps the outputs that it had then.

        Raises:
            UnknownNameError: a name is no node.
            GraphError: a name is given twice, or `names` is a single text.
        """
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
        """The network as a validated `Columns` record, whose arrays are read-only.

        Raises:
            GraphError, CycleError: the network is not valid, as described for the class.
        """
        if self._columns is None:
            assert self._draft is not None
            self._columns = check(self._draft.columns(self._seed, self._initializer))
        return self._columns

    @property
    def nodes(self) -> tuple[Hashable, ...]:
        """Ids of all nodes in canonical order: inputs in their own order, then neurons by level and id.

        The level of a node is the number of edges on the longest path to it. Neurons of one level are in the order
        of the network if an id has a type other than str, int, float, bytes, bool or a tuple of them. In a union,
        neurons are ordered network by network.
        """
        c = self.columns
        return tuple(c.ids[k] for k in c.order.tolist())

    @property
    def inputs(self) -> tuple[Hashable, ...]:
        """Ids of the inputs, in the order of the columns of X."""
        return tuple(self.columns.ids[k] for k in self.columns.inputs.tolist())

    @property
    def outputs(self) -> tuple[Hashable, ...]:
        """Ids of the outputs, in the order of the columns of Y."""
        return tuple(self.columns.ids[k] for k in self.columns.outputs.tolist())

    @property
    def output_slices(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Indices of the columns of Y that belong to each network of a union: one int64 array for each network.

        For a network that is no union this is one array, of all columns. An output that is a shared input belongs to
        no network. `program.theta_slices` gives the corresponding indices into θ.
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
        """Number of edges on the longest path."""
        return int(self.columns.level.max())

    @property
    def graph(self) -> nx.DiGraph[Any]:
        """The network as a read-only `nx.DiGraph` with every attribute, for any NetworkX algorithm.

        Neurons have the attributes `activation` and `bias`, and edges have `weight`. The attributes `aggregation`,
        `response`, `trainable` and `param` are present only where they are not the default. The graph does not follow
        later changes of the network.
        """
        if self._graph is None:
            from flowgrad.nxgraph import view

            self._graph = view(self.columns)
        return self._graph

    def reverse(self) -> nx.DiGraph[Any]:
        """Return `graph` with the direction of every edge inverted: a read-only view that shares its attributes.

        `Network.from_networkx(net.reverse())` creates a network from it: its inputs are the outputs of this network
        that feed no other node, and its outputs are the inputs of this network. The network that computes gradients,
        as equation (10) describes, is `fg.reversed_network(program, acts)`.
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
        """Draw the network with matplotlib, for publications, with levels from left to right.

        `net.plot().savefig("net.pdf")` writes the picture to a file. Inputs are squares, and outputs have a thick
        rim. Positive values are blue and negative values orange, for edges and for nodes; these two hues can be told
        apart with the common forms of colour blindness. Edges with larger absolute values are wider, and a legend
        describes the edges. The layout is deterministic.

        Args:
            values: values of the nodes, shown as colours: a mapping from id to number (such as importance, or the
                activations of one sample), or (V,) numbers in the order of `nodes`. A mapping may
                omit nodes; they have no colour. Default: no node has a colour.
            edge_values: values of the edges: a mapping from (source, target) to number, or (E,) numbers in the order
                of `grads.weight.array`. Edges that a mapping omits have the value 0. Default: the weights.
            labels: whether ids are written where there is room for them. Default: up to 80 nodes.
            label: text of the colour bar, which is drawn if `values` is given.
            edge_label: name of the edge values in the legend. Default: "weight", or "edge value" if `edge_values` is
                given.
            title: text above the picture.
            ax: matplotlib axes to draw on. Default: those of a new figure.

        Returns:
            The matplotlib Figure.

        Raises:
            UnknownNameError: a mapping has a key that is no node or edge.
            ShapeError: an array has the wrong shape, or a value in a mapping is no single number.
            ConfigError: `labels` or `ax` is of the wrong type, or a value is no number.
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
