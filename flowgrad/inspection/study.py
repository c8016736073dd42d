"""Studies: importance over many seeds and under controls, on several processes, resumable from a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.arguments import instance, whole
from flowgrad.errors import ConfigError, UnknownNameError, brief, suggest
from flowgrad.executor import Array, Executor
from flowgrad.inspection.controls import deterministic_inputs, fresh, shuffled_graph, shuffled_labels
from flowgrad.inspection.given import samples
from flowgrad.inspection.importance import node_importance
from flowgrad.inspection.intervals import enough
from flowgrad.inspection.jobs import Job, Series, digest
from flowgrad.inspection.stability import TRAINED, Stability
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import compile
from flowgrad.training import fit as train

CONTROLS = ("shuffled graph", "shuffled labels", "deterministic inputs")
KINDS = ("hidden", "input")


@dataclass(frozen=True)
class Run:
    """The result of one training: condition, seed, `strength` (V,) of every node, final training loss."""

    condition: str
    seed: int
    strength: Array
    loss: float

    @property
    def job(self) -> Job:
        """The key of this run among all: condition and seed."""
        return self.condition, self.seed

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that a file stores."""
        return {"strength": self.strength, "loss": np.array(self.loss)}

    @classmethod
    def restored(cls, job: Job, arrays: Mapping[str, Array]) -> Run:
        """Make the run of a job from what `arrays` returned."""
        return cls(job[0], job[1], arrays["strength"], float(arrays["loss"]))


@dataclass(frozen=True)
class Study:
    """The data of all runs: network, X (B, I), T (B, O) or (B,), keyword arguments of `compile` and of `fit`."""

    network: Network
    X: Array
    T: Array
    compiled: Mapping[str, Any]
    fit: Mapping[str, Any]

    def run(self, condition: str, seed: int, threads: int | None = None) -> Run:
        """Train once under the condition, and compute every node's importance over the training inputs."""
        network = shuffled_graph(self.network, seed) if condition == "shuffled graph" else self.network
        X, T = self._samples(condition, seed, self.X, self.T)
        options = dict(self.fit)
        if isinstance(options.get("validation"), (tuple, list)):
            x, t, *s = options["validation"]
            options["validation"] = (*self._samples(condition, seed, x, t), *s)
        program = compile(fresh(network, seed), threads=threads, **self.compiled)
        history = train(program, X, T, **(options | {"seed": seed}))
        if history.reason == "interrupted":
            raise KeyboardInterrupt
        found = node_importance(program, X)
        strength = dict(zip(found.nodes, found.strength.sum(axis=0).tolist(), strict=True))
        return Run(condition, seed, np.array([strength[v] for v in self.network.nodes]), float(history["loss"][-1]))

    def _samples(self, condition: str, seed: int, X: Any, T: Any) -> tuple[Any, Any]:
        if condition == "shuffled labels":
            return X, shuffled_labels(T, seed)
        if condition == "deterministic inputs":
            return deterministic_inputs(T, X.shape[1], len(self.network.outputs), seed), T
        return X, T

    def fingerprint(self) -> dict[str, str]:
        """Return digests that must be equal in two studies for their runs to share a folder."""
        return {
            "network": fingerprint(self.network),
            "samples": digest([self.X, self.T]),
            "settings": digest([dict(self.compiled), dict(self.fit)]),
        }


def fingerprint(network: Network) -> str:
    """Return the SHA-256 of a network's ids and of all fields of its plan."""
    plan, c = lower(network), network.columns
    parts = [getattr(plan, f.name) for f in fields(plan)]
    return digest([repr(list(c.ids)) if not isinstance(c.ids, range) else repr(c.ids), *parts])


