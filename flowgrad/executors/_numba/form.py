"""What a vector form of an activation is."""

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
    """An activation over rows: a = value(z), and what gives σ'(z) back.

    found(a) is σ' of every lane whose a tells it; untold(a) says which lanes' does not. Those have σ' by exact(row, a)
    from the row that forward has kept: kept(z). So no lane's σ' depends on the lanes beside it.
    """

    value: Callable[[Any], Any]
    found: Callable[[Any], Any]
    untold: Callable[[Any], Any] = never
    kept: Callable[[Any], Any] = itself
    exact: Callable[[Any, Any], Any] = as_kept

    @property
    def keeps(self) -> bool:
        """Whether a ever leaves it untold."""
        return self.untold is not never

    @property
    def keeps_slope(self) -> bool:
        """Whether what forward keeps is σ' itself, of every lane."""
        return self.untold is always and self.exact is as_kept
