"""Comparison of runs: date, network, figures and differing settings, read from run folders."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flowgrad.errors import FileError
from flowgrad.files import RUN_NETWORK

MARKS = ("summary.json", "config.toml", RUN_NETWORK)  # a folder with one of these files is a run folder
APART = ("run.folder",)  # settings without influence on the training
PLACES = {"network.file", "network.edges", "data.file", "data.labels", "data.test", "data.validation"}  # file paths


@dataclass(frozen=True)
class Listed:
    """A run folder, of a training or a cross-validation, as its files describe it.

    date       time of summary.json, else of the newest of `MARKS`
    ended      False for a training that runs, or was cut off
    summary    contents of summary.json; {} where there is none
    settings   "section.key" → value of config.toml
    """

    path: Path
    date: datetime
    ended: bool
    epochs: int
    summary: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name

    @property
    def figures(self) -> Mapping[str, float]:
        """Metrics by name, on the test samples; of a cross-validation, means over the folds."""
        found: Mapping[str, float] = self.summary.get("test", {})
        return found

    @property
    def network(self) -> str:
        """The size of its network, as far as summary.json holds it."""
        known = [(what, self.summary.get(what)) for what in ("nodes", "edges", "parameters")]
        return ", ".join(f"{n:,} {what}" for what, n in known if isinstance(n, int))


def runs_in(places: Iterable[Path]) -> list[Listed]:
    """List the runs that are these folders, or are directly in them, by date, the oldest first.

    Raises:
        FileError: a folder is missing, or neither is a run's nor holds one; or a file of a run is damaged.
    """
    found: dict[Path, Listed] = {}
    for place in places:
        if not place.is_dir():
            raise FileError(f"there is no folder {place}")
        inside = [place] if _is_run(place) else [each for each in sorted(place.iterdir()) if _is_run(each)]
        if not inside:
            raise FileError(f"{place} is no run folder, and holds none")
        found |= {each.resolve(): _listed(each) for each in inside}
    return sorted(found.values(), key=lambda run: (run.date, run.name))


def differences(runs: Sequence[Listed]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ, each with its value in every run, None where a run lacks it."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if key not in APART)
    values = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}


def _is_run(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and any((path / mark).is_file() for mark in MARKS)


def _listed(path: Path) -> Listed:
    end = path / "summary.json"
    summary = _json(end) if end.is_file() else {}
    newest = max((path / mark).stat().st_mtime for mark in MARKS if (path / mark).is_file())
    date = end.stat().st_mtime if summary else newest
    epochs = summary.get("epochs")
    epochs = epochs if isinstance(epochs, int) else _lines(path / "metrics.csv")
    return Listed(path, datetime.fromtimestamp(date), bool(summary), epochs, summary, _settings(path / "config.toml"))


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("test", {}), dict):
        raise FileError(f"{path} is damaged: it is no summary of a run")
    return found


def _settings(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError):
        raise FileError(f"{path} is damaged: it is no configuration") from None
    sections = {name: values for name, values in given.items() if isinstance(values, dict)}
    found = {f"{section}.{key}": value for section, values in sections.items() for key, value in values.items()}
    for key in PLACES & set(found):
        if isinstance(found[key], str):
            found[key] = _place(path.parent, found[key], key.startswith("network."))
    return found


def _place(folder: Path, name: str, copied: bool) -> str:
    """Name a file by its path relative to the working directory; one copied into the run by its name and digest."""
    file = folder / name
    if copied and Path(name).name == name and file.is_file():
        return f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"
    with suppress(ValueError):  # another drive of Windows
        return os.path.relpath(file)
    return str(file)


def _lines(path: Path) -> int:
    """Count the complete lines under the header; 0 where there is no such file."""
    with suppress(OSError), path.open("rb") as file:
        return max(0, sum(line.endswith(b"\n") for line in file) - 1)
    return 0
