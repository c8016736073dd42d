"""TensorBoard: write every value of every epoch as a scalar, and parameters and gradients as histograms."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import FileError, MissingDependencyError
from flowgrad.history import History, Row

BINS = 30  # number of bins of a histogram


class TensorBoard:
    """Callback that writes an event file for TensorBoard, which `tensorboard --logdir` shows also during training.

    The file has each value of an epoch as a scalar, and parameters and gradients as histograms.

    Args:
        folder: path of the folder of the event file. None: runs/tensorboard/DATE_TIME in the current folder.

    Raises:
        MissingDependencyError: tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        try:
            from tensorboard.plugins.histogram.metadata import create_summary_metadata as of_histogram
            from tensorboard.plugins.scalar.metadata import create_summary_metadata as of_scalar
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ModuleNotFoundError:
            raise MissingDependencyError("tensorboard", "tensorboard", "logging to TensorBoard") from None
        now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        self.folder = Path("runs", "tensorboard", now) if folder is None else Path(folder)
        self._make, self._writer = EventFileWriter, None
        self._scalar, self._histogram = (make(display_name="", description="") for make in (of_scalar, of_histogram))

    @classmethod
    def for_run(cls, folder: Path) -> TensorBoard:
        """Return a callback that writes to the folder tensorboard in a run folder."""
        return cls(folder / "tensorboard")

    @property
    def follow(self) -> str:
        """Shell command that shows the event file."""
        return f"tensorboard --logdir {quote(str(self.folder))}"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Open the event file; the settings are not written.

        Raises:
            FileError: the file cannot be opened.
        """
        try:
            self._writer = self._make(str(self.folder))
        except OSError as error:
            raise FileError(f"{self.folder}: {(error.strerror or str(error)).lower()}") from None

    def arrays(self, epoch: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write a histogram of each array under its name, with bins of equal width."""
        self._add({name: (self._histogram, histogram(values)) for name, values in arrays.items()}, epoch)

    def epoch(self, row: Row) -> None:
        """Write each value of the row as a scalar of that name, with the epoch as step."""
        named = {name: (self._scalar, np.float32(value)) for name, value in row.items() if name != "epoch"}
        self._add(named, int(row["epoch"]))
        assert self._writer is not None
        self._writer.flush()

    def end(self, history: History, error: BaseException | None) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, named: Mapping[str, tuple[Any, Any]], epoch: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.util.tensor_util import make_tensor_proto

        event = Event(wall_time=time.time(), step=epoch)
        for name, (metadata, values) in named.items():
            event.summary.value.add(tag=name, metadata=metadata, tensor=make_tensor_proto(values))
        assert self._writer is not None
        self._writer.add_event(event)


def histogram(values: npt.NDArray[Any], bins: int = BINS) -> npt.NDArray[np.float64]:
    """Count values (n,) in bins of equal width; return (bins, 3) float64, the left and right end and the count of each.

    >>> histogram(np.array([0.0, 0.1, 1.0]), 2).tolist()
    [[0.0, 0.5, 2.0], [0.5, 1.0, 1.0]]
    """
    counts, ends = np.histogram(values.astype(np.float64), bins)
    return np.column_stack([ends[:-1], ends[1:], counts])


entry = TensorBoard
