"""Studies: importance over many seeds and under controls, on all cores, and gone on with where they were stopped."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad import batch
from flowgrad.arguments import instance, whole
from flowgrad.atomic import flush_folder, put
from flowgrad.bars import bar
from flowgrad.errors import ConfigError, FileError, UnknownNameError, brief, listing, suggest
from flowgrad.executor import Array
from flowgrad.inspection.controls import deterministic_inputs, fresh, shuffled_graph, shuffled_labels
from flowgrad.inspection.given import samples
from flowgrad.inspection.importance import node_importance
from flowgrad.inspection.intervals import enough
from flowgrad.inspection.stability import TRAINED, Stability
from flowgrad.inspection.workers import in_processes
from flowgrad.network import Network
from flowgrad.plan import lower
from flowgrad.program import compile
from flowgrad.training import fit as train

CONTROLS = ("shuffled graph", "shuffled labels", "deterministic inputs")
KINDS = ("hidden", "input")
VERSION = 1
Job = tuple[str, int]


@dataclass(frozen=True)
class Run:
    """One training: its condition and seed, `strength` (V,) of every node, the loss at its end."""

    condition: str
    seed: int
    strength: Array
    loss: float


@dataclass(frozen=True)
class Study:
    """What every run has in common: X (B, I), T (B, O) or (B,), and how to compile and to train."""

    network: Network
    X: Array
    T: Array
    compiled: Mapping[str, Any]
    fit: Mapping[str, Any]

    def run(self, condition: str, seed: int, threads: int | None = None) -> Run:
        """Train once and weigh every neuron, on the training samples and under the condition."""
        network = shuffled_graph(self.network, seed) if condition == "shuffled graph" else self.network
        X, T = self._samples(condition, seed, self.X, self.T)
        options = dict(self.fit)
        if isinstance(options.get("validation"), (tuple, list)):
            options["validation"] = self._samples(condition, seed, *options["validation"])
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
        """What two studies must have in common for their runs to stand in one folder."""
        plan, c = lower(self.network), self.network.columns
        parts = [getattr(plan, f.name) for f in fields(plan)]
        return {
            "network": _digest([repr(list(c.ids)) if not isinstance(c.ids, range) else repr(c.ids), *parts]),
            "samples": _digest([self.X, self.T]),
            "settings": _digest([dict(self.compiled), dict(self.fit)]),
        }


def _digest(value: Any) -> str:
    """A SHA-256 of arrays, numbers and texts, however they are nested."""
    sha = hashlib.sha256()

    def feed(item: Any) -> None:
        if isinstance(item, np.ndarray):
            sha.update(f"{item.dtype}{item.shape}".encode() + np.ascontiguousarray(item).tobytes())
        elif isinstance(item, Mapping):
            for key in sorted(item):
                sha.update(f"{key}=".encode())
                feed(item[key])
        elif isinstance(item, (list, tuple)):
            sha.update(f"[{len(item)}]".encode())
            for each in item:
                feed(each)
        else:
            sha.update(f"{item!r};".encode())

    feed(value)
    return sha.hexdigest()


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
    executor: str = "auto",
    dtype: str = "float64",
    folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = False,
    on_run: Callable[[Run], object] | None = None,
) -> Stability:
    """Train a network again and again, weigh its neurons each time, and hold that against controls.

    A run trains from new weights and a new order of samples, both by its seed, and takes each node's importance,
    the mean of |a · ∂y/∂a| over the training samples and summed over the outputs. The controls do the same with
    one thing taken away (`flowgrad.inspection.controls`):

        "shuffled graph"        edges led elsewhere, every node's degrees and level kept
        "shuffled labels"       targets dealt anew to the samples
        "deterministic inputs"  every input says the answer: what is left is the graph's own

    Args:
        network: its trainable weights and biases are drawn anew for each run; frozen ones stay.
        X, T: as for `fit`; all of them are trained on.
        seeds: how many, from 0, or which; 7 at least, since no 95 % interval holds for fewer runs.
        controls: some of the three, or none: ().
        kind: the nodes to compare, "hidden" or "input".
        fit: keyword arguments for `fit`, such as epochs and learning_rate; not the seed.
        executor, dtype, loss: as for `compile`.
        folder: keeps each run as soon as it is done. A call that finds some there does the others only, and so a
            study can be interrupted and gone on with, or given more seeds and controls. None keeps nothing.
        workers: processes, each on one thread; None is one a core, 1 stays in this process. They are spawned: a
            script calls this under `if __name__ == "__main__":`.
        progress: show a bar (needs rich).
        on_run: called with each run as it is done.

    Raises:
        ConfigError: an argument out of range; the folder holds runs of another network, other samples or settings.
        UnknownNameError: no such control or kind.
        FileError: the folder cannot be read or written.
        KeyboardInterrupt: finished runs are in the folder then.
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
    kept = None if folder is None else _Folder(Path(folder), study)
    done = {} if kept is None else kept.read(jobs)
    left = [job for job in jobs if job not in done]
    with bar("run", len(jobs), len(done), progress) as advance:
        for run in _runs(study, left, whole("workers", workers, 1) if workers is not None else _cores()):
            if kept is not None:
                kept.keep(run)
            done[run.condition, run.seed] = run
            advance()
            if on_run is not None:
                on_run(run)
    return _stability(done, network.nodes, nodes, chosen, (TRAINED, *wanted))


