"""Columns are found by name in work that grows with their number, not with its square: comparisons are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad import model, shapes
from flowgrad.cli import _config, _data, _experiment, _roles
from flowgrad.cli._data import Roles
from flowgrad.errors import ConfigError, DataError, GraphError
from flowgrad.tables import table as tables
from flowgrad.tables.delimited import Delimited, Head


class Name(str):
    """A text that counts how often it is compared or hashed."""

    __slots__ = ()
    looks = 0

    def __eq__(self, other: object) -> bool:
        Name.looks += 1
        return str.__eq__(self, other) is True

    def __hash__(self) -> int:
        Name.looks += 1
        return str.__hash__(self)


def named(n: int) -> tuple[Name, ...]:
    return tuple(Name(f"c{k}") for k in range(n))


def looks(work: Callable[[int], Any], n: int) -> int:
    Name.looks = 0
    work(n)
    return Name.looks


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], tables.Table]:
    """table(n) is a file of n columns, 3 rows, whose names count."""
    real = Delimited._head

    def head(self: Delimited) -> Head:
        found = real(self)
        return replace(found, names=tuple(map(Name, found.names)))

    monkeypatch.setattr(Delimited, "_head", head)

    def made(n: int) -> tables.Table:
        path = tmp_path / f"{n}.csv"
        row = ",".join(["1"] * n)
        path.write_text("\n".join([",".join(f"c{k}" for k in range(n)), row, row, row]))
        return tables.Table(path)

    return made


def linear(work: Callable[[int], Any]) -> bool:
    small, large = looks(work, 200), looks(work, 800)
    assert large > 0
    return large <= 6 * small


def test_reading_samples(table: Any) -> None:
    assert linear(lambda n: _data.read(table(n), Roles(named(n)[:-1], named(n)[-1:])))


def test_a_column_of_classes(table: Any) -> None:
    roles = Roles(("c0",), (), "c1", ("1",))
    assert linear(lambda n: _data.read(table(n), Roles(named(n)[2:], (), roles.label, roles.classes, ("c0",))))


def test_arrays_of_an_npz(tmp_path: Path) -> None:
    def work(n: int) -> None:
        np.savez(tmp_path / "t.npz", X=np.ones((2, n)))
        found = tables.Table(tmp_path / "t.npz")
        names = tuple(map(Name, found.names))
        assert found.numbers(names).shape == (2, n)

    assert linear(work)


def test_names_of_nodes() -> None:
    assert linear(lambda n: model.column_names(named(n)))
    assert linear(lambda n: shapes.renamed(fg.topologies.layered([n, 1]), named(n), [Name("y")]))


def test_a_topology_that_takes_its_inputs_from_the_columns(table: Any) -> None:
    def work(n: int) -> None:
        file = str(table(n).path)
        given = {"topology": "layered", "hidden": [2]}
        ignored = list(named(n)[1 : n // 2])
        settings = _config.check({"network": given, "data": {"file": file, "targets": ["c0"], "ignore": ignored}})
        experiment = _experiment.prepare(settings)
        assert len(experiment.model.network.inputs) == n - n // 2

    assert linear(work)


def test_a_name_that_comes_twice_is_still_named(tmp_path: Path) -> None:
    names = [*map(str, range(30)), "7", "3"]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n")
    with pytest.raises(DataError, match="names the column '7' twice"):
        tables.Table(tmp_path / "t.csv")
    with pytest.raises(ConfigError, match=r"data\.inputs names the column '7' twice"):
        _roles.check_count("inputs", tuple(names), len(names))
    with pytest.raises(GraphError, match="two nodes are called 7 in a table"):
        model.column_names([7, "a", "7"])
    with pytest.raises(GraphError, match="two nodes would be called 'h1'"):
        shapes.renamed(fg.topologies.layered([1, 1, 1]), ["h1"], ["y"])
