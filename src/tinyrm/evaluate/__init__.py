"""Judges measured on benchmarks and on any file of preferences, with 95% intervals."""

from __future__ import annotations

from .baselines import BASELINES, longer_wins, shorter_wins
from .benchmarks import BENCHMARKS, Benchmark
from .bootstrap import Resampled, Score, Statistic, bootstrap
from .evaluation import Baseline, Evaluation, evaluate
from .judging import Judge, Judged, judge_preferences
from .metrics import Calibration, brier, calibration, log_loss

__all__ = [
    "BASELINES",
    "BENCHMARKS",
    "Baseline",
    "Benchmark",
    "Calibration",
    "Evaluation",
    "Judge",
    "Judged",
    "Resampled",
    "Score",
    "Statistic",
    "bootstrap",
    "brier",
    "calibration",
    "evaluate",
    "judge_preferences",
    "log_loss",
    "longer_wins",
    "shorter_wins",
]
