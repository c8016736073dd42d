"""What an error echoes goes through `errors.brief`, `show` or `listing`, which cut it; `!r` writes it whole."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "flowgrad"


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def echoed(tree: ast.Module) -> Iterator[str]:
    """Line and expression of what the messages of a file's errors write by repr, but for names of a record of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.FormattedValue) and part.conversion == ord("r"):
                    said = ast.unparse(part.value)
                    if not said.endswith(".name"):
                        yield f"{part.lineno} {said}"


def test_no_error_echoes_a_value_whole(parsed: Callable[[Path], ast.Module]) -> None:
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if name(path) != "__init__.py"]
    assert [f"{name(path)}:{found}" for path in files for found in echoed(parsed(path))] == []


def test_the_test_sees_it() -> None:
    said = "raise ValueError(f'{value!r} is no {kind.name!r}')"
    assert list(echoed(ast.parse(said))) == ["1 value"]
