"""Two judges of the same rows: which is better, and may it be chance?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .binomial import fair_coin
from .bootstrap import Score, Statistic, bootstrap
from .outcomes import Outcomes


@dataclass(frozen=True)
class Paired:
    """One judge minus another in one statistic.

    difference: with its paired 95% interval, by resampling prompts.
    better, worse: prompts on which the one judge earns more (less) credit than the other; the rest are even.
    p: two-sided, of McNemar's exact test on these two numbers: the chance of such a split among equals.
    p_holm: the same, corrected for looking at all sections (Holm 1979); None for what is no section.
    """

    name: str
    difference: Score
    better: int
    worse: int
    p: float
    p_holm: float | None = None


def compare(one: Outcomes, other: Outcomes, statistics: Sequence[Statistic], seed: int = 0) -> tuple[Paired, ...]:
    """`one` minus `other`, by statistic.

    Rows of one prompt are not independent, so they count as one in the test: with one row a prompt it is McNemar's.

    Raises:
        ValueError: the two are not of the same rows.
    """
    if not one.alike(other):
        raise ValueError("only judges of the same rows can be compared")
    resampled = bootstrap({"one": one.credit, "other": other.credit}, one.subsets, one.units, seed=seed)
    gaps = resampled["one"] - resampled["other"]
    found = []
    for statistic in statistics:
        better, worse = discordant(one, other, statistic)
        found.append(Paired(statistic.name, gaps.score(statistic), better, worse, fair_coin(better, worse)))
    sections = [i for i, statistic in enumerate(statistics) if statistic.role == "section"]
    for i, p in zip(sections, holm([found[i].p for i in sections]), strict=True):
        found[i] = replace(found[i], p_holm=p)
    return tuple(found)


def discordant(one: Outcomes, other: Outcomes, statistic: Statistic) -> tuple[int, int]:
    """Prompts on which the one judge earns more and less than the other, by the weights of the statistic."""
    counts = one.counts
    gap: dict[str, float] = defaultdict(float)
    for mine, theirs, subset, unit in zip(one.credit, other.credit, one.subsets, one.units, strict=True):
        if weight := statistic.weights.get(subset):
            share = 1.0 if statistic.over_rows else weight / max(counts[subset], 1)
            gap[unit] += share * float(np.nan_to_num(mine) - np.nan_to_num(theirs))
    sides = np.array([0.0 if abs(g) < 1e-12 else g for g in gap.values()])
    return int((sides > 0).sum()), int((sides < 0).sum())


def holm(p: Sequence[float]) -> list[float]:
    """Each p-value corrected for all of them: rejecting those below 5% errs at all in 5% of cases at most."""
    corrected = [0.0] * len(p)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = highest
    return corrected
