"""Vector forms generated from the formulas, as text, of an activation's record (`Activation.expression`).

The syntax tree of a formula is evaluated over rows (`primitives`). A float32 row is widened to float64 and the result
rounded, unless the formula has only arithmetic, abs, min, max, select, sqrt and float32 numbers.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from flowgrad.executors._numba import primitives
from flowgrad.executors._numba.blocks import filled
from flowgrad.executors._numba.powers import exp, tanh
from flowgrad.executors._numba.rows import narrowed, widened
from flowgrad.executors._numba.simd import absolute, choose, root
from flowgrad.maths.expression import parse, value_of

Function = Callable[..., Any]
_ARITHMETIC: dict[str, Function] = {
    "abs": absolute,
    "min": primitives.minimum,
    "max": primitives.maximum,
    "select": choose,
    "sqrt": root,
}
_FUNCTIONS: dict[str, Function] = {
    **_ARITHMETIC,
    **{name: getattr(primitives, name) for name in ("log", "log1p", "expm1", "erfc", "sin", "cos", "arctan")},
    "exp": exp,
    "tanh": tanh,
}


def function_of(text: str) -> Function:
    """Return the function that evaluates a formula, in the grammar of `flowgrad.maths.expression`, over a row z."""
    tree = parse(text)
    nodes = list(ast.walk(tree))
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    numbers = [float(node.value) for node in nodes if isinstance(node, ast.Constant)]  # type: ignore[arg-type]  # `parse` admits numbers alone
    wide = not calls <= _ARITHMETIC.keys() or any(float(np.float32(x)) != x for x in numbers)

    def run(z: Any) -> Any:
        narrow = wide and z.dtype == np.float32
        x = widened(z) if narrow else z
        with np.errstate(all="ignore"):
            row = value_of(tree, {"z": x}, _FUNCTIONS, partial(filled, x))
            return narrowed(row) if narrow else row

    return run
