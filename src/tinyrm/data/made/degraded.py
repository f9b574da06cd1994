"""Answers against broken ones: loops, pieces, echoes, words out of order, empty talk, stubs, strangers."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ...types import Preference
from ..split import normalise, prompt_key
from .styles import FILLERS

FEWEST_WORDS = 8
"""A shorter answer ('42') says too little to be better than anything."""
WORSE = 0.35
"""Share of the pairs whose better side is the response that its own row rejected: even that beats a broken one."""

STUBS = (
    *("Sure.", "Sure!", "Ok.", "OK", "Yes.", "yes", "No.", "Maybe.", "Of course!", "Certainly.", "Done.", "Thanks!"),
    *("I don't know.", "idk", "It depends.", "Good question!", "Hello!", "Hi there", "Hmm", "Great!", "Not sure."),
    *("N/A", "idk, it just is", "No idea, sorry.", "Here it is:", "As you wish.", "Let me think.", "See above."),
    *("?", "..."),
)


def make(rows: Sequence[Preference], count: int, rng: random.Random) -> list[Preference]:
    """Chat and reasoning rows whose rejected response is a broken one, each kind as often as the others."""
    pool = [row for row in rows if row.domain in ("chat", "reasoning") and not row.tie]
    found: list[Preference] = []
    kinds = (_loop, _piece, _echo, _shuffled, _vague, _stranger, _stub)
    for turn, row in enumerate(rng.sample(pool, len(pool))):
        if len(found) == count:
            break
        answer = row.rejected if rng.random() < WORSE else row.chosen
        broken = kinds[turn % len(kinds)](row, answer, rng, pool)
        if len(answer.split()) >= FEWEST_WORDS and broken and normalise(broken) != normalise(answer):
            found.append(Preference(row.prompt, answer, broken, domain=row.domain))
    return found


def _loop(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str:
    """A word or a phrase of the question or the answer, over and over; or an answer that falls into such a loop."""
    words = rng.choice((_asked(row), answer)).split() or answer.split()
    size = rng.randint(1, min(8, len(words)))
    start = rng.randint(0, len(words) - size)
    loop = [*words[start : start + size]] * rng.randint(3, max(3, 60 // size))
    before = answer.split()[: rng.randint(0, 30)] if rng.random() < 0.5 else []
    return " ".join([*before, *loop])


def _piece(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str | None:
    """The first words of the answer, broken off."""
    length = len(answer.split())
    return _first_words(answer, rng.randint(3, max(3, length // 3))) if length >= 3 * FEWEST_WORDS else None


def _echo(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str:
    lead = rng.choice(("", "You asked: ", "Sure! ", "That is a good question. ", "Here is the answer: "))
    return lead + _first_words(_asked(row), 120)


def _shuffled(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str:
    """Words out of order, over the whole answer or within pieces of five."""
    words = answer.split()
    size = rng.choice((5, len(words)))
    pieces = [words[start : start + size] for start in range(0, len(words), size)]
    return " ".join(word for piece in pieces for word in rng.sample(piece, len(piece)))


def _vague(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str:
    """Talk that would fit any question."""
    return " ".join(rng.sample(FILLERS, rng.randint(1, 5)))


def _stub(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str:
    """A word or two that answer nothing."""
    return rng.choice(STUBS)


def _stranger(row: Preference, answer: str, rng: random.Random, pool: Sequence[Preference]) -> str | None:
    """A good answer to some other question of the same domain."""
    other = rng.choice(pool)
    return other.chosen if other.domain == row.domain and prompt_key(other.prompt) != prompt_key(row.prompt) else None


def _asked(row: Preference) -> str:
    return next((turn.content for turn in reversed(row.prompt) if turn.role == "user"), "")


def _first_words(text: str, count: int) -> str:
    """So many words, line breaks kept."""
    place = 0
    for word in text.split()[:count]:
        place = text.index(word, place) + len(word)
    return text[:place]
