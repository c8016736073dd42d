"""Inline the functions that a model defines, with the library onnx."""

from __future__ import annotations

from typing import Any

from flowgrad.errors import FileError, show

NODES = 100_000
"""Maximal number of nodes of a model after inlining: a file of a few bytes can expand to any number."""

Key = tuple[str, str]


def inlined(model: Any, what: str) -> Any:
    """Return the model with its functions inlined; the same object if it has none.

    Raises:
        FileError: functions call each other in a circle, are of another opset than the model, or expand too far.
    """
    if not model.functions:
        return model
    from onnx.inliner import inline_local_functions

    own = {(f.domain, f.name): f for f in model.functions}
    versions = {o.domain: o.version for o in model.opset_import}
    for f in own.values():
        other = [o for o in f.opset_import if versions.setdefault(o.domain, o.version) != o.version]
        if other:
            given = f"opset {other[0].version} of {show(other[0].domain or 'ai.onnx')}"
            raise FileError(f"{what}: function {show(f.name)} is of {given}, the model of {versions[other[0].domain]}")
    sizes: dict[Key, int] = {}
    if _size(model.graph, own, sizes, (), what) > NODES:
        raise FileError(f"{what}: with its functions in their places it has more than {NODES:,} nodes")
    try:
        return inline_local_functions(model)
    except MemoryError:
        raise
    except Exception as error:  # of pybind11: the type differs between versions
        said = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise FileError(f"{what}: its functions cannot be put in their places: {said}") from None


def _size(body: Any, own: dict[Key, Any], sizes: dict[Key, int], within: tuple[Key, ...], what: str) -> int:
    """Count the nodes of a graph or function after inlining; `sizes` caches the counts of functions."""
    total = 0
    for node in body.node:
        key = (node.domain, node.op_type)
        if key in within:
            circle = " → ".join(show(name) for _, name in (*within[within.index(key) :], key))
            raise FileError(f"{what}: its functions call each other in a circle: {circle}")
        if key in own and key not in sizes:
            if len(within) >= 100:
                raise FileError(f"{what}: its functions call each other more than 100 deep")
            sizes[key] = _size(own[key], own, sizes, (*within, key), what)
        total += sizes.get(key, 1)
    return total
