"""What commands share: how they are made, how wide they print, how they name a network, the keys of a training."""

from __future__ import annotations

import ast
import inspect
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.cli import _config
from flowgrad.registry import _own, find

FOLDER = Path(fg.__file__).parent / "cli"
COMMANDS = _own("cli")
OPENING = ("predict", "grad", "check", "importance", "explain", "paths", "trace", "reuse", "health", "info", "export",
           "convert", "view")  # fmt: skip


# ---- how commands are made ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_imports_another(command: str) -> None:
    tree = ast.parse((FOLDER / f"{command}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not [name for name in whole for other in COMMANDS if f"{name}.".startswith(f"flowgrad.cli.{other}.")]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("_*.py")), ids=lambda path: path.stem)
def test_nothing_that_commands_share_imports_a_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [
        other for other in COMMANDS if f"flowgrad.cli.{other} " in text or f"flowgrad.cli import {other}" in text
    ]


@pytest.mark.parametrize("command", OPENING)
def test_every_command_that_opens_a_network_takes_its_format_and_its_readers_options(command: str) -> None:
    parameters = inspect.signature(find("cli", command)).parameters
    assert {"network", "read_as", "option"} <= set(parameters)


def test_a_configuration_walks_through_few_modules(run: Any, job: Path) -> None:
    seen = set[str]()

    def profile(frame: Any, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("flowgrad.cli.") and frame.f_code.co_name != "<module>":
            seen.add(module)

    sys.setprofile(profile)
    try:
        code = run("train", "config.toml", "--out", "model").code
    finally:
        sys.setprofile(None)
    assert code == 0
    assert {"flowgrad.cli.train", "flowgrad.cli._experiment"} <= seen
    assert len(seen) <= 7, sorted(seen)


# ---- how wide they print --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run that `columns` copies is kept: trained by the first test that takes it."""
    return tmp_path_factory.mktemp("trained") / "model"


@pytest.fixture
def columns(run: Any, job: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run called `model`, samples, and a screen of 80 columns."""
    if not trained.exists():
        assert run("train", "config.toml", "--out", "model").code == 0
        shutil.copytree("model", trained)
    else:
        shutil.copytree(trained, "model")
    monkeypatch.setenv("COLUMNS", "80")
    return run


DATA = ("--data", "samples.csv")
WORDS = {
    "predict": ("predict", "model", *DATA, "--out", "p.csv"),
    "grad": ("grad", "model", *DATA, "--out", "g.csv"),
    "check": ("check", "model", *DATA),
    "importance": ("importance", "model", *DATA, "--integrated"),
    "importance by class": ("importance", "model", *DATA, "--by", "y", "--ignore", "y"),
    "explain": ("explain", "model", "y", *DATA),
    "paths": ("paths", "model", "x1", "y", *DATA),
    "trace": ("trace", "model", *DATA),
    "reuse": ("reuse", "model", "--out", "r.csv"),
    "health": ("health", "model", *DATA),
    "info": ("info", "model"),
    "export": ("export", "model", "--to", "net.gexf", *DATA),
    "convert": ("convert", "model", "net.onnx"),
    "train": ("train", "config.toml", "--out", "again"),
    "stability": ("stability", "model", "--seeds", 7, "--epochs", 1, "--workers", 1),
    "cv": ("cv", "config.toml", "--folds", 3, "--epochs", 1, "--workers", 1),
    "runs": ("runs", "model"),
    "doctor": ("doctor",),
    "list": ("list",),
    **{f"list {kind}": ("list", kind) for kind in ("executors", "formats", "losses", "activations", "commands")},
}


@pytest.mark.parametrize("words", WORDS.values(), ids=list(WORDS))
def test_what_is_printed_fits_80_columns(columns: Any, words: tuple[Any, ...]) -> None:
    result = columns(*words)
    assert result.code in (0, 1), result.err
    assert [line for line in result.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns(columns: Any, command: str) -> None:
    assert [line for line in columns(command, "--help").out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", [c for c in OPENING if c != "view"])
def test_the_network_is_said_in_one_short_line(columns: Any, command: str) -> None:
    said = columns(*WORDS[command]).out.splitlines()[0]
    assert said == "network: 6 nodes, 8 edges, depth 3; 3 inputs → 1 output"


def test_answers_on_stdout_are_a_csv_and_nothing_else(columns: Any) -> None:
    assert columns("predict", "model", *DATA).out.splitlines()[0] == "y"
    assert columns("grad", "model", *DATA).out.splitlines()[0] == "kind,source,target,value,gradient"
    assert len(columns("grad", "model", *DATA, "--top", 3).out.splitlines()) == 4


# ---- one network, three forms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [c for c in OPENING if c not in ("view", "convert", "export")])
def test_a_run_and_its_file_are_interchangeable(columns: Any, job: Path, command: str) -> None:
    fg.load_model("model").save("model.fgm")
    words = [word for word in WORDS[command] if word != "model"]
    out = {}
    for form in ("model", "model.fgm"):
        result = columns(words[0], form, *words[1:])
        assert result.code == 0, result.err
        lines = [line for line in result.out.splitlines() if not line.startswith("weights of")]  # which a run alone has
        out[form] = lines, [Path(w).read_bytes() for w in map(str, words) if w in ("p.csv", "g.csv", "r.csv")]
    assert out["model"] == out["model.fgm"]


def test_what_is_written_of_a_run_is_written_of_its_file(columns: Any, job: Path) -> None:
    fg.load_model("model").save("model.fgm")
    X = np.loadtxt("samples.csv", delimiter=",", skiprows=1)[:, :3]
    wanted = fg.load_model("model").predict(X)
    for form in ("model", "model.fgm", "model/network.json"):
        for words in (
            ("convert", form, "net.json"),
            ("convert", form, "--to", "net.json"),
            ("export", form, "--to", "net.json"),
            ("convert", form, "net.fgm"),
            ("export", form, "--to", "net.fgm"),
        ):
            result = columns(*words)
            assert result.code == 0, result.err
            np.testing.assert_allclose(fg.load_model(words[-1]).predict(X), wanted, rtol=1e-9)
            assert ("it takes the columns as they were measured" in result.out) == (form != "model/network.json")
    columns("convert", "model", "net.fgm")
    assert fg.load_model("net.fgm").scaling is not None, "a model's file keeps everything"


def test_training_goes_on_from_a_models_file(columns: Any, job: Path, rows: Any) -> None:
    fg.load_model("model").save("model.fgm")
    text = (job / "config.toml").read_text().replace("learning_rate = 0.05", "learning_rate = 1e-9")
    losses = {}
    for form in ("model", "model.fgm", "model/network.json"):
        (job / "more.toml").write_text(text.replace('edges = "edges.csv"', f'file = "{form}"'))
        result = columns("train", "more.toml", "--out", "more", "--overwrite", "--epochs", 1)
        assert result.code == 0, result.err
        losses[form] = rows(job / "more/metrics.csv")[0]["loss"]
    assert len(set(losses.values())) == 1


def test_classes_go_on_to_mean_what_they_meant(run: Any, classes: Path, rows: Any) -> None:
    config = (classes / "config.toml").read_text()
    assert run("train", "config.toml", "--out", "first").code == 0
    assert fg.load_model("first").classes == ("ann", "bob", "cleo")
    before = [row["who"] for row in _predicted(run, "first", rows)]
    (classes / "more.toml").write_text(
        config.replace('topology = "layered"\nhidden = [5]', 'file = "first"')
        .replace('label = "who"\n', "")
        .replace("learning_rate = 0.05", "learning_rate = 1e-9")
    )
    result = run("train", "more.toml", "--out", "second", "--epochs", 1)
    assert result.code == 0, result.err
    assert fg.load_model("second").label == "who"
    assert [row["who"] for row in _predicted(run, "second", rows)] == before


def _predicted(run: Any, model: str, rows: Any) -> list[dict[str, str]]:
    result = run("predict", model, "--data", "samples.csv", "--ignore", "id", "--out", "p.csv")
    assert result.code == 0, result.err
    found: list[dict[str, str]] = rows(Path("p.csv"))
    return found


# ---- a run folder that travels --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["edges", "json", "graphml", "run", "fgm", "topology"])
def test_a_copied_run_trains_again_or_says_which_data_it_lacks(run: Any, job: Path, rows: Any, form: str) -> None:
    text = (job / "config.toml").read_text()
    net = fg.load("edges.csv", inputs=["x1", "x2", "x3"], activation="tanh", seed=3)
    source = {"json": "start.json", "graphml": "start.graphml", "fgm": "start.fgm", "run": "before"}.get(form)
    if form == "run":
        assert run("train", "config.toml", "--out", "before", "--epochs", 2).code == 0
    elif source is not None:
        fg.save(net, source)
    if source is not None:
        text = text.replace('edges = "edges.csv"', f'file = "{source}"')
    if form == "topology":
        text = text.replace('edges = "edges.csv"', 'topology = "layered"\nhidden = [4]').replace(
            "[train]", 'targets = ["y"]\n[train]'
        )
    (job / "config.toml").write_text(text)
    result = run("train", "config.toml", "--out", "model")
    assert result.code == 0, result.err
    away = job / "away/deep"
    shutil.copytree("model", away)
    for path in [*job.glob("edges.csv"), *job.glob("start*")]:
        path.unlink()
    shutil.rmtree("model")
    shutil.rmtree("before", ignore_errors=True)
    result = run("train", "away/deep", "--out", "lost")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "samples.csv, which data.file of the configuration names" in result.err
    assert not (job / "lost").exists()
    result = run("train", "away/deep", "--out", "again", "--set", "data.file=samples.csv")
    assert result.code == 0, result.err
    first, second = rows(away / "metrics.csv"), rows(job / "again/metrics.csv")
    assert [row["loss"] for row in first] == [row["loss"] for row in second]
    assert {path.name for path in away.iterdir()} == {path.name for path in (job / "again").iterdir()}


def test_the_folder_of_a_run_is_no_part_of_its_configuration(run: Any, job: Path) -> None:
    with (job / "config.toml").open("a") as file:
        file.write('[run]\nfolder = "mine"\n')
    assert run("train", "config.toml").code == 0
    assert "run" not in tomllib.loads((job / "mine/config.toml").read_text())
    assert run("train", "mine").code == 0
    assert (job / "runs/mine/network.json").exists()


@pytest.mark.parametrize("key", ["file", "test", "validation"])
def test_a_missing_file_of_samples_is_said_with_its_key(run: Any, job: Path, key: str) -> None:
    result = run("train", "config.toml", "--set", f"data.{key}=absent.csv")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert f"absent.csv, which data.{key} of the configuration names" in result.err


# ---- targets on another scale ---------------------------------------------------------------------------------------


def test_targets_are_standardised_where_the_configuration_says_so(run: Any, job: Path, rows: Any) -> None:
    table = np.loadtxt("samples.csv", delimiter=",", skiprows=1)
    table[:, 3] = 1e4 + 250.0 * table[:, 3]
    lines = [",".join(map(repr, row)) for row in table.tolist()]
    (job / "samples.csv").write_text("\n".join(["x1,x2,x3,y", *lines]) + "\n")
    words = ("--set", "data.standardize_targets=true", "--epochs", 40, "--set", "train.patience=40")
    assert run("train", "config.toml", "--out", "model", *words).code == 0
    model = fg.load_model("model")
    assert model.target_scaling is not None
    wanted = model.predict(table[:, :3])[:, 0]
    assert np.corrcoef(wanted, table[:, 3])[0, 1] > 0.8
    folded = fg.compile(fg.load("model/network.json"), executor="python").predict(table[:, :3])[:, 0]
    np.testing.assert_allclose(folded, wanted, rtol=1e-9)
    result = run("predict", "model", *DATA, "--out", "p.csv")
    np.testing.assert_allclose([float(row["y"]) for row in rows(job / "p.csv")], wanted, rtol=1e-12)
    shown = {line.split()[0]: float(line.split()[1]) for line in result.out.splitlines()[3:]}
    assert shown["rmse"] == pytest.approx(np.sqrt(np.mean((wanted - table[:, 3]) ** 2)), rel=1e-3)
    for command in ("check", "grad", "health", "explain"):
        assert run(*WORDS[command]).code in (0, 1)
    assert run("export", "model", "--to", "net.nodelink.json", *DATA).code == 0
    assert fg.load("net.nodelink.json").graph.nodes["y"]["a"] == pytest.approx(wanted.mean())
    text = (job / "config.toml").read_text().replace('edges = "edges.csv"', 'file = "model"')
    (job / "more.toml").write_text(text.replace("learning_rate = 0.05", "learning_rate = 1e-9"))
    for name, more in (("kept", ("--set", "data.standardize_targets=true")), ("folded", ())):
        assert run("train", "more.toml", "--out", name, "--epochs", 1, *more).code == 0
        np.testing.assert_allclose(fg.load_model(name).predict(table[:, :3])[:, 0], wanted, rtol=1e-5)
        assert (fg.load_model(name).target_scaling is not None) == bool(more)


# ---- the same keys everywhere ---------------------------------------------------------------------------------------


def test_keys_of_training_are_those_of_python() -> None:
    taken = {name for f in (fg.fit, fg.compile) for name in inspect.signature(f).parameters}
    own = {"penalize", "log"}  # which weights l1 and l2 mean; callbacks by name
    assert set(_config.KEYS["train"]) - taken == own


def test_any_key_can_be_set_on_the_command_line(run: Any, job: Path) -> None:
    words = ("--set", "train.learning_rate=0.5", "--set", "train.metrics=['rmse']", "--set", "network.activation=relu")
    assert run("train", "config.toml", "--out", "model", *words, "--set", "data.seed=4").code == 0
    kept = tomllib.loads((job / "model/config.toml").read_text())
    assert (kept["train"]["learning_rate"], kept["train"]["metrics"]) == (0.5, ["rmse"])
    assert (kept["network"]["activation"], kept["data"]["seed"]) == ("relu", 4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train.epoch=3",), "unknown key train.epoch: did you mean 'epochs'"),
        (("train.epochs=0",), "train.epochs = 0: must be"),
        (("epochs=3",), "must be SECTION.KEY=VALUE"),
        (("train.epochs",), "must be SECTION.KEY=VALUE"),
        (("train.seed=1", "train.seed=2"), "'train.seed' is given twice"),
        (("network.topology=layered",), "must have one of file, edges and topology"),
        (("network.options={sed=1}",), "no option 'sed' to read with: did you mean 'seed'"),
    ],
)
def test_what_is_set_is_held_to_the_rules_of_the_file(run: Any, job: Path, words: tuple[str, ...], said: str) -> None:
    result = run("train", "config.toml", *(word for each in words for word in ("--set", each)))
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert said in result.err


def test_options_of_a_reader_stand_in_the_configuration(run: Any, job: Path) -> None:
    (job / "edges.csv").write_text((job / "edges.csv").read_text().replace(",", ";"))
    text = (job / "config.toml").read_text().replace("seed = 3", 'seed = 3\noptions = { delimiter = ";" }')
    (job / "config.toml").write_text(text)
    assert run("train", "config.toml", "--out", "model").code == 0
    assert run("train", "model", "--out", "again", "--epochs", 1).code == 0


def test_an_older_spelling_says_the_newer_one(run: Any, job: Path) -> None:
    result = run("convert", "edges.csv", "net.txt", "--to", "edgelist")
    assert "--format edgelist is its newer name" in result.out
    assert fg.load("net.txt", "edgelist").columns.n_edges == 8
    assert run("convert", "edges.csv").code == 2
    result = run("convert", "edges.csv", "a.json", "--to", "b.json")
    assert "name the file to write once" in result.err
