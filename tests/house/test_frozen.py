"""Nothing writes into a frozen record but its own __post_init__: no object.__setattr__, no __dict__, no vars()."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "flowgrad").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")])
WRITES = (ast.Store, ast.Del)
SAID = ("__setattr__", "__delattr__", "__dict__", "vars(")  # one of them stands in whatever `writes` finds
CALLS = {"__setattr__", "__delattr__", "update", "pop", "setdefault", "clear"}


def last(function: ast.expr) -> str:
    """The last name of what is called: that of a.b.c() is c."""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def writes(tree: ast.AST) -> Iterator[int]:
    """Lines that write an attribute behind a frozen record's back."""
    todo = [(tree, False)]
    while todo:
        node, own = todo.pop()
        if isinstance(node, ast.FunctionDef):
            own = node.name == "__post_init__"
        if isinstance(node, ast.Call) and last(node.func) in CALLS:
            said = ast.unparse(node.func)
            mine = own and bool(node.args) and ast.unparse(node.args[0]) == "self"
            if said.endswith(("__setattr__", "__delattr__")) and not mine:
                yield node.lineno
            if said.endswith(("__dict__.update", "__dict__.pop", "__dict__.setdefault", "__dict__.clear")):
                yield node.lineno
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, WRITES):
            said = ast.unparse(node.value)
            if said.endswith("__dict__") or said.startswith("vars("):
                yield node.lineno
        todo += [(child, own) for child in ast.iter_child_nodes(node)]


def test_nothing_writes_into_a_frozen_record(parsed: Callable[[Path], ast.Module]) -> None:
    files = [path for path in FILES if any(word in path.read_text(encoding="utf-8") for word in SAID)]
    assert [f"{path.relative_to(ROOT)}:{line}" for path in files for line in writes(parsed(path))] == []


@pytest.mark.parametrize(
    "source",
    [
        "object.__setattr__(c, 'level', 1)",
        "c.__dict__['level'] = 1",
        "vars(c)['level'] = 1",
        "c.__dict__.update(level=1)",
        "def f(self):\n    object.__setattr__(self, 'level', 1)",
        "def __post_init__(self):\n    object.__setattr__(other, 'level', 1)",
    ],
)
def test_the_test_sees_it(source: str) -> None:
    assert list(writes(ast.parse(source)))
    assert not list(writes(ast.parse("def __post_init__(self):\n    object.__setattr__(self, 'level', 1)")))
