"""Serialisation of values, keys and configurations to TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

BARE = re.compile("[A-Za-z0-9_-]+")


def written(value: Any) -> str:
    """Write a value in TOML.

    >>> written("a\\"b"), written(True), written([1, 2.0]), written(float("inf")), written({"level 1": 0.1})
    ('"a\\\\"b"', 'true', '[1, 2.0]', 'inf', '{"level 1" = 0.1}')
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(str(k))} = {written(v)}" for k, v in value.items()) + "}"
    return str(value)


def _key(name: str) -> str:
    """Write a key in TOML, quoted only where a bare key is not allowed."""
    return name if BARE.fullmatch(name) else written(name)


def document(config: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a configuration in TOML; keys whose value is None are left out, and dicts become sub-tables."""
    lines = []
    for section, values in config.items():
        tables = {f"{section}.{name}": value for name, value in values.items() if isinstance(value, dict)}
        plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
        for title, keys in ({section: plain} | tables).items():
            kept = [f"{_key(name)} = {written(value)}" for name, value in keys.items() if value is not None]
            if kept:
                lines += [f"[{title}]", *kept, ""]
    return "\n".join(lines)
