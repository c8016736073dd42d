"""Formulas as text: checked, evaluated over arrays, and printed in other languages.

A formula is a Python expression of its variables, numbers, `+`, `-`, `*`, `/` and these functions: exp, log, log1p,
expm1, erfc, tanh, sin, cos, arctan, sqrt, abs, min and max of two arguments, and `select(x < y, a, b)`, which is a if
the comparison (`<`, `<=`, `>`, `>=`, `==`, `!=`) is true, else b. `min` and `max` are NaN if an argument is NaN,
division by zero gives ±inf or NaN, and a comparison with NaN is false, except `!=`. A formula thus defines its values
at NaN and ±inf, too.

`parse` returns the checked syntax tree, `evaluate` evaluates a formula by NumPy, and `in_c` prints it as C99.
"""

from __future__ import annotations

import ast
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from flowgrad.errors import ConfigError, brief, suggest

LONGEST = 4000  # largest number of characters of a formula
LARGEST = float(np.finfo(np.float64).max)
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
FUNCTIONS = {
    **dict.fromkeys(("exp", "log", "log1p", "expm1", "erfc", "tanh", "sin", "cos", "arctan", "sqrt", "abs"), 1),
    **dict.fromkeys(("min", "max"), 2),
    "select": 3,
}
"""Function of the grammar → number of its arguments."""


def parse(text: str, variables: Sequence[str] = ("z",)) -> ast.expr:
    """Check a formula and return its syntax tree: BinOp, UnaryOp (`-`), Name, Constant, Call; Compare only in `select`.

    Raises:
        ConfigError: the text is no expression of the grammar; the message gives the part and the nearest valid name.

    >>> ast.unparse(parse("max(z, 0)"))
    'max(z, 0)'
    """
    if not isinstance(text, str):
        raise ConfigError(f"a formula is a text, not {brief(text)}")
    return _parsed(text, tuple(variables))


@cache
def _parsed(text: str, variables: tuple[str, ...]) -> ast.expr:
    if len(text) > LONGEST:
        raise ConfigError(f"a formula has at most {LONGEST:,} characters, not {len(text):,}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ConfigError(f"the formula {brief(text)} is no expression that can be read") from None
    try:
        _check(tree, text, variables)
    except RecursionError:
        raise ConfigError(f"the formula {brief(text)} is nested too deep") from None
    return tree


def _check(node: ast.expr, text: str, variables: tuple[str, ...]) -> None:
    """Raise ConfigError unless the node and all below it are of the grammar."""
    where = f"in the formula {brief(text)}"
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() as value):
            if not -LARGEST <= value <= LARGEST:
                raise ConfigError(f"{where}: {brief(ast.unparse(node))} is no finite number")
            return
        case ast.Name():
            if node.id not in variables:
                raise ConfigError(f"{where}: unknown variable {brief(node.id)}{suggest(node.id, variables)}")
            return
        case ast.UnaryOp(op=ast.USub()):
            _check(node.operand, text, variables)
            return
        case ast.BinOp() if type(node.op) in OPERATORS:
            _check(node.left, text, variables)
            _check(node.right, text, variables)
            return
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            if name not in FUNCTIONS:
                raise ConfigError(f"{where}: unknown function {brief(name)}{suggest(name, FUNCTIONS)}")
            if len(node.args) != FUNCTIONS[name]:
                raise ConfigError(f"{where}: {name} takes {FUNCTIONS[name]} arguments, not {len(node.args)}")
            arguments = list(node.args)
            if name == "select":
                arguments[:1] = _compared(arguments[0], where)
            for argument in arguments:
                _check(argument, text, variables)
            return
    raise ConfigError(f"{where}: {brief(ast.unparse(node))} is not of the grammar: + - * /, {', '.join(FUNCTIONS)}")


def _compared(test: ast.expr, where: str) -> list[ast.expr]:
    match test:
        case ast.Compare(ops=[op], comparators=[right]) if type(op) in COMPARISONS:
            return [test.left, right]
    raise ConfigError(f"{where}: select wants one comparison first, as z > 0, not {brief(ast.unparse(test))}")


# ---- NumPy --------------------------------------------------------------------------------------------------

_ARITHMETIC: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARED: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_NUMPY: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "log", "log1p", "expm1", "tanh", "sin", "cos", "arctan", "sqrt")},
    "erfc": np.vectorize(math.erfc, otypes=[np.float64]),
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "select": np.where,
}


def evaluate(text: str, **variables: Any) -> Any:
    """Evaluate a formula in float64 for arrays that broadcast; NaN and ±inf propagate, without a warning.

    Raises:
        ConfigError: as `parse`.

    >>> evaluate("max(z, 0)", z=[-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """
    tree = parse(text, tuple(variables))
    values = {name: np.asarray(value, np.float64) for name, value in variables.items()}
    with np.errstate(all="ignore"):
        return np.broadcast_to(value_of(tree, values), np.broadcast_shapes(*(v.shape for v in values.values()))) + 0.0


