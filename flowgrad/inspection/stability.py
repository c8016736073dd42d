"""Stability of importance: agreement between training runs, and comparison with runs under controls."""

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
    """Importance of V nodes of one kind in R training runs per condition, as computed by `importance_stability`.

    The condition "trained" is the given network on the given data; the other conditions are controls.

    nodes   V ids, in the order of `net.nodes`
    seeds   R seeds, one per run
    shares  condition → (R, V) float64 importance in each run, divided by its sum over the V nodes; 0 if the sum is 0
    losses  condition → (R,) float64 training loss of the last epoch of each run
    """

    nodes: tuple[Hashable, ...]
    seeds: tuple[int, ...]
    shares: Mapping[str, Array]
    losses: Mapping[str, Array]

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the conditions other than "trained"."""
        return tuple(name for name in self.shares if name != TRAINED)

    def agreement(self, condition: str = TRAINED) -> Interval:
        """Compute the mean Spearman rank correlation of two runs of one condition, over all pairs of runs.

        It estimates the expectation of ρ(X, X′) for independent runs X and X′.

        Args:
            condition: "trained" or the name of a control.

        Returns:
            the mean and its 95 % confidence interval (`flowgrad.inspection.intervals.mean_of_pairs`).

        Raises:
            UnknownNameError: condition is not a condition of this study.
            ConfigError: there are fewer than 7 runs, too few for the interval.
        """
        return self._pairs(condition, condition)

    def likeness(self, control: str) -> Interval:
        """Compute the mean Spearman rank correlation of a trained run and a control's run of another seed.

        The mean is over all such pairs. It estimates the expectation of ρ(X, Y) for independent runs X, trained, and
        Y, under the control. If it is as large as the agreement, the control alone reproduces the ranking. Runs of
        the same seed start from the same weights and are not compared.

        Args:
            control: the name of a control.

        Returns:
            the mean and its 95 % confidence interval.

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
        """Return one dict for each node, in descending order of excess, then of share.

        node            id of the node
        share           mean over the trained runs of the node's share of importance
        share_sd        standard deviation of the share over these runs, with divisor R − 1
        share_low, share_high   95 % confidence interval of the mean share
        excess          mean share minus the largest mean share of the node under any control; without controls, share
        rank            mean rank of the node over the trained runs; rank 1 is the largest share
        rank_low, rank_high     smallest (best) and largest (worst) rank in any trained run
        above CONTROL   for each control: estimated probability that the share in a trained run exceeds the share in a
                        run of the control with another seed; ties count half
        p CONTROL       for each control: exact two-sided p-value of Wilcoxon's signed-rank test of the differences
                        between runs of the same seed; not corrected for testing V nodes

        Raises:
            ConfigError: there are fewer than 7 runs, too few for the interval.
        """
        return [dict(row) for row in self._rows]

    def conditions(self) -> list[dict[str, Any]]:
        """Return one dict for each condition, "trained" first.

        condition, runs   name of the condition, and number of its runs
        loss              mean of their final training losses
        agreement, agreement_low, agreement_high   `agreement` of the condition, with its 95 % confidence interval
        likeness, likeness_low, likeness_high      `likeness` of trained runs and the condition, with its interval

        Raises:
            ConfigError: there are fewer than 7 runs, too few for the intervals.
        """
        found = []
        for name, values in self.shares.items():
            agree, like = self.agreement(name), self.likeness(name)
            row = {"condition": name, "runs": len(values), "loss": float(np.mean(self.losses[name]))}
            row |= {"agreement": agree.value, "agreement_low": agree.low, "agreement_high": agree.high}
            found.append(row | {"likeness": like.value, "likeness_low": like.low, "likeness_high": like.high})
        return found

    def to_frame(self) -> Any:
        """Return the records as a pandas data frame, or a polars one if pandas is not installed.

        Raises:
            MissingDependencyError: neither is installed.
            ConfigError: there are fewer than 7 runs, too few for the intervals.
        """
        rows = self.records()
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    @property
    def sentence(self) -> str:
        """Agreement of the trained runs, and likeness of each control, in one sentence."""
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
