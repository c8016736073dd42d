"""Measure what `fg.fit` does without settings beside the best of a grid, and beside other programs without settings.

    python tests/benchmarks/defaults.py [--cells FOLDER] [--only NAME …] [--seeds 5]

Five seeds: each holds out a quarter of the samples, stratified by class, draws the network's first weights and the
order of its samples. Inputs are standardised by the training samples, missing ones are 0 then. The grid is 3 learning
rates × 2 batch sizes × 2 spreads, factors on the first weights, at the default number of epochs. "glorot" and "fan_in"
are the default with first weights by the initializers of those names, "relu" with neurons of that activation. Rivals
are scikit-learn's MLPClassifier, with its relu neurons and with tanh ones, and the package `binn` on its own data; the
last is left out where it is not installed. Scores are of the samples that were held out: accuracy, or Pearson's r of
the one set of numbers (dcell), in per cent. A cell is kept in a file as soon as it is done, and is not done again, so
that programs which cannot be installed together fill one folder in turn. Prints the tables of docs/defaults.md in
Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

import flowgrad as fg
from flowgrad.folds import held_out

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
RATES, BATCHES, SPREADS = (0.003, 0.01, 0.03), (16, 64), (0.5, 1.0)
GRID = [f"{rate:g} {batch} {spread:g}" for rate, batch, spread in product(RATES, BATCHES, SPREADS)]
DEFAULT, FORMER, RELU, GLOROT, FAN_IN = "default", "former", "relu", "glorot", "fan_in"
PERCEPTRON, TANH_PERCEPTRON, BINN = "MLPClassifier", "MLPClassifier, tanh", "binn 0.1.1"
RIVALS = (PERCEPTRON, TANH_PERCEPTRON, BINN)
FORMERLY = {"learning_rate": 0.001, "epochs": 50, "batch_size": 64}
"""The defaults of version 0.1, which drew by Glorot's rule."""
IMMUNE_SYSTEM = "R-HSA-168256"
HIDDEN = 100  # neurons of a perceptron, as many as MLPClassifier's
PERCEPTRONS = ("iris", "wine", "breast_cancer", "digits", "moons", "circles", "classification", "gaussian_quantiles")

Array = Any
Make = Callable[..., fg.Network]
"""A network of a seed, an initializer and, where neurons are not tanh, their activation."""


