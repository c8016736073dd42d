"""Every number of ../shared/data that a format reaches, with its tolerance; and what a fit must find."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg

SPEC = spec_from_file_location("format_references", Path(__file__).with_name("references.py"))
references = sys.modules["format_references"] = module_from_spec(SPEC)
SPEC.loader.exec_module(references)

pytestmark = pytest.mark.data


@pytest.mark.parametrize("reference", references.REFERENCES, ids=lambda r: f"{r.format}: {r.what}")
def test_the_number_is_reached(data: Path, reference, request: pytest.FixtureRequest) -> None:
    if "epochs" in reference.what:  # it trains
        request.getfixturevalue("as_users")
    if reference.format == "onnx":
        pytest.importorskip("onnx")
    assert reference.error(data) <= reference.tolerance


@pytest.mark.parametrize(
    ("name", "targets"), [("multivariate_regression", ["y1", "y2", "y3"]), ("univariate_regression_many", ["y"])]
)
def test_an_optimiser_reaches_least_squares(data: Path, name: str, targets: list[str]) -> None:
    """Regressions as linear networks: BFGS on value_and_grad finds what the normal equations say."""
    optimize = pytest.importorskip("scipy.optimize")
    table = references.rows(data / "scm_linear_gaussian" / f"semopy_{name}_data.csv")
    inputs = ["x1", "x2", "x3"]
    X, T = (np.array([[float(row[v]) for v in names] for row in table]) for names in (inputs, targets))
    edges = [(x, y) for y in targets for x in inputs]
    net = fg.topologies.from_edge_list(edges, inputs=inputs, outputs=targets)
    program = fg.compile(net, loss="squared_error")
    found = optimize.minimize(program.value_and_grad, program.theta, (X, T), jac=True, options={"gtol": 1e-10})
    program.theta = found.x
    wanted = np.linalg.lstsq(np.column_stack([np.ones(len(X)), X]), T, rcond=None)[0]
    graph = program.network().graph
    for k, y in enumerate(targets):
        ours = [graph.nodes[y]["bias"], *(graph.edges[x, y]["weight"] for x in inputs)]
        np.testing.assert_allclose(ours, wanted[:, k], rtol=0, atol=1e-8)
    if name == "multivariate_regression":
        np.testing.assert_allclose(wanted[:, 0], [-1.45662669, -1.38972231, -1.13838745, -0.31794631], atol=1e-8)
