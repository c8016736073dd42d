"""A training in forked children, each of which is sent a signal at a random moment and followed by one that goes on.

python cuts.py N FOLDER          N cuts through `fg.fit`; prints how many trainings ended, their bits checked
python cuts.py N FOLDER train    the same through `flowgrad train --resume`
"""

from __future__ import annotations

import csv
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

import flowgrad as fg
from flowgrad import figures
from flowgrad.displays import _curves
from flowgrad.fitting import checkpoint

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
OPTIONS = {"epochs": 12, "schedule": "cosine", "dropout": 0.2, "validation": 0.2, "patience": 12, "batch_size": 8}
CONFIG = """\
[network]
topology = "layered"
hidden = [4]
[data]
file = "data.csv"
targets = ["y"]
validation = 0.2
[train]
epochs = 24
schedule = "cosine"
dropout = 0.2
patience = 24
batch_size = 8
executor = "python"
"""


def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 3))


# ---- fg.fit: a program, and a file ------------------------------------------------------------------------------


def fitted(place: Path | None) -> bytes | None:
    net = fg.topologies.layered([3, 4, 2], activation="tanh", seed=3)
    program = fg.compile(net, executor="python", loss="squared_error")
    X, file = samples(), None if place is None else place.with_suffix(".ckpt")
    history = fg.fit(program, X, 0.5 * X[:, :2], **OPTIONS, checkpoint=file, resume=file is not None)  # type: ignore[arg-type]  # mypy takes ** for positional
    if history.reason == "interrupted":
        return None
    columns = [history[name].tobytes() for name in history.names if name != "seconds"]
    return b"".join([program.theta.tobytes(), *columns, history.reason.encode(), history.weights_of.encode()])


# ---- flowgrad train: a configuration, and a run folder ----------------------------------------------------------


def configured(folder: Path) -> Path:
    X = samples()
    rows = [",".join(map(repr, row)) for row in np.column_stack([X, np.tanh(X[:, 0] - X[:, 1])]).tolist()]
    (folder / "data.csv").write_text("\n".join(["a,b,c,y", *rows]) + "\n")
    (folder / "config.toml").write_text(CONFIG)
    return folder / "config.toml"


def commanded(place: Path | None, config: Path) -> bytes | None:
    from flowgrad.cli._main import main

    run = config.with_name("whole") if place is None else place.with_suffix(".run")
    code = main(["train", str(config), "--out", str(run), *(["--resume"] if place else [])])
    if code == 130:
        return None
    assert code == 0
    return bits_of(run)


def bits_of(run: Path) -> bytes:
    """Weights and metrics of a run that has ended, and of which epoch it says that they are."""
    columns = fg.load(run / "network.json").columns
    with (run / "metrics.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    said = fg.runs.models.weights_of(run)
    return columns.weights.tobytes() + columns.bias.tobytes() + repr([rows, said]).encode()


# ---- cutting ----------------------------------------------------------------------------------------------------


def child(trained: Callable[[Path | None], bytes | None], place: Path) -> None:
    """Trains on, and writes the bits down where it comes to the end."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        found = trained(place)
    if found is not None:
        place.with_suffix(".bits").write_bytes(found)


def main(cuts: int, folder: Path, command: bool) -> None:
    warnings.simplefilter("error")
    os.fsync = os.fstat  # type: ignore[assignment]  # no power is lost here
    checkpoint.LEAST = 0.0
    figures.DRAWS = figures.LEAST = 20
    _curves.loss_curve = lambda path, *_: path.touch()  # type: ignore[assignment]  # no bit that is compared
    config = configured(folder)
    trained = (lambda place: commanded(place, config)) if command else fitted
    wanted = trained(None)
    rng, begun = np.random.default_rng(cuts), time.monotonic()
    assert trained(folder / "once") == wanted, "a training that keeps a checkpoint is another one"
    whole = time.monotonic() - begun
    sent = ended = 0
    while sent < cuts or not ended:
        place = folder / str(ended)
        while not place.with_suffix(".bits").exists():
            pid = os.fork()
            if not pid:
                try:
                    child(trained, place)
                finally:
                    os._exit(0)
            if sent < cuts:
                time.sleep(float(rng.uniform(0.0, whole)))
                os.kill(pid, SIGNALS[sent % len(SIGNALS)])
                sent += 1
            os.waitpid(pid, 0)
        assert place.with_suffix(".bits").read_bytes() == wanted, f"training {ended} ended with other bits"
        ended += 1
    print(sent, "cuts,", ended, "trainings, all with the bits of the uninterrupted one")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["train"])
