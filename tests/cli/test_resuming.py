"""`flowgrad train --resume`: each key of a configuration is refused by its name where it is another, or may change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowgrad.cli import _config
from flowgrad.cli._resumed import MAY_CHANGE, PLACES, check_same
from flowgrad.errors import ConfigError
from flowgrad.toml_text import document, written

EXECUTOR = "train.executor"  # by name in the checkpoint, its options in the configuration
VALUES = {
    "network.hidden": [4],
    "train.constraints": {"weights": "sign"},
    "train.executor": {"name": "dask", "shards": 4},
    "train.optimizer": {"name": "adam", "beta1": 0.8},
}
CANDIDATES = (1, 3, 0.25, "he", "relu", "mse", ["z"], {"a": 1.0}, True, False)
KEYS = [f"{section}.{name}" for section, keys in _config.KEYS.items() for name in keys]


def another(key: str) -> Any:
    """A value that keeps to the key's rule, and is not its default."""
    section, name = key.split(".")
    known = _config.KEYS[section][name]
    words = [word for word in known.rule.words.replace(",", "").split("'")[1::2] if word != known.default]
    found = [value for value in (*words, *CANDIDATES) if known.rule.holds(value) and value != known.default]
    return VALUES.get(key) or found[0]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_refused_by_name_or_may_change_on_purpose(tmp_path: Path, key: str) -> None:
    defaults = {s: {name: known.default for name, known in keys.items()} for s, keys in _config.KEYS.items()}
    then = _config.check({"network": {"topology": "layered"}, "data": {"file": "x.csv"}})
    (tmp_path / "config.toml").write_text(document(then))
    check_same(tmp_path, then)
    section, name = key.split(".")
    value = another(key)
    now = then | {section: then[section] | {name: value}}
    if key in MAY_CHANGE or (key in PLACES and isinstance(then[section][name], str)):
        check_same(tmp_path, now)
        return
    assert value != defaults[section][name]
    with pytest.raises(ConfigError, match="is of another training") as caught:
        check_same(tmp_path, now)
    assert f": {key}=" in str(caught.value)
    assert f"{written(value):.80} here" in str(caught.value)


def test_what_may_change_is_made_of_keys() -> None:
    assert {*MAY_CHANGE, *PLACES, EXECUTOR} <= set(KEYS)


@pytest.fixture
def begun(run: Any, job: Path) -> Path:
    """The job, of which a run of two epochs stands in `model`."""
    (job / "test.csv").write_text((job / "samples.csv").read_text())
    text = (job / "config.toml").read_text()
    (job / "config.toml").write_text(text.replace("[data]", '[data]\ntest = "test.csv"'))
    assert run("train", "config.toml", "--out", "model", "--epochs", 2).code == 0
    return job


def again(run: Any, *more: object) -> Any:
    return run("train", "config.toml", "--out", "model", "--epochs", 3, "--resume", *more)


@pytest.mark.parametrize(
    "change",
    ["network.seed=4", "network.initializer=he", "network.activation=relu", "data.standardize=false", "train.clip=1.0"],
)
def test_another_setting_is_one_line_that_names_its_key(run: Any, begun: Path, change: str) -> None:
    before = {path.name: path.read_bytes() for path in (begun / "model").iterdir()}
    result = again(run, "--set", change)
    key, _, value = change.partition("=")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert f"model is of another training: {key}=" in result.err
    assert f"{value} here" in result.err.replace('"', "")
    assert "resume=" not in result.err, "a command has options, not arguments"
    assert {path.name: path.read_bytes() for path in (begun / "model").iterdir()} == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test.csv", "its test data is another one"),
        ("samples.csv", "X is another one"),
        ("edges.csv", "is another"),
    ],
)
def test_other_contents_of_the_same_files_are_refused(run: Any, begun: Path, name: str, said: str) -> None:
    text = (begun / name).read_text()
    (begun / name).write_text(text.replace("x1,y", "x3,y") if name == "edges.csv" else text.replace("0.", "1.", 1))
    result = again(run)
    assert (result.code, said in result.err) == (2, True), result.err
    assert "give another --out, or leave --resume out" in result.err


def test_files_may_lie_elsewhere_and_the_rest_that_may_change(run: Any, begun: Path, rows: Any) -> None:
    for name in ("test.csv", "samples.csv", "edges.csv"):
        (begun / name).rename(begun / f"moved_{name}")
    moved = [
        word
        for key in ("data.test=moved_test.csv", "data.file=moved_samples.csv", "network.edges=moved_edges.csv")
        for word in ("--set", key)
    ]
    assert again(run, *moved, "--set", "train.threads=1").code == 0
    assert len(rows(begun / "model/metrics.csv")) == 3
    assert json.loads((begun / "model/summary.json").read_text())["epochs"] == 3


def test_a_folder_of_python_is_gone_on_with_by_its_checkpoint_alone(run: Any, begun: Path) -> None:
    (begun / "model/config.toml").unlink()
    assert "seed=0 there, 5 here" in again(run, "--set", "train.seed=5").err
    assert again(run).code == 0


def test_each_door_speaks_of_what_it_has(run: Any, begun: Path) -> None:
    assert "model exists: name another folder, or say --overwrite" in run("train", "config.toml", "--out", "model").err
    taken = run("demo", "--out", "model")
    assert taken.code == 2
    assert "--overwrite" not in taken.err, "which the demo has not"
