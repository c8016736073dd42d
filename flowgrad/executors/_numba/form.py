"""Form: the functions over rows that make up a vector form of an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def never(a: Any) -> Any:
    return False


def always(a: Any) -> Any:
    return True


def itself(z: Any) -> Any:
    return z


def as_kept(row: Any, a: Any) -> Any:
    return row


@dataclass(frozen=True)
class Form:
    """Vector form of an activation: a = value(z), and the functions by which backward computes σ'(z).

    found(a) is σ', valid except in the lanes that untold(a) marks. In these σ' is exact(row, a), where row = kept(z)
    was stored by forward. The choice is made for each lane, so σ' of a lane does not depend on the other lanes.
    """

    value: Callable[[Any], Any]
    found: Callable[[Any], Any]
    untold: Callable[[Any], Any] = never
    kept: Callable[[Any], Any] = itself
    exact: Callable[[Any, Any], Any] = as_kept

    @property
    def keeps(self) -> bool:
        """Whether forward must store kept(z), since `untold` may mark lanes."""
        return self.untold is not never

    @property
    def keeps_slope(self) -> bool:
        """Whether the row that forward stores is σ' itself, in every lane."""
        return self.untold is always and self.exact is as_kept
