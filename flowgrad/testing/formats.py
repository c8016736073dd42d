"""Test file formats: write networks and compare what is read again, and give damaged files to the reader.

`Trial(format, suffix, folder)` determines by trial which ids and functions a format supports, adapts random networks to
them, and compares what is read again with what the format's record declares (`Format.keeps`). `damaged` makes files
that a reader must either read or refuse with a `FlowgradError`.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from flowgrad.errors import FileWarning, FlowgradError
from flowgrad.files import load, save
from flowgrad.format import Format
from flowgrad.network import Network
from flowgrad.registry import names
from flowgrad.testing.strategies import Case

HARD_IDS: Mapping[str, str] = {
    "plain": "plain",
    "blank": "two words",
    "blank ends": " lead and trail ",
    "pipe": "a|b",
    "unicode": "ünï→cödé 𝒙 \u0301",
    "right to left": "\u202eabc\u202c",
    "quotation mark": 'quo"ted',
    "apostrophe": "it's",
    "comma": "comma,",
    "semicolon": "a;b",
    "line feed": "two\nlines",
    "carriage return": "two\rlines",
    "both": "two\r\nlines",
    "tab": "a\tb",
    "line separator": "a\u2028b",
    "next line": "a\x85b",
    "byte-order mark": "\ufeffa",
    "not a character": "a\ufffeb",
    "script": "</script><script>alert(1)</script>",
    "sql": '"; DROP TABLE nodes; --',
    "colon": "a:b",
    "markup": "<b>&amp;</b>",
    "closing": "]]>",
    "backslash": "back\\slash\\n\\",
    "path": "../../etc/passwd",
    "format": "{0} %s ${x}",
    "formula": "=1+1",
    "number": "007",
    "float": "1e5",
    "nan": "nan",
    "null": "null",
    "true": "True",
    "comment": "# a",
    "empty": "",
    "blank only": " ",
    "NUL": "a\0b",
    "escape": "a\x1bb",
    "delete": "a\x7fb",
    "lone surrogate": "a\ud800b",
    "4 KB": "x" * 4096,
    "4 KB of unicode": "é" * 2048,
}
"""Ids that a format must either return unchanged, or refuse with an error that names them."""

Naming = Callable[[int, bool], Hashable]
NAMINGS: Mapping[str, Naming] = {
    "text": lambda k, is_input: f"n{k}",
    "integers": lambda k, is_input: -1 - k if is_input else k,
    "genes": lambda k, is_input: f"n{k}_gene" if is_input else f"n{k}",
    "tuples": lambda k, is_input: ("n", k),
}


@dataclass(frozen=True)
class Trial:
    """A file format under test, with one of its suffixes; files are written to `net<suffix>` in `folder`."""

    format: Format
    suffix: str
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"net{self.suffix}"

    def there_and_back(self, network: Network) -> Network:
        """Write the network, in float64 if the format has a choice, and return the network that is read again."""
        assert self.format.write is not None
        wide: dict[str, Any] = {"dtype": "float64"} if "dtype" in signature(self.format.write).parameters else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileWarning)  # of data that the format is not meant to hold
            save(network, self.path, self.format.name, **wide)
        return load(self.path, self.format.name)

    def takes(self, network: Network) -> bool:
        """Return whether the format can write and read a network; the ids must be equal, unless it keeps "outputs"."""
        try:
            again = self.there_and_back(network)
        except FlowgradError:
            return False
        return self.format.keeps == "outputs" or set(again.columns.ids) == set(network.columns.ids)

    @cached_property
    def naming(self) -> tuple[str, ...]:
        """Names of those entries of `NAMINGS`, ways to name nodes, that the format supports."""
        return tuple(name for name in NAMINGS if self.takes(small(NAMINGS[name])))

    @cached_property
    def functions(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the activations and aggregations that the format supports, by kind."""
        return {kind: self._taken(kind) for kind in ("activations", "aggregations")}

    def _taken(self, kind: str) -> tuple[str, ...]:
        """Return the functions of a kind that the format supports, trying first all at once and then each by itself."""
        name, known = NAMINGS[self.naming[0]], names(kind)
        if self.takes(_of_each(name, kind, known)):
            return tuple(known)
        return tuple(f for f in known if self.takes(small(name, **{kind[:-1]: f})))

    def suited(self, case: Case, naming: str) -> Case:
        """Return the case with its nodes named by an entry of `NAMINGS`, and its params converted to str."""
        name = NAMINGS[naming]
        ids = {v: name(k, v in case.inputs) for k, (v, _) in enumerate(case.nodes)}
        edges = tuple((ids[u], ids[v], _with_text(given)) for u, v, given in case.edges)
        nodes = tuple((ids[v], given) for v, given in case.nodes)
        ends = (tuple(ids[v] for v in some) for some in (case.inputs, case.outputs))
        return replace(case, nodes=nodes, edges=edges, **dict(zip(("inputs", "outputs"), ends, strict=True)))

    def lost(self, before: Network, after: Network) -> list[str]:
        """List the parts of a network that the format should keep, but that differ after reading."""
        if self.format.keeps == "outputs":
            return [] if _same_outputs(before, after) else ["outputs"]
        wanted, found = (_view(network, str(self.format.keeps)) for network in (before, after))
        return [name for name in wanted if wanted[name] != found[name]]


