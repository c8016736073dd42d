"""Stability: whether importance is the same from run to run, and whether it is more than the graph's own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from flowgrad.errors import UnknownNameError, show, suggest
from flowgrad.executor import Array
from flowgrad.frames import frame
from flowgrad.inspection.ranks import above, correlations, ranks

TRAINED = "trained"
RESAMPLES = 1000  # of the bootstrap
FEWER = 200  # where each sorts all nodes


class Interval(NamedTuple):
    """A value with its 95 % confidence interval: percentiles of a bootstrap over the runs (Efron 1979)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, repr=False)
class Stability:
    """What `importance_stability` found over R runs a condition, of the V nodes of one kind.

    nodes   V ids, in the order of `net.nodes`
    seeds   (R,) of the runs
    shares  condition → (R, V) importance of each run, as a share of all V nodes'; "trained" is the network itself on
            the data as they are, the others are controls
    losses  condition → (R,) the loss of each run at its end
    """

    nodes: tuple[Hashable, ...]
    seeds: tuple[int, ...]
    shares: Mapping[str, Array]
    losses: Mapping[str, Array]

    @property
    def controls(self) -> tuple[str, ...]:
        """The conditions beside "trained"."""
        return tuple(name for name in self.shares if name != TRAINED)

    def agreement(self, condition: str = TRAINED) -> Interval:
        """Mean rank correlation (Spearman) of two runs of one condition, over all pairs of runs.

        Raises:
            UnknownNameError: no such condition.
        """
        self._known(condition)
        matrix = correlations(self.shares[condition], self.shares[condition])
        R, rng = len(matrix), np.random.default_rng(0)
        drawn = []
        for _ in range(RESAMPLES):
            rows = rng.integers(R, size=R)
            pairs = rows[:, None] != rows
            if pairs.any():  # a run drawn twice says nothing about two runs
                drawn.append(matrix[np.ix_(rows, rows)][pairs].mean())
        return _interval(float(matrix[~np.eye(R, dtype=bool)].mean()), drawn)

    def likeness(self, control: str) -> Interval:
        """Rank correlation of the mean importance with that under a control: what of it the control explains.

        Raises:
            UnknownNameError: no such condition.
        """
        self._known(control)
        ours, other = self.shares[TRAINED], self.shares[control]
        rng = np.random.default_rng(0)
        drawn = [float(correlations(a, b)[0, 0]) for a, b in zip(_means(ours, rng), _means(other, rng), strict=True)]
        return _interval(float(correlations(ours.mean(axis=0), other.mean(axis=0))[0, 0]), drawn)

    def _known(self, condition: str) -> None:
        if condition not in self.shares:
            raise UnknownNameError(f"{condition!r} is no condition of this study{suggest(condition, self.shares)}")

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        ours, rng = self.shares[TRAINED], np.random.default_rng(0)
        R = len(ours)
        low, high = np.percentile(_means(ours, rng, RESAMPLES), (2.5, 97.5), axis=0)
        place = len(self.nodes) + 1 - ranks(ours)  # 1 is the strongest
        first, last = np.percentile(place, (5, 95), axis=0)
        columns = {
            "share": ours.mean(axis=0),
            "share_sd": ours.std(axis=0, ddof=1) if R > 1 else np.zeros(len(self.nodes)),
            "share_low": low,
            "share_high": high,
            "rank": place.mean(axis=0),
            "rank_low": first,
            "rank_high": last,
        }
        for name in self.controls:
            columns[f"above {name}"], columns[f"p {name}"] = above(ours, self.shares[name])
        order = np.argsort(-columns["share"], kind="stable").tolist()
        return [{"node": self.nodes[v]} | {name: float(c[v]) for name, c in columns.items()} for v in order]

    def records(self) -> list[dict[str, Any]]:
        """A dict a node, the strongest first.

        share, share_sd, share_low, share_high: mean over the runs, standard deviation, 95 % interval of the mean
        rank, rank_low, rank_high: mean rank over the runs, 1 the strongest, and the 5th and 95th percentile
        above CONTROL, p CONTROL: the chance that a run's share exceeds that of a run of the control, and the
        two-sided p of Mann and Whitney, one node on its own: with V nodes, mind that V are tested
        """
        return [dict(row) for row in self._rows]

    def conditions(self) -> list[dict[str, Any]]:
        """A dict a condition: runs, mean loss, agreement of its runs, likeness to the trained ones."""
        found = []
        for name, values in self.shares.items():
            agree, like = self.agreement(name), self.likeness(name)
            row = {"condition": name, "runs": len(values), "loss": float(np.mean(self.losses[name]))}
            row |= {"agreement": agree.value, "agreement_low": agree.low, "agreement_high": agree.high}
            found.append(row | {"likeness": like.value, "likeness_low": like.low, "likeness_high": like.high})
        return found

    def to_frame(self) -> Any:
        """The records as a pandas or polars frame.

        Raises:
            MissingDependencyError: neither is installed.
        """
        rows = self.records()
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    @property
    def sentence(self) -> str:
        """The answer in words."""
        said = f"Two runs agree on the order of the {len(self.nodes):,} nodes with ρ = {self.agreement()}"
        for name in self.controls:
            said += f"; under {name} the mean order is alike with ρ = {self.likeness(name)}"
        return f"{said}."

    def __repr__(self) -> str:
        rows = self._rows[:10]
        width = max(4, *(len(show(row["node"])) for row in rows))
        lines = [f"{'node':<{width}}   share            rank"]
        lines += [
            f"{show(r['node']):<{width}}  {r['share']:6.2%} ± {r['share_sd']:6.2%}  "
            f"{r['rank']:.1f} ({r['rank_low']:.0f}–{r['rank_high']:.0f})"
            for r in rows
        ]
        return "\n".join([*lines, self.sentence])


def _means(values: Array, rng: np.random.Generator, resamples: int = FEWER) -> Array:
    """(resamples, V) means of runs drawn with replacement."""
    R = len(values)
    counts = rng.multinomial(R, np.full(R, 1.0 / R), size=resamples)
    return np.asarray(counts @ values / R)


def _interval(value: float, drawn: list[float]) -> Interval:
    if len(drawn) < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
    return Interval(value, low, high)
