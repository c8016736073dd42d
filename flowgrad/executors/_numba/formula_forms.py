"""Vector forms made from what an activation's record says: its formulas as text.

A formula's tree is evaluated over rows (`primitives`), each part once. In float32 it is evaluated in float64 and
rounded at the end, unless all of it is arithmetic and choices, with numbers that float32 has. Forward keeps σ'.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from flowgrad.executors._numba import primitives
from flowgrad.executors._numba.blocks import filled
from flowgrad.executors._numba.form import Form, always, itself
from flowgrad.executors._numba.powers import exp, tanh
from flowgrad.executors._numba.rows import narrowed, widened
from flowgrad.executors._numba.simd import absolute, choose, root
from flowgrad.maths.expression import parse

Function = Callable[..., Any]
_OPERATORS: dict[type[ast.AST], Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
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


def from_formulas(value: str, slope: str) -> Form:
    """The form of σ(z) and σ'(z) as text, in the grammar of `flowgrad.maths.expression`."""
    return Form(_function(value), itself, always, _function(slope))


def _function(text: str) -> Function:
    """The formula over rows of either dtype."""
    tree = parse(text)
    nodes = list(ast.walk(tree))
    calls = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    numbers = [float(node.value) for node in nodes if isinstance(node, ast.Constant)]  # type: ignore[arg-type]
    wide = not calls <= _ARITHMETIC.keys() or any(float(np.float32(x)) != x for x in numbers)

    def run(z: Any) -> Any:
        with np.errstate(all="ignore"):
            if wide and z.dtype == np.float32:
                return narrowed(_Evaluation(widened(z)).row(tree))
            return _Evaluation(z).row(tree)

    return run


class _Evaluation:
    """One evaluation of trees at z; parts that are written alike are computed once."""

    def __init__(self, z: Any) -> None:
        self.z = z
        self.known: dict[str, Any] = {}

    def row(self, node: ast.expr) -> Any:
        """The value of a tree, as a row also where it is a number."""
        value = self.value(node)
        return filled(self.z, value) if isinstance(value, float) else value

    def value(self, node: Any) -> Any:
        """A row, or a number where no z is in it."""
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]
        if isinstance(node, ast.Name):
            return self.z
        key = ast.dump(node)
        if key not in self.known:
            self.known[key] = self.found(node)
        return self.known[key]

    def found(self, node: Any) -> Any:
        match node:
            case ast.UnaryOp():
                return -self.value(node.operand)
            case ast.BinOp():
                return self.of_numbers(_OPERATORS[type(node.op)], node.left, node.right)
            case ast.Compare():
                return _OPERATORS[type(node.ops[0])](self.row(node.left), self.row(node.comparators[0]))
        rows = [self.value(a) if isinstance(a, ast.Compare) else self.row(a) for a in node.args]
        return _FUNCTIONS[node.func.id](*rows)

    def of_numbers(self, function: Function, left: Any, right: Any) -> Any:
        """Arithmetic; of two numbers as NumPy's float64 does it."""
        x, y = self.value(left), self.value(right)
        if isinstance(x, float) and isinstance(y, float):
            return float(function(np.float64(x), np.float64(y)))
        return function(x, y)
