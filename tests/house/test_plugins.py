"""Every plugin is a package that an index can show and pip can resolve: what it declares is what it uses."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flowgrad as fg
from flowgrad.executor import PROTOCOL

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
CORE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WITH = {"dask": "distributed"}  # import name → the distribution that brings it


def project(plugin: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of everything that a module imports, outside `if TYPE_CHECKING:` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.fixture(params=PLUGINS, ids=lambda plugin: plugin.name)
def plugin(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_are_plugins() -> None:
    assert {"flowgrad-dask", "flowgrad-jax", "flowgrad-scipy", "flowgrad-torch"} <= {plugin.name for plugin in PLUGINS}


def test_flowgrad_is_bounded_on_both_sides_and_this_one_is_within(plugin: Path) -> None:
    (needs,) = [each for each in project(plugin)["dependencies"] if re.match(r"flowgrad\b(?!-)", each)]
    low, high = re.fullmatch(r"flowgrad>=([\d.]+),<([\d.]+)", needs).groups()
    assert version(low) <= version(fg.__version__) < version(high)


def test_what_it_imports_it_declares_and_nothing_else(plugin: Path, parsed: Callable[[Path], ast.Module]) -> None:
    declared = {re.split(r"[<>=\[; ]", each)[0] for each in project(plugin)["dependencies"]}
    used = {name for path in plugin.glob("src/**/*.py") for name in imported(parsed(path))}
    foreign = {WITH.get(name, name) for name in used - {*sys.stdlib_module_names, plugin.name.replace("-", "_")}}
    assert foreign == declared


def test_an_index_can_show_it(plugin: Path) -> None:
    given = project(plugin)
    pythons = [each for each in CORE["classifiers"] if "Python" in each]
    assert {*pythons, "Typing :: Typed"} <= set(given["classifiers"])
    assert list(plugin.glob("src/*/py.typed"))
    assert given["requires-python"] == CORE["requires-python"]
    assert [(plugin / name).exists() for name in (*given["license-files"], given["readme"])] == [True, True]
    assert all(link.startswith("https://") for link in given["urls"].values())


def test_links_of_its_readme_work_elsewhere(plugin: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (plugin / "README.md").read_text("utf-8"))
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_it_says_itself_which_protocol_it_was_written_for(plugin: Path, parsed: Callable[[Path], ast.Module]) -> None:
    """By a number: left out, it would claim to speak whatever protocol it meets."""
    calls = [
        node
        for path in plugin.glob("src/**/*.py")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ExecutorInfo"
    ]
    said = [ast.literal_eval(each.value) for call in calls for each in call.keywords if each.arg == "protocol"]
    assert len(calls) == 1
    assert said == [PROTOCOL]


def test_hypothesis_stays_out_of_its_tests_unless_they_use_it(
    plugin: Path, parsed: Callable[[Path], ast.Module]
) -> None:
    """Its pytest plugin imports all of Hypothesis at the very end, while threads of other libraries are still there."""
    used = any("hypothesis" in imported(parsed(path)) for path in plugin.glob("tests/**/*.py"))
    options = tomllib.loads((plugin / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["addopts"]
    assert ("no:hypothesispytest" in options) is not used
