"""Values of the language that kernels are written in: variables and expressions, as LLVM IR."""

from __future__ import annotations

import ast
import inspect
import linecache
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir

from flowgrad.errors import brief
from flowgrad.executors._numba.blocks import F32, F64, I1, I64, call, convert, inline
from flowgrad.executors._numba.language import C_LIBRARY, COMPARE, FLOAT, INTEGER, PLAIN, REPLACED, TWO, Function


class Untranslatable(Exception):
    """A function uses more of Python than kernels may."""


class Record:
    """A value whose fields are read and set by name: memory laid out by a NumPy dtype.

    Of a `fixed` one no field changes while a kernel runs, so that none is read twice.
    """

    def __init__(self, address: Any, dtype: np.dtype[Any], fixed: bool) -> None:
        self.address, self.dtype, self.fixed = address, dtype, fixed


@cache
def _tree(filename: str) -> ast.Module:
    return ast.parse("".join(linecache.getlines(filename)))


def _definition(function: Function) -> ast.FunctionDef:
    """The syntax tree of a function defined by `def`."""
    code = function.__code__
    for node in ast.walk(_tree(code.co_filename)):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if first == code.co_firstlineno:
                return node
    raise Untranslatable(f"no source of {brief(function)}")


class Values:
    """One function's variables and expressions, written at the builder's place."""

    def __init__(self, builder: Any, entry: Any, function: Function) -> None:
        self.builder, self.entry, self.function = builder, entry, function
        self.node = _definition(function)
        self.variables: dict[str, Any] = {}  # name → alloca, or Record
        self.bound: set[str] = set()  # those that have a value on every way that leads here
        self.outer = inspect.getclosurevars(function)
        self.loops: list[tuple[Any, Any]] = []
        self.result: Any = None

    def inline(self, arguments: list[Any]) -> Any:
        """What the function returns of these values; its statements are `translate`'s."""
        raise NotImplementedError

    # ---- variables ------------------------------------------------------------------------------------------

    def allocate(self, kind: Any, name: str) -> Any:
        return ir.IRBuilder(self.entry).alloca(kind, name=name)

    def assign(self, name: str, value: Any) -> None:
        place = self.variables.get(name)
        self.bound.add(name)
        if isinstance(value, Record):
            if place is not None and place is not value:
                raise Untranslatable(f"{self.node.name}: {name} is given another record")
            self.variables[name] = value
            return
        if place is None:
            value = self.typed(value)
            place = self.variables[name] = self.allocate(value.type, name)
        self.put(value, place, name)

    def put(self, value: Any, place: Any, name: str) -> None:
        """Store a value of the place's type; a number known while translating may become a float or a vector."""
        kind = place.allocated_type
        given = self.typed(value).type
        if given != kind and (isinstance(value, ir.Value) or kind in (I1, I64) or given == I1):
            raise Untranslatable(f"{self.node.name}: {name} is {kind} and then {given}")
        self.builder.store(convert(self.builder, value, kind), place)

    def typed(self, value: Any) -> Any:
        """A Python number as a value: int64, double or truth."""
        if isinstance(value, (bool, int, float)):
            kind = I1 if isinstance(value, bool) else I64 if isinstance(value, int) else F64
            return ir.Constant(kind, value)
        return value

    def look_up(self, name: str) -> Any:
        place = self.variables.get(name)
        if name not in self.bound and name in self.function.__code__.co_varnames:
            raise Untranslatable(f"{self.node.name}: {name} may have no value yet")
        if isinstance(place, Record):
            return place
        if place is not None:
            return self.builder.load(place)
        for scope in (self.outer.nonlocals, self.outer.globals, self.outer.builtins):
            if name in scope:
                return scope[name]
        raise Untranslatable(f"{self.node.name}: unknown name {brief(name)}")

    # ---- expressions ----------------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        """A value, a Record, or a Python object that is known while translating."""
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self.look_up(node.id)
            case ast.Attribute():
                owner = self.value(node.value)
                return self.read(owner, node.attr) if isinstance(owner, Record) else getattr(owner, node.attr)
            case ast.BinOp():
                return self.binary(node.op, self.value(node.left), self.value(node.right))
            case ast.UnaryOp(op=ast.USub()):
                return self.negative(self.value(node.operand))
            case ast.UnaryOp(op=ast.Not()):
                test = self.truth(node.operand)
                return not test if isinstance(test, bool) else self.builder.not_(test)
            case ast.Compare(ops=[op], comparators=[right]):
                return self.compare(op, self.value(node.left), self.value(right))
            case ast.BoolOp() | ast.IfExp():
                return self.choice(node)
            case ast.Call():
                if node.keywords:
                    raise Untranslatable(f"{self.node.name}, line {node.lineno}: keyword arguments")
                return self.call(self.value(node.func), [self.value(a) for a in node.args])
        raise Untranslatable(f"{self.node.name}, line {node.lineno}: {type(node).__name__}")

    def read(self, record: Record, name: str) -> Any:
        """The value of a record's field."""
        value = self.builder.load(self.field(record, name))
        if record.fixed:
            value.set_metadata("invariant.load", self.builder.module.add_metadata([]))
        return value

    def field(self, record: Any, name: str) -> Any:
        """A pointer to a record's field."""
        kind, offset = record.dtype.fields[name][:2]
        address = self.builder.add(record.address, ir.Constant(I64, offset))
        return self.builder.inttoptr(address, (I64 if kind == np.int64 else F64).as_pointer())

    def binary(self, op: ast.operator, x: Any, y: Any) -> Any:
        if isinstance(x, (int, float)) and isinstance(y, (int, float)):
            return PLAIN[type(op)](x, y)
        kind = _common(x, y)
        kind = I64 if kind == I1 else kind
        if isinstance(op, ast.Div) and kind == I64:
            kind = F64
        table = INTEGER if kind == I64 else FLOAT
        if type(op) not in table:
            raise Untranslatable(f"{self.node.name}: {type(op).__name__} of {kind}")
        return getattr(self.builder, table[type(op)])(convert(self.builder, x, kind), convert(self.builder, y, kind))

    def negative(self, x: Any) -> Any:
        if isinstance(x, (int, float)):
            return -x
        x = convert(self.builder, x, I64) if x.type == I1 else x
        return self.builder.neg(x) if isinstance(x.type, ir.IntType) else self.builder.fneg(x)

    def compare(self, op: ast.cmpop, x: Any, y: Any) -> Any:
        kind, sign = _common(x, y), COMPARE[type(op)]
        x, y = convert(self.builder, x, kind), convert(self.builder, y, kind)
        if kind == I64:
            return self.builder.icmp_signed(sign, x, y)
        return self.builder.fcmp_unordered("!=", x, y) if sign == "!=" else self.builder.fcmp_ordered(sign, x, y)

    def truth(self, node: ast.expr, bits: bool = False) -> Any:
        """A condition: a bool, or a value of one bit; where `bits`, of what is one already."""
        value = self.choice(node, truth=True) if isinstance(node, ast.BoolOp) else self.value(node)
        if bits and not isinstance(value, bool) and getattr(value, "type", None) != I1:
            raise Untranslatable(f"{self.node.name}, line {node.lineno}: `and` or `or` of numbers, as a number")
        if isinstance(value, (int, float)):
            return bool(value)
        if value.type in (F32, F64):
            return self.builder.fcmp_unordered("!=", value, ir.Constant(value.type, 0.0))
        return value if value.type == I1 else self.builder.icmp_signed("!=", value, ir.Constant(value.type, 0))

    def choice(self, node: ast.BoolOp | ast.IfExp, truth: bool = False) -> Any:
        """`x if c else y`, `c and d`, `c or d` of conditions: what is not asked for is not evaluated."""
        bits = isinstance(node, ast.BoolOp) and not truth
        if isinstance(node, ast.IfExp):
            test, branches = self.truth(node.test), (node.body, node.orelse)
        else:
            rest = node.values[1] if len(node.values) == 2 else ast.BoolOp(node.op, node.values[1:])
            ast.copy_location(rest, node)
            test, is_and = self.truth(node.values[0], bits), isinstance(node.op, ast.And)
            branches = (rest, ast.Constant(False)) if is_and else (ast.Constant(True), rest)
        if isinstance(test, bool):
            taken = branches[0 if test else 1]
            return self.truth(taken, bits) if isinstance(node, ast.BoolOp) else self.value(taken)
        blocks = [self.builder.append_basic_block(x) for x in ("then", "else", "chosen")]
        self.builder.cbranch(test, *blocks[:2])
        values, ends = [], []
        for place, branch in zip(blocks, branches, strict=False):
            self.builder.position_at_end(place)
            values.append(self.value(branch) if isinstance(node, ast.IfExp) else self.bit(self.truth(branch, bits)))
            ends.append(self.builder.block)
        kind = _common(*values)
        for k, end in enumerate(ends):
            self.builder.position_at_end(end)
            values[k] = convert(self.builder, values[k], kind)
            self.builder.branch(blocks[2])
        self.builder.position_at_end(blocks[2])
        phi = self.builder.phi(kind)
        for value, end in zip(values, ends, strict=True):
            phi.add_incoming(value, end)
        return phi

    def bit(self, value: Any) -> Any:
        return ir.Constant(I1, value) if isinstance(value, bool) else value

    def call(self, function: Any, arguments: list[Any]) -> Any:
        if hasattr(function, "__emit__"):
            return inline(self.builder, function, *arguments)
        if function is float:
            return convert(self.builder, arguments[0], F64)
        if function in (min, max):
            return self.extreme("<" if function is min else ">", *arguments)
        if function is np.where:
            return self.where(*arguments)
        function = REPLACED.get(function, function)
        if function in C_LIBRARY:
            if len(arguments) != TWO.get(function, 1):
                raise Untranslatable(f"{self.node.name}: {len(arguments)} arguments of {brief(function)}")
            values = [convert(self.builder, a, F64) for a in arguments]
            return call(self.builder, C_LIBRARY[function], F64, *values)
        if inspect.isfunction(function):
            return type(self)(self.builder, self.entry, function).inline(arguments)
        raise Untranslatable(f"{self.node.name}: a call of {brief(function)}")

    def extreme(self, sign: str, x: Any, y: Any) -> Any:
        """Python's `min` and `max` of two: the second where it is beyond the first, so that a NaN in front stays."""
        kinds = {self.typed(v).type for v in (x, y)}
        if kinds not in ({I64}, {F64}):
            raise Untranslatable(f"{self.node.name}: min or max of {' and '.join(sorted(map(str, kinds)))}")
        x, y = self.typed(x), self.typed(y)
        compare = self.builder.icmp_signed if kinds == {I64} else self.builder.fcmp_ordered
        return self.builder.select(compare(sign, y, x), y, x)

    def where(self, c: Any, x: Any, y: Any) -> Any:
        if getattr(c, "type", None) != I1 and not isinstance(getattr(c, "type", None), ir.VectorType):
            raise Untranslatable(f"{self.node.name}: where of what is no comparison")
        kind = _common(x, y)
        return self.builder.select(c, convert(self.builder, x, kind), convert(self.builder, y, kind))


def _common(x: Any, y: Any) -> Any:
    """The LLVM type in which two values meet: vector, double, float, int64, truth."""
    kinds = [getattr(v, "type", None) for v in (x, y)]
    for kind in kinds:
        if isinstance(kind, ir.VectorType):
            return kind
    if F64 in kinds:
        return F64
    numbers = [v for v in (x, y) if isinstance(v, float)]
    if F32 in kinds:
        return F32
    if numbers:
        return F64
    return I1 if kinds == [I1, I1] else I64