def _number(node: ast.Constant) -> float:
    assert isinstance(node.value, (int, float))
    return float(node.value)


def value_of(
    tree: ast.expr,
    values: Mapping[str, Any],
    functions: Mapping[str, Callable[..., Any]] = _NUMPY,
    number: Callable[[float], Any] = np.float64,
) -> Any:
    """Evaluate a tree for values of its variables; equal subexpressions are evaluated once.

    Args:
        tree: a syntax tree that `parse` returned.
        values: variable → value, any object with the arithmetic operators and comparisons that the formula uses.
        functions: name in the grammar → implementation.
        number: function that converts a number in the formula to an operand.
    """
    known: dict[str, Any] = {}

    def value(node: Any) -> Any:
        key = ast.dump(node)
        if key not in known:
            known[key] = found(node)
        return known[key]

    def found(node: Any) -> Any:
        match node:
            case ast.Constant():
                return number(_number(node))
            case ast.Name():
                return values[node.id]
            case ast.UnaryOp():
                return -value(node.operand)
            case ast.BinOp():
                return _ARITHMETIC[type(node.op)](value(node.left), value(node.right))
            case ast.Compare():
                return _COMPARED[type(node.ops[0])](value(node.left), value(node.comparators[0]))
        return functions[node.func.id](*map(value, node.args))

    return value(tree)


# ---- C ------------------------------------------------------------------------------------------------------

C_HELPERS = {
    name: f"static double {name}(double x, double y)\n{{\n    return x != x || x {sign} y ? x : y;\n}}\n"
    for name, sign in (("minimum", "<"), ("maximum", ">"))
}
"""C functions for `min` and `max`, by name; each returns NaN where x or y is NaN."""
_C = {"arctan": "atan", "abs": "fabs", "min": "minimum", "max": "maximum"}
_CHEAP = ("abs", "min", "max", "select")


def in_c(text: str, variables: Sequence[str] = ("z",)) -> str:
    """Return a formula as the body of a C99 function of doubles: constants for repeated calls, and `return …;`.

    The body needs <math.h> and those of `C_HELPERS` whose names occur in it.

    Raises:
        ConfigError: as `parse`.

    >>> print(in_c("select(z > 0, z, 0.01 * z)"))
    return z > 0.0 ? z : (0.01 * z);
    """
    tree = parse(text, variables)
    calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and _name(n) not in _CHEAP)
    times = Counter(ast.unparse(call) for call in calls)
    printer = _Printer({call for call, n in times.items() if n > 1}, variables)
    result = printer.text(tree)
    return "\n    ".join([*printer.lines, f"return {_bare(result)};"])


def _name(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id


def _bare(text: str) -> str:
    """Remove the pair of parentheses that encloses the whole text, where there is one."""
    depth = 0
    for k, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if depth == 0 and k < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") else text


class _Printer:
    """Prints a tree in C; `repeated` calls are computed once, into a constant declared in `lines`."""

    def __init__(self, repeated: set[str], variables: Sequence[str]) -> None:
        self.repeated, self.variables = repeated, variables
        self.lines: list[str] = []
        self.named: dict[str, str] = {}

    def text(self, node: Any) -> str:
        match node:
            case ast.Constant():
                return repr(_number(node))
            case ast.Name():
                return str(node.id)
            case ast.UnaryOp():
                return f"(-{self.text(node.operand)})"
            case ast.BinOp():
                return f"({self.side(node.left, node.op, left=True)} {OPERATORS[type(node.op)]} " + (
                    f"{self.side(node.right, node.op, left=False)})"
                )
            case ast.Compare():
                sign = COMPARISONS[type(node.ops[0])]
                return f"{self.text(node.left)} {sign} {self.text(node.comparators[0])}"
        return self.call(node)

    def side(self, node: ast.expr, op: ast.operator, left: bool) -> str:
        """Print an operand, without parentheses where C needs none: products in sums, and left operands."""
        text = self.text(node)
        if isinstance(node, ast.UnaryOp) and left and not isinstance(node.operand, ast.UnaryOp):
            return _bare(text)
        if not isinstance(node, ast.BinOp):
            return text
        tight, loose = isinstance(node.op, (ast.Mult, ast.Div)), isinstance(op, (ast.Add, ast.Sub))
        return _bare(text) if (tight and loose) or (left and (tight or loose)) else text

    def call(self, node: ast.Call) -> str:
        key, name = ast.unparse(node), _name(node)
        if key in self.named:
            return self.named[key]
        arguments = [_bare(self.text(argument)) for argument in node.args]
        if name == "select":
            chosen = " : ".join(self.text(argument) for argument in node.args[1:])
            return f"({self.text(node.args[0])} ? {chosen})"
        text = f"{_C.get(name, name)}({', '.join(arguments)})"
        if key not in self.repeated:
            return text
        self.named[key] = f"{name}{len(self.named) + 1}_"
        self.lines.append(f"const double {self.named[key]} = {text};")
        return self.named[key]
