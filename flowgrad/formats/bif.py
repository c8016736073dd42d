"""Read linear Gaussian Bayesian networks in BIF, an interchange format of Bayesian networks.

    variable B { type continuous; property mean 0.5; property std 1.0; }
    probability ( B | C, D ) { table 2, -1; }

means B = 0.5 + 2 C − D, with noise of standard deviation 1: a linear neuron, whose variance is kept as an attribute.
A variable without parents is an input, which keeps its mean as the attribute `intercept`. Discrete variables have
tables of probabilities, which no neuron can represent; they raise an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn

import networkx as nx

from flowgrad.errors import FileError, UnknownNameError, brief, suggest
from flowgrad.format import Format, Source
from flowgrad.formats._delimited import text
from flowgrad.formats.pgmpy import regress
from flowgrad.network import Network

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | "(?P<quoted>[^"]*)" | (?P<mark>[{}()\[\]|,;]) | (?P<word>[^\s"{}()\[\]|,;]+)""",
    re.VERBOSE | re.DOTALL,
)
PROPERTIES = ("mean", "std")  # properties that are read; others are skipped


@dataclass
class _Variable:
    """Hold mean and std of the noise, and parent → coefficient."""

    mean: float = 0.0
    std: float = 1.0
    parents: dict[str, float] = field(default_factory=dict)
    given: bool = False  # whether its block `probability` was read


def read(source: Source) -> Network:
    """Read a linear Gaussian network: variables without parents are inputs, other variables without children outputs.

    Raises:
        FileError: the file is not BIF, a variable is discrete, or the number of its coefficients differs from the
            number of its parents; the message names the line.
        UnknownNameError: a name is not a variable; the message suggests the nearest name.
        GraphError, CycleError: the variables do not form a valid network.
    """
    what = str(source.path)
    variables = _Reader(text(source.read(), what), what).variables()
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(variables)
    for name, v in variables.items():
        regress(graph, name, v.mean, v.parents, v.std * v.std)
    return Network.from_networkx(graph)


class _Reader:
    """Parse a file's tokens, each with its line; `at` is the index of the next one."""

    def __init__(self, content: str, what: str) -> None:
        self.what, self.at = what, 0
        self.found: dict[str, _Variable] = {}
        self.tokens: list[tuple[str, int]] = []
        at, line = 0, 1
        while at < len(content):
            match = TOKEN.match(content, at)
            if match is None:
                raise FileError(f"{what}, line {line}: a quotation mark without its other")
            if match.lastgroup != "space":
                self.tokens.append((match[str(match.lastgroup)], line))
            line, at = line + content.count("\n", at, match.end()), match.end()
        self.last = line

    def variables(self) -> dict[str, _Variable]:
        """Return the variables of the file by name."""
        while self.at < len(self.tokens):
            word = self.take()
            match word.lower():
                case "network":
                    self.until("{")
                    self.skip("}")
                case "variable":
                    self.variable(self.take())
                case "probability":
                    self.probability()
                case _:
                    self.refuse(f"{brief(word)} where network, variable or probability must stand")
        if not self.found:
            raise FileError(f"{self.what} has no variable")
        return self.found

    # ---- blocks

    def variable(self, name: str) -> None:
        if name in self.found:
            self.refuse(f"variable {brief(name)} is declared twice")
        v = self.found[name] = _Variable()
        kind = ""
        self.until("{")
        while (word := self.take()) != "}":
            if word == "type":
                kind = self.take()
                if kind != "continuous":
                    self.refuse(f"variable {brief(name)} is {brief(kind)}: only continuous ones are linear neurons")
            elif word == "property":
                key = self.take()
                if key in PROPERTIES:
                    setattr(v, key, self.number(self.take(), f"{key} of {brief(name)}"))
                else:
                    self.skip(";")
            elif word != ";":
                self.refuse(f"{brief(word)} in variable {brief(name)}: type or property must stand there")
        if not kind:
            self.refuse(f"variable {brief(name)} has no type")
        if v.std < 0:
            self.refuse(f"std of {brief(name)} is {v.std}: must be 0 or more")

    def probability(self) -> None:
        self.until("(")
        name, parents = self.known(), list[str]()
        while (mark := self.take()) != ")":
            if mark not in "|,":
                self.refuse(f"{brief(mark)} where | or , or ) must stand")
            parents.append(self.known())
        v = self.found[name]
        if v.given:
            self.refuse(f"probability of {brief(name)} is given twice")
        v.given = True
        self.until("{")
        numbers = list[float]()
        while (word := self.take()) != "}":
            if word == "table":
                while (word := self.take()) != ";":
                    if word != ",":
                        numbers.append(self.number(word, f"coefficient of {brief(name)}"))
            elif word == "property":
                self.skip(";")
            else:
                self.refuse(f"{brief(word)} in probability of {brief(name)}: only a table of coefficients is read")
        if len(numbers) != len(parents) or len(set(parents)) < len(parents):
            self.refuse(f"{brief(name)} has {len(parents)} parents, each once, and {len(numbers)} coefficients")
        v.parents = dict(zip(parents, numbers, strict=True))

    # ---- tokens

    def take(self) -> str:
        if self.at == len(self.tokens):
            raise FileError(f"{self.what}, line {self.last}: the file ends within a block")
        self.at += 1
        return self.tokens[self.at - 1][0]

    def until(self, mark: str) -> None:
        """Consume the mark; a name may precede a brace."""
        word = self.take()
        if word != mark and (mark != "{" or self.take() != mark):
            self.refuse(f"{brief(word)} where {mark} must stand")

    def skip(self, mark: str) -> None:
        while self.take() != mark:
            pass

    def known(self) -> str:
        name = self.take()
        if name not in self.found:
            line = self.tokens[self.at - 1][1]
            raise UnknownNameError(f"{self.what}, line {line}: {brief(name)} is no variable{suggest(name, self.found)}")
        return name

    def number(self, word: str, said: str) -> float:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.refuse(f"{said} is {brief(word)}: must be a finite number")
        return value

    def refuse(self, said: str) -> NoReturn:
        line = self.tokens[self.at - 1][1] if self.at else 1
        raise FileError(f"{self.what}, line {line}: {said}")


entry = Format(
    name="bif",
    suffixes=(".bif",),
    summary="BIF of linear Gaussian networks: continuous variables and coefficients",
    read=read,
    example=b"""network unnamed {
}
variable A {
  type continuous;
  property mean 1.5
  property std 1.0
}
variable B {
  type continuous;
}
variable C {
  type continuous;
  property mean 0.5
  property std 2.0
}
probability ( C | A, B ) {
  table 2, -1 ;
}
""",
)
