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
    """Record of a training, with one row per epoch; `history["loss"]` is a column, (epochs,) float64.

    rows        list of one dict per epoch, in order, from column name to number:
                `epoch`, counted from 1;
                `loss`, the mean or sum (the program's reduction) over the epoch's samples, each evaluated at the θ of
                its own step, without penalties;
                `penalty`, the l1 and l2 penalties after the epoch, if there are any;
                metrics by name, on the training data after the epoch;
                `val_loss`, and metrics as `val_…`, on the validation data after the epoch, if there are any;
                `rate`, the learning rate;
                `seconds` since the start of training, earlier parts of a resumed training included
    best_epoch  epoch with the lowest val_loss or, without validation data, loss; None without epochs
    reason      why training ended: "finished" (all epochs were run), "early stopping", "interrupted" (by Ctrl-C or a
                signal) or "stopped" (by a callback or `on_epoch`)
    weights_of  the state that `program.theta` has after training: "epoch 12", after that epoch, or "within epoch 13"
    """

    rows: list[Row] = field(default_factory=list)
    reason: Reason = "finished"
    weights_of: str = "epoch 0"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns; () without epochs."""
        return tuple(self.rows[0]) if self.rows else ()

    @property
    def monitored(self) -> str:
        """Name of the column that `best_epoch` minimizes: "val_loss" if there is one, else "loss"."""
        return "val_loss" if "val_loss" in self.names else "loss"

    @property
    def best_epoch(self) -> int | None:
        """Number, from 1, of the first epoch with the lowest value of the column `monitored`; None without epochs."""
        return int(min(self.rows, key=lambda row: row[self.monitored])["epoch"]) if self.rows else None

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column, (epochs,) float64.

        Raises:
            UnknownNameError: no column has this name.
        """
        if name not in self.names:
            raise UnknownNameError(f"history has no column {brief(name)}{suggest(name, self.names)}")
        return np.array([row[name] for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def to_frame(self) -> Any:
        """Make a data frame with one row per epoch, in pandas or, if that is not installed, polars.

        Raises:
            MissingDependencyError: neither pandas nor polars is installed.
        """
        return frame({name: self[name] for name in self.names})

    def __repr__(self) -> str:
        if not self.rows:
            return f"History(no epochs, {self.reason})"
        last = ", ".join(f"{name} {self.rows[-1][name]:.6g}" for name in self.names if name not in ("epoch", "rate"))
        return f"History({len(self)} epochs, {self.reason}; best epoch {self.best_epoch}; last: {last})"
