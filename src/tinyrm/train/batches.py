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
        read: dict[int, int] = {}  # by the last piece, with what each takes
        longest = 0
        for place in order.tolist():
            own = dict(zip(clozes[place].tolist(), lengths[place].tolist(), strict=True))
            if not self.packs:  # rows are as long as the piece's first
                own = dict.fromkeys(own, longest)
            if not pieces or sum((read | own).values()) > tokens:
                pieces.append([])
                longest = int(lengths[place].max())
                read = {}
                own = own if self.packs else dict.fromkeys(own, longest)
            pieces[-1].append(indices[place])
            read |= own
        return [np.asarray(piece) for piece in pieces]


def shuffled_batches(families: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """One epoch of index batches; every example stands in exactly one, beside those of its family [n]."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(families))
    place = rng.permutation(families.max(initial=0) + 1)[families]
    order = order[np.argsort(place[order], kind="stable")]
    for start in range(0, len(order), size):
        yield order[start : start + size]
