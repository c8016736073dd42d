"""[train] with clipping, dropout, constraints, weights of classes, smoothing; [data] with a column of weights."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import toml_text
from flowgrad.cli import _config
from flowgrad.cli._experiment import prepare, read

EVERYTHING = """\
clip = 1.0
clip_value = 0.5
dropout = 0.2
input_dropout = 0.1
label_smoothing = 0.1
[train.l1]
"level 1" = 0.001
biases = 0.01
[train.l2]
weights = 0.002
[train.constraints]
"input weights" = "nonnegative"
biases = [-0.5, inf]
[train.class_weight]
bob = 2.0
cleo = 0.5
"""


@pytest.fixture
def weighted(classes: Path) -> Path:
    """The classes with a column `count` of 0, 1 and 2, and a column `id` besides."""
    lines = (classes / "samples.csv").read_text().splitlines()
    rows = [f"{line},{n % 3}" for n, line in enumerate(lines[1:])]
    (classes / "samples.csv").write_text("\n".join([f"{lines[0]},count", *rows]) + "\n")
    config = (classes / "config.toml").read_text().replace("epochs = 30", "epochs = 4")
    (classes / "config.toml").write_text(config.replace("[train]", 'weight = "count"\nvalidation = 0.2\n[train]'))
    return classes


def test_every_setting_reaches_fit_and_the_run_repeats(run: Any, weighted: Path, rows: Any) -> None:
    (weighted / "all.toml").write_text((weighted / "config.toml").read_text() + EVERYTHING)
    assert run("train", "all.toml", "--out", "first").code == 0
    settings, _ = read(Path("all.toml"))
    experiment = prepare(settings)
    program, parts = experiment.compile(), experiment.parts
    history = fg.fit(
        program, parts.train.X, parts.train.T, sample_weight=parts.train.s, epochs=4, learning_rate=0.05,
        validation=(parts.validation.X, parts.validation.T, parts.validation.s), clip=1.0, clip_value=0.5, dropout=0.2,
        input_dropout=0.1, label_smoothing=0.1, l1={"level 1": 0.001, "biases": 0.01}, l2={"weights": 0.002},
        constraints={"input weights": "nonnegative", "biases": (-0.5, None)}, class_weight={1: 2.0, 2: 0.5},
    )  # fmt: skip
    mine = [float(row["val_loss"]) for row in rows(Path("first/metrics.csv"))]
    assert mine == pytest.approx(history["val_loss"].tolist(), rel=1e-12)
    assert tomllib.loads(Path("first/config.toml").read_text())["train"]["constraints"]["biases"] == [-0.5, np.inf]
    assert run("train", "first", "--out", "again").code == 0
    again = rows(Path("again/metrics.csv"))
    assert [row["val_loss"] for row in again] == [row["val_loss"] for row in rows(Path("first/metrics.csv"))]


def test_samples_of_weight_0_are_left_out_and_others_count_so_often(run: Any, weighted: Path, rows: Any) -> None:
    settings, _ = read(Path("config.toml"))
    parts = prepare(settings).parts
    assert sum(len(part) for part in (parts.train, parts.validation, parts.test) if part) == 60
    assert set(parts.train.s.tolist()) == {1.0, 2.0}
    assert run("train", "config.toml", "--out", "model").code == 0
    assert json.loads(Path("model/summary.json").read_text())["samples"]["train"] == len(parts.train)
    assert run("predict", "model", "--data", "samples.csv").code == 0  # weights say nothing to a network that answers


@pytest.mark.parametrize("setting", ["dropout=0.5", "input_dropout=0.5", "clip=0.01", "clip_value=0.001",
                                     "label_smoothing=0.3", "class_weight=balanced", "l1={weights=0.1}",
                                     "l2={biases=0.5}", 'constraints={weights="sign"}'])  # fmt: skip
def test_each_changes_what_is_trained(run: Any, weighted: Path, rows: Any, setting: str) -> None:
    trained = []
    for k, words in enumerate(((), ("--set", f"train.{setting}"))):
        assert run("train", "config.toml", "--out", f"run{k}", "--set", "train.learning_rate=0.5", *words).code == 0
        trained.append([row["val_loss"] for row in rows(Path(f"run{k}/metrics.csv"))])
    assert trained[0] != trained[1]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.class_weight={bbo=2}", "train.class_weight: 'bbo' is no class: did you mean 'bob'"),
        ("train.class_weight=balance", "must be one of 'balanced', or a table of numbers"),
        ('train.l1={"level 9"=1}', "train.l1: no edge belongs to 'level 9'; levels are 1 … 2"),
        ("train.l2={weights=-1}", "train.l2 = {weights = -1}: must be a number, 0 or more, or a table"),
        ("train.constraints={wieghts='sign'}", "train.constraints: 'wieghts' names no slots of θ"),
        ("train.constraints={weights=[1, 0]}", "train.constraints = {weights = [1, 0]}: must be a table of"),
        ("train.dropout=1.0", "train.dropout = 1.0: must be a number, 0 or more and below 1"),
        ("train.clip=0", "train.clip = 0: must be a number above 0"),
        ("data.weight=who", 'data.weight = "who": that column is the label'),
        ("data.weight=cuont", "lacks the column of weight 'cuont': did you mean 'count'"),
        ("train.weight='count'", "unknown key train.weight: it belongs to [data]"),
    ],
)
def test_what_is_wrong_is_named_before_there_is_a_folder(run: Any, weighted: Path, setting: str, said: str) -> None:
    result = run("train", "config.toml", "--out", "model", "--set", setting)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err
    assert not (weighted / "model").exists()


def test_a_column_that_holds_no_weights(run: Any, weighted: Path) -> None:
    text = (weighted / "samples.csv").read_text().splitlines()
    (weighted / "samples.csv").write_text("\n".join([*text[:4], text[4].rpartition(",")[0] + ",-1", *text[5:]]) + "\n")
    result = run("train", "config.toml")
    assert result.code == 2
    assert "samples.csv, sample 4, column 'count': -1.0 is no weight: must be finite, 0 or more" in result.err


def test_classes_are_wanted_for_what_goes_by_them(run: Any, job: Path) -> None:
    for setting in ("class_weight=balanced", "label_smoothing=0.1"):
        result = run("train", "config.toml", "--out", "model", "--set", f"train.{setting}")
        assert result.code == 2
        assert f"train.{setting.partition('=')[0]}: goes with classes" in result.err
        assert not (job / "model").exists()


def test_a_factor_goes_by_the_class_a_single_output_speaks_for(run: Any, weighted: Path) -> None:
    text = (weighted / "samples.csv").read_text().replace(",ann,", ",bob,")
    (weighted / "samples.csv").write_text(text)
    for positive, wanted in (("bob", {1: 2.0}), ("cleo", {0: 2.0})):
        given = {"data.positive": positive, "train.class_weight": {"bob": 2.0}}
        experiment = prepare(read(Path("config.toml"), given)[0])
        assert experiment.arguments(experiment.compile())["class_weight"] == wanted


def test_penalize_goes_with_numbers(run: Any, job: Path) -> None:
    words = ("--set", "train.penalize=input weights", "--set", "train.l1={weights=1}")
    assert "train.l1 is a table, whose words say" in run("train", "config.toml", *words).err


def test_a_configuration_is_written_as_it_was_read(tmp_path: Path) -> None:
    given = {
        "network": {"edges": "e"},
        "data": {"file": "f"},
        "train": tomllib.loads("[train]\n" + EVERYTHING)["train"],
    }
    given["train"]["l1"]['group "a" = 1'] = 0.5  # keys are quoted where TOML wants it
    settings = _config.check(given)
    assert _config.check(tomllib.loads(toml_text.document(settings))) == settings


def test_cross_validation_goes_by_weights_and_leaves_those_of_0_out(run: Any, weighted: Path) -> None:
    words = ("--folds", 2, "--workers", 1, "--group", "id", "--set", "train.dropout=0.1")
    outcomes = []
    for name, more in (("a", ()), ("b", ("--set", "data.weight=id"))):
        assert run("cv", "config.toml", "--out", name, *(words if name == "a" else words[:4]), *more).code == 0
        outcomes.append(json.loads(Path(name, "summary.json").read_text())["samples"])
    assert outcomes == [60, 89]  # of 90; ids are 0 … 89
