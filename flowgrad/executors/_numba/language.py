"""The words of the language that kernels are written in: functions, and what operators mean for each kind of number."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[..., Any]

C_LIBRARY: dict[Any, str] = {
    np.exp: "exp",
    np.expm1: "expm1",
    np.log: "log",
    np.log1p: "log1p",
    np.tanh: "tanh",
    np.sin: "sin",
    np.cos: "cos",
    np.arctan: "atan",
    np.sqrt: "sqrt",
    np.copysign: "copysign",
    math.erfc: "erfc",
    math.exp: "exp",
    math.sqrt: "sqrt",
    math.tanh: "tanh",
    np.minimum: "llvm.minimum.f64",
    np.maximum: "llvm.maximum.f64",
    np.abs: "fabs",
    abs: "fabs",
}
"""Functions of float64 that are called in the C library, or by LLVM."""
TWO = {np.copysign: 2, np.minimum: 2, np.maximum: 2}
"""Those of them that take two arguments."""


def _sign(x: float) -> float:
    return 1.0 if x > 0.0 else -1.0 if x < 0.0 else x


REPLACED: dict[Any, Function] = {np.sign: _sign}
"""Functions that stand for others."""

INTEGER = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.FloorDiv: "sdiv", ast.Mod: "srem", ast.BitAnd: "and_"}
FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
PLAIN = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.LShift: operator.lshift,
    ast.Pow: operator.pow,
}