def importance_stability(
    network: Network,
    X: Any,
    T: Any,
    *,
    loss: str = "squared_error",
    seeds: int | Iterable[int] = 10,
    controls: Iterable[str] = CONTROLS,
    kind: str = "hidden",
    fit: Mapping[str, Any] | None = None,
    executor: str | Executor = "auto",
    dtype: str = "float64",
    folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = False,
    on_run: Callable[[Run], object] | None = None,
) -> Stability:
    """Train a network again and again, weigh its neurons each time, and hold that against controls.

    A run trains from new weights and a new order of samples, both by its seed, and takes each node's importance,
    the mean of |a · ∂y/∂a| over the training samples and summed over the outputs. The controls do the same after
    one change (`flowgrad.inspection.controls`):

        "shuffled graph"        edges rewired at random, every node's degrees and level kept
        "shuffled labels"       targets permuted among the samples
        "deterministic inputs"  every input is a copy of a target: differences between nodes come from the graph

    Args:
        network: its trainable weights and biases are drawn anew for each run; frozen ones stay.
        X, T: as for `fit`; all samples are used for training.
        seeds: their number, counted from 0, or a list; at least 7, since no 95 % interval holds for fewer runs.
        controls: some of the three, or () for none.
        kind: the nodes to compare, "hidden" or "input".
        fit: keyword arguments for `fit`, such as epochs and learning_rate; not the seed.
        executor, dtype, loss: as for `compile`.
        folder: each run is stored there as soon as it is done, and a later call does the missing runs only: a study
            can be interrupted and resumed, or extended by seeds and controls. None stores nothing.
        workers: processes, each on one thread; None is one a core, 1 stays in this process. They are spawned: a
            script calls this under `if __name__ == "__main__":`.
        progress: show a bar (needs rich).
        on_run: called with each run as it is done.

    Raises:
        ConfigError: an argument out of range; the folder holds runs of another network, other samples or settings.
        UnknownNameError: no such control or kind.
        FileError: the folder cannot be read or written.
        KeyboardInterrupt: on Ctrl-C; finished runs are in the folder.
        as `compile` and `fit`, whatever a run raises.

    >>> net = Network.from_arrays([0, 1, 0, 1, 2, 3], [2, 2, 3, 3, 4, 4], activation="tanh")
    >>> x = np.random.default_rng(0).normal(size=(32, 2))
    >>> found = importance_stability(net, x, x[:, :1], seeds=7, controls=["shuffled labels"], workers=1)
    >>> found.nodes, sorted(found.shares), found.shares["trained"].shape
    ((2, 3), ['shuffled labels', 'trained'], (7, 2))
    """
    study = _study(network, X, T, loss, fit, executor, dtype)
    chosen, wanted = _seeds(seeds), _controls(controls)
    if kind not in KINDS:
        raise UnknownNameError(f"unknown kind of node {brief(kind)}{suggest(kind, KINDS)}")
    nodes = _nodes(network, kind)
    jobs = [(condition, seed) for seed in chosen for condition in (TRAINED, *wanted)]
    said = {"nodes": len(network.nodes), **study.fingerprint()}
    done = Series(study.run, Run.restored, said, "study", "run").finished(jobs, folder, workers, progress, on_run)
    return _stability(done, network.nodes, nodes, chosen, (TRAINED, *wanted))


def _study(network: Any, X: Any, T: Any, loss: str, fit: Any, executor: str | Executor, dtype: str) -> Study:
    instance("importance_stability", network, Network, ConfigError)
    samples("importance_stability", X=X, T=T)
    options = dict(fit or {})
    if "seed" in options:
        raise ConfigError("fit holds a seed: each run has its own, give seeds=")
    compiled = {"executor": executor, "dtype": dtype, "loss": loss}
    program = compile(network, **compiled)  # type: ignore[arg-type]  # raises before any process is started
    taken = {"executor": program.executor if executor == "auto" else executor}
    x = program._x(X)
    named = isinstance(T, Mapping) or hasattr(T, "columns")
    t = batch.table(T, network.outputs, "T", "output", np.dtype(np.float64)) if named else np.asarray(T)
    batch.targets(t, network.outputs, len(x), program._need_loss(), program.dtype)
    return Study(network, x, t, compiled | taken, options)


def _seeds(given: int | Iterable[int]) -> tuple[int, ...]:
    numbers = range(whole("seeds", given, 0)) if not isinstance(given, Iterable) else list(given)
    found = tuple(whole("seeds", seed, 0) for seed in numbers)
    if len(set(found)) < len(found):
        raise ConfigError(f"seeds={brief(list(found))}: give each once")
    enough(len(found))
    return found


def _controls(given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ConfigError(f"controls={brief(given)}: give a list of names")
    found = tuple(dict.fromkeys(given))
    for name in found:
        if name not in CONTROLS:
            raise UnknownNameError(f"unknown control {brief(name)}{suggest(name, CONTROLS)}")
    return found


def _nodes(network: Network, kind: str) -> list[int]:
    """Return the positions in `net.nodes` of the nodes of this kind."""
    c = network.columns
    is_output = np.zeros(c.n_nodes, bool)
    is_output[c.outputs] = True
    mask = c.is_input if kind == "input" else ~c.is_input & ~is_output
    places: list[int] = np.flatnonzero(mask[c.order]).tolist()
    if len(places) < 2:
        raise ConfigError(f"kind={brief(kind)}: the network has {len(places)} such nodes, and an order takes two")
    return places


def _stability(
    done: Mapping[Job, Run],
    names: tuple[Hashable, ...],
    places: list[int],
    seeds: tuple[int, ...],
    conditions: Iterable[str],
) -> Stability:
    shares, losses = {}, {}
    for condition in conditions:
        strength = np.array([done[condition, seed].strength[places] for seed in seeds])
        total = strength.sum(axis=1, keepdims=True)
        shares[condition] = np.divide(strength, total, out=np.zeros_like(strength), where=total > 0)
        losses[condition] = np.array([done[condition, seed].loss for seed in seeds])
    return Stability(tuple(names[k] for k in places), seeds, shares, losses)
