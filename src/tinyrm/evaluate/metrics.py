"""How far a judge's probabilities can be trusted.

All take arrays over rows; `p` is the probability given to the chosen response.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrm.model.calibration import expected_calibration_error

from .judging import Floats, Judged

SMALLEST_P = 1e-12
"""Probabilities below count as this in the log loss, which would be infinite at 0."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be trusted, over `n` rows whose label is no tie."""

    log_loss: float
    brier: float
    ece: float
    n: int


def calibration(judged: Judged) -> Calibration:
    p, credit = judged.p_chosen[judged.scored], judged.credit[judged.scored]
    return Calibration(log_loss(p), brier(p), expected_calibration_error(p, credit), len(p))


def log_loss(p: Floats) -> float:
    """Mean of -ln p, in nats; a judge without an opinion has ln 2 = 0.693."""
    return float(-np.log(np.maximum(p, SMALLEST_P)).mean())


def brier(p: Floats) -> float:
    """Mean of (1 - p)^2; a judge without an opinion has 0.25."""
    return float(np.square(1 - p).mean())
