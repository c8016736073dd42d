"""A real training process, a real `flowgrad view`, a real browser: losses and values move, and Ctrl-C keeps them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")

CONFIG = """\
[network]
topology = "layered"
hidden = [6, 4]
[data]
file = "samples.csv"
targets = ["y"]
validation = 0.25
[train]
epochs = 100000
batch_size = 4
learning_rate = 0.0005
optimizer = "sgd"
executor = "python"
"""
DEAF_NO_MORE = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
DEAF_NO_MORE += "from flowgrad.cli import main; sys.exit(main(sys.argv[1:]))"  # as a shell's background job is


@pytest.fixture
def job(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 3))
    y = np.tanh(X[:, 0] - X[:, 1]) + 0.5 * X[:, 2]
    rows = [",".join(map(repr, row)) for row in np.column_stack([X, y]).tolist()]
    (tmp_path / "samples.csv").write_text("\n".join(["x1,x2,x3,y", *rows]) + "\n")
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def processes(installed: Path, job: Path) -> Iterator[Any]:
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [str(installed), "-I", "-c", DEAF_NO_MORE, *words]
        started.append(subprocess.Popen(command, cwd=job, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_run_is_followed_while_it_trains(
    browser: Any, processes: Any, job: Path, request: pytest.FixtureRequest
) -> None:
    training = processes("train", "config.toml", "--out", "model")
    while not training.stdout.readline().startswith("follow it: flowgrad view model"):
        assert training.poll() is None
    training.send_signal(signal.SIGSTOP)  # leaves the processor to what has to start
    compiled = "auto" if request.config.getoption("--soak") else "python"
    view = processes("view", "model", "--no-browser", "--executor", compiled)
    assert view.stdout.readline().startswith("network: ")
    url = view.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    browser.open(url)
    training.send_signal(signal.SIGCONT)

    def epochs() -> int:
        return int(browser.run("return document.getElementById('chart').dataset.epochs || 0"))

    def version() -> int:
        return int(browser.run("return document.documentElement.dataset.version || 0"))

    browser.until(lambda: epochs() > 1)
    browser["search"].send_keys("h1\n")
    first, seen = browser.text("#card"), epochs()
    browser.until(lambda: version() >= 2)
    browser.until(lambda: epochs() > seen)
    browser.until(lambda: browser.text("#card") != first)  # its numbers have moved
    assert browser.text("#card h2") == "h1"
    assert browser.text("#state").startswith("training: epoch")
    browser.shoot("live")
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=60)
    assert (training.returncode, err) == (130, "")
    assert "run folder: model" in out
    browser.until(lambda: browser.text("#state").startswith("interrupted after"))
    lines = (job / "model/metrics.csv").read_text().splitlines()
    browser.until(lambda: epochs() == len(lines) - 1)
    browser.shoot("interrupted")
    browser.nothing_wrong(own=(url,))
    view.send_signal(signal.SIGINT)
    assert view.wait(timeout=60) == 130
