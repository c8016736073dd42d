"""docs/api.md is the public names with their signatures and docstrings, and pins them: a change shows as its diff.

After a wanted change: `python tests/house/test_api.py` writes the page anew.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HEAD = """# Public names

Generated from the code by `python tests/house/test_api.py`, and held to it by a test: it cannot say anything else.
Shapes: B samples, I inputs, O outputs, V nodes, E edges, P parameters. Equations are those of [maths.md](maths.md).

```python
>>> import flowgrad as fg

```
"""
AUTHORS = {  # what another package may build on, beside `import flowgrad as fg`
    "flowgrad.executor": ("Executor", "Kernel", "ExecutorInfo", "Request", "Saved", "Adjoint"),
    "flowgrad.plan": ("Plan", "lower"),
    "flowgrad.optimizer": ("Optimizer",),
    "flowgrad.registry": ("find", "names"),
    "flowgrad.testing": ("conformance", "parametrize_with_executor", "Report", "installed"),
}
CONTRACT = {  # names that users rely on: added to, never renamed
    *(
        "Network",
        "union",
        "compile",
        "executors",
        "Program",
        "Activations",
        "Gradients",
        "Activation",
        "Aggregation",
        "Loss",
    ),
    *("FlowgradError", "fit", "History", "gradcheck", "load", "save", "errors", "inspection", "topologies"),
    *("Model", "load_model"),
    *("Initializer", "initializers", "optimizers", "metrics", "schedules", "callbacks", "reversed_network"),
}
PARAMETERS = {  # and their parameters, in order
    "Network.from_networkx": "G inputs outputs activation output_activation seed",
    "Network.from_arrays": "source target weight bias activation inputs outputs n_nodes seed",
    "union": "networks share_inputs",
    "compile": "network executor dtype loss reduction threads",
    "Program.forward": "self X theta",
    "Program.backward": "self acts T sample_weight cotangent per_output",
    "Program.value_and_grad": "self theta X T out sample_weight",
    "Program.predict": "self X theta",
    "Program.network": "self theta",
    "Activation": "name f df",
    "Aggregation": "name f df",
    "Loss": "name f df",
    "Model": "network inputs targets label classes scaling target_scaling loss",
    "Model.predict": "self X",
    "Model.predict_proba": "self X",
    "Model.folded": "self",
    "Model.save": "self path",
    "load_model": "path format activations",
    "fit": "program X T optimizer learning_rate epochs batch_size seed shuffle sample_weight validation patience "
    "metrics l1 l2 schedule progress on_epoch",
}


class _Text:
    """An annotation as it stands in the source."""

    def __init__(self, text: object) -> None:
        self.text = text if isinstance(text, str) else inspect.formatannotation(text)

    def __repr__(self) -> str:
        return self.text


def signature(name: str, value: Any) -> str:
    """`name(parameter: type = default, …) -> type`, without self; broken into lines where it is long."""
    found = inspect.signature(value)
    empty = inspect.Parameter.empty
    parameters = [
        p if p.annotation is empty else p.replace(annotation=_Text(p.annotation))
        for p in found.parameters.values()
        if p.name not in ("self", "cls")
    ]
    parameters = [
        p.replace(default=_Text(p.default.__name__)) if isinstance(p.default, FunctionType) else p for p in parameters
    ]
    answer = found.return_annotation
    ending = "" if answer in (empty, "None", None) or isinstance(value, type) else f" -> {_Text(answer)}"
    text = str(found.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    if len(name + text + ending) > 100:
        lines, keyword_only = [], False
        for p in parameters:
            if p.kind is p.KEYWORD_ONLY and not keyword_only:
                lines.append("    *,")
                keyword_only = True
            lines.append(f"    {p},")
        text = "\n".join(["(", *lines, ")"])
    return f"{name}{text}{ending}"


def docstring(value: Any) -> str:
    """The docstring without its examples, which run where they stand."""
    paragraphs = inspect.cleandoc(value.__doc__ or "").split("\n\n")
    return "\n\n".join(p for p in paragraphs if ">>>" not in p)


def block(head: str, value: Any) -> str:
    """A signature with its docstring under it."""
    return f"```text\n{head}\n{textwrap.indent(docstring(value), '    ')}".rstrip() + "\n```\n"


def members(cls: type) -> Iterator[str]:
    """Public methods and properties that a class defines itself, in the order of the source."""
    for name, value in vars(cls).items():
        full = f"{cls.__name__}.{name}"
        if name.startswith("_"):
            continue
        if isinstance(value, property | cached_property):
            yield block(full, value.fget if isinstance(value, property) else value.func)
        elif isinstance(value, FunctionType | classmethod | staticmethod):
            yield block(signature(full, getattr(cls, name)), getattr(cls, name))


def entry(name: str, value: Any) -> Iterator[str]:
    """Everything that the page says about one public name."""
    if isinstance(value, ModuleType):
        yield f"## {name}\n"
        yield docstring(value) + "\n"
        for inner, thing in vars(value).items():
            home = getattr(thing, "__module__", None) or ""
            if (home + ".").startswith(value.__name__ + ".") and not inner.startswith("_"):
                yield block(f"class {inner}" if isinstance(thing, type) else signature(inner, thing), thing)
    elif isinstance(value, type):
        yield f"## {name}\n"
        made = is_dataclass(value) or value.__name__ == "Network"
        yield block(signature(name, value) if made else f"class {name}", value)
        yield from members(value)
    else:
        yield f"## {name}\n"
        yield block(signature(name, value), value)


def render() -> str:
    import flowgrad as fg

    parts = [HEAD]
    for name in fg.__all__:  # executors is a package too, which may stand in the place of the function
        home = fg._HOME.get(name)
        parts += entry(name, getattr(import_module(home), name) if home else getattr(fg, name))
    parts.append("# For authors of packages\n")
    for module, names in AUTHORS.items():
        for name in names:
            parts += entry(f"{module}.{name}", getattr(import_module(module), name))
    return "\n".join(parts)


def test_the_page_is_the_code() -> None:
    page, code = PAGE.read_text(encoding="utf-8").splitlines(), render().splitlines()
    assert page == code, "the public API changed: if that is wanted, run `python tests/house/test_api.py`"


def test_no_name_of_the_contract_is_gone() -> None:
    import flowgrad as fg

    assert set(fg.__all__) >= CONTRACT


def test_no_parameter_of_the_contract_is_gone_or_moved() -> None:
    import flowgrad as fg

    for name, wanted in PARAMETERS.items():
        value: Any = fg
        for part in name.split("."):
            value = getattr(value, part)
        found = list(inspect.signature(value).parameters)
        assert found[: len(wanted.split())] == wanted.split(), name


def test_every_public_name_says_what_it_does() -> None:
    import flowgrad as fg

    assert [name for name in fg.__all__ if not getattr(fg, name).__doc__] == []


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
