"""Small rules that keep the house small: lengths of files and functions, pages that cannot rot."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = sorted([*ROOT.glob("flowgrad/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py"), *ROOT.glob("examples/**/*.py")])
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
MATHS = (ROOT / "docs" / "maths.md").read_text(encoding="utf-8")
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

MODULE_LINES, FUNCTION_LINES = 370, 60  # without docstrings; aim at 40 a function; a list of named fields may be longer


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def docstrings(tree: ast.Module) -> int:
    """Number of lines of a file's docstrings."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    places = (n for n in ast.walk(tree) if isinstance(n, kinds))
    strings = (n.body[0] for n in places if ast.get_docstring(n) is not None)
    return sum((each.end_lineno or 0) - each.lineno + 1 for each in strings)


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names and lengths of a file's functions: signature and body, without docstring and functions inside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1  # type: ignore[operator]  # parsed from text, so it has lines
            if ast.get_docstring(node):
                length -= node.body[0].end_lineno - node.body[0].lineno + 1  # type: ignore[operator]  # parsed from text, so it has lines
            inside = [child for child in node.body if isinstance(child, ast.FunctionDef)]
            length -= sum(child.end_lineno - child.lineno + 1 for child in inside)  # type: ignore[operator]  # parsed from text, so it has lines
            yield node.name, length


def test_files_and_functions_stay_short(parsed: Callable[[Path], ast.Module]) -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) - docstrings(parsed(path)) for path in CODE}
    long = [f"{name(path)}: {n} lines" for path, n in lines.items() if n > MODULE_LINES]
    for path in CODE:
        long += [f"{name(path)}: {f}: {n} lines" for f, n in functions(parsed(path)) if n > FUNCTION_LINES]
    assert long == []


def test_no_folder_for_everything() -> None:
    names = {part for path in CODE for part in path.relative_to(ROOT).with_suffix("").parts}
    assert names.isdisjoint({"utils", "util", "helpers", "manager", "common", "base", "misc"})


def test_equations_that_code_cites_stand_in_the_page() -> None:
    defined = set(re.findall(r"\((\d+)\)", MATHS))
    cited = {n for path in CODE for n in re.findall(r"(?:[Ee]quations?|of|by) \((\d+)\)", path.read_text("utf-8"))}
    assert cited, "the code cites equations by number"
    assert cited <= defined
    assert defined >= {str(n) for n in range(1, 13)}


def test_the_page_of_the_maths_has_every_formula_of_the_registry() -> None:
    from flowgrad.registry import names

    kinds = ("activations", "aggregations", "losses")
    missing = [f"{kind}: {n}" for kind in kinds for n in names(kind) if f"`{n}`" not in MATHS]
    assert missing == []


def test_examples_of_pages_are_run() -> None:
    """A block of Python that is no doctest is a block that nobody runs."""
    for page in PAGES:
        for block in re.findall(r"```(?:python|pycon|py)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            assert block.startswith(">>> "), f"{name(page)}: {block}"


def test_links_of_pages_lead_somewhere() -> None:
    links = [(page, m) for page in PAGES for m in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))]
    ours = [(page, link) for page, link in links if not link.startswith(("http://", "https://", "mailto:"))]
    assert ours, "the pages link to each other"
    assert [f"{link} in {name(page)}" for page, link in ours if not (page.parent / link).exists()] == []


def test_the_readme_has_both_commands_and_every_extra_exists() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert "pip install -e '.[demo]' && flowgrad demo" in lines
    assert "pip install -e '.[test]' && pytest" in lines
    assert "pip install -e '.[test]' && pytest" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extras = CONFIG["project"]["optional-dependencies"]
    source = "".join(path.read_text(encoding="utf-8") for path in CODE)
    asked = set(re.findall(r'MissingDependencyError\([^)"]*"[^"]+", "(\w+)"', source))
    assert asked <= set(extras), "an error names an extra that pyproject has not"


def test_the_version_is_said_once() -> None:
    import flowgrad

    assert CONFIG["project"]["version"] == flowgrad.__version__
    assert f"## {flowgrad.__version__}" in (ROOT / "docs" / "CHANGELOG.md").read_text(encoding="utf-8")


def test_decisions_are_numbered_and_listed() -> None:
    """A number that is missing is of a decision that another says it supersedes."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("[0-9]*.md"))
    said = re.findall(
        r"^Supersedes decisions (.*)\.$", "\n".join(page.read_text("utf-8") for page in folder.glob("*.md")), re.M
    )
    superseded = {int(number) for line in said for number in re.findall(r"\d+", line)}
    found = {int(page[:4]) for page in pages}
    assert found | superseded == set(range(1, max(found) + 1))
    assert not found & superseded
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [page for page in pages if f"decisions/{page}" not in architecture] == []


def test_warnings_are_errors_and_the_tools_are_strict() -> None:
    tools = CONFIG["tool"]
    assert tools["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    assert tools["pytest"]["ini_options"]["xfail_strict"] is True
    assert tools["mypy"]["strict"] is True
    assert tools["ruff"]["target-version"] == "py311"
    assert CONFIG["project"]["requires-python"] == ">=3.11"
