"""A masked LM that answers at one slot with a handful of words: a trunk and a branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .families import Family, at, family_of


class Trunk(nn.Module):
    """Embeddings and the lowest layers: token ids [rows, tokens] -> hidden states [rows, tokens, width]."""

    def __init__(self, family: Family, depth: int) -> None:
        super().__init__()
        self._family = family
        self.depth = depth
        self.lower = nn.ModuleList(family.lower_modules())
        self.layers = nn.ModuleList(list(family.layers())[:depth])

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        hidden = self._family.embed(ids, mask)
        if self.depth:
            context = self._family.context(hidden, mask)
            for index in range(self.depth):
                hidden = self._family.run(index, hidden, context)
        return hidden


class Branch(nn.Module):
    """The layers above the trunk and the MLM head at the slot: hidden states -> logits [rows, words]."""

    word_ids: Tensor

    def __init__(self, family: Family, depth: int, word_ids: Sequence[int]) -> None:
        super().__init__()
        self._family = family
        self.first, self.last = depth, len(family.layers())
        self.layers = nn.ModuleList(list(family.layers())[depth:])
        self.head = nn.ModuleList(family.upper_modules())
        self.register_buffer("word_ids", torch.tensor(list(word_ids)), persistent=False)

    def hidden(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """Hidden states above the last layer, at every place."""
        context = self._family.context(hidden, mask)
        for index in range(self.first, self.last):
            hidden = self._family.run(index, hidden, context)
        return hidden

    def forward(self, hidden: Tensor, mask: Tensor | None, slot: Tensor) -> Tensor:
        if self.first == self.last:
            at_slot = at(hidden, slot)
        else:
            context = self._family.context(hidden, mask)
            for index in range(self.first, self.last - 1):
                hidden = self._family.run(index, hidden, context)
            at_slot = self._family.run_at(self.last - 1, hidden, context, slot)
        weight, bias = self._family.decoder()
        # Two rows of the decoder instead of its tens of thousands: the other words are no answers. In float32
        # (products autocast leaves alone), since a reward is the small difference of two large logits.
        answered = self._family.transform(at_slot).float()[:, None, :]
        logits: Tensor = (answered * weight[self.word_ids].float()).sum(dim=-1) + bias[self.word_ids].float()
        return logits


class ClozeModel(nn.Module):
    """The whole model: `forward(ids, mask, slot)` gives the logits of the answer words at the slots.

    ids [rows, tokens] int64; mask [rows, tokens], 1 for text and 0 for padding, or None if nothing is
    padding; slot [rows] int64, the place of the mask token in each row.
    """

    def __init__(self, masked_lm: Any, word_ids: Sequence[int], frozen: int = 0) -> None:
        super().__init__()
        family = family_of(masked_lm)
        layers = len(family.layers())
        if not 0 <= frozen <= layers:
            raise UserError(f"model.frozen = {frozen}, but the model has {layers} layers")
        self.masked_lm = masked_lm
        self.trunk = Trunk(family, frozen)
        self.branch = Branch(family, frozen, word_ids)
        self.trunk.requires_grad_(frozen == 0)
        if not frozen:
            return
        weight, _ = family.decoder()
        weight.requires_grad_(False)  # tied to the embeddings, which are frozen

    @property
    def frozen(self) -> int:
        return self.trunk.depth

    def forward(self, ids: Tensor, mask: Tensor | None, slot: Tensor) -> Tensor:
        if self.frozen:
            with torch.no_grad():
                hidden = self.trunk(ids, mask)
        else:
            hidden = self.trunk(ids, mask)
        logits: Tensor = self.branch(hidden, mask, slot)
        return logits
