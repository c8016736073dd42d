"""`flowgrad demo`: train a network of concepts on real data in seconds, check its gradients, rank its concepts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import numpy as np
import typer

import flowgrad as fg
from flowgrad.cli import _config, _data
from flowgrad.cli._console import bar, echo, epochs_shown, say, table
from flowgrad.cli._data import Roles, Samples
from flowgrad.cli._experiment import Experiment, Outcome, Parts, assemble, pictures
from flowgrad.errors import MissingDependencyError
from flowgrad.runs.folder import check_target, write
from flowgrad.runs.start import start_of
from flowgrad.tables import table as tables

EDGES = Path(__file__).with_name("_demo_edges.csv")
LABEL, CLASSES = "diagnosis", ("benign", "malignant")
NEXT = """\
next:
  flowgrad predict {run} --data {test}
      answers to the held-out samples
  flowgrad train {config} --out runs/again
      the same again: copy its config.toml and edges.csv, and change them
  flowgrad check {run}
      its gradients against differences, on every executor"""


def entry(
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Run folder; default: runs/demo.", show_default=False)
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the test split and of the initial weights.")
    ] = 0,
    executor: Annotated[str, typer.Option(metavar="NAME", help="Executor; see flowgrad list executors.")] = "auto",
) -> int:
    """Train a network of concepts on real data, in seconds: does this tumour look malignant?

    The data are the Wisconsin breast-cancer data (569 biopsies, 30 measurements of cell nuclei). Every hidden
    neuron is a concept such as size or shape, which a list of edges composes of measurements. The gradients are
    verified on a second executor, the importance of the concepts is computed, and the result is a run folder with
    pictures.
    """
    if out is not None:
        check_target(out, overwrite=False)
    settings = configuration(seed, executor)
    job = Job.of(settings)
    network, parts = job.experiment.model.network, job.experiment.parts
    say("Does this tumour look malignant? 569 biopsies, 30 measurements of the nuclei.")
    say("Every neuron is a named concept; written edges say what it is made of.")
    echo(network)
    with epochs_shown(settings["train"]["epochs"], quiet=True) as show:
        outcome = job.experiment.train([show])
    if outcome.reason == "interrupted":
        say(f"interrupted after {len(outcome.rows)} epochs; kept in {job.keep(out, outcome)}")
        return 130
    say(f"trained on {len(parts.train)} samples: {outcome.reason} after {len(outcome.rows)} epochs, "
        f"{outcome.rows[-1]['seconds']:.1f} s")  # fmt: skip
    say(f"on the {outcome.program.executor} executor")
    if "; not " in outcome.program.why:  # a faster executor cannot run here
        say(outcome.program.why)
    say(verification(outcome.program, parts.train))
    importance, inputs = weigh(outcome.program, parts.train)
    _print_importance(importance, inputs)
    kept = job.keep(out, outcome, importance)
    say(f"run folder: {kept}")
    there = "concepts.png is the network, loss.png the training"
    say(there if pictures() else "pictures need matplotlib: pip install 'flowgrad[plot]'")
    say(NEXT.format(run=quote(str(kept)), test=quote(str(kept / "test.csv")), config=quote(str(kept / "config.toml"))))
    say(f"test accuracy: {outcome.figures['accuracy']:.2f}", "bold")
    return 0


def configuration(seed: int, executor: str = "auto") -> _config.Config:
    """Build the demo's configuration, as `flowgrad train` takes it.

    l2 was chosen among 0.001, 0.003 and 0.01 by the validation loss of five seeds.
    """
    return _config.check(
        {
            "network": {"edges": str(EDGES), "activation": "tanh", "seed": seed},
            "data": {"file": "train.csv", "test": "test.csv", "validation": 0.2, "label": LABEL, "seed": seed},
            "train": {
                "loss": "binary_cross_entropy",
                "learning_rate": 0.01,
                "epochs": 200,
                "batch_size": 32,
                "patience": 20,
                "l2": 0.001,
                "metrics": ["accuracy"],
                "seed": seed,
                "executor": executor,
            },
        }
    )


@dataclass(frozen=True)
class Job:
    """The demo's experiment, and its samples as measured: `test`, and `rest`, all others."""

    experiment: Experiment
    rest: Samples
    test: Samples

    @classmethod
    def of(cls, settings: _config.Config) -> Job:
        """Make the network from the written edges; take samples from scikit-learn, and hold out a fifth by the seed."""
        data, start = settings["data"], start_of(settings["network"])
        assert start is not None
        network = start.model.network
        rest, test = _data.hold_out(samples(network.inputs), 0.2, data["seed"], len(CLASSES))
        kept, validation = _data.hold_out(rest, data["validation"], data["seed"] + 1, len(CLASSES))
        roles = Roles(tuple(map(str, network.inputs)), (), LABEL, CLASSES)
        parts = Parts(kept, validation, test)
        return cls(assemble(settings, network, roles, "binary_cross_entropy", parts, start), rest, test)

    def keep(self, out: Path | None, outcome: Outcome, importance: dict[str, float] | None = None) -> Path:
        """Write the run folder, with samples and, if given, importance and its picture; returns the folder's path."""
        place = out or Path("runs", "demo")
        files = {"file": str(place / "train.csv"), "test": str(place / "test.csv")}
        data = self.experiment.settings["data"] | files
        experiment = replace(self.experiment, settings=self.experiment.settings | {"data": data})

        def fill(folder: Path) -> None:
            experiment.write(folder, place, "demo", outcome)
            for name, part in (("train", self.rest), ("test", self.test)):
                columns = dict(zip(experiment.model.inputs, part.X.T, strict=True))
                tables.write(folder / f"{name}.csv", columns | {LABEL: [CLASSES[k] for k in part.T.tolist()]})
            if importance is not None:
                self._weighed(folder, outcome, importance)

        return write(out, "demo", fill)

    def _weighed(self, folder: Path, outcome: Outcome, importance: dict[str, float]) -> None:
        tables.write(folder / "importance.csv", {"concept": importance.keys(), "importance": importance.values()})
        if pictures():
            from flowgrad.displays._curves import concept_graph

            title = "What makes a tumour look malignant: concepts, coloured by importance"
            concept_graph(folder / "concepts.png", outcome.program.network(), importance, title)


