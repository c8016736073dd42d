"""Write a network as one C99 file with a function that computes one sample and includes nothing but <math.h>.

The graph is stored in tables over which one loop runs, so that only the tables grow with the network. Consecutive
neurons with the same predecessors in the same order share one list. Neurons on which no output depends are omitted.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgrad.errors import GraphError, brief
from flowgrad.format import Format
from flowgrad.formats._c_functions import AGGREGATIONS
from flowgrad.inspection.local import reached
from flowgrad.maths.expression import C_HELPERS, in_c
from flowgrad.network import Network
from flowgrad.plan import Plan, lower
from flowgrad.registry import is_own, singular

Array = npt.NDArray[Any]
STACK = 1 << 14  # maximal length of an array on the stack; a larger array is static


def write(net: Network, path: Path) -> Mapping[str, bytes]:
    """Return the C file with the function `void STEM_predict(const double *x, double *y)`, as {file name: content}.

    The function computes the outputs y of one sample x, both in the order of the network's inputs and outputs. STEM is
    the file's name without its suffix; characters other than letters, digits and _ are replaced by _. A comment at the
    top lists inputs and outputs by index. Numbers are written as decimals that are read back bit-identically.

    Args:
        net: the network.
        path: path of the file, which gives its name.

    Raises:
        GraphError: an activation has no expression, or an aggregation is user-defined.
    """
    plan = lower(net)
    tables = _tables(plan)
    ids = [net.columns.ids[k] for k in plan.nodes.tolist()]
    name = f"{_stem(path)}_predict"
    kinds = (
        ("activations", tables.activation, plan.activations),
        ("aggregations", tables.aggregation, plan.aggregations),
    )
    used = {kind: _used(kind, codes, records, tables, ids) for kind, codes, records in kinds}
    most = int(tables.fan_in.max(initial=1))
    parts = [_head(net, name, tables, ids), "#include <math.h>\n", *_constants(plan, tables, used, ids)]
    parts += _functions(used, most, _kind(tables.source) if len(tables.source) else "int")
    parts.append(_predict(name, plan, tables, used))
    return {path.name: "\n".join(parts).encode("utf-8", "replace")}


@dataclass(frozen=True)
class _Tables:
    """Hold the N neurons on which an output depends, and their edges.

    neurons                  (N,) positions in the plan
    activation, aggregation  (N,) codes of the plan
    first, fan_in            (N,): source[first[v]] … are the predecessors of neuron v, fan_in[v] of them
    source                   (S,) indices of their values: inputs, then neurons
    weight                   (E,), neuron by neuron
    outputs                  (O,) indices of the outputs' values
    """

    neurons: Array
    activation: Array
    aggregation: Array
    first: Array
    fan_in: Array
    source: Array
    weight: Array
    outputs: Array


def _tables(plan: Plan) -> _Tables:
    kept = reached(plan) | (plan.activation < 0)
    place = np.cumsum(kept) - 1
    neurons = np.flatnonzero(kept & (plan.activation >= 0))
    fan_in = np.diff(plan.in_ptr)
    into = np.repeat(kept & (plan.activation >= 0), fan_in)
    source, fan_in = place[plan.in_source[into]], fan_in[neurons]
    ends = np.cumsum(fan_in)
    first, blocks, length, before = np.zeros(len(neurons), np.int64), [], 0, np.empty(0, np.int64)
    for v, (start, end) in enumerate(zip((ends - fan_in).tolist(), ends.tolist(), strict=True)):
        mine = source[start:end]
        if len(mine) != len(before) or (mine != before).any():
            before = mine
            blocks.append(mine)
            length += len(mine)
        first[v] = length - len(mine)
    return _Tables(
        neurons=neurons,
        activation=plan.activation[neurons],
        aggregation=plan.aggregation[neurons],
        first=first,
        fan_in=fan_in,
        source=np.concatenate([*blocks, np.empty(0, np.int64)]).astype(np.int64),
        weight=plan.weight[into],
        outputs=place[plan.outputs],
    )


# ---- text ---------------------------------------------------------------------------------------------------


def _stem(path: Path) -> str:
    stem = re.sub(r"[^A-Za-z0-9_]", "_", path.name.removesuffix(path.suffix))
    return stem if re.match("[A-Za-z]", stem) else f"net_{stem.lstrip('_')}"


def quoted(name: Hashable) -> str:
    """Format an id for a C comment; text is quoted.

    Nothing in the result ends the comment, splices lines or forms a trigraph.

    >>> print(quoted("a */ b"), quoted("??/"), quoted(("h", 1)))
    "a *\\/ b" "?\\?/" ('h', 1)
    """
    said, quote = (name, '"') if isinstance(name, str) else (repr(name), "")
    shown = "".join(c if c.isprintable() and c not in f"{quote}\\" else _escaped(c) for c in said)
    for bad, good in (("*/", "*\\/"), ("/*", "/\\*"), ("??", "?\\?"), ("??", "?\\?")):
        shown = shown.replace(bad, good)
    return f"{quote}{shown}{quote}"


def _escaped(c: str) -> str:
    plain = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return plain.get(c) or (f"\\{c}" if c in '"\\' else f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}")


def _head(net: Network, name: str, tables: _Tables, ids: Sequence[Hashable]) -> str:
    from flowgrad import __version__

    I, O, N = len(net.inputs), len(net.outputs), len(tables.neurons)
    lines = [
        f"A network of {N:,} neurons and {len(tables.weight):,} edges, written by flowgrad {__version__}.",
        "",
        f"    void {name}(const double *x, double *y);",
        "",
        f"gives of one sample, the {_counted(I, 'input', 'x')}, the {_counted(O, 'output', 'y')}.",
        f"C99, with <math.h> only. {_threads(I + N)}",
        "",
        *(f"x[{k}]  {quoted(v)}" for k, v in enumerate(net.inputs)),
        "",
        *(f"y[{k}]  {quoted(v)}" for k, v in enumerate(net.outputs)),
    ]
    return "/*" + "\n".join(f" * {line}".rstrip() for line in lines)[2:] + "\n */\n"


def _counted(n: int, noun: str, array: str) -> str:
    return f"{noun} {array}[0]" if n == 1 else f"{noun}s {array}[0] ... {array}[{n - 1}]"


def _threads(n: int) -> str:
    return f"Its {n:,} values are static: one call at a time." if n > STACK else "It may be called from any thread."


def _constants(plan: Plan, t: _Tables, used: Mapping[str, list[Any]], ids: Sequence[Hashable]) -> list[str]:
    """Return the C code of the tables, without those that would hold one value only."""
    N = len(t.neurons)
    if not N:
        return [_array("output", "int", t.outputs)]
    bias = zip(plan.bias[t.neurons].tolist(), t.neurons.tolist(), strict=True)
    rows = "\n".join(f"    {b!r}, /* {quoted(ids[v])} */" for b, v in bias)
    parts = [f"static const double bias[{N}] = {{\n{rows}\n}};\n"]
    if len(t.weight):
        if (plan.response[t.neurons] != 1.0).any():
            parts.append(_array("response", "double", plan.response[t.neurons]))
        parts.append(_array("weight", "double", t.weight))
        parts += [_array("source", "int", t.source), _array("first", "int", t.first), _array("fan_in", "int", t.fan_in)]
    for kind, codes, records in (
        ("activations", t.activation, plan.activations),
        ("aggregations", t.aggregation, plan.aggregations),
    ):
        if len(used[kind]) > 1:
            number = [used[kind].index(record) if record in used[kind] else 0 for record in records]
            parts.append(_array(singular(kind), "int", np.array(number)[codes]))
    parts.append(_array("output", "int", t.outputs))
    return parts


def _kind(values: Array) -> str:
    """Return the smallest integer type that holds the values, of those that C promotes to int."""
    return "unsigned char" if values.max() < 1 << 8 else "unsigned short" if values.max() < 1 << 16 else "int"


def _array(name: str, kind: str, values: Array) -> str:
    rows = [values[k : k + 12].tolist() for k in range(0, len(values), 12)]
    said = ",\n".join("    " + ", ".join(map(repr, row)) for row in rows)
    return f"static const {kind if kind == 'double' else _kind(values)} {name}[{len(values)}] = {{\n{said}\n}};\n"


# ---- functions ----------------------------------------------------------------------------------------------


def _used(kind: str, codes: Array, records: Sequence[Any], t: _Tables, ids: Sequence[Hashable]) -> list[Any]:
    """Return the records of the functions that occur.

    Raises:
        GraphError: a function that has no form in C.
    """
    if kind == "aggregations":
        codes = codes[t.fan_in > 0]  # without in-edges every aggregation is 0
    found: list[Any] = []
    for code in np.unique(codes).tolist():
        record = records[code]
        if not _has_form(kind, record):
            v = t.neurons[np.flatnonzero((t.activation if kind == "activations" else t.aggregation) == code)[0]]
            raise GraphError(f"neuron {brief(ids[v])}: the {singular(kind)} {record.name!r} has no form in C")
        found += [record] if record not in found else []
    return found


def _has_form(kind: str, record: Any) -> bool:
    if kind == "activations":
        return record.expression is not None
    return record.name in AGGREGATIONS and is_own(kind, record)


def _called(kind: str, known: Sequence[Any]) -> list[str]:
    """Return the names of the functions in C, all distinct."""
    names: list[str] = []
    for k, record in enumerate(known):
        name = f"{kind}_{re.sub('[^a-z0-9_]', '_', record.name[:60])}"
        names.append(f"{name}_{k}_" if name in names else name)
    return names


def _functions(used: Mapping[str, list[Any]], most: int, place: str) -> list[str]:
    """Return the C code of the functions that occur; `place` is the type of `source`."""
    bodies = [in_c(sigma.expression[0]) for sigma in used["activations"]]
    parts = [text for name, text in C_HELPERS.items() if any(f"{name}(" in body for body in bodies)]
    for name, body in zip(_called("activation", used["activations"]), bodies, strict=True):
        parts.append(f"static double {name}(double z)\n{{\n    {body}\n}}\n")
    for name, agg in zip(_called("aggregation", used["aggregations"]), used["aggregations"], strict=True):
        body = AGGREGATIONS[agg.name]
        body = body.replace("{storage}", "static " if most > STACK else "").replace("{most}", str(most))
        head = f"static double {name}(int n, const double *w, const {place} *s, const double *a)"
        parts.append(f"{head}\n{{\n    int k;\n{body}\n}}\n")
    return parts


def _choice(kind: str, known: list[Any], call: str) -> str:
    """Return a call of the only function, or a switch over the neuron's function code."""
    *names, last = _called(kind, known)
    if not names:
        return f"{call.format(f=last)};"
    cases = [f"case {k}: {call.format(f=name)}; break;" for k, name in enumerate(names)]
    cases.append(f"default: {call.format(f=last)};")
    return f"switch ({kind}[v]) {{\n        " + "\n        ".join(cases) + "\n        }"


