"""The recipe of a training run, and how it is read."""

from .reading import flat, load_recipe, recipe_from
from .recipe import (
    AblationConfig,
    AdapterConfig,
    CacheConfig,
    DataConfig,
    DomainRule,
    MadeConfig,
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
    "MadeConfig",
    "ModelConfig",
    "PromptConfig",
    "Recipe",
    "Source",
    "SweepConfig",
    "TrainConfig",
    "WarmupConfig",
    "flat",
    "load_recipe",
    "recipe_from",
]
