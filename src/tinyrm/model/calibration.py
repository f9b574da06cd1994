"""From raw log-odds to probabilities that mean what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """temperature: divides log-odds. offset: reward of a typical response, subtracted from a single reward.
    domains: temperatures of their own for callers who name the domain.

    `sigmoid((reward - offset) / temperature)` is then the probability that a response is preferred
    to a typical one of the held-out data.
    """

    temperature: float = 1.0
    offset: float = 0.0
    domains: Mapping[str, float] = field(default_factory=dict)

    def temperature_of(self, domain: str | None) -> float:
        return self.domains.get(domain or "", self.temperature)


def sigmoid(x: float) -> float:
    """The logistic function, with sigmoid(-x) == 1 - sigmoid(x) exactly."""
    if x < 0:
        return 1.0 - sigmoid(-x)
    return float(1.0 / (1.0 + np.exp(-x)))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that minimises the log loss of sigmoid(logit / T) against targets in [0, 1].

    Guo et al. 2017 (arXiv 1706.04599). Golden-section search over log T: the loss is convex in 1 / T.
    """
    if len(logits) == 0 or not np.any(logits):
        return 1.0

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        return float(np.mean(np.logaddexp(0.0, scaled) - targets * scaled))

    low, high = np.log(0.02), np.log(50.0)
    golden = (np.sqrt(5.0) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def expected_calibration_error(p: np.ndarray, credit: np.ndarray, bins: int = 10) -> float:
    """Sum over bins b of n_b / n * |mean credit in b - mean confidence in b|.

    p [n]: probability given to the chosen response; credit [n]: 1 right, 0 wrong, 0.5 undecided.
    Confidence is max(p, 1 - p), so the equally wide bins part [0.5, 1].
    """
    confidence = np.maximum(p, 1 - p)
    bin_of = np.minimum(((confidence - 0.5) * 2 * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(bin_of, weights=credit - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(p))
