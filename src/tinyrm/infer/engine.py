"""Running many clozes of different lengths through a backend, wasting little on padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..prompt import Cloze

TOKENS_PER_BATCH = 2048
"""Small enough for a CPU's cache: 1,000 to 2,000 tokens measured fastest there."""


class Backend(Protocol):
    """What computes logits: ONNX Runtime or torch."""

    name: str
    computes: str
    """The library and the numbers it computes in; what two runs must share to give the same bits."""
    pad: int
    tokens_per_batch: int

    def describe(self) -> str:
        """What computes, in which numbers and on how many threads."""
        ...

    def logits(self, ids: np.ndarray, mask: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """Logits [rows, words] from ids and mask [rows, tokens] and slot [rows], all int64."""
        ...


def answer(backend: Backend, clozes: Sequence[Cloze], progress: Callable[[int], None] | None = None) -> np.ndarray:
    """Logits [n, words] of each cloze, in the order given.

    Equal clozes are computed once, and batches are formed from the sorted clozes, so that neither
    the order of the input nor a swap of A and B changes a single bit of the outcome.
    """
    unique = sorted({(cloze.ids, cloze.slot) for cloze in clozes}, key=lambda key: (len(key[0]), key))
    weight = dict.fromkeys(unique, 0)
    for cloze in clozes:
        weight[cloze.ids, cloze.slot] += 1
    found: dict[tuple[tuple[int, ...], int], np.ndarray] = {}
    start = len(unique)
    while start > 0:  # longest first: the largest batch comes before any surprise about memory
        longest = len(unique[start - 1][0])
        first = max(0, start - max(1, backend.tokens_per_batch // longest))
        batch = unique[first:start]
        ids = np.full((len(batch), longest), backend.pad, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, (tokens, _) in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        logits = backend.logits(ids, mask, np.asarray([slot for _, slot in batch], dtype=np.int64))
        found.update(zip(batch, logits, strict=True))
        if progress is not None:
            progress(sum(weight[key] for key in batch))
        start = first
    return np.stack([found[cloze.ids, cloze.slot] for cloze in clozes]) if clozes else np.zeros((0, 0), np.float32)
