"""Train a branch of the gene ontology: genes → terms → score, one tanh neuron a term, as the ontology wires them.

    python examples/dcell/train.py [--data PATH] [--executor NAME] [--seeds 5] [--epochs 60] [--out PATH]

Input: which two genes of yeast were deleted. Target: how well the double knockout grows beyond what the two
single ones predict. README.md says where the data come from and what the numbers mean.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

import flowgrad as fg
from flowgrad.errors import FileError
from flowgrad.inspection import Importance, node_importance
from flowgrad.metrics import entries as metrics

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "dcell_go_0000790"
BRANCH = "GO_0000790"
SCORE = "score"
RECIPE: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 256, "epochs": 60}
SPREAD = 0.1  # of the first weights; chosen on a fifth of the training pairs, where 0.17 (Glorot) did worse
DECAY = 1e-4  # on Σ(gene weights²), beside the squared error over var(t)


@dataclass(frozen=True)
class Ontology:
    """`genes_of` and `terms_of`: what hangs directly below each term; `root` is the branch's own term."""

    root: str
    genes_of: dict[str, list[str]]
    terms_of: dict[str, list[str]]

    @property
    def genes(self) -> list[str]:
        """Every gene once, in alphabetical order: the columns of X."""
        return sorted({gene for genes in self.genes_of.values() for gene in genes})


def read_ontology(path: Path) -> Ontology:
    """Blocks of three lines: `ROOT: term genes_below`, `GENES: g g …`, `TERMS: child child …`."""
    genes_of: dict[str, list[str]] = {}
    terms_of: dict[str, list[str]] = {}
    root = term = ""
    for line in _lines(path):
        kind, _, rest = line.partition(": ")
        match kind.rstrip(":"):
            case "ROOT":
                term = rest.split()[0]
                root = root or term
            case "GENES":
                genes_of[term] = rest.split()
            case "TERMS":
                terms_of[term] = rest.split()
            case _:
                raise FileError(f"{path}: {line[:40]!r}: must begin with ROOT:, GENES: or TERMS:")
    return Ontology(root, genes_of, terms_of)


