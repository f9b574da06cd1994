"""LoRA and DoRA on the linear layers that learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..config import AdapterConfig
from .cloze_model import ClozeModel


class AdaptedLinear(nn.Module):
    """A frozen linear layer with a low-rank update of its weight W [out, in].

    LoRA (arXiv 2106.09685): W' = W + s B A, with A [rank, in], B [out, rank] and s = alpha / rank.
    DoRA (arXiv 2402.09353, eq. 5): W' = m (W + s B A) / ||W + s B A||, the norm of each output row
    taken as a constant in the gradient (section 4.3 there) and m [out] learnt.
    """

    zero_row: Tensor
    squared: Tensor

    def __init__(self, base: nn.Linear, config: AdapterConfig) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        rank = min(config.rank, *base.weight.shape)
        self.scale = (config.rank if config.alpha is None else config.alpha) / config.rank
        self.a = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.magnitude: nn.Parameter | None = None
        if config.kind == "dora":
            norms = base.weight.detach().norm(dim=1)
            # A row of zeros has no direction; with magnitude 1 and norm 1 it starts as zeros and may grow.
            self.register_buffer("zero_row", norms == 0, persistent=False)
            self.register_buffer("squared", norms.square(), persistent=False)
            self.magnitude = nn.Parameter(torch.where(norms == 0, torch.ones_like(norms), norms))

    @torch.no_grad()
    def norms(self) -> Tensor:
        """||W + s B A|| of each row [out] by ||W||^2 + 2 s <W, BA> + s^2 ||BA||^2, never forming BA."""
        s = self.scale
        cross = ((self.base.weight @ self.a.T) * self.b).sum(dim=1)
        update = ((self.b @ (self.a @ self.a.T)) * self.b).sum(dim=1)
        norms = (self.squared + 2 * s * cross + s * s * update).clamp_min(0).sqrt()
        return torch.where(self.zero_row | (norms == 0), torch.ones_like(norms), norms)

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.linear(x, self.base.weight) + self.scale * ((x @ self.a.T) @ self.b.T)
        if self.magnitude is not None:
            out = out * (self.magnitude / self.norms())
        return out if self.base.bias is None else out + self.base.bias

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The plain linear layer that does the same."""
        weight = self.base.weight + self.scale * (self.b @ self.a)
        if self.magnitude is not None:
            weight = weight * (self.magnitude / self.norms())[:, None]
        self.base.weight.copy_(weight)
        return self.base.requires_grad_(True)


def add_adapters(model: ClozeModel, config: AdapterConfig) -> None:
    """Freezes the model and adapts every linear layer of the branch: attention, MLP and the head's dense.

    The decoder is no part of the branch and stays as it is: it is tied to the embeddings, which a
    merge would corrupt.
    """
    if config.kind == "none":
        return
    model.masked_lm.requires_grad_(False)
    _swap(model, nn.Linear, lambda linear: AdaptedLinear(linear, config))


def merge_adapters(model: ClozeModel) -> None:
    """Folds every adapter into the weight that it adapts."""
    _swap(model, AdaptedLinear, lambda adapted: adapted.merged())


def _swap(model: ClozeModel, kind: type[nn.Module], change: Callable[[Any], nn.Module]) -> None:
    """Puts `change(module)` wherever a module of that kind within the branch is held."""
    changed = {id(old): (old, change(old)) for old in list(model.branch.modules()) if isinstance(old, kind)}
    for holder in list(model.modules()):
        for name, child in holder._modules.items():
            if id(child) in changed:
                holder._modules[name] = changed[id(child)][1]
