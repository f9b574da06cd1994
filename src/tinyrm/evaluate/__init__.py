"""Judges measured on benchmarks and on any file of preferences, with 95% intervals."""

from __future__ import annotations

from .audits import Audits, audit
from .baselines import BASELINES, longer_wins, shorter_wins
from .benchmarks import BENCHMARKS, Benchmark, find_benchmark
from .bootstrap import Resampled, Score, Statistic, bootstrap
from .evaluation import Baseline, Evaluation, evaluate
from .judging import Judge, Judged, judge_preferences
from .metrics import Calibration, brier, calibration, log_loss
from .outcomes import Outcomes
from .paired import Paired, compare
from .saved import Saved, load, save

__all__ = [
    "BASELINES",
    "BENCHMARKS",
    "Audits",
    "Baseline",
    "Benchmark",
    "Calibration",
    "Evaluation",
    "Judge",
    "Judged",
    "Outcomes",
    "Paired",
    "Resampled",
    "Saved",
    "Score",
    "Statistic",
    "audit",
    "bootstrap",
    "brier",
    "calibration",
    "compare",
    "evaluate",
    "find_benchmark",
    "judge_preferences",
    "load",
    "log_loss",
    "longer_wins",
    "save",
    "shorter_wins",
]
