"""Judging: clozes in, verdicts and rewards out."""

from .blender import Blender
from .loading import load
from .reinforcement import reward_function
from .results import Results
from .reward_model import RewardModel

__all__ = ["Blender", "Results", "RewardModel", "load", "reward_function"]
