"""Judges that read nothing but the length: what a model must beat to have learned more than that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyrm.types import Preference

from .judging import Floats


def longer_wins(preferences: Sequence[Preference]) -> Floats:
    """Credit of the judge that prefers the response of more characters; equal lengths are half right."""
    difference = np.array([len(p.chosen) - len(p.rejected) for p in preferences], dtype=np.int64)
    return np.asarray((np.sign(difference) + 1) / 2, dtype=np.float64)


def shorter_wins(preferences: Sequence[Preference]) -> Floats:
    """Credit of the judge that prefers the response of fewer characters; equal lengths are half right."""
    return 1 - longer_wins(preferences)


BASELINES = {"longer wins": longer_wins, "shorter wins": shorter_wins}
