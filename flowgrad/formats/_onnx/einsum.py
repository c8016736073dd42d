"""Read Einsum of one or two operands: multiply entries, and sum over the letters that the result lacks."""

from __future__ import annotations

from string import ascii_letters

import numpy as np

from flowgrad.formats._onnx.composed import mul
from flowgrad.formats._onnx.node import Node, Operator
from flowgrad.formats._onnx.values import Constant, Signals, Value, gathered, view


def _einsum(node: Node) -> Value:
    operands = [value for value in node.inputs if value is not None]
    terms, result = _parsed(node, [len(v.shape) for v in operands])
    _keeps_samples_apart(node, operands, terms, result)
    sizes: dict[str, int] = {}
    for value, term in zip(operands, terms, strict=True):
        for letter, size in zip(term, value.shape, strict=True):
            known = sizes.setdefault(letter, size)
            if size != known and letter in ascii_letters and 1 not in (size, known):
                node.refuse(f"{letter!r} is {known} and {size} entries long")
            sizes[letter] = max(size, known)
    lost = [letter for letter in sizes if letter not in result]
    order = [*result, *lost]
    node.budget(*sizes.values())
    whole = [_aligned(v, term, order) for v, term in zip(operands, terms, strict=True)]
    if all(isinstance(v, Constant) for v in whole):
        node.refuse("of constants is not read")
    found = whole[0] if len(whole) == 1 else mul(node, *whole)
    if not lost:
        return found
    shape = tuple(sizes[letter] for letter in result)
    full = (*shape, *(sizes[letter] for letter in lost))
    flat = view(found, lambda v: np.broadcast_to(v, full).reshape(*shape, -1))
    assert isinstance(flat, Signals)
    return gathered(node.net, flat, node.label)


def _parsed(node: Node, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """Return the letters of each operand and of the result; axes of an ellipsis are numbers, from the back."""
    equation = str(node.attribute("equation")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    given = left.split(",")
    if len(given) != len(ranks):
        node.refuse(f"equation {equation!r} is of {len(given)} operands, and {len(ranks)} are given")
    terms = []
    for text, rank in zip(given, ranks, strict=True):
        before, dots, behind = text.partition("...")
        rest = rank - len(before) - len(behind)
        if rest < 0 or (rest and not dots):
            node.refuse(f"equation {equation!r}: {text!r} is of another number of axes than {rank}")
        terms.append([*before, *(str(k) for k in range(rest, 0, -1)), *behind])
    every = [letter for term in terms for letter in term]
    dotted = sorted({letter for letter in every if letter.isdigit()}, key=int, reverse=True)
    if arrow:
        before, dots, behind = right.partition("...")
        result = [*before, *(dotted if dots else ()), *behind]
    else:
        result = [*dotted, *sorted({letter for letter in every if letter.isalpha() and every.count(letter) == 1})]
    for term in (*terms, result):
        odd = next((c for c in term if c not in ascii_letters and not c.isdigit()), None)
        if odd is not None or len(set(term)) < len(term):
            node.refuse(f"equation {equation!r} has {f'the sign {odd!r}' if odd else 'a letter twice in one term'}")
    if not set(result) <= set(every):
        node.refuse(f"equation {equation!r}: the result has a letter that no operand has")
    return terms, result


def _keeps_samples_apart(node: Node, operands: list[Value], terms: list[list[str]], result: list[str]) -> None:
    """Refuse an equation that sums over the batch axis, moves it, or has its letter in a constant."""
    if node.batch is None:
        return
    of = {(term or [""])[0] for value, term in zip(operands, terms, strict=True) if isinstance(value, Signals)}
    fixed = {c for value, term in zip(operands, terms, strict=True) if isinstance(value, Constant) for c in term}
    if of != {(result or [""])[0]} or of & fixed:
        node.refuse("mixes samples, or moves the batch from the first axis: read one whole input with batch=False")


def _aligned(value: Value, term: list[str], order: list[str]) -> Value:
    """Return the operand with one axis for each letter of `order`, of length 1 for letters that it lacks."""
    places = [term.index(letter) for letter in order if letter in term]
    lengths = [value.shape[term.index(letter)] if letter in term else 1 for letter in order]
    return view(value, lambda v: v.transpose(places).reshape(lengths))


OPERATORS = {"Einsum": Operator(_einsum, (1, 2), {"equation": str})}
