"""A run folder for a training in Python, which `flowgrad view` follows and `fg.load_model` opens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowgrad.files import RUN_NETWORK
from flowgrad.fitting.checkpoint import path_in
from flowgrad.history import History, Row
from flowgrad.model import Model
from flowgrad.program import Program
from flowgrad.runs.folder import check_target, clear
from flowgrad.runs.live import Training, save_metrics
from flowgrad.runs.models import save_run


class RunFolder:
    """A callback that keeps a run folder up to date.

    Args:
        before: rows of the epochs before, where a training is resumed; None for a new training.
        again: allow a new training in a folder whose training was cut off before its first checkpoint.

    Raises:
        FileError: the folder exists and no training is resumed; or it is no run folder.
    """

    def __init__(
        self, folder: Path, program: Program, before: Sequence[Row] | None = None, again: bool = False
    ) -> None:
        self.folder, self._program, self._before = folder, program, before
        loss = None if program.loss is None else program.loss.name
        self._model = Model(program.network(), loss=loss)
        clear(folder)
        over = before is not None or (again and not (folder / "summary.json").exists())
        hint = ", or go on with it: checkpoint=True, resume=True" if path_in(folder).exists() else ""
        check_target(folder, over, hint)
        self._settings: dict[str, Any] | None = None
        self._run = Training(folder, folder.name, over, self._model, lambda part, place: None)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Create the folder, or reopen it to resume."""
        if self._before is not None and (self.folder / RUN_NETWORK).exists():
            self._run.resume(self._program, self._before)
        else:
            self._run.start(self._program)
        self._settings = {name: value if _plain(value) else str(value) for name, value in settings.items()}

    def epoch(self, row: Row) -> None:
        """Write a line of metrics.csv, and the weights at intervals (`Training.epoch`)."""
        self._run.epoch(row)

    def end(self, history: History, error: BaseException | None) -> None:
        """Write the last weights and summary.json; do nothing where `begin` was not completed."""
        if self._settings is None:
            return
        self._run.end(history)
        with self._run:
            self._run.finish(lambda part: self._fill(part, history, error))

    def _fill(self, folder: Path, history: History, error: BaseException | None) -> None:
        save_run(folder, replace(self._model, network=self._program.network()), history.weights_of)
        save_metrics(folder, history.rows)
        said = {
            "reason": history.reason if error is None else "stopped",
            "error": None if error is None else str(error),
            "epochs": len(history),
            "best_epoch": history.best_epoch,
            "weights_of": history.weights_of,
            "settings": self._settings,
        }
        (folder / "summary.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str))
