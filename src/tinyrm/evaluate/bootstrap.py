"""95% intervals by resampling prompts, for any mean of accuracies, and for differences of two judges.

Rows with one prompt are not independent, so prompts are drawn, not rows, and a prompt that several
subsets share moves in all of them at once. Subsets are fixed by a benchmark's design, so prompts are
drawn within strata: groups of subsets that share prompts. The draws depend on the rows and the seed
alone: two judges of the same rows see the same resamples, and their difference is a paired one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tinyrm.data.split import prompt_key
from tinyrm.types import Preference

from .judging import Floats

RESAMPLES = 2000
SMALL_STRATUM = 10
"""Strata of fewer prompts are drawn from together: alone, one of a single prompt would seem to have no error."""
_DRAWS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Statistic:
    """A mean over subsets: of their accuracies by `weights`, or of all their rows if `over_rows`.

    `partial` says that a subset which belongs to it is not there.
    """

    name: str
    weights: Mapping[str, float]
    formula: str
    over_rows: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Score:
    """A figure between 0 and 1 (or a difference of two) with its 95% interval, over `n` rows."""

    name: str
    value: float
    low: float
    high: float
    n: int
    formula: str
    partial: bool = False


@dataclass(frozen=True, eq=False)
class Resampled:
    """Credit by subset: in the data (row 0 of the arrays) and in every resample (the rows after it).

    right: sum of credits, [1 + resamples, subsets]; rows: number of rows, same shape.
    draws: a name for the rows and the draws; only what has the same can be paired.
    """

    subsets: tuple[str, ...]
    right: Floats
    rows: Floats
    draws: str

    def __sub__(self, other: Resampled) -> Resampled:
        """The paired difference of two judges of the same rows."""
        if self.draws != other.draws:
            raise ValueError("a paired difference needs the same rows and the same resamples")
        return replace(self, right=self.right - other.right)

    def score(self, statistic: Statistic) -> Score:
        values = self._values(statistic)
        low, high = np.nanpercentile(values[1:], (2.5, 97.5))
        n = sum(int(rows) for name, rows in zip(self.subsets, self.rows[0], strict=True) if name in statistic.weights)
        return Score(statistic.name, float(values[0]), float(low), float(high), n, statistic.formula, statistic.partial)

    def scores(self, statistics: Iterable[Statistic]) -> list[Score]:
        return [self.score(statistic) for statistic in statistics]

    def _values(self, statistic: Statistic) -> Floats:
        """The statistic in the data and in every resample, [1 + resamples]."""
        weights = np.array([statistic.weights.get(name, 0.0) for name in self.subsets])
        if statistic.over_rows:
            total, right = self.rows @ (weights > 0), self.right @ (weights > 0)
        else:
            # A subset that no draw hit drops out of the mean of that resample.
            present = self.rows > 0
            total = present @ weights
            right = np.divide(self.right, self.rows, out=np.zeros_like(self.right), where=present) @ weights
        return np.divide(right, total, out=np.full_like(total, np.nan), where=total > 0)


def bootstrap(
    credits: Mapping[str, Floats],
    subsets: Sequence[str],
    preferences: Sequence[Preference],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Resampled]:
    """Resamples the rows; the same draws serve every judge in `credits`.

    Args:
        credits: by name of the judge, one credit (no NaN) a row.
        subsets: subset of every row.
        preferences: the rows; those with one prompt move together.
    """
    if any(np.isnan(credit).any() for credit in credits.values()):
        raise ValueError("rows labelled as ties have no credit: leave them out")
    prompts = [prompt_key(p.prompt) for p in preferences]
    names, column = _numbered(subsets)
    _, unit = _numbered(prompts)
    figures = [np.ones(len(column)), *credits.values()]
    totals = np.zeros((len(figures), 1 + resamples, len(names)))
    for k, figure in enumerate(figures):
        totals[k, 0] = np.bincount(column, weights=figure, minlength=len(names))
    rng = np.random.default_rng(seed)
    for units in _strata(column, unit):
        member = np.isin(unit, units)
        columns, column_in = np.unique(column[member], return_inverse=True)
        unit_in = np.searchsorted(units, unit[member])
        cell, shape = unit_in * len(columns) + column_in, (len(units), len(columns))
        sums = [np.bincount(cell, figure[member], minlength=shape[0] * shape[1]).reshape(shape) for figure in figures]
        table = np.concatenate(sums, axis=1).astype(np.float32)
        step = max(1, _DRAWS_AT_ONCE // len(units))
        for start in range(1, 1 + resamples, step):
            stop = min(start + step, 1 + resamples)
            drawn = _times_drawn(rng, stop - start, len(units)) @ table
            totals[:, start:stop, columns] += drawn.reshape(-1, len(figures), len(columns)).transpose(1, 0, 2)
    rows, *rights = totals
    draws = hashlib.blake2b(
        repr((prompts, list(subsets), resamples, seed)).encode("utf-8", "replace"), digest_size=8
    ).hexdigest()
    return {name: Resampled(names, right, rows, draws) for name, right in zip(credits, rights, strict=True)}


def _numbered(texts: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The distinct texts and the place of each text among them; np.unique would pad all to the longest."""
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return tuple(place), np.array([place[text] for text in texts], dtype=np.int64)


def _times_drawn(rng: np.random.Generator, resamples: int, units: int) -> NDArray[np.float32]:
    """How often each of n units is drawn in n draws with replacement, [resamples, units]."""
    draws = rng.integers(units, size=(resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(draws.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float32)


def _strata(column: NDArray[np.int64], unit: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The units of each stratum: subsets linked by a shared prompt are one, and small strata are drawn together."""
    parent = list(range(int(column.max()) + 1))

    def root(subset: int) -> int:
        while parent[subset] != subset:
            subset = parent[subset]
        return subset

    pairs = np.unique(np.stack([unit, column], axis=1), axis=0)
    same = pairs[1:, 0] == pairs[:-1, 0]
    for left, right in np.unique(np.stack([pairs[:-1, 1][same], pairs[1:, 1][same]], axis=1), axis=0):
        parent[root(int(right))] = root(int(left))
    units, first = np.unique(pairs[:, 0], return_index=True)
    stratum = np.array([root(int(subset)) for subset in pairs[first, 1]], dtype=np.int64)
    sizes = np.bincount(stratum)
    stratum[sizes[stratum] < SMALL_STRATUM] = -1
    return [units[stratum == s] for s in np.unique(stratum)]
