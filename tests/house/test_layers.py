"""The house has one way through it: imports point down only, in no circle, and each optional library has its one door.

An import counts wherever it stands: at the top, inside a function, for types alone. What a file finds in the registry
by a kind that is a folder or module counts as an import of it. The order, and what may stand against it, are read from
docs/architecture.md, so that the page cannot say anything else than the code does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import networkx as nx
import pytest

from flowgrad.registry import FOLDERS, TABLES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flowgrad"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LAYERS = [line.split() for line in PAGE.split("```layers\n")[1].split("```")[0].splitlines()]
LAYER = {module: depth for depth, line in enumerate(LAYERS) for module in line}
UPWARD = {  # (module, what it finds or imports above itself) → why
    (pair.split()[0], pair.split()[1]): why.strip()
    for pair, _, why in (line.partition(":") for line in PAGE.split("```upward\n")[1].split("```")[0].splitlines())
}
FOUND = {*FOLDERS, *TABLES} & set(LAYER)  # kinds that are modules of their own
TREES = [PACKAGE, *sorted((ROOT / "plugins").glob("*/src/flowgrad_*"))]

# Who may import it at the top of the file; those in LAZY nobody may.
DOORS: dict[str, tuple[str, ...]] = {
    "numba": ("executors/numba.py", "executors/_numba/"),
    "llvmlite": ("executors/_numba/",),
    "networkx": ("nxgraph.py", "formats/", "executors/python.py", "testing/"),
    "hypothesis": ("testing/",),
    "pytest": ("testing/",),
    "typer": ("cli/",),
    "rich": ("cli/",),
    "sklearn": ("sklearn/",),
    "narwhals": ("sklearn/",),
}
INSIDE: dict[str, tuple[str, ...]] = {  # …and inside functions as well
    "networkx": ("topologies.py",),
    "rich": ("bars.py",),
    "sklearn": ("cli/demo.py",),
}
LAZY = (
    "tensorboard",
    "mlflow",
    "scipy",
    "pandas",
    "polars",
    "pyarrow",
    "matplotlib",
    "safetensors",
    "defusedxml",
    "onnx",
    "anndata",
    "h5py",
    "torch",
    "jax",
)
THIRD_PARTY = {*DOORS, *LAZY, "numpy"}


class Import(NamedTuple):
    """One import: the module, the name taken from it (or none), where, and whether at the top or for types alone."""

    module: str
    name: str
    line: int
    top: bool
    types: bool


def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file as it stands."""
    return imports_in(path, path.read_text(encoding="utf-8"))


@cache
def imports_in(path: Path, text: str) -> tuple[Import, ...]:
    return tuple(walked(path, parsed(text)))


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


