"""The house has one way through it: imports point down only, and each optional library has its one door.

The order is read from docs/architecture.md, so that the page cannot say anything else than the code does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flowgrad"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = [line.split() for line in PAGE.split("```layers\n")[1].split("```")[0].splitlines()]
LAYER = {module: depth for depth, line in enumerate(LAYERS) for module in line}

# Who may import it at the top of the file; those in LAZY nobody may.
DOORS: dict[str, tuple[str, ...]] = {
    "numba": ("executors/numba.py", "executors/_numba/"),
    "llvmlite": ("executors/_numba/",),
    "networkx": ("nxgraph.py", "formats/", "executors/python.py", "testing/"),
    "hypothesis": ("testing/",),
    "pytest": ("testing/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
}
INSIDE: dict[str, tuple[str, ...]] = {  # …and inside functions as well
    "networkx": ("topologies.py",),
    "rich": ("training.py", "inspection/study.py"),
}
LAZY = (
    "tensorboard",
    "mlflow",
    "scipy",
    "sklearn",
    "pandas",
    "polars",
    "pyarrow",
    "matplotlib",
    "safetensors",
    "defusedxml",
    "onnx",
    "torch",
)
THIRD_PARTY = {*DOORS, *LAZY, "numpy"}


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Modules that a file imports when it runs, whether at its top, and the line; what only types need is left out."""
    todo: list[tuple[ast.AST, bool]] = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while todo:
        node, top = todo.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name, top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = str(node.module)
            names = [f"{module}.{a.name}" for a in node.names] if module == "flowgrad" else [module]
            yield from ((name, top, node.lineno) for name in names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += [(child, top) for child in node.orelse]
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            todo += [(child, top and not inside) for child in ast.iter_child_nodes(node)]


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    """`maths` for every file in maths/, `plan` for plan.py: the unit that the layers speak of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_the_page_has_every_module_in_one_layer() -> None:
    listed = [module for line in LAYERS for module in line]
    found = {module_of(path) for path in FILES} - {"__init__", "__main__"}
    assert sorted(listed) == sorted(found)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_down(path: Path) -> None:
    me = module_of(path)
    if me in ("__init__", "__main__"):
        return  # the front doors: lazy, and the command line's
    for module, _, line in imports(path):
        package, _, rest = module.partition(".")
        if package == "flowgrad" and rest and rest != "__version__":
            other = rest.split(".")[0]
            ok = other == me or LAYER[other] < LAYER[me]
            assert ok, f"{name(path)}:{line} imports {module}: {other} stands beside or above {me}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_library_comes_in_by_its_own_door(path: Path) -> None:
    for module, top, line in imports(path):
        library = module.split(".")[0]
        where = f"{name(path)}:{line} imports {library}"
        if library in DOORS:
            doors = DOORS[library] + (() if top else INSIDE.get(library, ()))
            assert name(path).startswith(doors), f"{where}, which only {', '.join(doors)} may"
        elif library in LAZY:
            assert not top, f"{where} at its top: import it inside the function that needs it"


def test_the_command_line_can_say_that_its_extra_is_missing() -> None:
    top = {module for module, top, _ in imports(PACKAGE / "cli" / "__init__.py") if top}
    assert top.isdisjoint({"typer", "rich"})


def test_nothing_else_is_imported() -> None:
    from sys import stdlib_module_names

    allowed = {*stdlib_module_names, *THIRD_PARTY, "flowgrad"}
    found = {(module.split(".")[0], name(path)) for path in FILES for module, _, _ in imports(path)}
    assert {(library, path) for library, path in found if library not in allowed} == set()
