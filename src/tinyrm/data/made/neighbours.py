"""Good answers to another question, to tell relevance from polish (after LLMBar's Neighbor, arXiv 2310.07641)."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

from ...types import Preference
from ..split import normalise, prompt_key

FEWEST_WORDS = 4
CLOSEST, FARTHEST = 0.85, 0.15
"""Cosine of the prompts' words: above, one answer may serve both; below, the topic alone gives it away."""
COMMON, FEW = 0.02, 20
"""Words that more than this share of the prompts, and more than so many of them, hold say nothing of the topic."""


def make(rows: Sequence[Preference], count: int, rng: random.Random) -> list[Preference]:
    """An answer to the prompt against a good answer to a prompt much like it.

    Half of the time the answer to the prompt is the one that its own pair rejected, so that here the
    better written response loses.
    """
    usable: dict[str, Preference] = {}
    for row in rows:
        if row.domain == "chat" and not row.tie and len(_words(row)) >= FEWEST_WORDS:
            usable.setdefault(prompt_key(row.prompt), row)
    pool = list(usable.values())
    near = _nearest([_words(row) for row in pool])
    order = rng.sample(range(len(pool)), len(pool))
    found: list[Preference] = []
    for turn in range(8):
        for place in order:
            if len(found) == count:
                return found
            if turn >= len(near[place]):
                continue
            row, other = pool[place], pool[near[place][turn]]
            mine = row.rejected if rng.random() < 0.5 else row.chosen
            if normalise(mine) != normalise(other.chosen):
                found.append(Preference(row.prompt, mine, other.chosen, domain="chat"))
    return found


def _words(row: Preference) -> list[str]:
    last = next((turn.content for turn in reversed(row.prompt) if turn.role == "user"), "")
    return normalise(last).split()[:200]


def _nearest(texts: Sequence[Sequence[str]]) -> list[list[int]]:
    """For each text up to eight others, nearest first, by the cosine of inverse document frequencies."""
    holds: dict[str, list[int]] = defaultdict(list)
    for place, words in enumerate(texts):
        for word in set(words):
            holds[word].append(place)
    most = max(FEW, COMMON * len(texts))
    weight = {word: math.log(len(texts) / len(places)) for word, places in holds.items()}
    norm = [math.sqrt(sum(weight[word] ** 2 for word in set(words))) or 1.0 for words in texts]
    found = []
    for place, words in enumerate(texts):
        shared: defaultdict[int, float] = defaultdict(float)
        for word in set(words):
            if 1 < len(holds[word]) <= most:
                for other in holds[word]:
                    shared[other] += weight[word] ** 2
        shared.pop(place, None)
        ranked = ((score / (norm[place] * norm[other]), other) for other, score in shared.items())
        found.append([other for score, other in sorted(ranked, reverse=True) if FARTHEST < score < CLOSEST][:8])
    return found
