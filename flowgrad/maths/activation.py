"""Activation: all that is known of one σ of equation (3), on one record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from flowgrad.errors import ConfigError, brief


@dataclass(frozen=True, repr=False)
class Activation:
    """A named σ with its derivative, both scalar functions of z.

    Put into a graph as it is, one of your own works on every executor. For the Numba executor write `f` and
    `df` as plain functions of one float that return a float on every path.

    `range` holds the bounds (lower, upper) of σ(z) where both are finite, else None. It is known of
    σ and does not define it: records that differ in nothing else are equal.

    Raises:
        ConfigError: the name is no text or empty, `f` or `df` cannot be called, or `range` is no pair of finite,
            rising numbers.

    >>> def cube(z): return z * z * z
    >>> def dcube(z): return 3.0 * z * z
    >>> Activation("cube", cube, dcube)
    Activation('cube', f=cube, df=dcube)
    """

    name: str
    f: Callable[[float], float]
    df: Callable[[float], float]
    range: tuple[float, float] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"an activation's name is a non-empty text, not {self.name!r}")
        for role in ("f", "df"):
            if not callable(g := getattr(self, role)):
                raise ConfigError(f"{role} of activation {self.name!r} is a function of z, not {brief(g)}")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise ConfigError(
                f"range={brief(self.range)} of activation {self.name!r}: must be two finite, rising numbers"
            )

    def __repr__(self) -> str:
        f, df = (getattr(g, "__name__", repr(g)) for g in (self.f, self.df))
        return f"Activation({self.name!r}, f={f}, df={df})"
