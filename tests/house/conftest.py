"""What the rules of the house share: each file of the sources is parsed once for all of them."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@pytest.fixture(scope="session")
def parsed() -> Callable[[Path], ast.Module]:
    """parsed(path) is the syntax tree of a file as it stands; nobody writes into it."""
    return lambda path: _parsed(path.read_text(encoding="utf-8"))
