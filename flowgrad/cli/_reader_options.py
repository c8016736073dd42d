"""Parse --option KEY=VALUE, further arguments of a format's reader, by the type of each option."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from flowgrad.errors import ConfigError, brief
from flowgrad.format import Format, options_of
from flowgrad.gzipped import inner

CELL = re.compile(r'(\s*"(?:[^"]|"")*"\s*|[^,]*),')
WHOLE = re.compile(r"[+-]?\d{1,18}")


def reader_options(given: Iterable[str] | None, chosen: Format, path: Path) -> dict[str, Any]:
    """Parse options of a format's reader from KEY=VALUE, and KEY.NAME=VALUE of options that are a mapping.

    The type of an option decides how its value is read: where it is a list, `a,b` has two entries and `a` one. A value
    in quotation marks is text, commas and digits too. Ids are read as numbers only where the file may have numbers as
    ids: in text files never without `integer_ids=true`.

    Raises:
        ConfigError: no KEY=VALUE, or a key given twice.

    >>> from flowgrad.registry import find
    >>> words = ["integer_ids=true", "inputs=7", 'outputs="7","8"', "where.type=x", "delimiter=,"]
    >>> reader_options(words, find("formats", "edgelist"), Path("net.csv"))
    {'integer_ids': True, 'inputs': [7], 'outputs': ['7', '8'], 'where': {'type': 'x'}, 'delimiter': ','}
    """
    assert chosen.read is not None
    hints, said = options_of(chosen.read), dict[str, Any]()
    for words in given or ():
        name, equals, value = words.partition("=")
        key, dot, within = name.partition(".")
        if not equals or not key or (dot and not within):
            raise ConfigError(f"--option {brief(words)}: must be KEY=VALUE, or KEY.NAME=VALUE")
        place = said.setdefault(key, {}) if dot else said
        last = within if dot else key
        if not isinstance(place, dict) or last in place:
            raise ConfigError(f"--option {brief(words)}: {key} is given twice")
        place[last] = value
    numbered = said.get("integer_ids") == "true" or type(None) in get_args(hints.get("integer_ids"))
    numbered = numbered or inner(path).suffix.lower() == ".parquet"
    return {key: _value(value, hints.get(key, Any), numbered) for key, value in said.items()}


def _value(said: Any, hint: Any, numbered: bool) -> Any:
    """Parse a value by its option's type; text that does not fit stays text, which the check of options refuses."""
    kinds = _kinds(hint)
    if isinstance(said, dict):
        inner_hint = next((get_args(kind)[1] for kind in kinds if _is(kind, Mapping)), Any)
        return {key: _value(value, inner_hint, numbered) for key, value in said.items()}
    lists = [kind for kind in kinds if _is(kind, Iterable) and not _is(kind, Mapping)]
    if lists and (str not in kinds or "," in said):
        return [_one(cell, quoted, _kinds(get_args(lists[0])[0]), numbered) for cell, quoted in _cells(said)]
    quoted = len(said) > 1 and said[0] == said[-1] == '"'
    return _one(said[1:-1].replace('""', '"') if quoted else said, quoted, kinds, numbered)


def _one(said: str, quoted: bool, kinds: tuple[Any, ...], numbered: bool) -> Any:
    """Parse a single value as one of these types."""
    if quoted:
        return said
    if said in ("true", "false") and (bool in kinds or any(_is(kind, Literal) for kind in kinds) or Any in kinds):
        return said == "true"
    if WHOLE.fullmatch(said) and (int in kinds or (numbered and Hashable in kinds)):
        return int(said)
    return said


def _cells(said: str) -> list[tuple[str, bool]]:
    """Split a list at commas into entries, each with whether it was in quotation marks."""
    found, rest = list[tuple[str, bool]](), f"{said},"
    while rest:
        match = CELL.match(rest)
        assert match is not None
        cell, rest = match[1].strip(), rest[match.end() :]
        quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
        found.append((cell[1:-1].replace('""', '"') if quoted else cell, quoted))
    return found


def _kinds(hint: Any) -> tuple[Any, ...]:
    """List the types of a union, or the one type."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(kind for one in get_args(hint) for kind in _kinds(one))
    return (hint,)


def _is(kind: Any, base: Any) -> bool:
    """Return whether a type is a generic of that base."""
    origin = get_origin(kind)
    return origin is base or (isinstance(origin, type) and isinstance(base, type) and issubclass(origin, base))
