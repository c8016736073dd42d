"""Write and read checkpoints: files with the complete state of a training, which resumes from them bit-identically.

The file holds the SHA-256 (32 bytes) of its remainder, then the remainder: a NumPy archive (.npz, no pickle) of arrays
and, as JSON in UTF-8, all other state. It is written to a temporary file in its folder, flushed to disk and renamed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from inspect import getclosurevars
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.atomic import clear_temporaries, flush_folder, occupant, path_of, put, refused, resolved
from flowgrad.errors import CheckpointWarning, ConfigError, FileError, brief
from flowgrad.fitting.descent import Descent
from flowgrad.fitting.samples import Data, digest
from flowgrad.history import History
from flowgrad.program import Program

Array = npt.NDArray[Any]
Settings = Mapping[str, Any]
State = dict[str, Any]
PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
VERSION = 3
LEAST = 1.0
"""Minimum time in seconds between two writes by `save`, so that short epochs are not slowed by the disk."""
START = "θ at the start"
OPAQUE = (
    *("network", START, "X", "T", "sample_weight", "validation X", "validation T", "validation sample_weight"),
    *("l1", "l2", "constraints", "test data"),
)
"""Entries of the fingerprint that hold digests: an error message names them without their values."""
MAY_CHANGE = ("epochs", "progress", "on_epoch", "callbacks", "checkpoint", "resume", "run_folder")
"""Arguments of `fit` that may differ when a training is resumed; `epochs` must not be below the completed ones.
The program's number of threads may differ as well, since θ does not depend on it."""
DOCUMENT, DIGEST, ZIP = "document", hashlib.sha256().digest_size, b"PK\x03\x04"


def fingerprint(program: Program, start: Array, data: Data, held: Data | None, settings: Settings) -> dict[str, Any]:
    """Return, by name, the values that must be equal for a training to resume another; `start` (P,) is the first θ."""
    plan, c = program.plan, program._columns
    functions = [[f.name for f in kind] for kind in (plan.activations, plan.aggregations)]
    names = hashlib.sha256(repr([c.ids[k] for k in plan.nodes.tolist()]).encode()).hexdigest()[:32]
    structure = digest(plan.in_ptr, plan.in_source, plan.outputs, plan.weight_slot, plan.bias_slot, plan.response)
    frozen = digest(plan.weight[plan.weight_slot < 0], plan.bias[plan.bias_slot < 0], plan.activation, plan.aggregation)
    return {
        "nodes": plan.n_nodes,
        "edges": plan.n_edges,
        "parameters": plan.n_parameters,
        "network": [names, structure, frozen, functions],
        "loss": program._need_loss().name,
        "reduction": program.reduction,
        "dtype": program.dtype.name,
        "executor": program.executor,
        START: digest(start),
        **{key: value for name, given in settings.items() for key, value in _flat(name, given).items()},
        "samples": len(data),
        **data.digests(),
        "validation samples": 0 if held is None else len(held),
        **{f"validation {name}": value for name, value in ({} if held is None else held.digests()).items()},
    }


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Flatten a setting to plain values by name: a dataclass adds its fields; other objects give their type's name."""
    if not is_dataclass(value) or isinstance(value, type):
        return {name: value if isinstance(value, PLAIN) else type(value).__qualname__}
    own = {f"{name}.{f.name}": getattr(value, f.name) for f in fields(value) if f.name not in ("name", "summary")}
    return {name: type(value).__name__, **own}


def told_of(schedule: Any) -> dict[str, Any]:
    """Return the fingerprint of a schedule besides its rates: its name and, of a function, plain values it encloses.

    >>> from flowgrad import schedules
    >>> told_of("cosine"), told_of(schedules.step(30))
    ({'schedule': 'cosine'}, {'schedule': 'step.<locals>.<lambda>', 'schedule.every': 30, 'schedule.factor': 0.1})
    """
    if not isinstance(schedule, FunctionType):
        return _flat("schedule", schedule)
    enclosed = getclosurevars(schedule).nonlocals
    plain = {f"schedule.{name}": value for name, value in sorted(enclosed.items()) if isinstance(value, PLAIN)}
    return {"schedule": schedule.__qualname__} | plain


def written(given: Any) -> Any:
    """Convert an argument to its fingerprint entry: numbers or text; for samples, digested elsewhere, "data"."""
    if isinstance(given, Mapping):
        return {str(key): float(value) for key, value in given.items()}
    if isinstance(given, (int, float, np.number)):
        return float(given)
    return given if given is None or isinstance(given, str) else "data"


