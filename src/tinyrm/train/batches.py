"""Examples dealt out in batches, as the model takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.layout import Layout, lay_out
from .examples import Examples


@dataclass(frozen=True)
class Batch:
    """Some examples' clozes: ids in their layout; target and margin [n]; per: clozes of each example;
    below [tokens, width]: the frozen layers' states, where they are kept; tokens: padding not counted."""

    ids: Tensor
    layout: Layout
    target: Tensor
    margin: Tensor
    per: int
    tokens: int
    below: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.ids.to(device),
            self.layout.to(device),
            self.target.to(device),
            self.margin.to(device),
            self.per,
            self.tokens,
            None if self.below is None else self.below.to(device).float(),
        )


@dataclass(frozen=True)
class Feed:
    """Examples, and how the model wants them.

    packs: end to end, or padded with `pad`. below [tokens of all examples, width]: the frozen
    layers' states (`model/prefix_cache.py`), None if they are to be computed.
    """

    examples: Examples
    packs: bool
    pad: int
    below: np.ndarray | None = None

    def batch(self, indices: np.ndarray) -> Batch:
        examples = self.examples
        rows = examples.clozes(indices)
        spans = [slice(examples.starts[row], examples.starts[row + 1]) for row in rows]
        lengths = examples.starts[rows + 1] - examples.starts[rows]
        ids, layout = lay_out(
            np.concatenate([examples.ids[span] for span in spans]),
            lengths,
            examples.slots[rows],
            packs=self.packs,
            pad=self.pad,
        )
        return Batch(
            ids,
            layout,
            torch.from_numpy(examples.target[indices]),
            torch.from_numpy(examples.margin[indices]),
            examples.per,
            int(lengths.sum()),
            None if self.below is None else torch.from_numpy(np.concatenate([self.below[span] for span in spans])),
        )

    def pieces(self, indices: np.ndarray, tokens: int) -> list[np.ndarray]:
        """Splits a batch into pieces of similar lengths that take at most `tokens` tokens, padding included."""
        lengths = self.examples.lengths[indices]
        sizes = lengths.sum(axis=1) if self.packs else self.examples.per * lengths.max(axis=1, initial=0)
        pieces: list[list[int]] = []
        room = takes = 0
        for place in np.argsort(sizes, kind="stable")[::-1]:
            if self.packs or not pieces:
                takes = sizes[place]
            if not pieces or takes > room:
                pieces.append([])
                room, takes = tokens, sizes[place]  # padded rows take as much as the piece's first
            pieces[-1].append(indices[place])
            room -= takes
        return [np.asarray(piece) for piece in pieces]


def shuffled_batches(count: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """One epoch of index batches; every example stands in exactly one."""
    order = np.random.default_rng(seed).permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]
