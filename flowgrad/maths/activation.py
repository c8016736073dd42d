"""The record of an activation σ of equation (3): σ and σ', range, initializer, formulas, relation to another σ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from flowgrad.errors import ConfigError, brief
from flowgrad.maths.expression import parse


@dataclass(frozen=True)
class Affine:
    """Affine relation of an activation σ to another: σ(z) = scale · of(factor · z + shift) + offset, up to rounding.

    Raises:
        ConfigError: `of` is no Activation, a number is not finite, or `factor` or `scale` is 0.
    """

    of: Activation
    factor: float = 1.0
    shift: float = 0.0
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.of, Activation):
            raise ConfigError(f"an affine relation is to an Activation, not {brief(self.of)}")
        numbers = (self.factor, self.shift, self.scale, self.offset)
        if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers):
            raise ConfigError(f"an affine relation to {self.of.name!r} has finite numbers, not {brief(numbers)}")
        if not self.factor or not self.scale:
            raise ConfigError(f"an affine relation to {self.of.name!r} has a factor and a scale other than 0")


def is_range(value: Any) -> bool:
    """Return whether a value is a pair of finite numbers, the first below the second."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(isinstance(x, Real) for x in value) and -math.inf < value[0] < value[1] < math.inf


@dataclass(frozen=True, repr=False)
class Activation:
    """An activation function σ, equation (3), with its name and its derivative σ'.

    A user's own Activation is used in place of a name, as in `add_neuron(..., activation=record)`. It runs on every
    executor that supports custom functions (`ExecutorInfo.custom_functions`). The Numba executor compiles `f` and `df`
    unless there is an `expression`: they must then be plain functions of one float that return a float on every path.

    Two records are equal if their `name`, `f` and `df` are; the other attributes are optional hints. A writer that
    needs an expression, such as that of C code, raises an error that names the activation if it has none.

    Attributes:
        name: non-empty str.
        f, df: functions of one float z that return σ(z) and σ'(z) as a float.
        range: (lower, upper), finite bounds of σ(z); None if σ is not bounded on both sides.
        initializer: name of the initializer that draws the weights of a neuron's in-edges where they are not given:
            "glorot", "he" (for functions that pass about half of their input, such as relu) or "glorot_spectral" (for
            functions that saturate on both sides, such as tanh), or any other registered name.
        affine: affine relation to another activation, whose faster implementation an executor may use; or None.
        expression: formulas of σ(z) and σ'(z), two str in the grammar of `flowgrad.maths.expression`; or None. Writers
            translate them into other languages, and executors may evaluate them in place of `f` and `df`.

    Raises:
        ConfigError: `name` or `initializer` is not a non-empty str, `f` or `df` is not callable, a bound of `range` is
            not finite, its lower bound is not below the upper, `affine` is no Affine, or `expression` is not a tuple
            of two valid formulas.

    >>> def cube(z): return z * z * z
    >>> def dcube(z): return 3.0 * z * z
    >>> Activation("cube", cube, dcube, expression=("z * z * z", "3 * z * z"))
    Activation('cube', f=cube, df=dcube)
    """

    name: str
    f: Callable[[float], float]
    df: Callable[[float], float]
    range: tuple[float, float] | None = field(default=None, compare=False)
    initializer: str = field(default="glorot", compare=False)
    affine: Affine | None = field(default=None, compare=False)
    expression: tuple[str, str] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ConfigError(f"an activation's name is a non-empty text, not {self.name!r}")
        for role in ("f", "df"):
            if not callable(g := getattr(self, role)):
                raise ConfigError(f"{role} of activation {self.name!r} is a function of z, not {brief(g)}")
        if self.range is not None and not is_range(self.range):
            raise ConfigError(
                f"range={brief(self.range)} of activation {self.name!r}: must be two finite, rising numbers"
            )
        if not isinstance(self.initializer, str) or not self.initializer:
            raise ConfigError(
                f"initializer={brief(self.initializer)} of activation {self.name!r}: must be the name of an initializer"
            )
        if self.affine is not None and not isinstance(self.affine, Affine):
            raise ConfigError(f"affine={brief(self.affine)} of activation {self.name!r}: must be an Affine, or None")
        self._check_expression()

    def _check_expression(self) -> None:
        if self.expression is None:
            return
        if not isinstance(self.expression, tuple) or len(self.expression) != 2:
            raise ConfigError(
                f"expression={brief(self.expression)} of activation {self.name!r}: must be two texts, of f and of df"
            )
        for role, text in zip(("f", "df"), self.expression, strict=True):
            try:
                parse(text)
            except ConfigError as error:
                raise ConfigError(f"expression of activation {brief(self.name)}, {role}: {error}") from None

    def __repr__(self) -> str:
        f, df = (getattr(g, "__name__", repr(g)) for g in (self.f, self.df))
        return f"Activation({self.name!r}, f={f}, df={df})"