@dataclass(frozen=True)
class Task:
    """Samples X (N, I), NaN where missing, and classes y (N,) or targets y (N, 1); and the network that learns them."""

    X: Array
    y: Array
    network: Make
    loss: str

    def parts(self, seed: int) -> tuple[Array, Array, Array, Array]:
        """X and y to train on, X and y held out."""
        numbers = self.loss == "squared_error"
        test = held_out(len(self.X), 0.25, np.random.default_rng(seed), strata=None if numbers else self.y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a column that no training sample has
            mean, std = np.nanmean(self.X[~test], axis=0), np.nanstd(self.X[~test], axis=0)
        scaled = np.nan_to_num((self.X - mean) / np.where(std > 0, std, 1.0))
        y = self.y / self.y[~test].std() if numbers else self.y
        return scaled[~test], y[~test], scaled[test], y[test]

    def score(self, y: Array, t: Array) -> float:
        """Per cent: accuracy of outputs y (B, O), or Pearson's r."""
        if self.loss == "squared_error":
            return 100 * float(np.corrcoef(y[:, 0], t[:, 0])[0, 1])
        said = y.argmax(axis=1) if y.shape[1] > 1 else (y[:, 0] > 0).astype(int)
        return 100 * float((said == t).mean())


# ---- the tasks ------------------------------------------------------------------------------------------------------


def by_graph(edges: list[tuple[str, str]], inputs: list[str], output: str) -> Make:
    """One tanh neuron a node, and one output."""

    def make(seed: int, initializer: fg.Initializer | None, activation: str = "tanh") -> fg.Network:
        G = nx.DiGraph(edges)
        return fg.Network.from_networkx(G, inputs, [output], activation=activation, seed=seed, initializer=initializer)

    return make


def with_outcome(G: nx.DiGraph) -> list[tuple[str, str]]:
    """The edges, and those from every last node to the outcome, in an order that is the same in every process."""
    return sorted([*G.edges, *((node, "outcome") for node in G if not G.out_degree(node))])


def binn() -> Task:
    """Proteins of 197 patients, two groups; protein → pathway → parent, as far as Reactome goes."""
    folder = DATA / "binn_proteomics"
    rows = list(csv.reader((folder / "datamatrix.csv").open()))
    X = np.array([[float(cell) if cell else np.nan for cell in row[1:]] for row in rows[1:]]).T
    group = dict(line.split("\t") for line in (folder / "design.tsv").read_text().splitlines()[1:])
    y = np.array([int(group[sample]) - 1 for sample in rows[0][1:]])
    measured = [row[0] for row in rows[1:]]
    member = (line.split("\t")[:2] for line in (folder / "uniprot2reactome_HSA.txt").read_text().splitlines())
    direct = sorted({(protein, pathway) for protein, pathway in member if protein in {*measured}})
    lines = (folder / "reactome_relation_HSA.txt").read_text().splitlines()
    above = nx.DiGraph(sorted(tuple(line.split("\t")[::-1]) for line in lines))
    G = nx.DiGraph(direct)
    for pathway in sorted({pathway for _, pathway in direct} & {*above}):
        G.add_edges_from(above.subgraph({pathway, *nx.descendants(above, pathway)}).edges)
    inputs = [protein for protein in measured if protein in G]
    columns = [measured.index(protein) for protein in inputs]
    return Task(X[:, columns], y, by_graph(with_outcome(G), inputs, "outcome"), "binary_cross_entropy")


def gennet() -> Task:
    """GenNet's simulated example: single-nucleotide polymorphism → gene → case or control."""
    folder = DATA / "gennet_classification"
    X = np.loadtxt(folder / "genotype.csv.gz", delimiter=",")
    y = np.loadtxt(folder / "subjects.csv", delimiter=",", skiprows=1, usecols=2).astype(int)
    net = fg.load(folder / "topology.csv", format="gennet")
    make = by_graph(list(net.graph.edges), list(net.inputs), net.outputs[0])
    return Task(X, y, make, "binary_cross_entropy")


def dcell() -> Task:
    """Growth of yeast without two genes; gene → term of the gene ontology → parent term."""
    sys.path.insert(0, str(ROOT / "examples" / "dcell"))
    import train

    folder = DATA / "dcell_go_0000790"
    ontology = train.read_ontology(folder / "GO_0000790_topology")
    X, t = train.read_pairs(folder / "GO_0000790_training_data_2016_0", ontology.genes)
    edges = list(train.network(ontology, 0).graph.edges)
    return Task(X, t, by_graph(edges, ontology.genes, train.SCORE), "squared_error")


def immune_system() -> tuple[list[str], Make, dict[str, list[int]]]:
    """Inputs, network and the columns below each pathway, of the human pathways of the immune system."""
    lines = (DATA / "reactome" / "graph_edges.csv").read_text().splitlines()[1:]
    G = nx.DiGraph(tuple(line.split(",")) for line in lines)
    G = nx.DiGraph(G.subgraph({IMMUNE_SYSTEM, *nx.ancestors(G, IMMUNE_SYSTEM)}).edges)
    inputs = sorted(node for node in G if not G.in_degree(node))
    column = {node: k for k, node in enumerate(inputs)}
    below = {node: sorted(column[leaf] for leaf in nx.ancestors(G, node) if leaf in column) for node in sorted(G)}
    return inputs, by_graph(with_outcome(G), inputs, "outcome"), below


def drawn(logit: Array, rng: np.random.Generator) -> Array:
    """Classes (N,) int of logits (N,)."""
    return (rng.random(len(logit)) < 1 / (1 + np.exp(-logit))).astype(int)


def reactome() -> Task:
    """1,500 samples whose class is drawn from a teacher: a network on the same graph, with other weights.

    These are drawn from N(0, 4/fan_in), so that neurons are in the curved part of tanh; the teacher's output, on mean 0
    and standard deviation 4, is the logit. Who knew it would be right about 93 times in a hundred.
    """
    inputs, make, _ = immune_system()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, len(inputs)))
    teacher = make(123, fg.Initializer("teacher", lambda fan_in, fan_out: 2 / np.sqrt(fan_in)))
    z = fg.compile(teacher, threads=1).predict(X)[:, 0]
    return Task(X, drawn(4 * (z - z.mean()) / z.std(), rng), make, "binary_cross_entropy")


def reactome_sums() -> Task:
    """1,500 samples whose class is drawn from a sum of inputs: the leaves, 4 to 8 each, of four pathways."""
    inputs, make, below = immune_system()
    rng = np.random.default_rng(0)
    X, logit = rng.normal(size=(1500, len(inputs))), np.zeros(1500)
    for pathway in rng.choice([node for node, leaves in below.items() if 4 <= len(leaves) <= 8], 4, replace=False):
        leaves = below[pathway]
        logit += 2 * rng.choice([-1, 1]) * X[:, leaves].sum(axis=1) / np.sqrt(len(leaves))
    return Task(X, drawn(logit, rng), make, "binary_cross_entropy")


