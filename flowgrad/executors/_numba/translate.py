"""Kernels in a small part of Python, translated to LLVM IR: quicker by far than a general compiler, and as fast a code.

A kernel is a function of integers that gives nothing. It may use: integers and floats (`//` of numbers that are
not negative), names, tuples on both sides of `=`, `if`, `while`, `for … in range(…)`, `break`, `continue`,
`return`, conditional expressions, fields of records, building blocks (`blocks.block`), the functions of
`language`, and other plain functions, which are inlined. A variable keeps the type of its first value, and has one
wherever it is read; `min` and `max` are of two numbers of one type. Anything else raises Untranslatable, naming the
line.
"""

from __future__ import annotations

import ast
from typing import Any

from llvmlite import ir

from flowgrad.errors import brief
from flowgrad.executors._numba import machine
from flowgrad.executors._numba.blocks import F64, I1, I64, convert
from flowgrad.executors._numba.language import Function
from flowgrad.executors._numba.values import Untranslatable, Values


def translate(function: Function, name: str, arguments: int) -> ir.Module:
    """A module with one function `name` of so many int64, without result."""
    module = ir.Module(name)
    compiled = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), name)
    entry = compiled.append_basic_block("entry")
    builder = ir.IRBuilder(compiled.append_basic_block("body"))
    start = builder.block
    _inlined(builder, entry, function, list(compiled.args))
    builder.ret_void()
    ir.IRBuilder(entry).branch(start)
    return module


def check_formula(function: Function, arguments: int = 1) -> None:
    """Raise Untranslatable unless this function of float64 that gives one can be translated, and is valid code then."""
    module = ir.Module("formula")
    compiled = ir.Function(module, ir.FunctionType(F64, [F64] * arguments), "formula")
    entry = compiled.append_basic_block("entry")
    builder = ir.IRBuilder(compiled.append_basic_block("body"))
    start = builder.block
    value = _inlined(builder, entry, function, list(compiled.args))
    if value is None:
        raise Untranslatable(f"{brief(function)} returns nothing")
    builder.ret(convert(builder, value, F64))
    ir.IRBuilder(entry).branch(start)
    try:
        machine.check(module)
    except RuntimeError as error:
        raise Untranslatable(f"{brief(function)}: {brief(str(error))}") from None


def _inlined(builder: Any, entry: Any, function: Function, arguments: list[Any]) -> Any:
    """What a function returns of these values, written at the builder's place; whatever fails is Untranslatable."""
    try:
        return _Body(builder, entry, function).inline(arguments)
    except Untranslatable:
        raise
    except Exception as error:  # Python that the methods below do not foresee
        raise Untranslatable(f"{brief(function)}: {type(error).__name__}: {brief(str(error))}") from error


class _Body(Values):
    """One function's body, written at the builder's place."""

    def inline(self, arguments: list[Any]) -> Any:
        """The body with these values for its arguments; gives what it returns."""
        taken = self.node.args
        names = [a.arg for a in taken.args]
        if len(names) != len(arguments) or taken.vararg or taken.kwarg or taken.kwonlyargs or taken.posonlyargs:
            raise Untranslatable(f"{self.node.name} takes {len(names)} arguments")
        for name, value in zip(names, arguments, strict=True):
            self.assign(name, value)
        self.exit = self.builder.append_basic_block(f"{self.node.name}.exit")
        self.statements(self.node.body)
        if not self.builder.block.is_terminated:
            if self.result is not None:
                raise Untranslatable(f"{self.node.name}: not every path returns a value")
            self.builder.branch(self.exit)
        self.builder.position_at_end(self.exit)
        return None if self.result is None else self.builder.load(self.result)

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
            given = self.value(node.value)
            value = self.typed(given)
            if self.result is None:
                self.result = self.allocate(value.type, "result")
            self.put(given, self.result, "its result")
        elif self.result is not None:
            raise Untranslatable(f"{self.node.name}: not every path returns a value")
        self.builder.branch(self.exit)

    def on_If(self, node: ast.If) -> None:
        test = self.truth(node.test)
        if isinstance(test, bool):
            self.statements(node.body if test else node.orelse)
            return
        then, otherwise, after = (self.builder.append_basic_block(x) for x in ("then", "else", "endif"))
        self.builder.cbranch(test, then, otherwise)
        before, ways = self.bound, []
        for place, body in ((then, node.body), (otherwise, node.orelse)):
            self.bound = set(before)
            self.builder.position_at_end(place)
            self.statements(body)
            if not self.builder.block.is_terminated:
                self.builder.branch(after)
                ways.append(self.bound)
        self.builder.position_at_end(after)
        if ways:
            self.bound = set.intersection(*ways)
        else:
            self.builder.unreachable()

    def on_While(self, node: ast.While) -> None:
        self.no_else(node)
        self.loop(lambda: self.truth(node.test), node.body, lambda: None)

    def no_else(self, node: ast.For | ast.While) -> None:
        if node.orelse:
            raise Untranslatable(f"{self.node.name}, line {node.lineno}: else after a loop")

    def on_For(self, node: ast.For) -> None:
        self.no_else(node)
        assert isinstance(node.target, ast.Name)
        if not isinstance(node.iter, ast.Call) or self.value(node.iter.func) is not range:
            raise Untranslatable(f"{self.node.name}, line {node.lineno}: a loop over what is no range")
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
        before, self.bound = self.bound, set(self.bound)
        enter()
        self.statements(body)
        self.bound = before
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
