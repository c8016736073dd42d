"""A training in forked children, each of which is sent a signal at a random moment and followed by one that goes on.

python cuts.py N FOLDER     N cuts; prints how many trainings came to their end, after checking their bits
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import flowgrad as fg
from flowgrad.fitting import checkpoint

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
OPTIONS = {"epochs": 12, "schedule": "cosine", "dropout": 0.2, "validation": 0.2, "patience": 12, "batch_size": 8}


def trained(**options: object) -> tuple[fg.Program, fg.History]:
    net = fg.topologies.layered([3, 4, 2], activation="tanh", seed=3)
    program = fg.compile(net, executor="python", loss="squared_error")
    X = np.random.default_rng(0).normal(size=(40, 3))
    return program, fg.fit(program, X, 0.5 * X[:, :2], **OPTIONS, **options)  # type: ignore[arg-type]


def bits(program: fg.Program, history: fg.History) -> bytes:
    columns = [history[name].tobytes() for name in history.names if name != "seconds"]
    return b"".join([program.theta.tobytes(), *columns, history.reason.encode()])


def child(file: Path, answer: Path) -> None:
    program, history = trained(checkpoint=file, resume=True)
    if history.reason != "interrupted":
        answer.write_bytes(bits(program, history))


def main(cuts: int, folder: Path) -> None:
    warnings.simplefilter("error")
    os.fsync = os.fstat  # type: ignore[assignment]  # no power is lost here
    checkpoint.LEAST = 0.0
    rng, begun = np.random.default_rng(cuts), time.monotonic()
    wanted = bits(*trained())
    whole = time.monotonic() - begun
    sent = ended = 0
    while sent < cuts or not ended:
        file, answer = folder / f"{ended}.ckpt", folder / f"{ended}.bits"
        while not answer.exists():
            pid = os.fork()
            if not pid:
                try:
                    child(file, answer)
                finally:
                    os._exit(0)
            if sent < cuts:
                time.sleep(float(rng.uniform(0.0, 0.5 * whole)))
                os.kill(pid, SIGNALS[sent % len(SIGNALS)])
                sent += 1
            os.waitpid(pid, 0)
        assert answer.read_bytes() == wanted, f"training {ended} ended with other bits"
        ended += 1
    print(sent, "cuts,", ended, "trainings, all with the bits of the uninterrupted one")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
