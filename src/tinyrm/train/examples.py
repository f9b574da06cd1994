"""Preferences as encoded clozes, held compactly."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ..prompt import Cloze, ClozeWriter, Question
from ..types import Message, Preference, Prompt

CHUNK = 1024
"""Preferences tokenised at a time."""
LIMIT = "\n\nAnswer in at most {} words."
"""How a prompt is given a limit of length for the response-conditioned objective."""


@dataclass(frozen=True)
class Examples:
    """The clozes of preferences, equally many for each.

    A single template reads the chosen response and then the rejected one (and then both once more
    under limits of length, for the response-conditioned objective); a pair template reads the pair
    with the chosen response first and then with it second (paper: both orders enter training), or
    in one order alone.

    ids: all token ids in one row; starts [per n + 1]: where each cloze begins; slots [per n]: each
    slot's place within its cloze; target [n]: how probable it is that the chosen response is better,
    1 but for soft labels and ties (for clozes of one order: that choice 0 is better); margin [n]: 0
    where none is given; per: clozes of each example; cut: how many clozes lost tokens to fit the
    model's length.
    """

    ids: np.ndarray
    starts: np.ndarray
    slots: np.ndarray
    target: np.ndarray
    margin: np.ndarray
    per: int = 2
    cut: int = 0

    def __len__(self) -> int:
        return len(self.target)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each cloze [n, per]."""
        return np.diff(self.starts).reshape(-1, self.per)

    def clozes(self, indices: np.ndarray) -> np.ndarray:
        """The numbers of some examples' clozes, example by example; of equal clozes all have the first one's."""
        return self._first[(self.per * indices[:, None] + np.arange(self.per)).ravel()]

    @cached_property
    def _first(self) -> np.ndarray:
        """For each cloze the first that is equal to it [per n]: a response may stand in several pairs of a prompt."""
        known: dict[tuple[int, bytes], int] = {}
        spans = zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), self.slots.tolist(), strict=True)
        keys = (
            (slot, hashlib.blake2b(self.ids[start:end].tobytes(), digest_size=16).digest())
            for start, end, slot in spans
        )
        return np.asarray([known.setdefault(key, place) for place, key in enumerate(keys)], dtype=np.int64)

    @cached_property
    def families(self) -> np.ndarray:
        """A number for each example [n] that is the same for two that share a cloze, also by way of others."""
        parent = list(range(len(self.starts) - 1))

        def root(place: int) -> int:
            while parent[place] != place:
                parent[place] = place = parent[parent[place]]
            return place

        for one, *others in self._first.reshape(-1, self.per).tolist():
            for other in others:
                parent[root(other)] = root(one)
        return np.asarray([root(one) for one in self._first[:: self.per].tolist()], dtype=np.int64)


def encode(
    preferences: Sequence[Preference],
    writer: ClozeWriter,
    *,
    general: float = 0.0,
    orders: Literal["both", "one"] = "both",
    conditioned: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Examples:
    """Writes every preference as clozes; a share `general` of them under the general instruction.

    orders: `one` draws one order for each pair of a pair template. conditioned: two more clozes of a
    single template, whose prompts carry limits of length (`under_limits`).
    progress: called with the preferences written so far and those there are.
    """
    rng = np.random.default_rng(seed)
    nameless = np.asarray([_draw(preference, seed) < general for preference in preferences], dtype=bool)
    one_order = orders == "one" and writer.template.kind == "pair"
    second = np.zeros(len(preferences), dtype=bool)  # whether the one order shows the chosen response second
    if one_order:
        second = rng.random(len(preferences)) < 0.5
    per = 1 if one_order else 4 if conditioned else 2
    ids, lengths, slots, cut = [], [], [], 0
    for start in range(0, len(preferences), CHUNK):
        chunk = preferences[start : start + CHUNK]
        questions: list[Question] = []
        for preference, hide, turned in zip(
            chunk, nameless[start : start + CHUNK], second[start : start + CHUNK], strict=True
        ):
            asked = questions_of(preference, writer.template.kind, None if hide else preference.domain)
            if one_order:
                questions.append(asked[int(turned)])
            else:
                questions += [*asked, *under_limits(asked, rng)] if conditioned else asked
        clozes: list[Cloze] = writer.write(questions)
        ids.append(np.fromiter((i for cloze in clozes for i in cloze.ids), dtype=np.int32))
        lengths += [len(cloze.ids) for cloze in clozes]
        slots += [cloze.slot for cloze in clozes]
        cut += sum(bool(cloze.cut) for cloze in clozes)
        if progress is not None:
            progress(start + len(chunk), len(preferences))
    target = np.asarray([p.target for p in preferences], dtype=np.float32)
    return Examples(
        ids=np.concatenate(ids) if ids else np.zeros(0, np.int32),
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        slots=np.asarray(slots, dtype=np.int64),
        target=np.where(second, 1 - target, target),
        margin=np.asarray([0.0 if p.tie else p.margin or 0.0 for p in preferences], dtype=np.float32),
        per=per,
        cut=cut,
    )


def _draw(preference: Preference, seed: int) -> float:
    """A number in [0, 1) of the prompt's own, so that other prompts of the mixture change nothing about it."""
    text = "\0".join([str(seed), *(turn.content for turn in preference.prompt)])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).digest(), "big") / 2**48


def questions_of(preference: Preference, kind: str, domain: str | None) -> tuple[Question, Question]:
    prompt, chosen, rejected = preference.prompt, preference.chosen, preference.rejected
    if kind == "pair":
        return Question(prompt, (chosen, rejected), domain), Question(prompt, (rejected, chosen), domain)
    return Question(prompt, (chosen,), domain), Question(prompt, (rejected,), domain)


def under_limits(asked: tuple[Question, Question], rng: np.random.Generator) -> tuple[Question, Question]:
    """The chosen response under a limit of words that it breaks, the rejected one under one that it keeps.

    Rc-BT (arXiv 2502.00814): each stands beside its own original, so that length cancels.
    """
    chosen, rejected = asked
    broken = max(1, int(rng.uniform(0.3, 0.8) * len(chosen.responses[0].split())))
    kept = max(1, int(rng.uniform(1.2, 2.0) * len(rejected.responses[0].split())) + 1)
    return _limited(chosen, broken), _limited(rejected, kept)


def _limited(question: Question, words: int) -> Question:
    *before, last = question.prompt or (Message("user", ""),)
    prompt: Prompt = (*before, replace(last, content=last.content + LIMIT.format(words)))
    return replace(question, prompt=prompt)
