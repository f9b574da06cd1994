"""How clozes lie in a tensor: end to end without padding, or as rows padded to one length.

The layers' arithmetic is written once, for states [..., width]; only attention, positions and the
slots depend on the layout. On a CPU a mask makes attention three times slower and padding costs its
share of everything else: there clozes lie end to end and attend one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

CHUNK = 128
"""Queries that attend together where only near keys are seen."""
PLAIN = 512**2
"""Queries times keys up to which attention that learns in bfloat16 on a CPU is two plain products: torch's fused kernel
takes 2.4 times as long there, forward and back, but never holds all weights at once."""


@dataclass(frozen=True, eq=False)
class Packed:
    """Clozes end to end: states [tokens, width].

    lengths: of each cloze; slots [clozes]: place of each one's slot among all tokens.
    """

    lengths: tuple[int, ...]
    slots: Tensor

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def to(self, device: torch.device) -> Packed:
        return Packed(self.lengths, self.slots.to(device))

    @cached_property
    def positions(self) -> Tensor:
        """Place of each token within its cloze [tokens]."""
        return torch.cat([torch.arange(length, device=self.slots.device) for length in self.lengths])

    def at_slots(self, states: Tensor) -> Tensor:
        """[tokens, ...] -> [clozes, ...]"""
        return states[self.slots]

    def mean(self, states: Tensor) -> Tensor:
        """Mean over each cloze's tokens: [tokens, width] -> [clozes, width]."""
        return torch.stack([part.mean(dim=0) for part in self._split(states)])

    def means_around_slots(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Means over each cloze's tokens up to its slot, and from it on: [tokens, width] -> [clozes, width] of each."""
        parts = list(zip(self._split(states), self.positions[self.slots].tolist(), strict=True))
        before = [part[: slot + 1].mean(dim=0) for part, slot in parts]
        return torch.stack(before), torch.stack([part[slot:].mean(dim=0) for part, slot in parts])

    def at_first(self) -> Packed:
        """The same clozes, asked at their first token."""
        lengths = torch.tensor(self.lengths, device=self.slots.device)
        return Packed(self.lengths, lengths.cumsum(0) - lengths)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        """Attention within each cloze: [tokens, heads, size] of each -> [tokens, heads, size].

        near: only keys at most so many places away are seen; all if None.
        """
        if query.is_cuda:  # there one call with a mask is cheaper than a call for every cloze
            return self._attend_padded(query, key, value, near)
        return torch.cat(
            [_within(*one, near) for one in zip(self._split(query), self._split(key), self._split(value), strict=True)]
        )

    def attend_at_slots(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        """Attention of the slots' queries alone, [clozes, heads, size]."""
        if query.is_cuda:
            return self._attend_at_slots_padded(query, key, value, near)
        seen = []
        start = 0
        for row, (place, length) in enumerate(zip(self.slots.tolist(), self.lengths, strict=True)):
            low = start if near is None else max(start, place - near)
            high = start + length if near is None else min(start + length, place + near + 1)
            seen.append(_sdpa(query[row : row + 1], key[low:high], value[low:high]))
            start += length
        return torch.cat(seen)

    def _attend_padded(self, query: Tensor, key: Tensor, value: Tensor, near: int | None) -> Tensor:
        mask = self._real[:, None, None]
        if near is not None:
            place = torch.arange(self._real.shape[1], device=query.device)
            # A padded query near no real key would attend to nothing (NaN): let every place see itself.
            away = (place[:, None] - place).abs()
            mask = (mask & (away <= near)) | (away == 0)
        seen = _sdpa(self._padded(query), self._padded(key), self._padded(value), mask)
        return seen[self._real]

    def _attend_at_slots_padded(self, query: Tensor, key: Tensor, value: Tensor, near: int | None) -> Tensor:
        mask = self._real
        if near is not None:
            mask = mask & ((self._padded(self.positions) - self.positions[self.slots][:, None]).abs() <= near)
        return _sdpa(query[:, None], self._padded(key), self._padded(value), mask[:, None, None])[:, 0]

    @cached_property
    def _real(self) -> Tensor:
        lengths = torch.tensor(self.lengths, device=self.slots.device)
        return torch.arange(max(self.lengths), device=self.slots.device) < lengths[:, None]

    def _split(self, states: Tensor) -> tuple[Tensor, ...]:
        return torch.split(states, list(self.lengths))  # type: ignore[no-untyped-call, no-any-return]

    def _padded(self, states: Tensor) -> Tensor:
        return pad_sequence(list(self._split(states)), batch_first=True)


@dataclass(frozen=True, eq=False)
class Padded:
    """Clozes as rows of one length: states [rows, tokens, width].

    mask [rows, tokens]: 1 for text and 0 for padding, None if nothing is padding; slots [rows].
    """

    mask: Tensor | None
    slots: Tensor

    def to(self, device: torch.device) -> Padded:
        return Padded(None if self.mask is None else self.mask.to(device), self.slots.to(device))

    def at_slots(self, states: Tensor) -> Tensor:
        """[rows, tokens, ...] -> [rows, ...]"""
        return states[torch.arange(states.shape[0], device=states.device), self.slots]

    def mean(self, states: Tensor) -> Tensor:
        return states.mean(dim=1) if self.mask is None else _weighted(states, self.mask)

    def means_around_slots(self, states: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.arange(states.shape[1], device=states.device)
        behind = place >= self.slots[:, None]
        after = behind if self.mask is None else behind & self.mask.bool()
        return _weighted(states, place <= self.slots[:, None]), _weighted(states, after)

    def at_first(self) -> Padded:
        return Padded(self.mask, torch.zeros_like(self.slots))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        """Attention within each row: [rows, tokens, heads, size] of each -> the same shape."""
        mask = self._keys
        if near is not None:
            place = torch.arange(query.shape[1], device=query.device)
            away = (place[:, None] - place).abs()
            mask = away <= near if mask is None else (mask & (away <= near)) | (away == 0)
        return _sdpa(query, key, value, mask)

    def attend_at_slots(self, query: Tensor, key: Tensor, value: Tensor, near: int | None = None) -> Tensor:
        """Attention of the slots' queries alone, [rows, heads, size]."""
        mask = self._keys
        if near is not None:
            place = torch.arange(key.shape[1], device=key.device)
            seen = ((place - self.slots[:, None]).abs() <= near)[:, None, None]
            mask = seen if mask is None else mask & seen
        return _sdpa(query[:, None], key, value, mask)[:, 0]

    @property
    def _keys(self) -> Tensor | None:
        return None if self.mask is None else self.mask[:, None, None].bool()


def _weighted(states: Tensor, weight: Tensor) -> Tensor:
    """Mean over the tokens of weight 1: states [rows, tokens, width], weight [rows, tokens] -> [rows, width]."""
    weight = weight.to(states.dtype)[..., None]
    return (states * weight).sum(dim=1) / weight.sum(dim=1)


Layout: TypeAlias = "Packed | Padded"


def lay_out(ids: np.ndarray, lengths: np.ndarray, slots: np.ndarray, *, packs: bool, pad: int) -> tuple[Tensor, Layout]:
    """Token ids and layout of clozes that come end to end: ids [tokens], lengths and slots (within each) [clozes].

    packs: leave them so; otherwise they become rows padded with `pad`.
    """
    place = torch.from_numpy(slots.astype(np.int64))
    if packs:
        starts = np.cumsum(lengths) - lengths
        return torch.from_numpy(ids.astype(np.int64)), Packed(tuple(lengths.tolist()), place + torch.from_numpy(starts))
    real = np.arange(lengths.max()) < lengths[:, None]
    rows = np.full(real.shape, pad, dtype=np.int64)
    rows[real] = ids
    mask = None if real.all() else torch.from_numpy(real.astype(np.int64))
    return torch.from_numpy(rows), Padded(mask, place)


def _sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention over [..., tokens, heads, size]."""
    single = query.dim() == 3
    query, key, value = ((states[None] if single else states).transpose(1, 2) for states in (query, key, value))
    learns = torch.is_grad_enabled() and query.device.type == "cpu" and query.dtype == torch.bfloat16
    if learns and mask is None and query.shape[-2] * key.shape[-2] <= PLAIN:
        seen = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, dim=-1) @ value
    else:
        seen = scaled_dot_product_attention(query, key, value, attn_mask=mask)
    seen = seen.transpose(1, 2)
    return seen[0] if single else seen


def _within(query: Tensor, key: Tensor, value: Tensor, near: int | None) -> Tensor:
    """Attention of one cloze; near ones by chunks of queries, so that far keys cost nothing."""
    length = query.shape[0]
    if near is None or length <= near + 1:
        return _sdpa(query, key, value)
    place = torch.arange(length, device=query.device)
    seen = []
    for start in range(0, length, CHUNK):
        stop = min(start + CHUNK, length)
        low, high = max(0, start - near), min(length, stop + near)
        mask = (place[start:stop, None] - place[low:high]).abs() <= near
        seen.append(_sdpa(query[start:stop], key[low:high], value[low:high], mask))
    return torch.cat(seen)
