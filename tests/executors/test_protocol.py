"""Executors of other packages: found by their metadata alone, listed without importing them, held to their word."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import registry
from flowgrad.choice import executor_info
from flowgrad.errors import ExecutorError, FlowgradError
from flowgrad.executor import PROTOCOL

LIGHT = """
from flowgrad.executor import ExecutorInfo

def info():
    return ExecutorInfo({name!r}, "a test's", {options})
"""
HEAVY = """
from flowgrad.executors.python import PythonExecutor
from {module} import info as declared

print("{module}_backend was imported")

class Executor:
    info = declared()

    def can_run(self, network, request):
        return {can_run}

    def compile(self, network, request):
        return PythonExecutor().compile(network, request)

entry = Executor()
"""
Install = Callable[..., None]


def forget() -> None:
    registry._others.cache_clear()
    registry.names.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts packages with entry points on the path, as an installer would."""

    def put(module: str, name: str, options: str = "", can_run: str = "True", light: str = LIGHT) -> None:
        (tmp_path / f"{module}.py").write_text(light.format(name=name, options=options), "utf-8")
        (tmp_path / f"{module}_backend.py").write_text(HEAVY.format(module=module, can_run=can_run), "utf-8")
        about = tmp_path / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", "utf-8")
        groups = (("executors", f"{module}_backend:entry"), ("executor_info", f"{module}:info"))
        points = "".join(f"[flowgrad.{group}]\n{name} = {value}\n" for group, value in groups)
        (about / "entry_points.txt").write_text(points, "utf-8")
        forget()

    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    forget()
    yield put
    monkeypatch.undo()
    forget()
    for module in set(sys.modules) - before:
        if module.startswith("fake"):
            del sys.modules[module]


@pytest.fixture
def net() -> fg.Network:
    return fg.topologies.layered([2, 3, 1], seed=1)


def test_listing_imports_no_backend(install: Install) -> None:
    install("fake_one", "one")
    assert fg.executors()["one"] is True
    assert executor_info("one").summary == "a test's"
    assert "fake_one" in sys.modules
    assert "fake_one_backend" not in sys.modules


def test_it_runs_by_its_name_and_only_by_its_name(install: Install, net: fg.Network) -> None:
    install("fake_one", "one")
    program = fg.compile(net, executor="one", loss="squared_error")
    assert (program.executor, program.why) == ("one", "one: named explicitly")
    assert program.predict([[1.0, 2.0]]).shape == (1, 1)
    assert fg.compile(net).executor != "one"


def test_another_protocol_is_refused(install: Install, net: fg.Network) -> None:
    install("fake_old", "old", "protocol=0, auto=99")
    assert fg.executors()["old"] == f"it speaks protocol 0, this flowgrad {PROTOCOL}: update one of them"
    with pytest.raises(ExecutorError, match="executor 'old' cannot run this: it speaks protocol 0"):
        fg.compile(net, executor="old")
    assert "not old: it speaks protocol 0" in fg.compile(net).why


def test_two_packages_that_claim_one_name_raise(install: Install, net: fg.Network) -> None:
    install("fake_one", "same")
    install("fake_two", "same")
    with pytest.raises(FlowgradError, match=r"two packages claim the executor 'same': fake_\w+:entry and"):
        fg.compile(net)
    with pytest.raises(FlowgradError, match="uninstall one of them"):
        fg.executors()


def test_a_package_that_claims_flowgrads_own_name_raises(install: Install) -> None:
    install("fake_one", "python")
    with pytest.raises(FlowgradError, match="claims the executor 'python', which is flowgrad's own"):
        fg.executors()


