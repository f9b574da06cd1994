"""Decoupled AdamW and its schedule."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..config import TrainConfig


def build_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over what learns, without decay on norms and biases.

    The paper's decoupled form shrinks weights by `weight_decay * lr / peak_lr` a step, torch's by
    `weight_decay * lr`: hence the division.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learning if p.ndim > 1], "weight_decay": config.weight_decay / config.lr},
        {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of a step (from 0): a linear rise over `warmup` of the steps, then linear decay to `final_lr`."""
    rise = max(1, round(config.warmup * steps))
    if step < rise:
        return config.lr * (step + 1) / rise
    along = (step - rise + 1) / max(1, steps - rise)
    return config.lr * (1 - (1 - config.final_lr) * along)
