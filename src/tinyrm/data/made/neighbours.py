"""Good answers to another question, to tell relevance from polish (after LLMBar's Neighbor, arXiv 2310.07641)."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ...types import Preference
from ..split import normalise, prompt_key

FEWEST_WORDS = 4
CLOSEST, FARTHEST = 0.7, 0.15
"""Cosine of the prompts' words: above, one answer may serve both; below, the topic alone gives it away."""
COMMON, FEW, MANY = 0.02, 20, 200
"""A word counts where at most this share of the prompts hold it, but at least FEW and at most MANY of them."""
MOST = 8
"""Neighbours of one prompt."""


def make(rows: Sequence[Preference], count: int, rng: random.Random, weak: float = 0.5) -> list[Preference]:
    """An answer to the prompt against a good answer to a prompt much like it.

    weak: how often the answer to the prompt is the one that its own pair rejected, so that here the
    better written response loses.
    """
    usable: dict[str, Preference] = {}
    for row in rows:
        if row.domain == "chat" and not row.tie and len(_words(row)) >= FEWEST_WORDS:
            usable.setdefault(prompt_key(row.prompt), row)
    pool = list(usable.values())
    near = _Near([_words(row) for row in pool])
    found: list[Preference] = []
    for row, other in _pairs(pool, near, rng):
        if len(found) == count:
            break
        mine = row.rejected if rng.random() < weak else row.chosen
        if normalise(mine) != normalise(other.chosen):
            found.append(Preference(row.prompt, mine, other.chosen, domain="chat"))
    return found


def _pairs(pool: Sequence[Preference], near: _Near, rng: random.Random) -> Iterator[tuple[Preference, Preference]]:
    """Every prompt with its nearest neighbour, then every one with its second, and so on."""
    order = rng.sample(range(len(pool)), len(pool))
    known: dict[int, list[int]] = {}
    for turn in range(MOST):
        for place in order:
            if place not in known:
                known[place] = near.neighbours(place)
            if turn < len(known[place]):
                yield pool[place], pool[known[place][turn]]


def _words(row: Preference) -> list[str]:
    last = next((turn.content for turn in reversed(row.prompt) if turn.role == "user"), "")
    return normalise(last).split()[:200]


class _Near:
    """Texts by the cosine of their words' inverse document frequencies, common words left out."""

    def __init__(self, texts: Sequence[Sequence[str]]) -> None:
        holds: dict[str, list[int]] = defaultdict(list)
        for place, words in enumerate(texts):
            for word in dict.fromkeys(words):
                holds[word].append(place)
        most = min(max(FEW, COMMON * len(texts)), MANY)
        self._holds = {word: places for word, places in holds.items() if len(places) <= most}
        self._weight = {word: math.log((1 + len(texts)) / len(places)) for word, places in self._holds.items()}
        self._words = [[word for word in dict.fromkeys(words) if word in self._holds] for words in texts]
        self._norm = [math.sqrt(math.fsum(self._weight[word] ** 2 for word in words)) for words in self._words]

    def neighbours(self, place: int) -> list[int]:
        """The nearest texts within the bounds, nearest first."""
        shared: dict[int, list[float]] = defaultdict(list)
        for word in self._words[place]:
            for other in self._holds[word]:
                shared[other].append(self._weight[word] ** 2)
        shared.pop(place, None)
        cosines = {other: math.fsum(parts) / (self._norm[place] * self._norm[other]) for other, parts in shared.items()}
        within = [other for other, cosine in cosines.items() if FARTHEST < cosine < CLOSEST]
        return sorted(within, key=lambda other: (-cosines[other], other))[:MOST]