def test_auto_asks_in_the_declared_order_and_keeps_every_rejection(install: Install, net: fg.Network) -> None:
    install("fake_a", "absent", "auto=99, needs=('no_such_library',), install='pip install it'")
    install("fake_b", "narrow", "auto=98, dtypes=('float32',)")
    install("fake_c", "picky", "auto=97", can_run="'it wants a prime number of neurons'")
    install("fake_d", "small", "auto=96, largest=3")
    install("fake_e", "good", "auto=95")
    program = fg.compile(net)
    assert program.why == (
        "good: the fastest that can run this; "
        "not absent: no_such_library is not installed: pip install it; "
        "not narrow: dtype float64 is not among its float32; "
        "not picky: it wants a prime number of neurons; "
        "not small: 9 edges are beyond the 3 it is meant for"
    )
    assert "fake_a_backend" not in sys.modules
    assert "fake_b_backend" not in sys.modules  # refused by what it declares
    assert fg.compile(net, dtype="float32").executor == "narrow"


def test_auto_keeps_those_that_lack_gradients_for_last(install: Install, net: fg.Network) -> None:
    install("fake_a", "blind", "auto=99, input_gradients=False")
    install("fake_b", "summed", "auto=98, per_output=False")
    install("fake_c", "whole", "auto=97")
    why = fg.compile(net).why
    assert why.startswith("whole: the fastest that can run this; ")
    assert "not blind: it gives no gradients of inputs" in why
    assert "not summed: it gives no gradients of single outputs" in why
    X, T = [[1.0, 2.0]], [[0.5]]
    blind = fg.compile(net, executor="blind", loss="squared_error")
    grads = blind.backward(blind.forward(X), T, per_output=True)
    with pytest.raises(ExecutorError, match="executor 'blind' gives no gradients of inputs"):
        grads.input  # noqa: B018 (asking is what raises)
    assert np.isnan(grads.da[0]).all()
    assert np.isfinite(grads.theta).all()
    summed = fg.compile(net, executor="summed", loss="squared_error")
    acts = summed.forward(X)
    assert summed.backward(acts, T).input.array.shape == (1, 2)
    with pytest.raises(ExecutorError, match="executor 'summed' gives no gradients of single outputs"):
        summed.backward(acts, T, per_output=True)


def test_auto_takes_one_beyond_its_size_where_nothing_else_can(install: Install) -> None:
    install("fake_d", "small", "auto=96, largest=3, activations=frozenset({'bump'})")
    bump = fg.Activation("bump", lambda z: z if z > 0 else 2 * z, lambda z: 1.0 if z > 0 else 2.0)
    tiny = fg.Network()
    tiny.add_input("x")
    tiny.add_neuron("y", {"x": 1.0}, activation=bump)
    assert fg.compile(tiny).executor == "small"
    wide = fg.topologies.layered([2, 3, 1], seed=1)
    why = fg.compile(wide).why
    assert "small" not in why.split(";")[0]


def test_the_slow_one_says_that_it_is(net: fg.Network, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from flowgrad.executors import numba, python

    monkeypatch.setattr(python.PythonExecutor, "info", replace(python.entry.info, largest=2))
    monkeypatch.setattr(numba.NumbaExecutor, "info", replace(numba.entry.info, needs=("no_such_library",)))
    why = fg.compile(net).why
    assert "python: the fastest that can run this; slow: 9 edges are beyond the 2 it is meant for" in why
    assert "not numba: no_such_library is not installed" in why


def test_named_explicitly_it_runs_or_raises(install: Install, net: fg.Network) -> None:
    install("fake_c", "picky", can_run="'it wants a prime number of neurons'")
    with pytest.raises(ExecutorError, match="executor 'picky' cannot run this: it wants a prime number of neurons"):
        fg.compile(net, executor="picky")


def test_a_package_that_cannot_be_loaded_breaks_nobody_else(install: Install, net: fg.Network) -> None:
    install("fake_broken", "broken", light="import no_such_library\n")
    assert fg.executors()["broken"] == "its package cannot be loaded: No module named 'no_such_library'"
    assert fg.compile(net).executor != "broken"
    with pytest.raises(ImportError):
        fg.compile(net, executor="broken")
