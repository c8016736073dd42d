"""One cluster of two worker processes for all tests."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from flowgrad_dask import DaskExecutor

import flowgrad as fg


@pytest.fixture(scope="session", autouse=True)
def _every_cluster_is_closed():
    """At the end no event loop runs on, nor a watch over processes, beside an interpreter that ends."""
    yield
    limit = time.monotonic() + 30
    while left := [t.name for t in threading.enumerate() if t.name.startswith(("IO loop", "AsyncProcess"))]:
        assert time.monotonic() < limit, f"still running: {left}"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def executor():
    with DaskExecutor(workers=2, shards=4, executor="python", timeout=60) as found:
        yield found


@pytest.fixture
def case():
    """A network with skip edges and a batch: (network, X, T)."""
    rng = np.random.default_rng(4)
    net = fg.topologies.random_dag(40, 150, seed=2)
    return net, rng.standard_normal((10, len(net.inputs))), rng.standard_normal((10, len(net.outputs)))
