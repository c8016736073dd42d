"""Updates of a run folder during training, for `flowgrad view`, and to keep the results of a killed training.

    network.json, its weights     θ at the start and at each checkpoint
    trained.safetensors           likewise, where columns are standardised: the network that is trained
    model.json, config.toml       written at the start
    metrics.csv                   one line an epoch, written when it ends
    summary.json                  written last: a folder without one is of a training that runs, or was cut off

Readers always find complete files (in metrics.csv complete lines, up to the last line break). The folder of a killed
training is a valid run folder with the weights of its last checkpoint.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from flowgrad.atomic import put, refused
from flowgrad.errors import FileError, FlowgradError
from flowgrad.history import History, Row
from flowgrad.model import Model
from flowgrad.program import Program
from flowgrad.runs import folder as folders
from flowgrad.runs.models import save_networks, save_run

LEAST = 0.5  # smallest number of seconds between two checkpoints
METRICS = "metrics.csv"
SHARE = 20.0  # smallest ratio of that interval to the time the last checkpoint took: about 5 % of time is writing


class Training:
    """A run folder that is kept up to date while a program is trained.

    A context manager: where its block ends without `finish`, it removes the folder and restores an older run that it
    replaced; but after the first epoch the folder stays, with a last checkpoint.

    Args:
        folder, name, overwrite: as `folders.write`.
        model: the model with the untrained network.
        more: (folder, place) → writes further files, as config.toml, into the new folder; place is its path after
            the rename.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        folder: Path | None,
        name: str,
        overwrite: bool,
        model: Model,
        more: Callable[[Path, Path], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._given, self._name, self._overwrite = folder, name, overwrite
        self._model, self._more, self._clock = model, more, clock
        self._program: Program | None = None
        self._metrics: BinaryIO | None = None
        self._place: folders.Place | None = None
        self._identity: tuple[int, int] | None = None
        self._epochs, self._next, self._done, self._moment = 0, 0.0, False, "epoch 0"
        self.folder = folder if folder is not None else Path("runs", name)

    def __enter__(self) -> Training:
        return self

    def start(self, program: Program) -> None:
        """Create the folder, with the untrained network.

        Raises:
            FileError: the folder exists, or cannot be written.
        """

        def fill(part: Path) -> None:
            save_run(part, self._model, self._moment)
            save_metrics(part, [])
            self._more(part, self.folder)

        self._program = program
        self._place = folders.place(self._given, self._name, fill, self._overwrite)
        self.folder = self._place.folder
        self._identity = _identity(self.folder)
        self._next = self._clock() + LEAST

    def resume(self, program: Program, rows: Sequence[Row]) -> None:
        """Continue in an existing folder, after the epochs of these rows.

        Raises:
            FileError: another process trains there, or the folder cannot be written.
        """
        self._program, self._place, self._moment = program, folders.reopen(self.folder), f"epoch {len(rows)}"
        self._identity, self._epochs = _identity(self.folder), max(1, len(rows))  # 1 or more: never removed
        with refused(self.folder):
            save_metrics(self.folder, rows)
            (self.folder / "summary.json").unlink(missing_ok=True)
            if rows:
                self._metrics = (self.folder / METRICS).open("ab")
        self._next = self._clock() + LEAST

    def epoch(self, row: Row) -> None:
        """Write the line of an epoch, and a checkpoint where one is due. A failed write does not end training."""
        self._moment = f"epoch {row['epoch']:.0f}"
        if self._identity is None or _identity(self.folder) != self._identity:
            return  # the folder was removed or replaced: `finish` makes a new one
        try:
            self._line(row)
            self._epochs += 1
            if self._epochs == 1 or self._clock() >= self._next:
                self.checkpoint()
        except (OSError, FileError):
            self._next = self._clock() + SHARE * LEAST

    def end(self, history: History) -> None:
        """Record which moment of training the program's final θ is of, for the next checkpoint."""
        self._moment = history.weights_of

    def checkpoint(self) -> None:
        """Write the current weights to disk, then remove an older run that this one replaces."""
        assert self._program is not None
        assert self._place is not None
        start = self._clock()
        save_networks(self.folder, replace(self._model, network=self._program.network()), self._moment)
        if self._metrics is not None:
            os.fsync(self._metrics.fileno())
        self._place.drop_old()
        now = self._clock()
        self._next = now + max(LEAST, SHARE * (now - start))

    def finish(self, fill: Callable[[Path], None]) -> Path:
        """Write the final files, summary.json last; into a new folder where this one was removed or replaced.

        Raises:
            FileError: the folder cannot be written.
        """
        self._close()
        if self._identity is not None and _identity(self.folder) == self._identity:
            folders.refill(self.folder, fill)
        else:
            given = None if self._given is None else folders.free(*_split(self.folder))
            self.folder = folders.write(given, self._name, fill)
        if self._place is not None:
            self._place.drop_old()
        self._done = True
        return self.folder

    def __exit__(self, *error: object) -> None:
        self._close()
        if self._place is None:
            return
        try:
            if self._done or _identity(self.folder) != self._identity:
                return
            if self._epochs:
                with contextlib.suppress(FlowgradError, OSError):
                    self.checkpoint()
            else:
                self._place.put_back()
        finally:
            self._place.release()

    def _line(self, row: Row) -> None:
        """Append a line to metrics.csv; the first one writes the header."""
        if self._metrics is None:
            path = self.folder / METRICS
            put(path, [_csv([list(row)])])
            self._metrics = path.open("ab")
        self._metrics.write(_csv([_cells(row)]))
        self._metrics.flush()

    def _close(self) -> None:
        if self._metrics is not None:
            with contextlib.suppress(OSError):
                self._metrics.close()
            self._metrics = None


def save_metrics(folder: Path, rows: Sequence[Row]) -> None:
    """Write metrics.csv: one column a name; floats by repr, which is read back bit-identical."""
    names = list(rows[0]) if rows else ["epoch", "loss"]
    put(folder / METRICS, [_csv([names, *map(_cells, rows)])])


def _cells(row: Row) -> list[Any]:
    return [int(value) if name == "epoch" else value for name, value in row.items()]


def _csv(lines: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder, which differ for a new folder of that name; None where it is missing."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _split(folder: Path) -> tuple[Path, str]:
    return folder.parent, folder.name