def read_pairs(path: Path, genes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Lines `k gene1 … genek score` → X (N, genes), 1 where a gene is deleted, and scores (N, 1)."""
    column = {gene: k for k, gene in enumerate(genes)}
    rows = [line.split() for line in _lines(path)]
    X = np.zeros((len(rows), len(genes)))
    for x, row in zip(X, rows, strict=True):
        x[[column[gene] for gene in row[1:-1]]] = 1.0
    return X, np.array([[float(row[-1])] for row in rows])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; --data names the folder") from None


def network(ontology: Ontology, seed: int) -> fg.Network:
    """Genes are inputs, terms tanh neurons, and one linear neuron reads the root; small weights from the seed."""
    G = nx.DiGraph()
    G.add_nodes_from(ontology.genes)
    for term in ontology.genes_of:
        G.add_edges_from((gene, term) for gene in ontology.genes_of[term])
        G.add_edges_from((child, term) for child in ontology.terms_of[term])
    G.add_edge(ontology.root, SCORE)
    rng = np.random.default_rng(seed)
    nx.set_edge_attributes(G, {edge: rng.normal(0.0, SPREAD) for edge in G.edges}, "weight")
    return fg.Network.from_networkx(G, inputs=ontology.genes, outputs=[SCORE], activation="tanh")


def gene_slots(program: fg.Program, ontology: Ontology) -> np.ndarray:
    """Slots in θ of the edges that leave genes: the ones the penalty is for."""
    weight = program.theta_index.weight
    return np.array([weight[gene, term] for term, genes in ontology.genes_of.items() for gene in genes])


def train(ontology: Ontology, X: Any, t: Any, seed: int, executor: str, epochs: int) -> fg.Program:
    """One network from one seed. The target is in units of its standard deviation, so that ½(y−t)² is half of
    the squared error over var(t), and half the penalty goes with it."""
    program = fg.compile(network(ontology, seed), executor=executor, loss="squared_error")
    penalty = [(gene_slots(program, ontology), DECAY / 2)]
    fg.fit(program, X, t / t.std(), seed=seed, l2=penalty, **(RECIPE | {"epochs": epochs}))
    return program


def ridge(X: Any, t: Any, X_test: Any, penalty: float = 1.0) -> Any:
    """Predictions of a linear model on the genes, its weights shrunk: what the wiring has to beat."""
    mean, centre = t.mean(axis=0), X.mean(axis=0)
    Z = X - centre
    w = np.linalg.solve(Z.T @ Z + penalty * np.eye(Z.shape[1]), Z.T @ (t - mean))
    return (X_test - centre) @ w + mean


def pearson(y: Any, t: Any) -> float:
    """Pearson's r of two columns."""
    return metrics["pearson"].f(y, t, "")


def main() -> None:
    """Train from every seed, print a table, leave the figure of the last."""
    options = arguments()
    ontology = read_ontology(options.data / f"{BRANCH}_topology")
    X, t = read_pairs(options.data / f"{BRANCH}_training_data_2016_0", ontology.genes)
    X_test, t_test = read_pairs(options.data / f"{BRANCH}_testing_data_2016_0", ontology.genes)
    linear = pearson(ridge(X, t, X_test), t_test)
    runs, program = [], None
    for seed in range(options.seeds):
        start = time.perf_counter()
        program = train(ontology, X, t, seed, options.executor, options.epochs)
        seconds = time.perf_counter() - start
        runs.append((seed, pearson(program.predict(X), t), pearson(program.predict(X_test), t_test), seconds))
        print(f"seed {seed}: test r {runs[-1][2]:.3f} ({seconds:.1f} s)", flush=True)
    assert program is not None
    importance = node_importance(program, X_test)
    report(program, runs, linear, importance)
    figure(t_test, program.predict(X_test) * t.std(), importance, options.out)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with the topology and the pairs")
    parser.add_argument("--executor", default="auto", help="python, numba or auto")
    parser.add_argument("--seeds", type=int, default=5, help="how many runs")
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    parser.add_argument("--out", type=Path, default=Path("dcell.png"), help="where the figure goes")
    return parser.parse_args()


def report(program: fg.Program, runs: list[Any], linear: float, importance: Importance) -> None:
    """Two tables: the runs, and the terms that the last run's score hangs on."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    rows = Table(title=f"{BRANCH.replace('_', ':')}, {program.plan.n_parameters} parameters, {program.executor}")
    for name in ("seed", "training r", "test r", "seconds"):
        rows.add_column(name, justify="right")
    for seed, fitted, tested, seconds in runs:
        rows.add_row(str(seed), f"{fitted:.3f}", f"{tested:.3f}", f"{seconds:.1f}")
    tested = np.array([run[2] for run in runs])
    rows.add_section()
    rows.add_row("mean", "", f"{tested.mean():.3f}", f"{sum(run[3] for run in runs):.1f} in all")
    rows.add_row("least", "", f"{tested.min():.3f}", "")
    rows.add_row("ridge", "", f"{linear:.3f}", "")
    console.print(rows)
    terms = Table(title="terms by |gradient × activation|, mean over the test pairs, last seed")
    for name in ("term", "gradient", "× activation", "strength"):
        terms.add_column(name, justify="left" if name == "term" else "right")
    for row in importance.top(11, kind="hidden"):
        numbers = (f"{row[key]:.4f}" for key in ("gradient", "gradient_x_activation", "strength"))
        terms.add_row(str(row["node"]), *numbers)
    console.print(terms)
    console.print(f"test r {tested.mean():.3f} in the mean of {len(runs)} seeds; ridge {linear:.3f}")


def figure(t: Any, y: Any, importance: Importance, out: Path) -> None:
    """Predicted against measured, and the terms' strength; nothing where matplotlib is absent."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("no figure: pip install 'flowgrad[plot]'")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    terms = importance.top(11, kind="hidden")[:0:-1]  # without the root, which all the others go through
    panes, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    left.plot(t[:, 0], y[:, 0], ".", markersize=3, alpha=0.5)
    left.set(
        xlabel="measured interaction score",
        ylabel="predicted",
        title=f"test pairs, r = {pearson(y, t):.3f}",
    )
    left.axline((0, 0), slope=1, color="0.6", linewidth=0.8)
    right.barh([str(row["node"]) for row in terms], [row["strength"] for row in terms])
    right.set(xlabel="mean |∂y/∂a · a|", title="terms")
    panes.savefig(out, dpi=150)
    pyplot.close(panes)
    print(f"figure: {out}")


if __name__ == "__main__":
    main()
