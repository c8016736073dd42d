"""Stability: whether importance is the same from run to run, and whether it is more than the graph's own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flowgrad.errors import UnknownNameError, brief, show, suggest
from flowgrad.executor import Array
from flowgrad.frames import frame
from flowgrad.inspection.intervals import mean_of_pairs, mean_of_shares
from flowgrad.inspection.ranks import above, correlations, ranks, signed_rank
from flowgrad.metrics import Interval

TRAINED = "trained"


@dataclass(frozen=True, repr=False)
class Stability:
    """What `importance_stability` found over R runs a condition, of the V nodes of one kind.

    nodes   V ids, in the order of `net.nodes`
    seeds   (R,) of the runs
    shares  condition → (R, V) importance of each run, as a share of the sum over the V nodes; "trained" is the network
            itself on the given data, the others are controls
    losses  condition → (R,) final training loss of each run
    """

    nodes: tuple[Hashable, ...]
    seeds: tuple[int, ...]
    shares: Mapping[str, Array]
    losses: Mapping[str, Array]

    @property
    def controls(self) -> tuple[str, ...]:
        """The conditions other than "trained"."""
        return tuple(name for name in self.shares if name != TRAINED)

    def agreement(self, condition: str = TRAINED) -> Interval:
        """Compute the mean rank correlation (Spearman) of two runs of one condition, over all pairs of runs.

        It estimates the expectation of ρ(X, X′) for independent runs X and X′; the interval is for that expectation
        (`flowgrad.inspection.intervals.mean_of_pairs`).

        Raises:
            UnknownNameError: no such condition.
            ConfigError: fewer than 7 runs, for which no interval holds.
        """
        return self._pairs(condition, condition)

    def likeness(self, control: str) -> Interval:
        """Compute the mean rank correlation of a trained run with a control's run of another seed, over all pairs.

        It estimates the expectation of ρ(X, Y) for independent runs X, trained, and Y, of the control: as large as the
        agreement where the control alone reproduces the ranking. Two runs of one seed begin with the same weights
        and are not compared.

        Raises:
            UnknownNameError, ConfigError: as `agreement`.
        """
        return self._pairs(TRAINED, control)

    def _pairs(self, one: str, other: str) -> Interval:
        self._known(one)
        self._known(other)
        matrix = correlations(self.shares[one], self.shares[other])
        return mean_of_pairs((matrix + matrix.T) / 2, len(self.nodes))

    def _known(self, condition: str) -> None:
        if condition not in self.shares:
            raise UnknownNameError(f"{brief(condition)} is no condition of this study{suggest(condition, self.shares)}")

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        ours = self.shares[TRAINED]
        low, high = mean_of_shares(ours)
        share = ours.mean(axis=0)
        place = len(self.nodes) + 1 - ranks(ours)  # 1 is the strongest
        explained = [self.shares[name].mean(axis=0) for name in self.controls]
        columns = {
            "share": share,
            "share_sd": ours.std(axis=0, ddof=1),
            "share_low": low,
            "share_high": high,
            "excess": share - np.max(explained, axis=0) if explained else share,
            "rank": place.mean(axis=0),
            "rank_low": place.min(axis=0),
            "rank_high": place.max(axis=0),
        }
        for name in self.controls:
            columns[f"above {name}"] = above(ours, self.shares[name])
            columns[f"p {name}"] = signed_rank(ours, self.shares[name])
        order = np.lexsort((-share, -columns["excess"])).tolist()
        return [{"node": self.nodes[v]} | {name: float(c[v]) for name, c in columns.items()} for v in order]

    def records(self) -> list[dict[str, Any]]:
        """Return a dict for each node, in descending order of excess, then of share.

        share, share_sd, share_low, share_high: mean over the runs, standard deviation, 95 % interval of the mean
        excess: the mean share less the largest mean share of this node under any control; without controls the share
        rank, rank_low, rank_high: mean rank over the runs (1 is the strongest), and its best and worst value
        above CONTROL: the probability that a run's share exceeds that of a run of the control from another seed
        p CONTROL: the two-sided p of Wilcoxon's signed-rank test, exact, of the differences seed by seed, for
        one node: not corrected for the V tests of all nodes

        Raises:
            ConfigError: fewer than 7 runs, for which no interval holds.
        """
        return [dict(row) for row in self._rows]

    def conditions(self) -> list[dict[str, Any]]:
        """Return a dict for each condition: runs, mean loss, agreement and likeness, the last two with intervals.

        Raises:
            ConfigError: fewer than 7 runs, for which no interval holds.
        """
        found = []
        for name, values in self.shares.items():
            agree, like = self.agreement(name), self.likeness(name)
            row = {"condition": name, "runs": len(values), "loss": float(np.mean(self.losses[name]))}
            row |= {"agreement": agree.value, "agreement_low": agree.low, "agreement_high": agree.high}
            found.append(row | {"likeness": like.value, "likeness_low": like.low, "likeness_high": like.high})
        return found

    def to_frame(self) -> Any:
        """Return the records as a pandas or polars frame.

        Raises:
            MissingDependencyError: neither is installed.
        """
        rows = self.records()
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    @property
    def sentence(self) -> str:
        """The agreement of runs, and the likeness of each control, in a sentence."""
        said = f"Two runs agree on the order of the {len(self.nodes):,} nodes with ρ = {self.agreement()}"
        for name in self.controls:
            said += f"; a trained run and one under {name} with ρ = {self.likeness(name)}"
        return f"{said}."

    def __repr__(self) -> str:
        rows = self._rows[:10]
        width = max(4, *(len(show(row["node"])) for row in rows))
        lines = [f"{'node':<{width}}   share ± sd       rank (best–worst)"]
        lines += [
            f"{show(r['node']):<{width}}  {r['share']:6.2%} ± {r['share_sd']:6.2%}  "
            f"{r['rank']:.1f} ({r['rank_low']:.0f}–{r['rank_high']:.0f})"
            for r in rows
        ]
        return "\n".join([*lines, self.sentence])
