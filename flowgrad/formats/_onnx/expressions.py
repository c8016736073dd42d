"""Write an activation as operators: from the writer's table if it is listed there, else from its expression.

ONNX has no operators for the grammar's functions log1p, expm1 and erfc, and substitutes for them lose digits: an
activation whose expression has one of them, and that is not in the table, has no form.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from flowgrad.formats._onnx.model import ACTIVATIONS, Model
from flowgrad.maths.activation import Activation
from flowgrad.maths.expression import parse
from flowgrad.registry import is_own

Form = Callable[[Model, str], str]

ARITHMETIC = {ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div"}
COMPARISONS = {
    ast.Lt: "Less",
    ast.LtE: "LessOrEqual",
    ast.Gt: "Greater",
    ast.GtE: "GreaterOrEqual",
    ast.Eq: "Equal",
    ast.NotEq: "Equal",  # followed by Not
}
FUNCTIONS = {
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sin": "Sin",
    "cos": "Cos",
    "arctan": "Atan",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "min": "Min",
    "max": "Max",
    "select": "Where",
}


def form(sigma: Activation) -> Form | None:
    """Return a function (model, name of z) → name of σ(z) that writes σ, or None where ONNX cannot express it."""
    if sigma.name in ACTIVATIONS and is_own("activations", sigma):
        return ACTIVATIONS[sigma.name]
    if sigma.expression is None:
        return None
    tree = parse(sigma.expression[0])
    functions = {str(n.func.id) for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    depends = any(isinstance(n, ast.Name) and n.id == "z" for n in ast.walk(tree))
    if not depends or not functions <= set(FUNCTIONS):
        return None
    return lambda model, z: _written(model, tree, {"z": z})


def _written(m: Model, node: Any, known: dict[str, str]) -> str:
    """Write the node's value and return its name; equal subexpressions are written once."""
    key = ast.unparse(node)
    if key not in known:
        known[key] = _operator(m, node, known)
    return known[key]


def _operator(m: Model, node: Any, known: dict[str, str]) -> str:
    match node:
        case ast.Constant():
            return m.fixed(node.value)
        case ast.UnaryOp():
            return m.op("Neg", _written(m, node.operand, known))
        case ast.BinOp():
            kind, sides = ARITHMETIC[type(node.op)], (node.left, node.right)
        case ast.Compare():
            kind, sides = COMPARISONS[type(node.ops[0])], (node.left, node.comparators[0])
        case _:
            kind, sides = FUNCTIONS[node.func.id], tuple(node.args)
    name = m.op(kind, *(_written(m, side, known) for side in sides))
    unequal = isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.NotEq)
    return m.op("Not", name) if unequal else name
