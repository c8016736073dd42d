"""The gene ontology example, on its real data: the same on both executors, and better than chance and ridge."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.fitting.descent import Descent

EXAMPLE = Path(__file__).parents[2] / "examples" / "dcell" / "train.py"

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def dcell() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("dcell_train", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["dcell_train"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["dcell_train"]


@pytest.fixture
def pairs(dcell: ModuleType, data: Path) -> tuple[Any, ...]:
    """Ontology, X, t, X_test, t_test."""
    folder = data / "dcell_go_0000790"
    ontology = dcell.read_ontology(folder / "GO_0000790_topology")
    sets = (
        dcell.read_pairs(folder / f"GO_0000790_{kind}_data_2016_0", ontology.genes) for kind in ("training", "testing")
    )
    return (ontology, *(array for pair in sets for array in pair))


def test_the_graph_is_the_given_one(dcell: ModuleType, pairs: tuple[Any, ...], data: Path) -> None:
    ontology, X, t, X_test, t_test = pairs
    net = dcell.network(ontology, seed=0)
    rows = (data / "dcell_go_0000790" / "graph_edges.csv").read_text(encoding="utf-8").splitlines()[1:]
    given = {tuple(end.strip('"').removeprefix("g:") for end in row.split(",")) for row in rows}
    assert set(net.graph.edges) == given | {(ontology.root, dcell.SCORE)}
    assert (len(net.inputs), len(net.nodes), len(given)) == (124, 136, 150)
    assert (X.shape, t.shape, X_test.shape, t_test.shape) == ((5092, 124), (5092, 1), (1724, 124), (1724, 1))
    assert set(X.sum(axis=1)) == {2.0}


def test_both_executors_go_the_same_way(dcell: ModuleType, pairs: tuple[Any, ...], monkeypatch: Any) -> None:
    if fg.executors().get("numba") is not True:
        pytest.skip(f"executor 'numba': {fg.executors().get('numba')}")
    ontology, X, t, *_ = pairs
    orders: dict[str, list[bytes]] = {"python": [], "numba": []}
    plain = Descent._value_and_grad

    def value_and_grad(self: Descent, batch: Any, *rest: Any) -> Any:
        orders[self.program.executor].append(batch.x.tobytes())
        return plain(self, batch, *rest)

    monkeypatch.setattr(Descent, "_value_and_grad", value_and_grad)
    one, two = (dcell.train(ontology, X, t, 0, executor, epochs=1).theta for executor in orders)
    assert len(orders["python"]) == 20
    assert orders["python"] == orders["numba"]
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-9)


def test_five_seeds_reach_the_figure(dcell: ModuleType, pairs: tuple[Any, ...]) -> None:
    if fg.executors().get("numba") is not True:
        pytest.skip(f"executor 'numba': {fg.executors().get('numba')}")
    ontology, X, t, X_test, t_test = pairs
    programs = [dcell.train(ontology, X, t, seed, "numba", dcell.RECIPE["epochs"]) for seed in range(5)]
    r = np.array([dcell.pearson(program.predict(X_test), t_test) for program in programs])
    assert r.mean() >= 0.50
    assert r.min() >= 0.49
    assert dcell.pearson(dcell.ridge(X, t, X_test), t_test) == pytest.approx(0.185, abs=5e-4)


def test_the_script(
    dcell: ModuleType, data: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    out = tmp_path / "dcell.png"
    folder = str(data / "dcell_go_0000790")
    executor = "numba" if fg.executors().get("numba") is True else "python"
    line = ["train.py", "--data", folder, "--executor", executor, "--seeds", "1", "--epochs", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    dcell.main()
    printed = capsys.readouterr().out
    assert "ridge 0.185" in printed
    assert "GO:0070603" in printed
    assert out.read_bytes().startswith(b"\x89PNG")


def test_a_missing_folder_is_named(dcell: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(fg.FlowgradError, match=r"nowhere: .*--data names the folder"):
        dcell.read_ontology(tmp_path / "nowhere")
