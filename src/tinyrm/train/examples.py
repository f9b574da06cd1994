"""Preferences as encoded clozes, held compactly and dealt out in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..prompt import Cloze, ClozeWriter, Question
from ..types import Preference

CHUNK = 1024
"""Preferences tokenised at a time."""
WINDOW = 8
"""Batches whose examples are sorted by length together: wide enough to save padding, narrow enough to stay random."""


@dataclass(frozen=True)
class Examples:
    """Two clozes for every preference.

    A single template reads the chosen response and then the rejected one; a pair template reads the
    pair with the chosen response first and then with it second (paper: both orders enter training).

    ids: all token ids in one row; starts [2n + 1]: where each cloze begins; slots [2n];
    target [n]: 1 if the chosen response is better, 0.5 for a tie; margin [n]: 0 where none is given;
    cut: how many clozes lost tokens to fit the model's length.
    """

    ids: np.ndarray
    starts: np.ndarray
    slots: np.ndarray
    target: np.ndarray
    margin: np.ndarray
    cut: int = 0

    def __len__(self) -> int:
        return len(self.target)

    @property
    def lengths(self) -> np.ndarray:
        """Length of the longer cloze of each example, in tokens."""
        longer: np.ndarray = np.diff(self.starts).reshape(-1, 2).max(axis=1)
        return longer

    def batch(self, chosen: np.ndarray, pad: int) -> Batch:
        """The clozes of some examples, padded to the longest: rows 2i and 2i + 1 are example i's."""
        rows = np.stack([2 * chosen, 2 * chosen + 1], axis=1).ravel()
        lengths = self.starts[rows + 1] - self.starts[rows]
        ids = np.full((len(rows), lengths.max()), pad, dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : lengths[place]] = self.ids[self.starts[row] : self.starts[row + 1]]
        mask = np.arange(ids.shape[1])[None, :] < lengths[:, None]
        return Batch(
            torch.from_numpy(ids),
            None if mask.all() else torch.from_numpy(mask.astype(np.int64)),
            torch.from_numpy(self.slots[rows]),
            torch.from_numpy(self.target[chosen]),
            torch.from_numpy(self.margin[chosen]),
        )


@dataclass(frozen=True)
class Batch:
    """ids and mask [2n, tokens] (mask None if nothing is padding), slot [2n], target and margin [n]."""

    ids: Tensor
    mask: Tensor | None
    slot: Tensor
    target: Tensor
    margin: Tensor

    def to(self, device: torch.device) -> Batch:
        mask = None if self.mask is None else self.mask.to(device)
        return Batch(self.ids.to(device), mask, self.slot.to(device), self.target.to(device), self.margin.to(device))


def encode(
    preferences: Sequence[Preference],
    writer: ClozeWriter,
    *,
    general: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Writes every preference as two clozes; a share `general` of them under the general instruction.

    progress: called with the preferences written so far and those there are.
    """
    nameless = np.random.default_rng(seed).random(len(preferences)) < general
    ids, lengths, slots, cut = [], [], [], 0
    for start in range(0, len(preferences), CHUNK):
        chunk = preferences[start : start + CHUNK]
        questions = [
            question
            for preference, hide in zip(chunk, nameless[start : start + CHUNK], strict=True)
            for question in questions_of(preference, writer.template.kind, None if hide else preference.domain)
        ]
        clozes: list[Cloze] = writer.write(questions)
        ids.append(np.fromiter((i for cloze in clozes for i in cloze.ids), dtype=np.int32))
        lengths += [len(cloze.ids) for cloze in clozes]
        slots += [cloze.slot for cloze in clozes]
        cut += sum(bool(cloze.cut) for cloze in clozes)
        if progress is not None:
            progress(start + len(chunk), len(preferences))
    return Examples(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        slots=np.asarray(slots, dtype=np.int64),
        target=np.asarray([0.5 if p.tie else 1.0 for p in preferences], dtype=np.float32),
        margin=np.asarray([0.0 if p.tie else p.margin or 0.0 for p in preferences], dtype=np.float32),
        cut=cut,
    )


def questions_of(preference: Preference, kind: str, domain: str | None) -> tuple[Question, Question]:
    prompt, chosen, rejected = preference.prompt, preference.chosen, preference.rejected
    if kind == "pair":
        return Question(prompt, (chosen, rejected), domain), Question(prompt, (rejected, chosen), domain)
    return Question(prompt, (chosen,), domain), Question(prompt, (rejected,), domain)


def shuffled_batches(lengths: np.ndarray, size: int, seed: int) -> Iterator[np.ndarray]:
    """One epoch of index batches, each of examples of similar length; every example stands in exactly one."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(lengths))
    for start in range(0, len(order), size * WINDOW):
        window = order[start : start + size * WINDOW]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches = [window[i : i + size] for i in range(0, len(window), size)]
        for i in rng.permutation(len(batches)):
            yield batches[i]


def within_budget(indices: np.ndarray, lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Splits a batch into pieces, sorted by length, of at most `tokens` tokens with padding (two clozes each)."""
    order = indices[np.argsort(lengths[indices], kind="stable")[::-1]]
    pieces, start = [], 0
    while start < len(order):
        room = max(1, tokens // (2 * int(lengths[order[start]])))
        pieces.append(order[start : start + room])
        start += room
    return pieces
