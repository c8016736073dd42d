"""What of a configuration may change where its run is gone on with: one list, and the check that goes by it."""

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
"""Key → why another value goes on with the same training."""
INSTEAD = "give another --out, or leave --resume out"
PLACES = ("network.file", "network.edges", "data.file", "data.labels", "data.test", "data.validation")
"""Keys whose files may be called otherwise, or lie elsewhere: the checkpoint knows what they held."""


def check_same(folder: Path, now: _config.Config) -> None:
    """Raise ConfigError where a run was of another configuration; the message names the key that differs first.

    Args:
        folder: of the run; where its config.toml is not there only the checkpoint speaks of its settings.
        now: the configuration as the folder would hold it.

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
    """Whether a key's values are of one training, as far as the configuration says."""
    if key in MAY_CHANGE:
        return True
    if key in PLACES:
        return there == here or (isinstance(there, str) and isinstance(here, str))
    if key == "train.executor":  # what "auto" chose is in the checkpoint
        return _options(there) == _options(here)
    return there == here and isinstance(there, bool) == isinstance(here, bool)


def _options(executor: object) -> dict[str, object]:
    """The options of a table that names an executor; none of a name."""
    return {key: value for key, value in executor.items() if key != "name"} if isinstance(executor, dict) else {}


def _shown(value: object) -> str:
    return "none" if value is None else f"{written(value):.80}"
