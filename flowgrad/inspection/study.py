"""Studies of importance over many seeds and under controls, on several processes and resumable from a folder."""

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
    """Result of one training run of a study.

    condition  "trained" or the name of a control
    seed       seed of the run
    strength   (V,) float64 `Importance.strength` of every node, summed over the outputs, in the order of `net.nodes`
    loss       training loss of the last epoch
    """

    condition: str
    seed: int
    strength: Array
    loss: float

    @property
    def job(self) -> Job:
        """Key of this run in its study: (condition, seed)."""
        return self.condition, self.seed

    def arrays(self) -> dict[str, Array]:
        """Return the arrays that represent the run in an .npz file."""
        return {"strength": self.strength, "loss": np.array(self.loss)}

    @classmethod
    def restored(cls, job: Job, arrays: Mapping[str, Array]) -> Run:
        """Build the run of a job from the arrays that `arrays` returned."""
        return cls(job[0], job[1], arrays["strength"], float(arrays["loss"]))


@dataclass(frozen=True)
class Study:
    """Data of all runs: network, X (B, I), T (B, O) or (B,), and keyword arguments of `compile` and of `fit`."""

    network: Network
    X: Array
    T: Array
    compiled: Mapping[str, Any]
    fit: Mapping[str, Any]

    def run(self, condition: str, seed: int, threads: int | None = None) -> Run:
        """Train once under the condition, and compute every node's importance over all rows of X."""
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
    """Train a network with several seeds, and compare the importance of its nodes between runs and with controls.

    Each run trains from new weights and in a new order of samples, both drawn from its seed. It then computes the
    importance of each node: the mean of |a · ∂y/∂a| over all rows of X, summed over the outputs. The same is done
    under controls, each of which changes one thing (`flowgrad.inspection.controls`):

        "shuffled graph"        edges are rewired at random; every node keeps its in-degree, out-degree and level
        "shuffled labels"       targets are permuted among the samples
        "deterministic inputs"  every input is a standardized copy of a target, so that differences between nodes come
                                from the graph

    Validation data in `fit`, given as arrays, are changed in the same way.

    Args:
        network: the network to train. For each run its trainable weights are drawn anew and its trainable biases are
            set to 0; frozen ones keep their values.
        X: inputs, shape (B, I), or a mapping or data frame by input name.
        T: targets, shape (B, O), or class indices (B,), or a mapping or data frame by output name.
        loss, executor, dtype: as for `compile`.
        seeds: an integer n for the seeds 0 … n − 1, or distinct integers ≥ 0. At least 7 are needed, as the 95 %
            intervals do not hold for fewer runs.
        controls: names of controls, some of the three above; () for none.
        kind: the nodes to compare: "hidden" or "input". The network must have at least two of that kind.
        fit: keyword arguments for `fit`, such as epochs and learning_rate, but not seed.
        folder: path of a folder, created if missing, where each run is stored when it is finished. A later call with
            the same network, samples and settings does only the missing runs, so that a study can be resumed after
            an interruption, or extended by seeds and controls. Default: nothing is stored.
        workers: number of processes, an integer ≥ 1. With 1, or if a single run is missing, runs take place in this
            process; otherwise each process uses one thread. Default: one process per core. Processes are spawned, so
            that a script must call this function under `if __name__ == "__main__":`.
        progress: whether to show a progress bar; it needs rich.
        on_run: callable that is called with each new `Run` (condition, seed, strength, loss) when it is finished.

    Raises:
        ConfigError: network is not a Network; X or T is a Network, Program, Activations or Gradients; an argument is
            out of range, or there are too few seeds or nodes; fit holds a seed; the folder holds runs of another
            network, other samples or other settings; an argument cannot be sent to other processes.
        UnknownNameError: a control, or kind, is unknown.
        FileError: the folder cannot be read or written, holds other files, or a file in it is damaged.
        KeyboardInterrupt: on Ctrl-C; finished runs remain in the folder.
        MissingDependencyError: progress is True, but rich is not installed.
        FlowgradError: a worker process ended unexpectedly.
        Errors of `compile` and `fit`: as raised there, in this process or by a run.

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
    """Return the positions in `net.nodes` of the nodes of one kind; raises ConfigError if there are fewer than two."""
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
