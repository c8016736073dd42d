"""BIF of linear Gaussian networks: means by hand, the same as in JSON, and what is refused, with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import flowgrad as fg

BIF = """// of two sensors
network sensors {
  property author "somebody";
}
variable A {
  type continuous;
  property mean 1.5
  property std 1.0
}
variable "B" { type continuous; property position "(1, 2)"; property mean -1; property std 0.5; }
variable C { /* hidden */
  type continuous;
  property mean 0.5
  property std 2.0
}
variable D { type continuous; }
probability ( A ) {
}
probability ( C | A, B ) {
  table 2, -1 ;
}
probability ( D | C ) { table 0.25; }
"""


def load(folder: Path, text: str) -> fg.Network:
    (folder / "net.bif").write_text(text)
    return fg.load(folder / "net.bif")


def test_means_by_hand(tmp_path: Path, executor: str) -> None:
    net = load(tmp_path, BIF)
    assert (net.inputs, net.outputs) == (("A", "B"), ("D",))
    x = np.array([[1.5, -1.0], [0.0, 2.0]])
    wanted = 0.25 * (0.5 + 2 * x[:, :1] - x[:, 1:])
    np.testing.assert_allclose(fg.compile(net, executor=executor).predict(x), wanted, rtol=1e-15)
    nodes = net.graph.nodes
    assert (nodes["A"]["intercept"], nodes["C"]["variance"], nodes["D"]["variance"]) == (1.5, 4.0, 1.0)


def test_the_same_network_in_json(tmp_path: Path) -> None:
    def of(intercept: float, variance: float, **parents: float) -> dict:
        return {"coefficients": {"(Intercept)": intercept, **parents}, "variance": variance}

    document = {
        "nodes": ["A", "B", "C", "D"],
        "arcs": [["A", "C"], ["B", "C"], ["C", "D"]],
        "cpds": {"A": of(1.5, 1.0), "B": of(-1, 0.25), "C": of(0.5, 4.0, A=2, B=-1), "D": of(0.0, 1.0, C=0.25)},
    }
    (tmp_path / "net.json").write_text(json.dumps(document))
    one, other = load(tmp_path, BIF), fg.load(tmp_path / "net.json", "pgmpy")
    assert (one.nodes, one.columns.ends) == (other.nodes, other.columns.ends)
    assert dict(one.graph.nodes(data=True)) == dict(other.graph.nodes(data=True))
    assert one.columns.weights.tolist() == other.columns.weights.tolist()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "  type continuous;\n  property mean 1.5",
            "  type discrete [2] { on, off };",
            "line 6: variable 'A' is 'discrete'",
        ),
        ("table 2, -1 ;", "table 2 ;", "line 21: 'C' has 2 parents, each once, and 1 coefficients"),
        ("table 2, -1 ;", "(on) 0.5, 0.5;", "line 20: '(' in probability of 'C': only a table of coefficients is read"),
        ("( C | A, B )", "( C | A, A )", "'C' has 2 parents, each once"),
        ("( C | A, B )", "( C | A, E )", "line 19: 'E' is no variable"),
        ("( D | C )", "( C | D )", "line 22: probability of 'C' is given twice"),
        ("( A )", "( A | D )", "'A' has 1 parents, each once, and 0 coefficients"),
        ("mean 1.5", "mean high", "line 7: mean of 'A' is 'high': must be a finite number"),
        ("std 2.0", "std -2.0", "std of 'C' is -2.0: must be 0 or more"),
        ("variable D", "variable C", "line 16: variable 'C' is declared twice"),
        ("{ type continuous; }", "{ }", "variable 'D' has no type"),
        ("0.25; }\n", "0.25;", "line 22: the file ends within a block"),
        ('"somebody"', '"somebody', "a quotation mark without its other"),
        ("network", "net", "line 2: 'net' where network, variable or probability must stand"),
    ],
)
def test_what_is_no_linear_gaussian_is_refused_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in BIF
    with pytest.raises(fg.FlowgradError, match=re.escape(words)):
        load(tmp_path, BIF.replace(old, new, 1))


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fg.errors.CycleError):
        load(tmp_path, BIF.replace("( A ) {\n}", "( A | D ) { table 1; }"))