def samples(inputs: Any) -> Samples:
    """Load all 569 samples, columns in the order of the network's inputs; malignant is 1."""
    if not find_spec("sklearn"):
        raise MissingDependencyError("scikit-learn", "demo", "the demo's data")
    from sklearn.datasets import load_breast_cancer

    given = load_breast_cancer()
    place = {str(name): k for k, name in enumerate(given.feature_names)}
    malignant = list(given.target_names).index("malignant")
    return Samples(given.data[:, [place[v] for v in inputs]], (given.target == malignant).astype(np.int64))


def verification(program: fg.Program, part: Samples) -> str:
    """Compare the program's gradient with the Python executor's on all training samples; returns a sentence.

    A program that runs on the Python executor is compared with finite differences of the loss instead.
    """
    if program.executor == "python":
        check = fg.gradcheck(program, part.X[:16], part.T[:16])
        return (
            f"gradients verified by differences of the loss: worst difference {check.worst_error:.1e} of\n"
            f"the largest of {check.parameters} components, over 16 samples"
        )
    exact = fg.compile(program.network(), executor="python", loss=program.loss)
    _, wanted = exact.value_and_grad(exact.theta, part.X, part.T)
    _, found = program.value_and_grad(program.theta, part.X, part.T)
    worst = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    return (
        f"gradients verified on the python executor: worst difference {worst:.1e} of\n"
        f"the largest of {len(found)} components, over {len(part)} samples"
    )


def weigh(program: fg.Program, part: Samples) -> tuple[dict[str, float], list[str]]:
    """Compute the importance of each concept, largest first, and find the three most important inputs.

    Importance is the mean of |a_v · ∂y/∂a_v| over the samples (`inspection.node_importance`).
    """
    found = fg.inspection.node_importance(program, part.X)
    every = len(found.nodes)
    concepts = {str(r["node"]): float(r["strength"]) for r in found.top(every, kind="hidden")}
    return concepts, [str(r["node"]) for r in found.top(3, kind="input")]


def _print_importance(importance: dict[str, float], inputs: list[str]) -> None:
    largest = max(importance.values()) or 1.0
    rows = [(name, value, bar(value / largest)) for name, value in importance.items()]
    table(("concept", "importance", ""), rows, "what the network looks at: |a · ∂y/∂a|, mean over the samples")
    say(f"most telling measurements: {', '.join(inputs)}")
