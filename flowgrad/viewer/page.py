"""Assembly of the page: template, style, script and data in one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files

from flowgrad.viewer.record import Record

SCRIPTS = (
    *("data", "view", "steps", "palette", "bundles"),
    *("gl", "pens", "routes", "diagram", "survey", "paint"),
    *("card", "chart", "controls", "live", "main"),
)


def page(data: Record, *, live: str | None = None) -> bytes:
    """Build one HTML file that runs its own script and style only and requests nothing but the server's answers.

    Args:
        data: of `flowgrad.viewer.record.record`.
        live: the path under which a server answers `state` and `values`; None for a file, which connects to nothing.
    """
    script, style = _script(), _asset("page.css")
    parts = {
        "POLICY": policy(script, style, live is not None),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": embedded(data | {"live": live}),
    }
    text = _asset("page.html")
    first, *rest = text.split("{{")
    pieces = [first]
    for piece in rest:  # one pass, so that braces in the data are never taken for a placeholder
        name, after = piece.split("}}", 1)
        pieces += [parts[name], after]
    return "".join(pieces).encode("utf-8")


def policy(script: str, style: str, connects: bool) -> str:
    """Return the Content-Security-Policy that allows this script and this style, by their SHA-256, and nothing else."""
    allowed = [
        "default-src 'none'",
        f"script-src 'sha256-{_digest(script)}'",
        f"style-src 'sha256-{_digest(style)}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*allowed, "connect-src 'self'"] if connects else allowed)


def embedded(data: Record) -> str:
    """Encode data as JSON for a script element, with `<` and non-ASCII characters escaped.

    >>> embedded({"name": "</script>"})
    '{"name":"\\\\u003c/script>"}'
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _script() -> str:
    body = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{body}}})();\n'


def _asset(name: str) -> str:
    return files("flowgrad.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
