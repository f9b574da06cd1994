"""How far a judge's probabilities can be trusted.

All take arrays over rows; `p` is the probability given to the chosen response.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrm.model.calibration import expected_calibration_error

from .binomial import wilson
from .judging import Floats, Judged

SMALLEST_P = 1e-12
"""Probabilities below count as this in the log loss, which would be infinite at 0."""
BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The `n` rows of one stretch of a scale: where they lie on it, and their accuracy with Wilson's 95% interval."""

    start: float
    end: float
    n: int
    mean: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be trusted, over `n` rows whose label is no tie.

    bins: of confidence, max(p, 1 - p), equally wide from 0.5 to 1; those without rows are left out. A judge as right
    as it says has an accuracy of `mean` in each.
    """

    log_loss: float
    brier: float
    ece: float
    n: int
    bins: tuple[Bin, ...] = ()


def calibration(judged: Judged) -> Calibration:
    p, credit = judged.p_chosen[judged.scored], judged.credit[judged.scored]
    bins = binned(np.maximum(p, 1 - p), credit, np.linspace(0.5, 1, BINS + 1))
    return Calibration(log_loss(p), brier(p), expected_calibration_error(p, credit, BINS), len(p), bins)


def log_loss(p: Floats) -> float:
    """Mean of -ln p, in nats; a judge without an opinion has ln 2 = 0.693."""
    return float(-np.log(np.maximum(p, SMALLEST_P)).mean())


def brier(p: Floats) -> float:
    """Mean of (1 - p)^2; a judge without an opinion has 0.25."""
    return float(np.square(1 - p).mean())


def binned(x: Floats, credit: Floats, edges: Floats) -> tuple[Bin, ...]:
    """Accuracy by where `x` lies between edges, which rise; the last bin holds its end, and empty ones are left out."""
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)
    bins = []
    for i in range(len(edges) - 1):
        member = place == i
        if n := int(member.sum()):
            right = float(credit[member].sum())
            bins.append(
                Bin(float(edges[i]), float(edges[i + 1]), n, float(x[member].mean()), right / n, *wilson(right, n))
            )
    return tuple(bins)


def by_quantile(x: Floats, credit: Floats, bins: int = BINS) -> tuple[Bin, ...]:
    """Accuracy by `x` in bins of about as many rows each; fewer bins where many rows have the same `x`."""
    edges = np.unique(np.quantile(x, np.linspace(0, 1, bins + 1))) if len(x) else np.zeros(0)
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    return binned(x, credit, edges) if len(edges) else ()
