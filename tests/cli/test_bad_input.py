"""Bad input on the command line: one line that names the thing and the rule, exit code 2, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROWS = "x1,x2,x3,y\n" + "0.1,0.2,0.3,0.4\n" * 20


def change(name: str, old: str, new: str) -> Callable[[Path], None]:
    """Another text in one of the job's files."""

    def apply(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return apply


def write(name: str, text: str | bytes) -> Callable[[Path], None]:
    """Another file altogether."""
    return lambda folder: (folder / name).write_bytes(text.encode() if isinstance(text, str) else text) and None


EDGES = {
    "cycle": (write("edges.csv", "source,target\nx,a\na,b\nb,c\nc,a\nc,y\n"), "a → b → c → a"),
    "self-loop": (write("edges.csv", "source,target\nx,a\na,a\n"), "'a'"),
    "duplicate edge": (write("edges.csv", "source,target\nx,a\nx,b\nx,a\n"), "'x' → 'a'"),
    "no edges": (write("edges.csv", "source,target\n"), "empty"),
    "empty file": (write("edges.csv", ""), "edges.csv"),
    "no such file": (lambda folder: (folder / "edges.csv").unlink(), "edges.csv"),
    "a folder": (change("config.toml", '"edges.csv"', '"."'), "folder"),
    "no text": (write("edges.csv", b"\xff\xfe\x00source"), "edges.csv"),
    "a weight that is text": (write("edges.csv", "source,target,weight\nx,y,heavy\n"), "'heavy'"),
    "a weight that is NaN": (write("edges.csv", "source,target,weight\nx,y,nan\n"), "finite"),
    "a weight that is infinite": (write("edges.csv", "source,target,weight\nx,y,inf\n"), "finite"),
    "a complex weight": (write("edges.csv", "source,target,weight\nx,y,1+2j\n"), "'1+2j'"),
    "a node without a name": (write("edges.csv", "source,target\nx,y\n,z\n"), "empty name"),
    "unknown output": (
        change("config.toml", "seed = 3", 'outputs = ["h3"]'),
        "output 'h3' is no node of the graph; known: x1",
    ),
    "unknown input": (change("config.toml", "seed = 3", 'inputs = ["x9"]'), "input 'x9' is no node"),
    "an input with an in-edge": (change("config.toml", "seed = 3", 'inputs = ["h1"]'), "in-edge"),
}
DATA = {
    "no such file": (lambda folder: (folder / "samples.csv").unlink(), "samples.csv"),
    "empty file": (write("samples.csv", ""), "no header"),
    "no samples": (write("samples.csv", "x1,x2,x3,y\n"), "no samples"),
    "no text": (write("samples.csv", b"\xff\xfe\x00"), "UTF-8"),
    "missing input": (change("samples.csv", "x1,x2,x3,y", "x1,z2,x3,y"), "input 'x2'"),
    "missing target": (change("samples.csv", "x1,x2,x3,y", "x1,x2,x3,why"), "lacks the column of target 'y'"),
    "extra column": (write("samples.csv", "x1,x2,x3,y,id\n" + "1,2,3,4,5\n" * 9), "'id'"),
    "two columns of one name": (change("samples.csv", "x1,x2,x3,y", "x1,x2,x2,y"), "'x2' twice"),
    "a cell that is text": (write("samples.csv", ROWS + "1,2,three,4\n"), "line 22, column 'x3': 'three'"),
    "an empty cell": (write("samples.csv", ROWS + "1,,3,4\n"), "line 22, column 'x2': an empty cell"),
    "a cell that is NaN": (write("samples.csv", ROWS + "1,2,3,nan\n"), "sample 21, column 'y': nan"),
    "an infinite input": (write("samples.csv", ROWS + "-inf,2,3,4\n"), "sample 21, column 'x1': -inf"),
    "a short row": (write("samples.csv", ROWS + "1,2,3\n"), "line 22 has 3 cells"),
    "too few samples": (write("samples.csv", "x1,x2,x3,y\n1,2,3,4\n"), "too few"),
    "no archive": (
        lambda folder: (
            change("config.toml", "samples.csv", "samples.npz")(folder),
            write("samples.npz", b"PK\x03\x04 cut off")(folder),
        )[0],
        "samples.npz",
    ),
}
TOML = {
    "no such file": (lambda folder: (folder / "config.toml").unlink(), "config.toml"),
    "no TOML": (write("config.toml", "[network\n"), "config.toml is no TOML"),
    "no text": (write("config.toml", b"\xff\xfe"), "not UTF-8"),
    "a text for a number": (
        change("config.toml", "epochs = 6", 'epochs = "ten"'),
        'train.epochs = "ten": must be an integer, 1 or more',
    ),
    "a fraction for an integer": (change("config.toml", "epochs = 6", "epochs = 6.5"), "train.epochs = 6.5"),
    "true for a number": (change("config.toml", "epochs = 6", "epochs = true"), "train.epochs = true"),
    "zero epochs": (change("config.toml", "epochs = 6", "epochs = 0"), "1 or more"),
    "NaN for a rate": (change("config.toml", "= 0.05", "= nan"), "train.learning_rate = nan: must be a number above 0"),
    "a fraction of 1": (change("config.toml", "= 0.25", "= 1.0"), "data.validation = 1.0: must be a fraction"),
    "unknown key": (change("config.toml", "epochs", "epocs"), "unknown key train.epocs: did you mean 'epochs'?"),
    "a key of another section": (
        change("config.toml", "epochs = 6", "test = 0.5"),
        "unknown key train.test: it belongs to [data]",
    ),
    "unknown section": (change("config.toml", "[train]", "[trian]"), "unknown section [trian]: did you mean 'train'?"),
    "a key outside": (change("config.toml", "[network]", "epochs = 3\n[network]"), "unknown key epochs"),
    "a section that is none": (write("config.toml", "data = 3\n"), "data = 3: must be a section, [data]"),
    "two networks": (change("config.toml", "seed = 3", 'topology = "layered"'), "network.edges and network.topology"),
    "no network": (change("config.toml", 'edges = "edges.csv"', ""), "none of them"),
    "no data": (change("config.toml", 'file = "samples.csv"', ""), "data.file is missing"),
    "a key of another topology": (change("config.toml", "seed = 3", "hidden = [3]"), "network.hidden = [3]"),
    "unknown activation": (
        change("config.toml", "seed = 3", 'activation = "sigmiod"'),
        "network.activation = \"sigmiod\": unknown activation: did you mean 'sigmoid'?",
    ),
    "unknown optimizer": (change("config.toml", "epochs = 6", 'optimizer = "adan"'), "did you mean 'adam'?"),
    "unknown loss": (change("config.toml", "epochs = 6", 'loss = "sqared_error"'), "did you mean 'squared_error'?"),
    "unknown metric": (change("config.toml", "epochs = 6", 'metrics = ["rmsee"]'), "did you mean 'rmse'?"),
    "unknown schedule": (change("config.toml", "epochs = 6", 'schedule = "cosin"'), "did you mean 'cosine'?"),
    "unknown executor": (change("config.toml", '"python"', '"pyton"'), "did you mean 'python'?"),
    "unknown dtype": (change("config.toml", "epochs = 6", 'dtype = "float16"'), "one of 'float32', 'float64'"),
    "patience without validation": (change("config.toml", "validation = 0.25", ""), "needs data.validation"),
    "too many inputs": (change("config.toml", "validation", 'inputs = ["x1", "x2"]\nvalidation'), "names 2 columns"),
    "a target twice": (change("config.toml", "validation", 'targets = ["y", "y"]\nvalidation'), "2 columns"),
    "an input twice": (change("config.toml", "validation", 'inputs = ["x1", "x1", "x2"]\nvalidation'), "'x1' twice"),
    "a file in the way": (change("config.toml", "[train]", '[run]\nfolder = "edges.csv"\n[train]'), "is a file"),
}
KINDS = [
    (f"{where}: {name}", *case)
    for where, cases in (("edges", EDGES), ("data", DATA), ("toml", TOML))
    for name, case in cases.items()
]


def one_line(result: Any, *parts: str) -> None:
    """The result is a refusal in one line that holds these parts."""
    assert result.code == 2, result
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize(("kind", "spoil", "part"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_train_refuses(run: Any, job: Path, kind: str, spoil: Any, part: str) -> None:
    spoil(job)
    one_line(run("train", "config.toml"), part)
    assert not (job / "runs").exists()


CLASSES = "x1,x2,x3,kind\n" + "0.1,0.2,0.3,a\n-0.1,0.2,0.3,b\n" * 20


@pytest.mark.parametrize(
    ("config", "samples", "part"),
    [
        ('label = "kinds"', CLASSES, "did you mean 'kind'?"),
        ('label = "kind"', CLASSES + "1,2,3,c\n", "has 3 classes in 'kind' (a, b, c)"),
        ('label = "kind"\npositive = "z"', CLASSES, 'data.positive = "z": is no class'),
        ('label = "kind"\ntargets = ["x3"]', CLASSES, "exclude each other"),
        ('positive = "a"', CLASSES, "needs data.label"),
    ],
)
def test_train_refuses_classes_that_do_not_fit(run: Any, job: Path, config: str, samples: str, part: str) -> None:
    change("config.toml", "validation = 0.25", f"validation = 0.25\n{config}")(job)
    write("samples.csv", samples)(job)
    one_line(run("train", "config.toml"), part)


def test_train_refuses_a_loss_that_classes_do_not_go_with(run: Any, job: Path) -> None:
    change("config.toml", "validation = 0.25", 'validation = 0.25\nlabel = "kind"')(job)
    change("config.toml", "epochs = 6", 'epochs = 6\nloss = "huber"')(job)
    write("samples.csv", CLASSES)(job)
    one_line(run("train", "config.toml"), 'train.loss = "huber"', "binary_cross_entropy")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("predict", "nothing", "--data", "samples.csv"), ("no file or folder nothing",)),
        (("predict", ".", "--data", "samples.csv"), ("is no run folder",)),
        (("predict", "edges.csv", "--data", "nothing.csv"), ("nothing.csv",)),
        (("predict", "edges.csv", "--data", "wide.csv"), ("'id'",)),
        (("predict", "edges.csv", "--data", "narrow.csv"), ("input 'x2'",)),
        (("predict", "edges.csv", "--data", "samples.csv", "--executor", "nunba"), ("did you mean 'numba'?",)),
        (("predict", "edges.csv", "--data", "samples.csv", "--out", "no/such/place.csv"), ("place.csv",)),
        (("grad", "edges.csv", "--data", "inputs.csv"), ("target 'y'",)),
        (("grad", "edges.csv", "--data", "samples.csv", "--loss", "hubris"), ("did you mean 'huber'?",)),
        (("grad", "edges.csv", "--data", "samples.csv", "--of", "weights"), ("--of",)),
        (("check", "edges.csv", "--dtype", "float16"), ("float32",)),
        (("check", "network.txt"), ("network.txt",)),
        (("train", "config.toml", "--epochs", "0"), ("train.epochs = 0",)),
        (("train", "config.toml", "--executor", "pyton"), ("did you mean 'python'?",)),
        (("train", "config.toml", "--out", "."), ("exists",)),
        (("train", "config.toml", "--out", ".", "--overwrite"), ("is no run folder",)),
        (("demo", "--out", "."), ("exists",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_refuse(run: Any, job: Path, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    write("wide.csv", "x1,x2,x3,id\n1,2,3,4\n")(job)
    write("narrow.csv", "x1,x3\n1,2\n")(job)
    write("inputs.csv", "x1,x2,x3\n1,2,3\n")(job)
    write("network.txt", "hello\n")(job)
    before = sorted(job.iterdir())
    one_line(run(*words), *parts)
    assert sorted(job.iterdir()) == before


def test_a_class_that_was_not_trained_is_refused(run: Any, job: Path) -> None:
    change("config.toml", "validation = 0.25", 'validation = 0.25\nlabel = "kind"')(job)
    write("samples.csv", CLASSES)(job)
    assert run("train", "config.toml", "--out", "model").code == 0
    write("samples.csv", CLASSES + "1,2,3,c\n")(job)
    one_line(run("grad", "model", "--data", "samples.csv"), "sample 41: 'c' is no class of 'kind'")


@pytest.mark.parametrize(
    "arrays",
    [
        {"x1": np.zeros(4), "x2": np.zeros(3), "x3": np.zeros(4), "y": np.zeros(4)},
        {"x1": np.zeros((4, 2, 2))},
        {"x1": np.array(["a", "b"]), "x2": np.zeros(2), "x3": np.zeros(2), "y": np.zeros(2)},
        {"x1": np.array([None, 3], object)},
        {},
        {"x1": np.zeros(0), "x2": np.zeros(0), "x3": np.zeros(0), "y": np.zeros(0)},
    ],
    ids=["lengths", "three axes", "text", "objects", "nothing", "no samples"],
)
def test_npz_that_holds_no_samples_is_refused(run: Any, job: Path, arrays: dict[str, Any]) -> None:
    np.savez(job / "samples.npz", **arrays)
    one_line(run("predict", "edges.csv", "--data", "samples.npz"), "samples.npz")