def walked(path: Path, tree: ast.Module) -> Iterator[Import]:
    todo: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]
    while todo:
        node, top, types = todo.pop()
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno, top, types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from (Import(str(node.module), alias.name, node.lineno, top, types) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += [(child, top, True) for child in node.body] + [(child, top, types) for child in node.orelse]
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            todo += [(child, top and not inside, types) for child in statements(node)]


def statements(node: ast.AST) -> list[ast.AST]:
    """What may hold an import inside a statement: no expression does."""
    blocks = ("body", "orelse", "finalbody", "handlers", "cases")
    return [child for block in blocks for child in getattr(node, block, ())]


@cache
def found(text: str) -> dict[str, int]:
    """Kinds that are modules of which a file finds something, and a line; of a variable kind, every one it names."""
    if "find" not in text:
        return {}
    nodes = list(ast.walk(parsed(text)))
    calls = [
        n
        for n in nodes
        if isinstance(n, ast.Call) and "find" in (getattr(n.func, "id", ""), getattr(n.func, "attr", ""))
    ]
    kinds: list[ast.AST] = [call.args[0] for call in calls if call.args]
    if not all(isinstance(kind, ast.Constant) for kind in kinds):
        kinds = nodes
    return {n.value: n.lineno for n in kinds if isinstance(n, ast.Constant) and n.value in FOUND}


def points(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of flowgrad that a file leans on, as layers speak of them, and the line; "" is the front door."""
    for one in imports(path):
        if one.module == "flowgrad" and not one.name:
            yield "", one.line
        package, _, rest = f"{one.module}.{one.name}".partition(".")
        if package == "flowgrad" and not rest.startswith(("__version__", "_version")) and rest.strip("."):
            yield rest.split(".")[0], one.line
    if path.stem != "registry":
        yield from found(path.read_text(encoding="utf-8")).items()


def against(path: Path, me: str, layer: Mapping[str, int]) -> dict[tuple[str, str], int]:
    """(module, other) that stands beside or above it, and the line."""
    high = {**layer, "": max(layer.values()) - 1}  # `import flowgrad` gives everything but the command line
    return {(me, other): line for other, line in points(path) if other != me and high[other] >= high[me]}


def circles(tree: Path) -> list[list[str]]:
    """Files of a package that import each other, in a circle of any length."""
    files = {".".join(path.relative_to(tree.parent).with_suffix("").parts): path for path in tree.rglob("*.py")}
    files = {module.removesuffix(".__init__"): path for module, path in files.items()}
    graph = nx.DiGraph()
    for module, path in files.items():
        for one in imports(path):
            whole = f"{one.module}.{one.name}"
            other = whole if whole in files else one.module
            if other in files and other != tree.name:  # the front door is lazy
                graph.add_edge(module, other)
    return sorted(sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1)


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_of(path: Path) -> str:
    """`maths` for every file in maths/, `plan` for plan.py: the unit that the layers speak of."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_the_page_has_every_module_in_one_layer() -> None:
    listed = [module for line in LAYERS for module in line]
    there = {module_of(path) for path in FILES} - {"__init__", "__main__"}
    assert sorted(listed) == sorted(there)


def test_imports_point_down() -> None:
    said = []
    for path in FILES:
        me = module_of(path)
        if me in ("__init__", "__main__"):
            continue  # the front doors: lazy, and the command line's
        upward = {pair: line for pair, line in against(path, me, LAYER).items() if pair not in UPWARD}
        said += [f"{name(path)}:{line}: {other} stands beside or above {me}" for (_, other), line in upward.items()]
    assert said == []


def test_what_points_up_is_what_the_page_lists() -> None:
    modules = [(path, module_of(path)) for path in FILES if module_of(path) in LAYER]
    assert {pair for path, me in modules for pair in against(path, me, LAYER)} == set(UPWARD)
    assert all(UPWARD.values()), "each with its reason"


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_no_files_import_each_other(tree: Path) -> None:
    assert circles(tree) == []


@pytest.mark.parametrize(
    "source",
    [
        "from flowgrad.above import f",
        "from flowgrad import above",
        "import flowgrad.above",
        "def g():\n    import flowgrad as fg",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from flowgrad.above import f",
        "def g():\n    from flowgrad.above import f",
        "find('formats', 'json')",
        "for kind in ('formats', 'losses'):\n    find(kind, 'json')",
    ],
)
def test_the_test_sees_what_points_up_wherever_it_stands(tmp_path: Path, source: str) -> None:
    path = tmp_path / "below.py"
    path.write_text(source, encoding="utf-8")
    assert len(against(path, "below", {"below": 0, "above": 1, "formats": 1})) == 1
    assert not against(path, "below", {"below": 3, "above": 1, "formats": 1})


@pytest.mark.parametrize(
    "source",
    [
        "from fake.two import f",
        "from fake import two",
        "def g():\n    from fake.two import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fake.two import f",
    ],
)
def test_the_test_sees_circles(tmp_path: Path, source: str) -> None:
    tree = tmp_path / "fake"
    tree.mkdir()
    for file, text in (("__init__", ""), ("one", source), ("two", "import fake.three"), ("three", "import fake.one")):
        (tree / f"{file}.py").write_text(text, encoding="utf-8")
    assert circles(tree) == [["fake.one", "fake.three", "fake.two"]]
    (tree / "three.py").write_text("", encoding="utf-8")
    assert circles(tree) == []


def test_a_library_comes_in_by_its_own_door() -> None:
    assert [said for path in FILES for said in wrong_doors(path)] == []


def wrong_doors(path: Path) -> Iterator[str]:
    """What a file of the package imports of other libraries where it may not."""
    for one in imports(path):
        library = one.module.split(".")[0]
        where = f"{name(path)}:{one.line} imports {library}"
        if one.types:
            continue
        if library in DOORS:
            doors = DOORS[library] + (() if one.top else INSIDE.get(library, ()))
            if not name(path).startswith(doors):
                yield f"{where}, which only {', '.join(doors)} may"
        elif library in LAZY and one.top:
            yield f"{where} at its top: import it inside the function that needs it"


def test_the_command_line_can_say_that_its_extra_is_missing() -> None:
    top = {one.module for one in imports(PACKAGE / "cli" / "__init__.py") if one.top}
    assert top.isdisjoint({"typer", "rich"})


def test_nothing_else_is_imported() -> None:
    from sys import stdlib_module_names

    allowed = {*stdlib_module_names, *THIRD_PARTY, "flowgrad"}
    seen = {(one.module.split(".")[0], name(path)) for path in FILES for one in imports(path)}
    assert {(library, path) for library, path in seen if library not in allowed} == set()
