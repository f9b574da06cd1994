"""The recipe of a training run, and how it is read."""

from .reading import load_recipe, recipe_from
from .recipe import (
    AblationConfig,
    AdapterConfig,
    CacheConfig,
    DataConfig,
    DomainRule,
    ModelConfig,
    PromptConfig,
    Recipe,
    Source,
    SweepConfig,
    TrainConfig,
    WarmupConfig,
)

__all__ = [
    "AblationConfig",
    "AdapterConfig",
    "CacheConfig",
    "DataConfig",
    "DomainRule",
    "ModelConfig",
    "PromptConfig",
    "Recipe",
    "Source",
    "SweepConfig",
    "TrainConfig",
    "WarmupConfig",
    "load_recipe",
    "recipe_from",
]
