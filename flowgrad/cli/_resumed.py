"""List the keys of a configuration that may change when its run is resumed, and check that no others have."""

from __future__ import annotations

from pathlib import Path

from flowgrad.cli import _config
from flowgrad.errors import ConfigError
from flowgrad.toml_text import written

MAY_CHANGE = {
    "train.epochs": "more of them, where the learning rates of those that were run stay as they were",
    "train.threads": "results do not depend on it",
    "train.log": "who listens",
    "run.folder": "where it lies",
}
"""Key → why a run may be resumed with another value of it."""
INSTEAD = "give another --out, or leave --resume out"
PLACES = ("network.file", "network.edges", "data.file", "data.labels", "data.test", "data.validation")
"""Keys whose files may have been renamed or moved: the checkpoint has digests of their content."""


def check_same(folder: Path, now: _config.Config) -> None:
    """Raise ConfigError where a run had another configuration; the message names the first key that differs.

    Args:
        folder: the run's; without a config.toml nothing is checked here, only against the checkpoint later.
        now: the present configuration, in the form that the folder would hold.

    Raises:
        ConfigError, FileError: as `_config.read`.
    """
    file = folder / "config.toml"
    if not file.exists():
        return
    then = _config.read(file)
    for section, values in now.items():
        for name, here in values.items():
            key, there = f"{section}.{name}", then[section][name]
            if not _alike(key, there, here):
                raise ConfigError(
                    f"{folder} is of another training: {key}={_shown(there)} there, {_shown(here)} here; {INSTEAD}"
                )


def _alike(key: str, there: object, here: object) -> bool:
    """Return whether a run with one value of a key may be resumed with the other."""
    if key in MAY_CHANGE:
        return True
    if key in PLACES:
        return there == here or (isinstance(there, str) and isinstance(here, str))
    if key == "train.executor":  # what "auto" chose is in the checkpoint
        return _options(there) == _options(here)
    return there == here and isinstance(there, bool) == isinstance(here, bool)


def _options(executor: object) -> dict[str, object]:
    """Return the options of a table that names an executor; none for a plain name."""
    return {key: value for key, value in executor.items() if key != "name"} if isinstance(executor, dict) else {}


def _shown(value: object) -> str:
    return "none" if value is None else f"{written(value):.80}"
