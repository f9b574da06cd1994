"""Judging: clozes in, verdicts and rewards out."""

from .loading import load
from .reward_model import RewardModel

__all__ = ["RewardModel", "load"]