def small(name: Naming, activation: str = "identity", aggregation: str = "sum") -> Network:
    """Return a network of the edges x → h, h → y and x → y, in which h and y have these functions."""
    x, h, y = (name(k, k == 0) for k in range(3))
    net = Network()
    net.add_input(x)
    net.add_neuron(h, {x: 0.5}, bias=0.25, activation=activation, aggregation=aggregation)
    net.add_neuron(y, {h: -1.5, x: 2.0}, bias=-0.125, activation=activation, aggregation=aggregation)
    net.set_outputs([y])
    return net


def _of_each(name: Naming, kind: str, functions: Sequence[str]) -> Network:
    """Return a chain that starts at x, with one neuron for each function of a kind; x has an edge to each neuron."""
    net, x = Network(), name(0, True)
    net.add_input(x)
    before: dict[Hashable, float] = {}
    for k, function in enumerate(functions, 1):
        given: dict[str, Any] = {"activation": "identity", kind[:-1]: function}
        net.add_neuron(name(k, False), {x: 0.5} | before, bias=0.25, **given)
        before = {name(k, False): -1.5}
    net.set_outputs(list(before))
    return net


def _with_text(given: dict[str, Any]) -> dict[str, Any]:
    return given | {"param": str(given["param"])} if "param" in given else given


def _view(network: Network, keeps: str) -> dict[str, Any]:
    """Return, by name, the parts of a network that a format with this value of `Format.keeps` must preserve."""
    c, graph = network.columns, network.graph
    edges = c.ends
    seen: dict[str, Any] = {"edges": sorted(edges, key=repr)}
    if keeps == "edges":
        return seen
    weights = dict(zip(edges, map(float.hex, c.weights.tolist()), strict=True))
    seen["weights"] = weights
    if keeps == "weights":
        return seen
    functions = ("activation", "aggregation", "bias", "response")
    nodes: dict[Hashable, Any] = {
        v: {key: _exact(x) for key, x in attributes.items() if key in functions or keeps != "functions"}
        for v, attributes in graph.nodes.items()
    }
    if keeps == "functions":  # without in-edges the aggregation has no effect
        nodes = {v: {k: x for k, x in a.items() if k != "aggregation" or graph.pred[v]} for v, a in nodes.items()}
    seen |= {"nodes": nodes, "inputs": network.inputs, "outputs": network.outputs}
    seen["order of in-edges"] = {v: list(graph.pred[v]) for v in graph}
    if keeps != "functions":
        seen["attributes of edges"] = {e: {k: _exact(x) for k, x in a.items()} for e, a in graph.edges.items()}
        seen["order of nodes"] = network.nodes
        seen["attributes of the graph"] = {key: _exact(x) for key, x in c.graph_extra.items()}
    if keeps == "everything":
        seen |= {"rows": (list(c.ids), edges), "seed": c.seed}
    return seen


def _exact(value: Any) -> Any:
    """Return a representation of a value that equals another's only if type and bits are the same."""
    return value.hex() if isinstance(value, float) else (type(value).__name__, value)


def _same_outputs(before: Network, after: Network) -> bool:
    """Return whether the outputs on four random samples agree to 1e-9, with NaN in the same places."""
    from flowgrad.program import compile

    X = np.random.default_rng(0).standard_normal((4, len(before.inputs)))
    if (before.inputs, before.outputs) != (after.inputs, after.outputs):
        return False
    wanted, found = (compile(network, executor="python").predict(X) for network in (before, after))
    return bool(np.allclose(found, wanted, rtol=1e-9, atol=1e-9, equal_nan=True))


# ---- damage -------------------------------------------------------------------------------------------------

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_][\w.-]*")
ODD_NUMBERS = (
    *(b"0", b"-1", b"-0", b"2", b"0.5", b"1e308", b"1e999", b"-1e-999", b"nan", b"inf", b"-Infinity", b"NaN", b"1e"),
    *(b"99999999999", b"2147483648", b"9223372036854775808", b"9" * 400, b"9" * 5000, b"0x10", b"1_0", b"", b"true"),
    *(b"+", b"--1", b"1.2.3", "١".encode(), b"1e400", b"null", b'"1"', b"[1]"),
)
ODD_BYTES = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n\n", b"\t", b",", b'"', b"'", b"\\", b"<", b"]]>", b"&#0;"),
    *(b"&x;", b"<!DOCTYPE a>", b"{", b"[", b"}", b"\\ud800", "é".encode(), b"\xed\xa0\x80", b"x" * 5000, b"[" * 3000),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 2**31, 2**63, 10**400, "", "a", "x" * 5000, "\0", "a\nb", "nan"),
    *([], {}, [[]], [None], {"a": 1}, [0, 0], ["a", "b"], [[[[[[]]]]]], {"id": "a"}, "tanh", "__class__", "../x"),
)


def damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return the bytes of a file after one to three random damages of `DAMAGES`, which may insert parts of `other`."""
    for _ in range(int(rng.integers(1, 4))):
        data = DAMAGES[int(rng.integers(len(DAMAGES)))](data, other, rng)
    return data


def _flipped(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    found = bytearray(data)
    for k in rng.integers(0, len(found), int(rng.integers(1, 4))) if found else ():
        found[k] ^= 1 << int(rng.integers(8))
    return bytes(found)


def _cut(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    a, b = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    return (data[:a], data[a:], data[:a] + data[b:], data[:b] + data[a:], data[:a] + other[a:])[int(rng.integers(5))]


def _inserted(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    k = int(rng.integers(0, len(data) + 1))
    return data[:k] + ODD_BYTES[int(rng.integers(len(ODD_BYTES)))] + data[k:]


def _renumbered(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return _replaced(data, NUMBER, list(ODD_NUMBERS), rng)


def _reworded(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return _replaced(data, WORD, WORD.findall(data) + WORD.findall(other), rng)


def _replaced(data: bytes, pattern: re.Pattern[bytes], options: list[bytes], rng: np.random.Generator) -> bytes:
    places = [match.span() for match in pattern.finditer(data)]
    if not places or not options:
        return data
    a, b = places[int(rng.integers(len(places)))]
    return data[:a] + options[int(rng.integers(len(options)))] + data[b:]


def _shuffled(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    lines = data.split(b"\n")
    a, b = (int(k) for k in rng.integers(0, len(lines), 2))
    match int(rng.integers(4)):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            lines.insert(a, lines[b])
        case 2:
            del lines[a]
        case _:
            fields = re.split(rb"([,\t ])", lines[a])
            del fields[int(rng.integers(len(fields)))]
            lines[a] = b"".join(fields)
    return b"\n".join(lines)


def _revalued(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Replace, delete, rename or duplicate one value of a JSON document."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _renumbered(data, other, rng)
    places = list(_places(document))
    if not places:
        return data
    holder, key = places[int(rng.integers(len(places)))]
    odd = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    match int(rng.integers(4)):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case 2 if isinstance(holder, dict):
            holder[str(odd)[:50]] = holder.pop(key)
        case _:
            holder[key] = odd
    return json.dumps(document, ensure_ascii=bool(rng.integers(2))).encode("utf-8", "surrogatepass")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (list or object, index or key) of a JSON value."""
    todo = [value]
    while todo:
        holder = todo.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ():
            yield holder, key
            todo.append(holder[key])


DAMAGES = (_flipped, _cut, _inserted, _renumbered, _renumbered, _reworded, _shuffled, _revalued, _revalued)


def read_or_refused(format: Format, path: Path, data: bytes) -> str | None:
    """Write the bytes to a file and read it; return None, or the message if the reader raises a FlowgradError.

    Any other exception is not caught, because it is an error of the reader.
    """
    path.write_bytes(data)
    try:
        load(path, format.name)
    except FlowgradError as error:
        return str(error) or type(error).__name__
    return None


def fuzz(
    format: Format,
    folder: Path,
    cases: int,
    rng: np.random.Generator,
    others: Sequence[bytes] = (),
    sealed: Callable[[bytes], bytes] = bytes,
) -> tuple[int, int]:
    """Give damaged files to a format's reader; return the numbers of files that it refused and that it read.

    A file counts as refused if the reader raises a FlowgradError.

    Args:
        format: the format; its damaged files are made from `examples`.
        folder: folder in which the files are written; after a failure it holds the file that caused it.
        cases: number of damaged files.
        rng: generator of the damages.
        others: contents of files of other formats, parts of which may be inserted.
        sealed: function that is applied to each damaged content, for example to recompute its digests, so that the
            reader does not stop at their verification.

    Raises:
        AssertionError: the reader raised another exception; the message gives it and the file.
    """
    whole, refused = examples(format, folder), 0
    suffixes = list(whole)
    for k in range(cases):
        suffix = suffixes[k % len(suffixes)]
        mixed = bool(others) and rng.random() < 0.2
        other = others[int(rng.integers(len(others)))] if mixed else whole[suffix]
        path = folder / f"damaged{suffix}"
        try:
            refused += read_or_refused(format, path, sealed(damaged(whole[suffix], other, rng))) is not None
        except BaseException as error:
            raise AssertionError(
                f"{path}: the reader of {format.name} raised {type(error).__name__}: {error}"
            ) from error
    return refused, cases - refused


def examples(format: Format, folder: Path) -> dict[str, bytes]:
    """Return contents of small undamaged files by suffix: written by the format, or else its record's `example`."""
    found = {} if format.example is None else {f"{suffix}": format.example for suffix in format.suffixes or ("",)}
    if format.write is not None and format.read is not None:
        for suffix in format.suffixes or ("",):
            trial = Trial(format, suffix, folder)
            save(small(NAMINGS[trial.naming[0]]), trial.path, format.name)
            found[suffix] = trial.path.read_bytes()
    return found


__all__ = ["HARD_IDS", "NAMINGS", "Trial", "damaged", "examples", "fuzz", "read_or_refused", "small"]
