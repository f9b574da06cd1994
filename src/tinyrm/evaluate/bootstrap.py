"""95% intervals by resampling prompts, for any mean of accuracies, and for differences of two judges.

Rows with one prompt are not independent, so prompts are drawn, not rows, and a prompt that several
subsets share moves in all of them at once. Subsets are fixed by a benchmark's design, so prompts are
drawn within strata: groups of subsets that share prompts. The draws depend on the rows and the seed
alone: two judges of the same rows see the same resamples, and their difference is a paired one.

Where all prompts of a subset came out alike, resampling them shows no variation, and its interval would have no
width. There Wilson's limit for a share of which nothing was seen stands in: of n prompts, z^2 / (n + z^2) may be of
another kind, and a credit of that kind lies anywhere between wrong and right. For a subset that is all right or all
wrong this is exactly Wilson's interval (1927). It joins the rest in quadrature, as in the method of variance
estimates recovery (Zou and Donner 2008).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .judging import Floats

RESAMPLES = 2000
SMALL_STRATUM = 10
"""Strata of fewer prompts are drawn from together: alone, one of a single prompt would seem to have no error."""
Z = 1.959963984540054
"""Of the normal distribution, 2.5% lies above."""
_DRAWS_AT_ONCE = 2_000_000
_SAME = 1e-6
"""Accuracies of resamples that differ by less are the same: they were summed in single precision."""


@dataclass(frozen=True)
class Statistic:
    """A mean over subsets: of their accuracies by `weights`, or of all their rows if `over_rows`.

    role: the one figure of the benchmark, a section that it is made of, or a part or another view of these.
    partial: a subset which belongs to it is not there.
    total: what the weights are divided by, where that is not their sum; a subset that is not there then counts as 0.
    n: rows behind it, where these are not simply those of its subsets.
    """

    name: str
    weights: Mapping[str, float]
    formula: str
    over_rows: bool = False
    partial: bool = False
    role: Literal["overall", "section", "part"] = "section"
    total: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A figure between 0 and 1 (or a difference of two) with its 95% interval, over `n` rows.

    widened: some subset came out all alike, so that the interval holds Wilson's allowance for what was not seen.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    formula: str
    partial: bool = False
    role: Literal["overall", "section", "part"] = "section"
    widened: bool = False


@dataclass(frozen=True, eq=False)
class Resampled:
    """Credit by subset: in the data (row 0 of the arrays) and in every resample (the rows after it).

    right: sum of credits, [1 + resamples, subsets]; rows: number of credits, same shape.
    draws: a name for the rows and the draws; only what has the same can be paired.
    members: which prompt (a number) is in which subset, [pairs, 2]; None where no interval is to be widened, as in a
    difference: two judges that judge alike differ by exactly nothing, and `paired` tests what was not seen.
    """

    subsets: tuple[str, ...]
    right: Floats
    rows: Floats
    draws: str
    members: NDArray[np.int64] | None = None

    def __sub__(self, other: Resampled) -> Resampled:
        """The paired difference of two judges of the same rows."""
        if self.draws != other.draws:
            raise ValueError("a paired difference needs the same rows and the same resamples")
        rows, right = self.rows, self.right - other.right
        if not np.array_equal(self.rows, other.rows):  # a judge left some rows without a credit
            rows = np.maximum(self.rows, other.rows)
            right = rows * (self._accuracies - other._accuracies)
        return replace(self, right=right, rows=rows, members=None)

    def score(self, statistic: Statistic) -> Score:
        values = self._values(statistic)
        value = float(values[0])
        limits = np.nanpercentile(values[1:], (2.5, 97.5))
        low, high = min(float(limits[0]), value), max(float(limits[1]), value)
        below, above = self._unseen(statistic)
        if below or above:
            low = min(low, max(0.0, value - float(np.hypot(value - low, below))))
            high = max(high, min(1.0, value + float(np.hypot(high - value, above))))
        n = statistic.n
        if n is None:
            n = int(sum(r for name, r in zip(self.subsets, self.rows[0], strict=True) if name in statistic.weights))
        return Score(
            statistic.name,
            value,
            low,
            high,
            n,
            statistic.formula,
            statistic.partial,
            statistic.role,
            bool(below or above),
        )

    def scores(self, statistics: Iterable[Statistic]) -> list[Score]:
        return [self.score(statistic) for statistic in statistics]

    @property
    def _accuracies(self) -> Floats:
        """By resample and subset; 0 where no draw hit the subset."""
        return np.divide(self.right, self.rows, out=np.zeros_like(self.right), where=self.rows > 0)

    def _weights(self, statistic: Statistic) -> Floats:
        return np.array([statistic.weights.get(name, 0.0) for name in self.subsets])

    def _values(self, statistic: Statistic) -> Floats:
        """The statistic in the data and in every resample, [1 + resamples]."""
        weights = self._weights(statistic)
        if statistic.over_rows:
            total, right = self.rows @ (weights > 0), self.right @ (weights > 0)
        else:
            # A subset that no draw hit drops out of the mean of that resample.
            total, right = (self.rows > 0) @ weights, self._accuracies @ weights
            if statistic.total is not None:
                total = np.full_like(total, statistic.total)
        return np.divide(right, total, out=np.full_like(total, np.nan), where=total > 0)

    def _unseen(self, statistic: Statistic) -> tuple[float, float]:
        """How far below and above the statistic may lie for subsets that came out all alike; 0 if there are none.

        What may be unseen in subsets that share prompts may be so in all of them at once, and adds up; in others it is
        independent, and its squares do.
        """
        if self.members is None:
            return 0.0, 0.0
        weights = self._weights(statistic) * (self.rows[0] > 0)
        kept = np.flatnonzero(weights > 0)
        if statistic.over_rows:  # one subset of all these rows
            accuracies, weights, linked = self._values(statistic)[:, None], np.ones(1), np.zeros(1, dtype=np.int64)
            units = np.array([len(np.unique(self.members[np.isin(self.members[:, 1], kept), 0]))])
        else:
            accuracies = np.where(self.rows > 0, self._accuracies, np.nan)[:, kept]
            units = np.bincount(self.members[:, 1], minlength=len(self.subsets))[kept]
            weights, linked = weights[kept] / (statistic.total or weights.sum()), _linked(self.members)[kept]
        alike = np.nanmax(accuracies, axis=0) - np.nanmin(accuracies, axis=0) < _SAME
        reach = alike * weights * Z**2 / (units + Z**2)
        accuracy = np.clip(accuracies[0], 0, 1)
        below, above = (np.bincount(linked, reach * share) for share in (accuracy, 1 - accuracy))
        return float(np.linalg.norm(below)), float(np.linalg.norm(above))


def bootstrap(
    credits: Mapping[str, Floats],
    subsets: Sequence[str],
    units: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Resampled]:
    """Resamples the rows; the same draws serve every judge in `credits`.

    Args:
        credits: by name of the judge, one credit a row; a row where it is NaN does not count for that judge.
        subsets: subset of every row.
        units: what each row moves with, mostly its prompt.
    """
    names, column = _numbered(subsets)
    _, unit = _numbered(units)
    figures: list[Floats] = []
    for credit in credits.values():
        counted = ~np.isnan(credit)
        figures += [counted.astype(np.float64), np.where(counted, credit, 0.0)]
    totals = np.zeros((len(figures), 1 + resamples, len(names)))
    for k, figure in enumerate(figures):
        totals[k, 0] = np.bincount(column, weights=figure, minlength=len(names))
    rng = np.random.default_rng(seed)
    members = np.unique(np.stack([unit, column], axis=1), axis=0)
    for stratum in _strata(members):
        member = np.isin(unit, stratum)
        columns, column_in = np.unique(column[member], return_inverse=True)
        unit_in = np.searchsorted(stratum, unit[member])
        cell, shape = unit_in * len(columns) + column_in, (len(stratum), len(columns))
        sums = [np.bincount(cell, figure[member], minlength=shape[0] * shape[1]).reshape(shape) for figure in figures]
        table = np.concatenate(sums, axis=1).astype(np.float32)
        step = max(1, _DRAWS_AT_ONCE // len(stratum))
        for start in range(1, 1 + resamples, step):
            stop = min(start + step, 1 + resamples)
            drawn = _times_drawn(rng, stop - start, len(stratum)) @ table
            totals[:, start:stop, columns] += drawn.reshape(-1, len(figures), len(columns)).transpose(1, 0, 2)
    draws = hashlib.blake2b(
        repr((list(units), list(subsets), resamples, seed)).encode("utf-8", "replace"), digest_size=8
    ).hexdigest()
    return {name: Resampled(names, totals[2 * k + 1], totals[2 * k], draws, members) for k, name in enumerate(credits)}


def _numbered(texts: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct texts and the place of each text among them; np.unique would pad all to the longest."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return tuple(place), np.array([place[text] for text in texts], dtype=np.int64)


def _times_drawn(rng: np.random.Generator, resamples: int, units: int) -> NDArray[np.float32]:
    """How often each of n units is drawn in n draws with replacement, [resamples, units]."""
    draws = rng.integers(units, size=(resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float32)


def _linked(members: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for every subset that those linked by a shared prompt, directly or not, have in common."""
    parent = list(range(int(members[:, 1].max()) + 1))

    def root(subset: int) -> int:
        while parent[subset] != subset:
            subset = parent[subset]
        return subset

    same = members[1:, 0] == members[:-1, 0]
    for left, right in np.unique(np.stack([members[:-1, 1][same], members[1:, 1][same]], axis=1), axis=0):
        parent[root(int(right))] = root(int(left))
    return np.array([root(subset) for subset in range(len(parent))], dtype=np.int64)


def _strata(members: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The units of each stratum: subsets linked by a shared prompt are one, and small strata are drawn together."""
    units, first = np.unique(members[:, 0], return_index=True)
    stratum = _linked(members)[members[first, 1]]
    sizes = np.bincount(stratum)
    stratum[sizes[stratum] < SMALL_STRATUM] = -1
    return [units[stratum == s] for s in np.unique(stratum)]
