"""Kernels in a small part of Python, translated to LLVM IR: quicker by far than a general compiler, and as fast a code.

A kernel is a function of integers that gives nothing. It may use: integers and floats (`//` of numbers that are
not negative), names, tuples on both sides of `=`, `if`, `while`, `for … in range(…)`, `break`, `continue`,
`return`, conditional expressions, fields of records, building blocks (`blocks.block`), the functions of
`language`, and other plain functions, which are inlined. A variable keeps the type of its first value. Anything
else raises Untranslatable, naming the line.
"""

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
from flowgrad.executors._numba.language import C_LIBRARY, COMPARE, FLOAT, INTEGER, PLAIN, REPLACED, Function


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


def translate(function: Function, name: str, arguments: int) -> ir.Module:
    """A module with one function `name` of so many int64, without result."""
    module = ir.Module(name)
    compiled = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), name)
    entry = compiled.append_basic_block("entry")
    builder = ir.IRBuilder(compiled.append_basic_block("body"))
    start = builder.block
    _Body(builder, entry, function).inline(list(compiled.args))
    builder.ret_void()
    ir.IRBuilder(entry).branch(start)
    return module


class _Body:
    """One function's body, written at the builder's place."""

    def __init__(self, builder: Any, entry: Any, function: Function) -> None:
        self.builder, self.entry, self.function = builder, entry, function
        self.node = _definition(function)
        self.variables: dict[str, Any] = {}  # name → alloca, or Record
        self.outer = inspect.getclosurevars(function)
        self.loops: list[tuple[Any, Any]] = []
        self.result: Any = None

    def inline(self, arguments: list[Any]) -> Any:
        """The body with these values for its arguments; gives what it returns."""
        names = [a.arg for a in self.node.args.args]
        if len(names) != len(arguments):
            raise Untranslatable(f"{self.node.name} takes {len(names)} arguments")
        for name, value in zip(names, arguments, strict=True):
            self.assign(name, value)
        self.exit = self.builder.append_basic_block(f"{self.node.name}.exit")
        self.statements(self.node.body)
        if not self.builder.block.is_terminated:
            self.builder.branch(self.exit)
        self.builder.position_at_end(self.exit)
        return None if self.result is None else self.builder.load(self.result)

    # ---- variables ------------------------------------------------------------------------------------------

    def allocate(self, kind: Any, name: str) -> Any:
        return ir.IRBuilder(self.entry).alloca(kind, name=name)

    def assign(self, name: str, value: Any) -> None:
        if isinstance(value, Record):
            self.variables[name] = value
            return
        place = self.variables.get(name)
        if place is None:
            value = self.typed(value)
            place = self.variables[name] = self.allocate(value.type, name)
        self.builder.store(convert(self.builder, value, place.allocated_type), place)

    def typed(self, value: Any) -> Any:
        """A Python number as a value: int64, double or truth."""
        if isinstance(value, (bool, int, float)):
            kind = I1 if isinstance(value, bool) else I64 if isinstance(value, int) else F64
            return ir.Constant(kind, value)
        return value

    def look_up(self, name: str) -> Any:
        place = self.variables.get(name)
        if isinstance(place, Record):
            return place
        if place is not None:
            return self.builder.load(place)
        for scope in (self.outer.nonlocals, self.outer.globals, self.outer.builtins):
            if name in scope:
                return scope[name]
        raise Untranslatable(f"{self.node.name}: unknown name {brief(name)}")

    # ---- statements -----------------------------------------------------------------------------------------

    def statements(self, body: list[ast.stmt]) -> None:
        for node in body:
            if self.builder.block.is_terminated:
                return
            method = getattr(self, f"on_{type(node).__name__}", None)
            if method is None:
                raise Untranslatable(f"{self.node.name}, line {node.lineno}: {type(node).__name__}")
            method(node)

    def on_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value)

    def on_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Tuple):
                assert isinstance(node.value, ast.Tuple)
                values = [self.value(v) for v in node.value.elts]
                for one, value in zip(target.elts, values, strict=True):
                    self.store(one, value)
            else:
                self.store(target, self.value(node.value))

    def on_AugAssign(self, node: ast.AugAssign) -> None:
        assert isinstance(node.target, ast.Name)
        self.assign(node.target.id, self.binary(node.op, self.look_up(node.target.id), self.value(node.value)))

    def store(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self.assign(target.id, value)
        elif isinstance(target, ast.Attribute):
            record = self.value(target.value)
            if record.fixed:
                raise Untranslatable(f"{self.node.name}, line {target.lineno}: {target.attr} is fixed")
            self.builder.store(convert(self.builder, value, I64), self.field(record, target.attr))
        else:
            raise Untranslatable(f"{self.node.name}, line {target.lineno}: {type(target).__name__}")

    def on_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            value = self.typed(self.value(node.value))
            if self.result is None:
                self.result = self.allocate(value.type, "result")
            self.builder.store(convert(self.builder, value, self.result.allocated_type), self.result)
        self.builder.branch(self.exit)

    def on_If(self, node: ast.If) -> None:
        test = self.truth(node.test)
        if isinstance(test, bool):
            self.statements(node.body if test else node.orelse)
            return
        then, otherwise, after = (self.builder.append_basic_block(x) for x in ("then", "else", "endif"))
        self.builder.cbranch(test, then, otherwise)
        for place, body in ((then, node.body), (otherwise, node.orelse)):
            self.builder.position_at_end(place)
            self.statements(body)
            if not self.builder.block.is_terminated:
                self.builder.branch(after)
        self.builder.position_at_end(after)

    def on_While(self, node: ast.While) -> None:
        self.loop(lambda: self.truth(node.test), node.body, lambda: None)

    def on_For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call)
        assert isinstance(node.target, ast.Name)
        bounds = [self.value(a) for a in node.iter.args]
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1) if len(bounds) == 2 else bounds
        name = node.target.id
        counter = self.allocate(I64, f"{name}.count")
        self.builder.store(convert(self.builder, start, I64), counter)
        end = convert(self.builder, stop, I64)

        def test() -> Any:
            return self.builder.icmp_signed("<" if step > 0 else ">", self.builder.load(counter), end)

        def advance() -> None:
            self.builder.store(self.builder.add(self.builder.load(counter), ir.Constant(I64, step)), counter)

        self.loop(test, node.body, advance, lambda: self.assign(name, self.builder.load(counter)))

    def loop(self, test: Any, body: list[ast.stmt], advance: Any, enter: Any = lambda: None) -> None:
        head, inside, tail, after = (self.builder.append_basic_block(x) for x in ("head", "loop", "next", "done"))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        going = test()
        self.builder.cbranch(convert(self.builder, going, I1), inside, after)
        self.builder.position_at_end(inside)
        self.loops.append((tail, after))
        enter()
        self.statements(body)
        self.loops.pop()
        if not self.builder.block.is_terminated:
            self.builder.branch(tail)
        self.builder.position_at_end(tail)
        advance()
        self.builder.branch(head)
        self.builder.position_at_end(after)

    def on_Break(self, node: ast.Break) -> None:
        self.builder.branch(self.loops[-1][1])

    def on_Continue(self, node: ast.Continue) -> None:
        self.builder.branch(self.loops[-1][0])

    def on_Pass(self, node: ast.Pass) -> None:
        pass

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
        if isinstance(op, ast.Div) and kind == I64:
            kind = F64
        table = INTEGER if kind == I64 else FLOAT
        if type(op) not in table:
            raise Untranslatable(f"{self.node.name}: {type(op).__name__} of {kind}")
        return getattr(self.builder, table[type(op)])(convert(self.builder, x, kind), convert(self.builder, y, kind))

    def negative(self, x: Any) -> Any:
        if isinstance(x, (int, float)):
            return -x
        return self.builder.neg(x) if isinstance(x.type, ir.IntType) else self.builder.fneg(x)

    def compare(self, op: ast.cmpop, x: Any, y: Any) -> Any:
        kind, sign = _common(x, y), COMPARE[type(op)]
        x, y = convert(self.builder, x, kind), convert(self.builder, y, kind)
        if kind == I64:
            return self.builder.icmp_signed(sign, x, y)
        return self.builder.fcmp_unordered("!=", x, y) if sign == "!=" else self.builder.fcmp_ordered(sign, x, y)

    def truth(self, node: ast.expr) -> Any:
        """A condition: a bool, or a value of one bit."""
        value = self.value(node)
        if isinstance(value, (bool, int)):
            return bool(value)
        return value if value.type == I1 else self.builder.icmp_signed("!=", value, ir.Constant(value.type, 0))

    def choice(self, node: ast.BoolOp | ast.IfExp) -> Any:
        """`x if c else y`, `c and d`, `c or d`: what is not asked for is not evaluated."""
        if isinstance(node, ast.IfExp):
            test, branches = self.truth(node.test), (node.body, node.orelse)
        else:
            rest = node.values[1] if len(node.values) == 2 else ast.BoolOp(node.op, node.values[1:])
            test, is_and = self.truth(node.values[0]), isinstance(node.op, ast.And)
            branches = (rest, ast.Constant(False)) if is_and else (ast.Constant(True), rest)
        if isinstance(test, bool):
            return self.value(branches[0 if test else 1])
        blocks = [self.builder.append_basic_block(x) for x in ("then", "else", "chosen")]
        self.builder.cbranch(test, *blocks[:2])
        values, ends = [], []
        for place, branch in zip(blocks, branches, strict=False):
            self.builder.position_at_end(place)
            values.append(self.value(branch) if isinstance(node, ast.IfExp) else self.bit(self.truth(branch)))
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
            x, y = (convert(self.builder, a, I64) for a in arguments)
            return self.builder.select(self.builder.icmp_signed("<" if function is min else ">", x, y), x, y)
        if function is np.where:
            return self.where(*arguments)
        function = REPLACED.get(function, function)
        if function in C_LIBRARY:
            values = [convert(self.builder, a, F64) for a in arguments]
            return call(self.builder, C_LIBRARY[function], F64, *values)
        if inspect.isfunction(function):
            return _Body(self.builder, self.entry, function).inline(arguments)
        raise Untranslatable(f"{self.node.name}: a call of {brief(function)}")

    def where(self, c: Any, x: Any, y: Any) -> Any:
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
