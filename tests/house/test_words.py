"""What an error echoes goes through `errors.brief`, `show` or `listing`, which cut it; `!r` writes it whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "flowgrad"


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def echoed(path: Path) -> Iterator[str]:
    """What the messages of a file's errors write by repr, but for names of a record of ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:
            for part in ast.walk(node.exc):
                if isinstance(part, ast.FormattedValue) and part.conversion == ord("r"):
                    said = ast.unparse(part.value)
                    if not said.endswith(".name"):
                        yield f"{name(path)}:{part.lineno} {said}"


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if name(path) != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_error_echoes_a_value_whole(path: Path) -> None:
    assert list(echoed(path)) == []
