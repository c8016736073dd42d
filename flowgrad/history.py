"""History: the record of a training, one row per epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flowgrad.errors import UnknownNameError, brief, suggest
from flowgrad.frames import frame

Row = dict[str, float]
Reason = Literal["finished", "early stopping", "interrupted", "stopped"]


@dataclass
class History:
    """What happened in training: one row an epoch.

    rows        a dict an epoch: `epoch` from 1; `loss`, the mean (or sum, as the program reduces) over the
                epoch's samples while θ moved, without penalties; `penalty`, where there is one, after the epoch;
                metrics by name, after the epoch, over the training data; `val_loss` and `val_…` over the
                validation data; `rate`, the learning rate; `seconds`, since the start
    best_epoch  the epoch of the least val_loss, or of the least loss without validation; None before the first
    reason      "finished": every epoch was run; "early stopping"; "interrupted": Ctrl-C, or
                a signal; "stopped": by a callback
    weights_of  what `program.theta` is, once training has ended: "epoch 12", whole, or "within epoch 13"
    """

    rows: list[Row] = field(default_factory=list)
    reason: Reason = "finished"
    weights_of: str = "epoch 0"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.rows[0]) if self.rows else ()

    @property
    def monitored(self) -> str:
        """The column that `best_epoch` looks at."""
        return "val_loss" if "val_loss" in self.names else "loss"

    @property
    def best_epoch(self) -> int | None:
        return int(min(self.rows, key=lambda row: row[self.monitored])["epoch"]) if self.rows else None

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column, (epochs,) float64.

        Raises:
            UnknownNameError: no such column.
        """
        if name not in self.names:
            raise UnknownNameError(f"history has no column {brief(name)}{suggest(name, self.names)}")
        return np.array([row[name] for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> Any:
        """A row an epoch, in pandas or polars.

        Raises:
            MissingDependencyError: neither is installed.
        """
        return frame({name: self[name] for name in self.names})

    def __repr__(self) -> str:
        if not self.rows:
            return f"History(no epochs, {self.reason})"
        last = ", ".join(f"{name} {self.rows[-1][name]:.6g}" for name in self.names if name not in ("epoch", "rate"))
        return f"History({len(self)} epochs, {self.reason}; best epoch {self.best_epoch}; last: {last})"
