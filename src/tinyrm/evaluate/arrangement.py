"""The rows of a benchmark made ready for judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrm.types import Preference


@dataclass(frozen=True, slots=True)
class Missing:
    """A subset of which fewer rows were found than were published."""

    subset: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a comparison comes from, if a row of the benchmark makes several.

    row: the row's id. group: rows that come into a sample together. better, worse: places of the chosen and the
    rejected response among the row's responses.
    """

    row: str
    group: str
    better: int
    worse: int


@dataclass(frozen=True)
class Arrangement:
    """Comparisons to judge, the subset that each belongs to, what a subset is called, and what there is to say.

    origins: one for each comparison; empty if every row is one comparison.
    folded: the subsets are too many to be read one by one.
    """

    preferences: Sequence[Preference]
    subsets: Sequence[str]
    subset_name: str
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    origins: Sequence[Origin] = ()
    folded: bool = False

    @property
    def rows(self) -> int:
        """Rows of the benchmark, each of one comparison or several."""
        return len({(o.group, o.row) for o in self.origins}) if self.origins else len(self.preferences)

    def sample(self, limit: int, seed: int) -> Arrangement:
        """`limit` rows at random, of every subset in proportion (give or take one); all rows if there are no more.

        Rows that only make sense together (one group) count as one.
        """
        groups = [origin.group for origin in self.origins] or range(len(self.preferences))
        place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        if limit >= len(place):
            return self
        group = np.array([place[name] for name in groups])
        first = np.unique(group, return_index=True)[1]
        _, subset, sizes = np.unique(np.array(self.subsets)[first], return_inverse=True, return_counts=True)
        quotas, remainders = np.divmod(limit * sizes, len(subset))
        quotas[np.argsort(-remainders, kind="stable")[: limit - quotas.sum()]] += 1
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(np.flatnonzero(subset == i), quota, replace=False) for i, quota in enumerate(quotas)]
        kept = [int(i) for i in np.flatnonzero(np.isin(group, np.concatenate(drawn)))]
        return replace(
            self,
            preferences=[self.preferences[i] for i in kept],
            subsets=[self.subsets[i] for i in kept],
            origins=[self.origins[i] for i in kept] if self.origins else (),
        )


def missing_rows(expected: Mapping[str, int], found: Mapping[str, int]) -> tuple[Missing, ...]:
    """The subsets of which there are fewer rows than were published."""
    return tuple(
        Missing(subset, rows, found.get(subset, 0)) for subset, rows in expected.items() if found.get(subset, 0) < rows
    )
