"""What an ordinary run leaves to the nightly one: products of parameters, never a value of one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(scope="session")
def covering(request: pytest.FixtureRequest) -> Callable[..., list[tuple[int, ...]]]:
    """The function of the root conftest."""
    (found,) = {getattr(plugin, "covering", None) for plugin in request.config.pluginmanager.get_plugins()} - {None}
    return found


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6), strength=st.integers(1, 3))
def test_each_choice_of_values_for_so_many_parameters_comes(covering: Any, sizes: list[int], strength: int) -> None:
    strength = min(strength, len(sizes))
    rows = covering(sizes, strength)
    assert len({*rows}) == len(rows)
    assert {*rows} <= {*product(*map(range, sizes))}
    for columns in combinations(range(len(sizes)), strength):
        assert {tuple(row[c] for c in columns) for row in rows} == {*product(*(range(sizes[c]) for c in columns))}


def test_it_is_small(covering: Any) -> None:
    assert len(covering([58, 2, 3], 1)) == 58
    assert len(covering([7, 2, 3, 2], 2)) <= 22
    assert len(covering([3, 3, 3, 3], 2)) <= 10


@pytest.mark.covering(executor=["python", "numba"], number=[1, 2, 3], word={"long": "x" * 100, "short": "y"})
def test_a_marked_test_runs_with_each_value(
    executor: str, number: int, word: str, request: pytest.FixtureRequest
) -> None:
    same = [item for item in request.session.items if getattr(item, "function", None) is request.function]
    given = [{name: item.callspec.params[name] for name in ("executor", "number", "word")} for item in same]
    whole = request.config.getoption("--soak")
    assert len(given) == (12 if whole else 3)
    assert {case["executor"] for case in given} == ({"python", "numba"} if whole else {"python"})
    assert [{case[name] for case in given} for name in ("number", "word")] == [{1, 2, 3}, {"x" * 100, "y"}]
    assert all("x" * 100 not in item.name for item in same)


def test_only_what_is_about_executors_runs_on_each(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--soak"):
        return
    for item in request.session.items:
        if getattr(item, "callspec", None) and item.callspec.params.get("executor") == "numba":
            assert item.path.parent.name not in ("cli", "files", "formats", "house", "maths", "viewer")
