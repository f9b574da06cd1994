"""Judges that read nothing but the length: what a model must beat to have learned more than that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from tinyrm.types import Preference

from .judging import Floats, Judged


def longer_wins(preferences: Sequence[Preference]) -> Floats:
    """Credit of the judge that prefers the response of more characters; equal lengths are half right."""
    return judged_by_length(preferences, 1).p_chosen


def shorter_wins(preferences: Sequence[Preference]) -> Floats:
    """Credit of the judge that prefers the response of fewer characters; equal lengths are half right."""
    return judged_by_length(preferences, -1).p_chosen


def judged_by_length(preferences: Sequence[Preference], sign: int) -> Judged:
    """What these two say of each row; their log-odds are the difference in characters, times `sign`."""
    logit = sign * np.array([len(p.chosen) - len(p.rejected) for p in preferences], dtype=np.float64)
    votes = np.sign(logit)
    p_chosen = np.asarray((votes + 1) / 2, dtype=np.float64)
    tied = np.array([p.tie for p in preferences], dtype=np.bool_)
    return Judged(
        preferences,
        p_chosen,
        logit,
        np.where(tied, np.nan, p_chosen),
        np.stack([p_chosen, p_chosen], axis=1),
        np.stack([votes, votes], axis=1).astype(np.int8),
        np.zeros(len(preferences), dtype=np.bool_),
    )


BASELINES: dict[str, Callable[[Sequence[Preference]], Judged]] = {
    "longer wins": partial(judged_by_length, sign=1),
    "shorter wins": partial(judged_by_length, sign=-1),
}
