"""What the tests of fit share: a small network, and something for it to learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flowgrad as fg


@pytest.fixture
def program_of() -> Callable[..., fg.Program]:
    """program_of("numba") is a program of 3 inputs, 4 hidden neurons and 2 outputs."""

    def made(executor: str, seed: int = 3, loss: str = "squared_error", **options: Any) -> fg.Program:
        net = fg.topologies.layered([3, 4, 2], activation="tanh", seed=seed)
        return fg.compile(net, executor=executor, loss=loss, **options)

    return made


@pytest.fixture
def data_of() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """data_of(40) is X (40, 3) and T (40, 2), for the program of `program_of`."""

    def made(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 3))
        return X, np.stack([np.sin(X[:, 0]) + X[:, 1], X[:, 2] * X[:, 0]], axis=1)

    return made