def _predict(name: str, plan: Plan, t: _Tables, used: Mapping[str, list[Any]]) -> str:
    I, N, O = len(plan.inputs), len(t.neurons), len(t.outputs)
    lines = [
        f"void {name}(const double *x, double *y)",
        "{",
        f"    {'static ' if I + N > STACK else ''}double a[{I + N}]; /* the values of inputs, then of neurons */",
        *(["    const double *w = weight;"] if len(t.weight) else []),
        "    int v;",
        f"    for (v = 0; v < {I}; v++) a[v] = x[v];",
    ]
    if N:
        lines += [f"    for (v = 0; v < {N}; v++) {{", "        double z = bias[v];"]
        if len(t.weight):
            m = "response[v] * {f}" if (plan.response[t.neurons] != 1.0).any() else "{f}"
            call = _choice("aggregation", used["aggregations"], f"z += {m}(fan_in[v], w, source + first[v], a)")
            lines += [f"        if (fan_in[v]) {call}", "        w += fan_in[v];"]
        lines += [f"        {_choice('activation', used['activations'], f'a[{I} + v] = {{f}}(z)')}", "    }"]
    return "\n".join([*lines, f"    for (v = 0; v < {O}; v++) y[v] = a[output[v]];", "}", ""])


entry = Format(
    name="c",
    suffixes=(".c",),
    summary="one C file: a function of one sample, with <math.h> only",
    write=write,
)