def _study(network: Any, X: Any, T: Any, loss: str, fit: Any, executor: str, dtype: str) -> Study:
    instance("importance_stability", network, Network, ConfigError)
    samples("importance_stability", X=X, T=T)
    options = dict(fit or {})
    if "seed" in options:
        raise ConfigError("fit holds a seed: each run has its own, give seeds=")
    compiled = {"executor": executor, "dtype": dtype, "loss": loss}
    program = compile(network, **compiled)  # type: ignore[arg-type]  # tells what is wrong before any process is started
    x = program._x(X)
    named = isinstance(T, Mapping) or hasattr(T, "columns")
    t = batch.table(T, network.outputs, "T", "output", np.dtype(np.float64)) if named else np.asarray(T)
    batch.targets(t, network.outputs, len(x), program._need_loss(), program.dtype)
    return Study(network, x, t, compiled | {"executor": program.executor}, options)


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
    """Places among `net.nodes` of the nodes that are compared."""
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _runs(study: Study, jobs: list[Job], workers: int) -> Iterator[Run]:
    if workers == 1 or len(jobs) < 2:
        yield from (study.run(condition, seed) for condition, seed in jobs)
    else:
        yield from in_processes(study.run, deque((c, s, 1) for c, s in jobs), min(workers, len(jobs)))


class _Folder:
    """Where runs are kept: study.json says of what, and each run is a file of its own, put there whole."""

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        said = {"flowgrad study": VERSION, "nodes": len(study.network.nodes), **study.fingerprint()}
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / "study.json").exists():
                self._check(said)
            elif any(not file.name.startswith(".flowgrad-") for file in path.iterdir()):  # those were cut off
                raise FileError(f"{path} is a folder of other things: name another one for the study")
            else:
                self._put("study.json", (json.dumps(said, indent=1) + "\n").encode())
        except OSError as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{path}: {(error.strerror or str(error)).lower()}") from None

    def _check(self, said: dict[str, Any]) -> None:
        file = self.path / "study.json"
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            other = [key for key in said if found.get(key) != said[key]]
        except (ValueError, AttributeError):
            raise FileError(f"{file} is damaged: it is no JSON of a study") from None
        if other:
            raise ConfigError(
                f"{self.path} holds runs of another study: {listing(other)} differ; name another folder for this one"
            )

    def _put(self, name: str, data: bytes) -> None:
        put(self.path / name, (data,))
        flush_folder(self.path)

    def _file(self, condition: str, seed: int) -> str:
        return f"{condition.replace(' ', '-')}-{seed}.npz"

    def read(self, jobs: Iterable[Job]) -> dict[Job, Run]:
        """The runs that are there.

        Raises:
            FileError: one is damaged.
        """
        found = {}
        for condition, seed in jobs:
            file = self.path / self._file(condition, seed)
            if file.exists():
                try:
                    with np.load(file, allow_pickle=False) as arrays:
                        found[condition, seed] = Run(condition, seed, arrays["strength"], float(arrays["loss"]))
                except Exception as error:  # zipfile and NumPy raise many kinds for a damaged archive
                    raise FileError(f"{file} is damaged ({error}): delete it to have this run done again") from None
        return found

    def keep(self, run: Run) -> None:
        """Write one run."""
        buffer = io.BytesIO()
        np.savez(buffer, strength=run.strength, loss=np.array(run.loss))
        try:
            self._put(self._file(run.condition, run.seed), buffer.getvalue())
        except OSError as error:
            raise FileError(f"{self.path}: {(error.strerror or str(error)).lower()}") from None