class Checkpoint:
    """The checkpoint file of one training; the state to write next is copied into memory after every epoch.

    Path-like, so that `fit(checkpoint=)` accepts one.

    Args:
        more: further entries of the fingerprint by name, as digests.
        instead: advice, as arguments or options, that ends the message where the file is of another training.
    """

    def __init__(
        self,
        path: Any,
        more: Mapping[str, str] | None = None,
        instead: str = "give another file, or resume=False",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self._clock, self._due, self._warned, self._whole = path_of(path), clock, 0.0, False, "there is none"
        self.more, self.instead = dict(more or {}), instead
        self._kept: State = {}
        self._written = True
        clear_temporaries(self.path.parent)

    def __fspath__(self) -> str:
        return str(self.path)

    def within(self, folder: Path) -> bool:
        """Return whether the file lies in `folder` or below it."""
        return resolved(self.path).is_relative_to(resolved(folder))

    # ---- writing ------------------------------------------------------------------------------------------------

    def first(self, state: State, below: Path | None = None) -> None:
        """Keep and write the state before the first epoch; make the file's folder where it is in a run folder, `below`.

        Raises:
            FileError: the file cannot be written, or the path holds a file that is no checkpoint.
        """
        with refused(self.path):
            if below is not None and self.within(below):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if occupant(self.path) is not None:
                with self.path.open("rb") as file:
                    start = file.read(DIGEST + len(ZIP))
                if start and start[DIGEST:] != ZIP:
                    raise FileError(f"{self.path} is no checkpoint: it will not be overwritten")
        self.keep(state)
        try:
            self._write()
        except OSError as error:
            raise FileError(f"checkpoint {self.path} cannot be written: {error.strerror or error}") from None

    def keep(self, state: State, written: bool = False) -> None:
        """Copy a state into memory, so that its arrays may change afterwards; `written`: the file holds it already."""
        self._written = False  # first: an interrupt before the last line costs one more write, and no epoch
        self._kept = {name: value.copy() if hasattr(value, "copy") else value for name, value in state.items()}
        self._written = written
        if written:
            self._whole = f"of epoch {state['epoch']}"

    def save(self) -> None:
        """Write the kept state if `LEAST` seconds have passed since the last write."""
        if self._clock() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Write the kept state unless the file holds it; a failed write is one CheckpointWarning until one succeeds."""
        if self._written:
            return
        try:
            self._write()
        except OSError as error:
            self._due = self._clock() + LEAST
            if not self._warned:
                self._warned = True
                said = f"checkpoint {self.path} cannot be written: {(error.strerror or str(error)).lower()}"
                warnings.warn(f"{said}; the last whole one is {self._whole}; training goes on", CheckpointWarning, 2)

    def back(self, history: History) -> Array:
        """Return the θ (P,) of the kept state, and delete the rows of the History after its epoch."""
        del history.rows[self._kept["epoch"] :]
        theta: Array = self._kept["theta"]
        return theta

    def _write(self) -> None:
        kept = self._kept
        arrays = {name: value for name, value in kept.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in kept.items() if name not in arrays} | {"version": VERSION}
        text = json.dumps(rest, ensure_ascii=False).encode()
        memory = io.BytesIO()
        np.savez(memory, allow_pickle=False, **{DOCUMENT: np.frombuffer(text, np.uint8)}, **arrays)
        content = memory.getvalue()
        put(self.path, (hashlib.sha256(content).digest(), content))
        flush_folder(self.path.parent)
        self._due = self._clock() + LEAST
        self._whole, self._warned, self._written = f"of epoch {kept['epoch']}", False, True

    # ---- reading ------------------------------------------------------------------------------------------------

    def load(self) -> dict[str, Any] | None:
        """Read the state from the file, by name; None where there is no file.

        Raises:
            FileError: the file cannot be read, is truncated or altered, of another version, or no checkpoint.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FileError(f"checkpoint {self.path} cannot be read: {error.strerror or error}") from None
        if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
            raise FileError(f"{self.path} is truncated or altered, or no checkpoint: its SHA-256 is not its own")
        with np.load(io.BytesIO(data[DIGEST:]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        rest: dict[str, Any] = json.loads(arrays.pop(DOCUMENT).tobytes())
        if rest["version"] != VERSION:
            raise FileError(f"{self.path} is a checkpoint of version {rest['version']}: this flowgrad reads {VERSION}")
        return rest | arrays

    def belongs(self, saved: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
        """Raise ConfigError where the file is of another training; the message names the first entry that differs."""
        for name in dict.fromkeys((*mine, *saved)):
            if saved.get(name) != json.loads(json.dumps(mine.get(name))):
                there, here = brief(saved.get(name)), brief(mine.get(name))
                plain = name not in OPAQUE
                detail = f"{name}={there} there, {here} here" if plain else f"its {name} is another one"
                raise ConfigError(f"checkpoint {self.path} is of another training: {detail}; {self.instead}")


# ---- the state of a training -----------------------------------------------------------------------------------


def state_of(descent: Descent, start: Array, history: History, best: Array | None, over: bool, mine: Settings) -> State:
    """Return, by name, all state that later epochs depend on, and the θ `start` (P,) with which the training began.

    Raises:
        ConfigError: the optimizer's step has no dict `state`.
    """
    state = getattr(descent.step, "state", None)
    if not isinstance(state, dict):
        raise ConfigError("checkpoint=: this optimizer has no `state` to save: see flowgrad.optimizer.Step")
    ordering = descent.feed.ordering
    rng = None if ordering.rng is None else ordering.rng.bit_generator.state
    return {
        "epoch": len(history),
        "steps": descent.steps,
        "over": over,
        "reason": history.reason,
        "rows": history.rows,
        "generator": rng,
        "training": dict(mine),
        "start": start,
        "theta": descent.theta,
        "good": descent.good,
        "order": ordering.places,
        **({} if best is None else {"best": best}),
        **{f"optimizer.{name}": value for name, value in state.items()},
    }


def restore(saved: Mapping[str, Any], descent: Descent, history: History) -> Array | None:
    """Load a saved state into the descent and the History; return the best θ (P,), None where none is kept."""
    descent.resume(saved["theta"], saved["order"], saved["steps"])
    descent.good[:] = saved["good"]
    if descent.feed.ordering.rng is not None:
        descent.feed.ordering.rng.bit_generator.state = saved["generator"]
    state: dict[str, Array] = descent.step.state  # type: ignore[attr-defined]  # checked by `state_of`
    for name, value in state.items():
        value[...] = saved[f"optimizer.{name}"]
    history.rows[:], history.reason = saved["rows"], saved["reason"]
    best: Array | None = saved.get("best")
    return best


def begun_with(saved: Mapping[str, Any] | None, theta: Array) -> Array:
    """Return the θ (P,) with which a training began, given the θ (P,) that its program has now.

    It is the checkpoint's first θ where the program's θ equals the checkpoint's last or best one, else the program's θ.
    """
    ends = [] if saved is None else [saved[name] for name in ("theta", "best") if name in saved]
    if saved is not None and any(np.array_equal(theta, end, equal_nan=True) for end in ends):
        start: Array = saved["start"]
        return start
    return theta


def path_in(folder: Path) -> Path:
    """Return the path of the checkpoint in a run folder."""
    return folder / "fit.ckpt"


def places(run_folder: Any, checkpoint: Any, resume: bool) -> tuple[Path | None, Checkpoint | None, State | None]:
    """Convert arguments of `fit` to the run folder, the checkpoint and, to resume, the state that it holds.

    Raises:
        ConfigError: an argument is no path, or `resume` lacks a checkpoint. FileError: as `Checkpoint.load`.
    """
    place = None if run_folder is None else _path("run_folder", run_folder)
    if checkpoint is None or checkpoint is False:
        if resume:
            raise ConfigError("resume=True: needs checkpoint, the file to go on from")
        return place, None, None
    if checkpoint is True and place is None:
        raise ConfigError("checkpoint=True: needs run_folder, in which it lies; else give the path of a file")
    if not isinstance(checkpoint, Checkpoint):
        given = checkpoint if checkpoint is not True or place is None else path_in(place)
        checkpoint = Checkpoint(_path("checkpoint", given))
    return place, checkpoint, checkpoint.load() if resume else None


def _path(name: str, given: Any) -> Path:
    """Check that an argument is a path, and return it unresolved."""
    if not isinstance(given, (str, os.PathLike)) or not os.fspath(given):
        raise ConfigError(f"{name}={brief(given)}: give a path, or None")
    path_of(given)  # raises where the system has no such paths
    return Path(os.fsdecode(given))
