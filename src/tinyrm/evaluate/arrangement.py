"""The rows of a benchmark made ready for judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrm.types import Preference


@dataclass(frozen=True, slots=True)
class Missing:
    """A subset of which fewer rows were found than were published."""

    subset: str
    expected: int
    found: int


@dataclass(frozen=True)
class Arrangement:
    """Rows to judge, the subset that each belongs to, what a subset is called, and what there is to say."""

    preferences: Sequence[Preference]
    subsets: Sequence[str]
    subset_name: str
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()

    def sample(self, limit: int, seed: int) -> Arrangement:
        """`limit` rows at random, of every subset in proportion (give or take one); all rows if there are no more."""
        if limit >= len(self.preferences):
            return self
        _, subset, sizes = np.unique(np.array(self.subsets), return_inverse=True, return_counts=True)
        quotas, remainders = np.divmod(limit * sizes, len(subset))
        quotas[np.argsort(-remainders, kind="stable")[: limit - quotas.sum()]] += 1
        rng = np.random.default_rng(seed)
        drawn = [rng.choice(np.flatnonzero(subset == i), quota, replace=False) for i, quota in enumerate(quotas)]
        kept = [int(i) for i in np.sort(np.concatenate(drawn))]
        return replace(self, preferences=[self.preferences[i] for i in kept], subsets=[self.subsets[i] for i in kept])
