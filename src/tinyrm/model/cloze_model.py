"""A masked LM that answers with a handful of words: a trunk, and a branch with its head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from .checkpoint import Head
from .families import Family, family_of
from .layout import Layout

TINY = 1e-6
"""Beside the mean square of a prompt's state: a model whose states are all zero still has a reward."""


class Trunk(nn.Module):
    """Embeddings and the lowest layers: token ids [...] -> hidden states [..., width]."""

    def __init__(self, family: Family, depth: int) -> None:
        super().__init__()
        self._family = family
        self.depth = depth
        self.lower = nn.ModuleList(family.lower_modules())
        self.layers = nn.ModuleList(list(family.layers())[:depth])

    def forward(self, ids: Tensor, layout: Layout) -> Tensor:
        hidden = self._family.embed(ids, layout)
        if self.depth:
            context = self._family.context(hidden, layout)
            for index in range(self.depth):
                hidden = self._family.run(index, hidden, context)
        return hidden


class Branch(nn.Module):
    """The layers above the trunk and the head: hidden states [..., width] -> logits [clozes, words].

    head: `cloze` is the MLM head at the slot, for the answer words alone; the others are a linear layer, new, on the
    first token's state (`cls`), the mean of all (`mean`), or, with the slot between prompt and response, their two
    means and the product of these (`match`; as InferSent compares two sentences, arXiv 1705.02364).
    """

    word_ids: Tensor

    def __init__(self, family: Family, depth: int, word_ids: Sequence[int], head: Head) -> None:
        super().__init__()
        self._family = family
        self.head = head
        self.first, self.last = depth, len(family.layers())
        self.layers = nn.ModuleList(list(family.layers())[depth:])
        self.upper = nn.ModuleList(family.upper_modules() if head == "cloze" else family.final_modules())
        self.register_buffer("word_ids", torch.tensor(list(word_ids)), persistent=False)
        self.classifier: nn.Linear | None = None
        if head != "cloze":
            width = family.masked_lm.config.hidden_size
            self.classifier = nn.Linear(3 * width if head == "match" else width, len(word_ids))
            nn.init.zeros_(self.classifier.weight)
            nn.init.zeros_(self.classifier.bias)

    def hidden(self, hidden: Tensor, layout: Layout) -> Tensor:
        """Hidden states above the last layer, at every place."""
        context = self._family.context(hidden, layout)
        for index in range(self.first, self.last):
            hidden = self._family.run(index, hidden, context)
        return hidden

    def forward(self, hidden: Tensor, layout: Layout) -> Tensor:
        if self.classifier is not None:
            pooled = self._pooled(hidden, layout).float()
            if torch.is_autocast_enabled(pooled.device.type):  # which would round the layer's outcome
                return _products(pooled, self.classifier.weight, self.classifier.bias)
            scores: Tensor = self.classifier(pooled)  # in a graph one product: OpenVINO gets ours wrong in batches
            return scores
        weight, bias = self._family.decoder()
        # Two rows of the decoder instead of its tens of thousands: the other words are no answers.
        answered = self._family.transform(self._at_slots(hidden, layout))
        return _products(answered, weight[self.word_ids], bias[self.word_ids])

    def _pooled(self, hidden: Tensor, layout: Layout) -> Tensor:
        """What the classifier reads of each cloze."""
        final = self._family.final
        if self.head == "cls":
            return final(self._at_slots(hidden, layout.at_first()))
        states = self.hidden(hidden, layout)
        if self.head == "mean":
            return final(layout.mean(states))
        prompt, response = (final(mean).float() for mean in layout.means_around_slots(states))
        size = (prompt.square().mean(dim=-1, keepdim=True) + TINY).sqrt()  # for a product as large as its factors
        return torch.cat([prompt, response, prompt * response / size], dim=-1)

    def _at_slots(self, hidden: Tensor, layout: Layout) -> Tensor:
        if self.first == self.last:
            return layout.at_slots(hidden)
        context = self._family.context(hidden, layout)
        for index in range(self.first, self.last - 1):
            hidden = self._family.run(index, hidden, context)
        return self._family.run_at(self.last - 1, hidden, context)


def _products(states: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """states [clozes, width], weight [words, width] -> [clozes, words], in float32 (sums that autocast leaves alone):
    a reward is the small difference of two large logits."""
    logits: Tensor = (states.float()[:, None, :] * weight.float()).sum(dim=-1) + bias.float()
    return logits


class ClozeModel(nn.Module):
    """The whole model: token ids, laid out in some way, -> logits [clozes, words] of the answer words."""

    def __init__(self, masked_lm: Any, word_ids: Sequence[int], frozen: int = 0, head: Head = "cloze") -> None:
        super().__init__()
        family = family_of(masked_lm)
        layers = len(family.layers())
        if not 0 <= frozen <= layers:
            raise UserError(f"model.frozen = {frozen}, but the model has {layers} layers")
        self.masked_lm = masked_lm
        self.trunk = Trunk(family, frozen)
        self.branch = Branch(family, frozen, word_ids, head)
        self.packs = family.packs
        weight, _ = family.decoder()
        if head != "cloze":  # the MLM head is read by nobody
            masked_lm.requires_grad_(False)
            self.branch.requires_grad_(True)
        self.trunk.requires_grad_(frozen == 0)
        if frozen:
            weight.requires_grad_(False)  # tied to the embeddings

    @property
    def frozen(self) -> int:
        return self.trunk.depth

    def forward(self, ids: Tensor, layout: Layout, below: Tensor | None = None) -> Tensor:
        """Logits [clozes, words]. below: the trunk's states, where they are known already."""
        if below is None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                below = self.trunk(ids, layout)
        logits: Tensor = self.branch(below, layout)
        return logits


def whole(tensor: Any) -> Tensor:
    """A tensor that may be sharded over processes (FSDP), gathered on the CPU: all of them must ask."""
    gathered: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return gathered.detach().cpu()
