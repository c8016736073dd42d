"""Convert Python values to JSON and back without loss of type: ids, names of parameters, attributes.

None, True, text and int are themselves; a finite float is a number with a point or an exponent; a list is an
array. Every other value is an object of one key, which names the type: {"tuple": […]}, {"bytes": "00ff"},
{"float": "nan"}, {"int": "0x…"} (beyond 64 bits), {"text": "eda080"} (UTF-8 in hex of text with lone
surrogates), {"dict": [[key, value], …]}, {"np.int64": 3} and so on for NumPy's other numbers.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flowgrad.errors import brief

DEPTH = 64  # maximal nesting of containers, so that recursion is bounded
_WIDTHS = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}
_NUMPY = {f"np.{kind}{w}": getattr(np, f"{kind}{w}") for kind, widths in _WIDTHS.items() for w in widths}
_NUMPY["np.bool"] = np.bool_
_NUMPY_NAMES = {scalar: name for name, scalar in _NUMPY.items()}


def encode(value: Any, depth: int = 0) -> Any:
    """Convert a value to JSON data.

    Raises:
        TypeError: its type, or one within it, is not supported, as the message says; nested too deep.
    """
    if depth > DEPTH:
        raise TypeError(f"nested more than {DEPTH} deep")
    kind = type(value)  # exact: a subclass (an Enum, a named tuple) would come back as something else
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if _encodable(value) else {"text": value.encode("utf-8", "surrogatepass").hex()}
    if kind is int:
        return value if -(2**63) <= value < 2**63 else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is list:
        return [encode(v, depth + 1) for v in value]
    if kind is tuple:
        return {"tuple": [encode(v, depth + 1) for v in value]}
    if kind is dict:
        return {"dict": [[encode(k, depth + 1), encode(v, depth + 1)] for k, v in value.items()]}
    if kind in _NUMPY_NAMES:
        return {_NUMPY_NAMES[kind]: encode(value.item(), depth + 1)}
    raise TypeError(f"of type {kind.__name__}")


def decode(data: Any, depth: int = 0) -> Any:
    """Convert JSON data back to the value that `encode` was given.

    Raises:
        ValueError: the data are not a result of `encode`.
    """
    if depth > DEPTH:
        raise ValueError(f"a value is nested more than {DEPTH} deep")
    if isinstance(data, list):
        return [decode(v, depth + 1) for v in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise ValueError(f"a value of {len(data)} keys: one is wanted, naming its type")
    ((name, held),) = data.items()
    try:
        return _TYPES[name](held, depth + 1)
    except (KeyError, TypeError, OverflowError, ValueError) as error:
        raise ValueError(f"no value of type {brief(name)}: {error}") from None


def _tuple(held: Any, depth: int) -> tuple[Any, ...]:
    return tuple(decode(v, depth) for v in _list(held))


def _dict(held: Any, depth: int) -> dict[Any, Any]:
    pairs = [_list(pair) for pair in _list(held)]
    found = {decode(k, depth): decode(v, depth) for k, v in pairs}
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _list(held: Any) -> list[Any]:
    if not isinstance(held, list):
        raise ValueError("its content is no array")
    return held


def _float(held: Any, _: int) -> float:
    if held not in ("nan", "inf", "-inf"):
        raise ValueError("not nan, inf or -inf")
    return float(held)


def _scalar(kind: type) -> Callable[[Any, int], Any]:
    def read(held: Any, depth: int) -> Any:
        value = decode(held, depth)
        wanted = {"b": bool, "i": int, "u": int, "f": float}[np.dtype(kind).kind]
        if type(value) is not wanted:
            raise ValueError(f"{brief(value)} is no {wanted.__name__}")
        with np.errstate(over="ignore"):
            scalar = kind(value)
        if scalar.item() != value and value == value:
            raise ValueError(f"{brief(value)} does not fit")
        return scalar

    return read


_TYPES: dict[str, Callable[[Any, int], Any]] = {
    "tuple": _tuple,
    "dict": _dict,
    "float": _float,
    "bytes": lambda held, _: bytes.fromhex(held),
    "int": lambda held, _: int(held, 16),
    "text": lambda held, _: bytes.fromhex(held).decode("utf-8", "surrogatepass"),
    **{name: _scalar(scalar) for name, scalar in _NUMPY.items()},
}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- plain JSON ---------------------------------------------------------------------------------------------


def as_json(value: Any, depth: int = 0) -> Any:
    """Convert a value to plain JSON data that other programs can read; NumPy's numbers become Python's.

    Raises:
        TypeError: the value would not be read back unchanged from plain JSON; the message is the reason.
    """
    if depth > DEPTH:
        raise TypeError(f"nested more than {DEPTH} deep")
    if isinstance(value, np.generic):
        value = value.item()
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        if not json_holds(value):
            raise TypeError("of lone surrogates that JSON joins")
        return value
    if kind is int:
        return _short(value)
    if kind is float:
        if not math.isfinite(value):
            raise TypeError("no number of JSON")
        return value
    if kind is list:
        return [as_json(v, depth + 1) for v in value]
    if kind is dict:
        if not all(type(key) is str and json_holds(key) for key in value):
            raise TypeError("a dict whose keys are not all text")
        return {key: as_json(v, depth + 1) for key, v in value.items()}
    raise TypeError(f"of type {kind.__name__}")


def json_holds(text: str) -> bool:
    """Tell whether JSON gives a text back unchanged: an adjacent pair of lone surrogates is read as one character."""
    return _encodable(text) or json.loads(json.dumps(text)) == text


def _short(value: int) -> int:
    """Return the integer; TypeError if it has more digits than Python converts to text."""
    try:
        str(value)
    except ValueError:
        raise TypeError("of too many digits") from None
    return value


def shown(value: object) -> str:
    """Return a shortened representation of any value, for a message."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of thousands of digits
        return f"a value of type {type(value).__name__}"


# ---- sequences ----------------------------------------------------------------------------------------------


def encode_all(values: Sequence[Any], name: Callable[[int], str]) -> list[Any]:
    """Encode every entry; a sequence of one plain type is copied without a call for each.

    Raises:
        TypeError: the type of entry k is not supported; `name(k)` begins the message.
    """
    kinds = set(map(type, values))
    if kinds <= {bool, type(None)}:
        return list(values)
    if kinds == {str} and _encodable("".join(values)):
        return list(values)
    if kinds == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return list(values)
    if kinds == {float} and all(map(math.isfinite, values)):
        return list(values)
    encoded = []
    for k, value in enumerate(values):
        try:
            encoded.append(encode(value))
        except TypeError as error:
            raise TypeError(f"{name(k)} is {shown(value)}, {error}") from None
    return encoded


def decode_all(data: list[Any]) -> list[Any]:
    """Decode every entry.

    Raises:
        ValueError: an entry is not a result of `encode`.
    """
    return data if set(map(type, data)).isdisjoint((list, dict)) else [decode(v) for v in data]
