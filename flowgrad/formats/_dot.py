"""Parse DOT (https://graphviz.org/doc/info/lang.html): the text of a file to the statements that make a graph.

Ids and attributes are text, as Graphviz keeps them: quoted text without its quotation marks, HTML with its angle
brackets. Subgraphs only determine which nodes an edge leads to and which defaults hold inside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any, NoReturn

from flowgrad.errors import FileError, brief
from flowgrad.formats._assembly import Found, add_edge, undirected

DEPTH = 64  # maximal nesting of subgraphs
TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+ | //[^\n]* | /\*.*?\*/ | (?<![^\n])\#[^\n]*)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<html><)
      | (?P<mark>->|--|[{}\[\]=;,:+])
      | (?P<id>-?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?![\w.]) | [^\W\d]\w*)""",
    re.VERBOSE | re.DOTALL,
)
ESCAPED = re.compile(r"\\(\n|.)", re.DOTALL)
BRACKETS = re.compile("[<>]")
KEYWORDS = ("strict", "graph", "digraph", "subgraph", "node", "edge")
NUMBERS = ("weight", "bias", "response")
BOOLEANS = {"true": True, "false": False}
Attributes = dict[str, str]


@dataclass(frozen=True)
class Token:
    """Hold an id (`kind` "id" for a bare word, "text" for quoted text and HTML), a mark or the end, and its line."""

    kind: str
    text: str
    line: int


@dataclass
class Scope:
    """Hold the defaults that apply within braces, and the nodes that are named there."""

    node: Attributes = field(default_factory=dict)
    edge: Attributes = field(default_factory=dict)
    names: dict[str, None] = field(default_factory=dict)


def tokens(text: str, what: str) -> Iterator[Token]:
    """Yield the ids and marks of a text, without comments; strings joined by `+` are one token.

    Raises:
        FileError: a character that begins no token; the message names its line.
    """
    at, line, held = 0, 1, list[Token]()
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise FileError(f"{what}, line {line}: {brief(text[at : at + 20])} is no DOT")
        kind, said, end = str(match.lastgroup), match[0], match.end()
        if kind == "html":
            end = _closed(text, at, what, line)
            kind, said = "text", text[at:end]
        elif kind == "quoted":
            kind, said = "text", ESCAPED.sub(_unescaped, said[1:-1])
        if kind != "space":
            token = Token(kind, said, line)
            if kind == "text" and len(held) == 2 and held[1].text == "+":
                held = [Token("text", held[0].text + said, held[0].line)]
            elif kind == "mark" and said == "+" and len(held) == 1 and held[0].kind == "text":
                held.append(token)
            else:
                yield from held
                held = [token]
        line, at = line + text.count("\n", at, end), end
    yield from held


def _closed(text: str, at: int, what: str, line: int) -> int:
    """Return the position after the HTML text that begins at `at`; FileError if it is not closed."""
    depth = 0
    for bracket in BRACKETS.finditer(text, at):
        depth += 1 if bracket[0] == "<" else -1
        if depth == 0:
            return bracket.end()
    raise FileError(f"{what}, line {line}: a < without its >")


def _unescaped(match: re.Match[str]) -> str:
    """Drop a backslash before a quotation mark, and one with the line end after it; keep others, as Graphviz does."""
    return {'"': '"', "\n": ""}.get(match[1], match[0])