def perceptron(name: str) -> Task:
    """A set of scikit-learn's, and a layer of tanh neurons."""
    from sklearn import datasets

    made = {
        "moons": lambda: datasets.make_moons(600, noise=0.25, random_state=0),
        "circles": lambda: datasets.make_circles(600, noise=0.12, factor=0.6, random_state=0),
        "classification": lambda: datasets.make_classification(
            1000, 20, n_informative=8, n_redundant=4, n_classes=3, flip_y=0.05, random_state=0
        ),
        "gaussian_quantiles": lambda: datasets.make_gaussian_quantiles(
            n_samples=1000, n_features=6, n_classes=3, random_state=0
        ),
    }
    X, y = made[name]() if name in made else getattr(datasets, f"load_{name}")(return_X_y=True)
    sizes = [X.shape[1], HIDDEN, int(y.max()) + 1]

    def make(seed: int, initializer: fg.Initializer | None, activation: str = "tanh") -> fg.Network:
        return fg.topologies.layered(sizes, activation=activation, seed=seed, initializer=initializer)

    return Task(X, y, make, "cross_entropy")


GIVEN = {"binn": binn, "gennet": gennet, "dcell": dcell, "reactome": reactome, "reactome_sums": reactome_sums}


@cache
def task(name: str) -> Task:
    """The task of that name."""
    return GIVEN[name]() if name in GIVEN else perceptron(name)


# ---- a cell ---------------------------------------------------------------------------------------------------------


def measured(name: str, seed: int, cell: str) -> float:
    """The score of one training."""
    this = task(name)
    X, y, X_test, y_test = this.parts(seed)
    if cell == BINN:
        return by_binn(X, y, X_test, y_test, seed)
    if cell in RIVALS:
        return by_perceptron(X, y, X_test, y_test, seed, "tanh" if cell == TANH_PERCEPTRON else "relu")
    options, spread = dict[str, Any](), 1.0
    if cell == FORMER:
        options = dict(FORMERLY)
    elif cell in GRID:
        rate, batch, spread = map(float, cell.split())
        options = {"learning_rate": rate, "batch_size": int(batch)}
    by = GLOROT if cell == FORMER else cell
    initializer = fg.initializers.entries[by] if by in (GLOROT, FAN_IN) else None
    network = this.network(seed, initializer, "relu" if cell == RELU else "tanh")
    program = fg.compile(network, loss=this.loss, threads=1)
    program.theta = spread * program.theta  # the biases are 0
    fg.fit(program, X, y if this.loss == "cross_entropy" else y.reshape(-1, 1), seed=seed, **options)
    return this.score(program.predict(X_test), y_test)


def by_perceptron(X: Array, y: Array, X_test: Array, y_test: Array, seed: int, activation: str) -> float:
    """Score of scikit-learn's perceptron of 100 neurons, without other settings; it sees no graph."""
    from sklearn.neural_network import MLPClassifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge
        model = MLPClassifier(activation=activation, random_state=seed).fit(X, y)
    return 100 * float(model.score(X_test, y_test))


def by_binn(X: Array, y: Array, X_test: Array, y_test: Array, seed: int) -> float:
    """Score of the package `binn`: its network of its own Reactome tables, and its trainer, without settings.

    Its loader standardises before it splits, so the samples are handed over as everyone gets them, in its batches of 8.
    """
    import pandas as pd
    import torch
    from binn import BINN as Theirs
    from binn import BINNTrainer
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(seed)
    proteins = list(task("binn").network(0, None).inputs)
    column = {protein: k for k, protein in enumerate(proteins)}
    with contextlib.redirect_stdout(io.StringIO()):
        model = Theirs(data_matrix=pd.DataFrame({"Protein": proteins}), network_source="reactome")
        columns = [column[protein] for protein in model.inputs]
        samples = TensorDataset(torch.tensor(X[:, columns], dtype=torch.float32), torch.tensor(y))
        BINNTrainer(model).fit({"train": DataLoader(samples, batch_size=8, shuffle=True)})
    model.eval()
    with torch.no_grad():
        said = model(torch.tensor(X_test[:, columns], dtype=torch.float32)).argmax(dim=1).numpy()
    return 100 * float((said == y_test).mean())


def cells_of(name: str) -> Iterator[str]:
    """What is measured of a task."""
    yield from (DEFAULT, FORMER, RELU, GLOROT, FAN_IN, *GRID)
    if task(name).loss != "squared_error":
        yield from (PERCEPTRON, TANH_PERCEPTRON)
    if name == "binn":
        yield BINN


