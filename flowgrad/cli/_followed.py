"""Read a network, or a run that may be training, again and again for the page of `flowgrad view`."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flowgrad as fg
from flowgrad.cli import _config
from flowgrad.cli._experiment import resolve
from flowgrad.cli._opened import program_of, reading_for, with_samples
from flowgrad.errors import FlowgradError
from flowgrad.files import RUN_NETWORK
from flowgrad.locks import lock
from flowgrad.model import Model
from flowgrad.viewer.record import Record, columns_of
from flowgrad.viewer.record import record as recorded
from flowgrad.viewer.record import values as moved

Columns = dict[str, list[float | None]]
TORN = (OSError, ValueError, FlowgradError)  # errors of reading a file that is being written or was removed


class Followed:
    """A network or run at a path, read anew for every request; one thread computes at a time.

    Args:
        model: reads the model at the path.
        path: a run folder, or a network's file.
        data, sample, executor, tables: as the options of `flowgrad view`.
    """

    def __init__(
        self,
        model: Callable[[], Model],
        path: Path,
        data: Path | None,
        sample: int,
        executor: str = "auto",
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self._model, self.path, self._data, self._sample, self._executor = model, path, data, sample, executor
        self._tables = tables
        self._lock, self._metrics = lock(), Metrics(path)
        self._shape: Any = None
        self._title = ""
        self._found: tuple[str, Any] | None = None

    def record(self) -> Record:
        """Collect everything that the page shows, as it is now.

        Raises:
            FlowgradError: the network, or its samples, cannot be read.
        """
        with self._lock:
            version, given = self._version(), self._read()
            found = recorded(**given, history=self._metrics.columns(), title=self._title)
            self._shape = _shape(given["network"])
            return found | {"version": version, "state": self._state()}

    def state(self) -> Record:
        """Collect the history, the state of training and the version of the values, as they are now."""
        return {"history": self._metrics.columns(), "version": self._version(), "state": self._state()}

    def values(self) -> Record:
        """Collect what training changes: parameters, and values of both passes; `other`: the network is another.

        `values` is None while they cannot be read; a later request may succeed.
        """
        with self._lock:
            version = self._version()
            if self._found is None or self._found[0] != version:
                try:
                    given = self._read()
                    other = _shape(given["network"]) != self._shape
                    self._found = version, {"other": other, "values": None if other else moved(**given)}
                except TORN:
                    return {"version": "", "other": False, "values": None}
            return {"version": version, **self._found[1]}

    def _version(self) -> str:
        """Make a text that changes whenever the network's file is written, from its time, inode and size."""
        try:
            status = (self.path / RUN_NETWORK if self.path.is_dir() else self.path).stat()
        except OSError:
            return ""
        return f"{status.st_mtime_ns:x}-{status.st_ino:x}-{status.st_size:x}"

    def _state(self) -> Record | None:
        """Describe a run: why it ended, or None, its maximum of epochs, seconds since the last line; None of a file."""
        if not self.path.is_dir():
            return None
        try:
            age = max(0.0, time.time() - (self.path / "metrics.csv").stat().st_mtime)
        except OSError:
            return None
        summary, settings = self.path / "summary.json", _settings(self.path)
        epochs = settings["train"]["epochs"] if settings else None
        try:
            reason = json.loads(summary.read_text(encoding="utf-8"))["reason"]
        except FileNotFoundError:
            reason = None
        except (OSError, ValueError, TypeError, KeyError):
            reason = "unknown"
        return {"reason": reason, "epochs": epochs, "age": round(age, 1)}

    def _read(self) -> dict[str, Any]:
        """Read the network and samples into arguments of `record`, with targets where the samples hold them."""
        model = self._model()
        self._title = self.path.resolve().stem + (", inputs standardised" if model.scaling is not None else "")
        chosen = self._data if self._data is not None else own_samples(self.path)
        found: dict[str, Any] = {}
        if chosen is not None:
            model, X, T = with_samples(model, chosen, "if there", reading_for(self.path, chosen, self._tables))
            found = {"X": X, "T": T}
        program = program_of(model, None, self._executor)
        return {"network": model.network, "program": program, "sample": self._sample} | found


def own_samples(run: Path) -> Path | None:
    """Find the samples of a run: its test.csv, else the file that it was tested or trained on, else None."""
    if not run.is_dir():
        return None
    if (run / "test.csv").is_file():
        return run / "test.csv"
    settings = _settings(run)
    if settings is None:
        return None
    resolve(settings, run)
    found = [Path(settings["data"][name]) for name in ("test", "file") if isinstance(settings["data"][name], str)]
    return next((path for path in found if path.is_file()), None)


class Metrics:
    """A run's metrics.csv, read incrementally: each call reads the lines that were added since the last."""

    def __init__(self, run: Path) -> None:
        self._path, self._lock = run / "metrics.csv", lock()
        self._file: tuple[int, int] | None = None  # which file has been read so far, …
        self._offset = 0  # … and how many bytes of it
        self._columns: dict[str, list[str]] = {}

    def columns(self) -> Columns | None:
        """Read the columns as they are now, thinned where they are long; None where there is no readable file.

        A last line without a line feed is still being written, and left out.
        """
        with self._lock:
            try:
                self._read_on()
            except (OSError, ValueError, csv.Error):
                return None
            return columns_of(self._columns)

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) != self._file or status.st_size < self._offset:
                self._file, self._offset, self._columns = (status.st_dev, status.st_ino), 0, {}
            file.seek(self._offset)
            data = file.read()
        lines = data[: data.rfind(b"\n") + 1]
        self._offset += len(lines)
        for row in csv.reader(lines.decode("utf-8").splitlines()):
            if not self._columns:
                self._columns = {name: [] for name in row}
            elif len(row) == len(self._columns):
                for column, value in zip(self._columns.values(), row, strict=True):
                    column.append(value)


def losses(run: Path) -> Columns | None:
    """Read `Metrics.columns` of a run, once."""
    return Metrics(run).columns()


def _settings(run: Path) -> _config.Config | None:
    try:
        return _config.read(run / "config.toml")
    except FlowgradError:
        return None


def _shape(network: fg.Network) -> Any:
    """Collect what two networks must have in common to be drawn as one: nodes and edges."""
    columns = network.columns
    return network.nodes, columns.source.tobytes(), columns.target.tobytes()