class Parser:
    """Parse DOT by recursive descent: `parse` adds the graph of the file to `found`."""

    def __init__(self, text: str, what: str, found: Found) -> None:
        self.what, self.found, self.strict = what, found, False
        self.tokens = [*tokens(text, what), Token("end", "", text.count("\n") + 1)]
        self.at = 0

    def parse(self) -> None:
        """Parse the file, which must hold one graph.

        Raises:
            FileError: no DOT, with the line; an undirected graph, several of them, subgraphs nested too deep.
        """
        self.strict = self.took("strict")
        if self.took("graph"):
            raise undirected(self.what)
        if not self.took("digraph"):
            self.refuse("digraph")
        if self.here.kind in ("id", "text"):
            self.found.graph["name"] = self.name()
        self.braces(Scope(), 0)
        if self.here.kind != "end":
            self.refuse("the end of the file, as a network is one graph,")

    # ---- tokens

    @property
    def here(self) -> Token:
        return self.tokens[self.at]

    @property
    def place(self) -> str:
        return f"{self.what}, line {self.here.line}"

    def is_word(self, word: str) -> bool:
        """Tell whether the current token is this keyword, in any case, or this mark."""
        return self.here.kind in ("id", "mark") and self.here.text.lower() == word

    def took(self, word: str) -> bool:
        """Tell whether the current token is this word, and if so, advance."""
        found = self.is_word(word)
        self.at += found
        return found

    def take(self, word: str) -> None:
        if not self.took(word):
            self.refuse(word)

    def refuse(self, wanted: str) -> NoReturn:
        said = "the file ends" if self.here.kind == "end" else f"{brief(self.here.text)} stands"
        raise FileError(f"{self.place}: {said} where {wanted} must be")

    def name(self) -> str:
        """Return the current token, which must be an id, and advance."""
        if self.here.kind not in ("id", "text") or (self.here.kind == "id" and self.here.text.lower() in KEYWORDS):
            self.refuse("a name")
        self.at += 1
        return self.tokens[self.at - 1].text

    # ---- statements

    def braces(self, scope: Scope, depth: int) -> None:
        """Parse `{ statement; … }`."""
        if depth > DEPTH:
            raise FileError(f"{self.place}: subgraphs are nested more than {DEPTH} deep")
        self.take("{")
        while not self.took("}"):
            self.statement(scope, depth)
            while self.took(";") or self.took(","):
                pass

    def statement(self, scope: Scope, depth: int) -> None:
        for word, attributes in (("graph", {}), ("node", scope.node), ("edge", scope.edge)):
            if self.took(word):
                attributes.update(self.attributes())
                if word == "graph" and depth == 0:
                    self.found.graph.update(attributes)
                return
        if self.here.kind in ("id", "text") and self.tokens[self.at + 1].text == "=":
            name = self.name()
            self.take("=")
            value = self.name()
            if depth == 0:
                self.found.graph[name] = value
            return
        place, is_node = self.place, not (self.is_word("subgraph") or self.is_word("{"))
        ends = [self.end(scope, depth)]
        while self.is_word("->") or self.is_word("--"):
            if self.took("--"):
                raise undirected(place, "edge")
            self.take("->")
            ends.append(self.end(scope, depth))
        attributes = self.attributes()
        if len(ends) == 1 and is_node:
            self.found.nodes[ends[0][0][0]].update(attributes)
        for before, after in pairwise(ends):
            for (u, tail), (v, head) in product(before, after):
                self.edge(u, v, {**scope.edge, **attributes, **_ports(tail, head)}, place)

    def end(self, scope: Scope, depth: int) -> list[tuple[str, str]]:
        """Parse one end of an edge, (name, port): a node with its port, or the nodes of a subgraph, without ports."""
        if self.is_word("subgraph") or self.is_word("{"):
            if self.took("subgraph") and not self.is_word("{"):
                self.name()
            inner = Scope(dict(scope.node), dict(scope.edge))
            self.braces(inner, depth + 1)
            scope.names.update(inner.names)
            return [(name, "") for name in inner.names]
        name, port = self.name(), list[str]()
        while self.took(":"):
            port.append(self.name())
        if name not in self.found:
            self.found.add_node(name)
            self.found.nodes[name].update(scope.node)
        scope.names[name] = None
        return [(name, ":".join(port))]

    def attributes(self) -> Attributes:
        """Parse any number of lists `[name=value, …]`; a name without a value is "true"."""
        found = Attributes()
        while self.took("["):
            while not self.took("]"):
                name = self.name()
                found[name] = self.name() if self.took("=") else "true"
                while self.took(";") or self.took(","):
                    pass
        return found

    def edge(self, u: str, v: str, attributes: dict[str, Any], place: str) -> None:
        convert(attributes, f"{place}: edge {u!r:.80} → {v!r:.80}")
        if self.strict and self.found.has_edge(u, v):
            self.found.edges[u, v].update(attributes)
        else:
            add_edge(self.found, u, v, attributes, place)


def convert(attributes: dict[str, Any], place: str) -> None:
    """Convert the attributes that flowgrad reads to numbers and truth values, in place.

    Raises:
        FileError: the text of such an attribute is no number or truth value.
    """
    for name in NUMBERS:
        if name in attributes:
            try:
                attributes[name] = float(attributes[name])
            except ValueError:
                raise FileError(f"{place}: {name} is {brief(attributes[name])}: must be a number") from None
    if "trainable" in attributes:
        value = attributes["trainable"]
        if value.lower() not in BOOLEANS:
            raise FileError(f"{place}: trainable is {brief(value)}: must be true or false")
        attributes["trainable"] = BOOLEANS[value.lower()]


def _ports(tail: str, head: str) -> Attributes:
    return {name: port for name, port in (("tailport", tail), ("headport", head)) if port}
