"""Read JSON strictly: no NaN, no number beyond float64, no repeated key, no nesting beyond the recursion limit."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from flowgrad.errors import FileError


def parse(text: str | bytes, what: str) -> Any:
    """Parse a JSON text; `what` names it in messages.

    Raises:
        FileError: no JSON in UTF-8, a key twice in one object, NaN, Infinity or 1e999, nested too deep, too large.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError:
        raise FileError(f"{what} is nested too deep") from None
    except MemoryError:
        raise FileError(f"{what} does not fit into memory") from None
    except ValueError as error:  # bad UTF-8, bad JSON, an integer of thousands of digits
        raise FileError(f"{what} is no valid JSON: {error}") from None


def dump(value: Any) -> str:
    """Serialize a value to compact JSON; characters beyond ASCII are not escaped."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text:.80} is beyond the range of float64")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found
