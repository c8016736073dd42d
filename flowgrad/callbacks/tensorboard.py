"""TensorBoard: every value of every epoch as a scalar."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError, MissingDependencyError
from flowgrad.history import History, Row


class TensorBoard:
    """TensorBoard, by an event file that `tensorboard --logdir runs` shows, also while training runs.

    Args:
        folder: of this training; None takes runs/tensorboard/ and the time.

    Raises:
        MissingDependencyError: tensorboard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        try:
            from tensorboard.summary import Writer
        except ModuleNotFoundError:
            raise MissingDependencyError("tensorboard", "tensorboard", "logging to TensorBoard") from None
        now = datetime.now().astimezone().strftime("%Y-%m-%d_%H-%M-%S")
        self.folder = Path("runs", "tensorboard", now) if folder is None else Path(folder)
        self._make, self._writer = Writer, None

    @classmethod
    def for_run(cls, folder: Path) -> TensorBoard:
        """In the folder tensorboard of a run folder."""
        return cls(folder / "tensorboard")

    @property
    def follow(self) -> str:
        """The command that shows it."""
        return f"tensorboard --logdir {self.folder}"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Opens the event file."""
        try:
            self._writer = self._make(str(self.folder))
        except OSError as error:
            raise FileError(f"{self.folder}: {(error.strerror or str(error)).lower()}") from None

    def epoch(self, row: Row) -> None:
        """Each value by its name, the epoch as the step."""
        assert self._writer is not None
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, step=int(row["epoch"]))
        self._writer.flush()

    def end(self, history: History, error: BaseException | None) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()


entry = TensorBoard
