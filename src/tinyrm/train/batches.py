"""Examples dealt out in batches, as the model takes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..model.layout import Layout, lay_out
from .examples import Examples

TOGETHER = 4
"""A batch holds at least so many runs of examples that share clozes."""


@dataclass(frozen=True)
class Batch:
    """Some examples' clozes, each once: ids in their layout; target and margin [n]; which [n, per]: the cloze
    that is each example's first, second, ...; below [tokens, width]: the frozen layers' states, where they are
    kept; tokens: padding not counted."""

    ids: Tensor
    layout: Layout
    target: Tensor
    margin: Tensor
    which: Tensor
    tokens: int
    below: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.ids.to(device),
            self.layout.to(device),
            self.target.to(device),
            self.margin.to(device),
            self.which.to(device),
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
        rows, which = np.unique(examples.clozes(indices), return_inverse=True)
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
            torch.from_numpy(which.reshape(-1, examples.per)),
            int(lengths.sum()),
            None if self.below is None else torch.from_numpy(np.concatenate([self.below[span] for span in spans])),
        )

    def pieces(self, indices: np.ndarray, tokens: int) -> list[np.ndarray]:
        """Splits a batch into pieces that take at most `tokens` tokens, padding included: in their order if packed,
        so that what shares clozes stays together, else by length."""
        lengths = self.examples.lengths[indices]
        clozes = self.examples.clozes(indices).reshape(lengths.shape)
        order = np.arange(len(indices)) if self.packs else np.argsort(-lengths.max(axis=1, initial=0), kind="stable")
        pieces: list[list[int]] = []
        read: set[int] = set()  # by the last piece
        room = longest = 0
        for place in order.tolist():
            own = dict(zip(clozes[place].tolist(), lengths[place].tolist(), strict=True))
            new = [length for cloze, length in own.items() if cloze not in read]
            takes = sum(new) if self.packs else len(new) * longest  # rows are as long as the piece's first
            if not pieces or takes > room:
                pieces.append([])
                read, room, longest = set(), tokens, max(own.values())
                takes = sum(own.values()) if self.packs else len(own) * longest
            pieces[-1].append(indices[place])
            read |= own.keys()
            room -= takes
        return [np.asarray(piece) for piece in pieces]


def shuffled_batches(families: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """One epoch of index batches; every example stands in exactly one, beside others of its family [n].

    At most a quarter of a batch comes together, so that no batch is one prompt's.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(families))
    order = order[np.argsort(families[order], kind="stable")]
    _, begins, counts = np.unique(families[order], return_index=True, return_counts=True)
    within = np.arange(len(order)) - np.repeat(begins, counts)
    runs = np.cumsum(within % max(1, size // TOGETHER) == 0) - 1
    place = rng.permutation(len(order))[runs]
    order = order[np.argsort(place, kind="stable")]
    for start in range(0, len(order), size):
        yield order[start : start + size]


def share(indices: np.ndarray, rank: int, processes: int) -> np.ndarray:
    """One process's share of a batch, in one piece, so that what shares clozes stays together."""
    mine: np.ndarray = np.array_split(indices, processes)[rank]
    return mine