def scores(name: str, seeds: int, folder: Path) -> dict[str, Array]:
    """Cell → (seeds,) scores; what is not in the folder yet is measured."""
    found = {}
    for cell in cells_of(name):
        files = [folder / f"{name}, {cell}, {seed}.json" for seed in range(seeds)]
        if cell == BINN and find_spec("binn") is None and not all(file.exists() for file in files):
            print("the package binn is left out: pip install binn==0.1.1 lifelines", file=sys.stderr)
            continue
        for seed, file in enumerate(files):
            if not file.exists():
                part = file.with_suffix(".part")
                part.write_text(json.dumps(measured(name, seed, cell)))
                part.replace(file)
        found[cell] = np.array([json.loads(file.read_text()) for file in files])
    print(f"{name} is done", file=sys.stderr, flush=True)
    return found


# ---- the tables -----------------------------------------------------------------------------------------------------

HEAD = (
    *("task", "samples", "neurons, edges", "0.1", "default", "best of the grid", "rate, batch, spread", "gap"),
    *(GLOROT, FAN_IN, RELU),
)


def mean(found: dict[str, Array], cell: str) -> str:
    """The mean of a cell, or nothing."""
    return f"{found[cell].mean():.1f}" if cell in found else ""


def paired(a: Array, b: Array) -> tuple[float, float]:
    """The mean of a − b over the seeds, and its standard error."""
    return float((a - b).mean()), float((a - b).std(ddof=1) / np.sqrt(len(a)))


def line(name: str, found: dict[str, Array]) -> tuple[str, float, float]:
    """A row of the first table; the gap to the best cell, and its standard error."""
    this = task(name)
    net = this.network(0, None)
    best = max(GRID, key=lambda cell: float(found[cell].mean()))
    gap, error = paired(found[best], found[DEFAULT])
    neurons, edges = len(net.nodes) - len(net.inputs), net.graph.number_of_edges()
    columns = (
        *(name, f"{len(this.X):,}", f"{neurons:,}, {edges:,}", mean(found, FORMER), mean(found, DEFAULT)),
        *(mean(found, best), best.replace(" ", ", "), f"{gap:.1f} ± {error:.1f}"),
        *(mean(found, cell) for cell in (GLOROT, FAN_IN, RELU)),
    )
    return f"| {' | '.join(columns)} |", gap, error


def beside_rivals(measured: dict[str, dict[str, Array]]) -> Iterator[str]:
    """The second table: each rival's mean, and by how much the defaults are ahead of it."""
    rivals = [rival for rival in RIVALS if any(rival in found for found in measured.values())]
    head = ["task", DEFAULT, *(column for rival in rivals for column in (rival, "ahead by"))]
    yield f"| {' | '.join(head)} |\n| {' | '.join(['---'] * len(head))} |"
    ahead: dict[str, dict[str, float]] = {rival: {} for rival in rivals}
    for name, found in measured.items():
        cells = [name, mean(found, DEFAULT)]
        for rival in rivals:
            cells.append(mean(found, rival))
            cells.append("")
            if rival in found:
                ahead[rival][name], error = paired(found[DEFAULT], found[rival])
                cells[-1] = f"{ahead[rival][name]:+.1f} ± {error:.1f}"
        if any(cells[2:]):
            yield f"| {' | '.join(cells)} |"
    for rival, by in ahead.items():
        yield f"\nahead of {rival} by {np.mean([*by.values()]):+.1f} in the mean of {len(by)} tasks"


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=Path, default=Path(tempfile.gettempdir(), "flowgrad-defaults"))
    parser.add_argument("--only", nargs="+", choices=(*GIVEN, *PERCEPTRONS), default=(*GIVEN, *PERCEPTRONS))
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    given.cells.mkdir(parents=True, exist_ok=True)
    measured = {name: scores(name, given.seeds, given.cells) for name in given.only}
    rows = {name: line(name, found) for name, found in measured.items()}
    print(f"| {' | '.join(HEAD)} |\n| {' | '.join(['---'] * len(HEAD))} |")
    for row, _, _ in rows.values():
        print(row)
    gaps = [gap for _, gap, _ in rows.values()]
    wide = [name for name, (_, gap, error) in rows.items() if gap > error + 2]
    print(f"\nmedian gap {np.median(gaps):.1f}, largest {max(gaps):.1f}")
    print(f"beyond one standard error + 2: {', '.join(wide) or 'none'}\n")
    print("\n".join(beside_rivals(measured)))


if __name__ == "__main__":
    main()
