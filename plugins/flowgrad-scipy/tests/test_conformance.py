"""The battery that flowgrad ships for every executor."""

from __future__ import annotations

import flowgrad as fg
from flowgrad.testing import parametrize_with_executor


@parametrize_with_executor("scipy")
def test_conformance(check):
    """By its smallest cases; `flowgrad conformance scipy` runs the whole battery."""
    check(quick=True)


def test_it_is_listed_and_named_explicitly():
    assert fg.executors()["scipy"] is True
    network = fg.topologies.layered([2, 3, 1], seed=1)
    assert fg.compile(network, executor="scipy").why == "scipy: named explicitly"
    assert fg.compile(network).executor != "scipy"
