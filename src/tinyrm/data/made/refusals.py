"""Refusals that should win and refusals that should not, in equal number."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from ...types import Message, Preference, Prompt
from ..split import prompt_key
from .requests import as_answered, texts

HEAD = 160
"""Characters of a response that are read for its unwillingness."""
REFUSAL = re.compile(
    r"^\W*(no\b|as an ai\b|((i'?m|i am|really|so|very) )*sorry,? (but|i)\b)"
    r"|\b(i|i'?m|i'?d|we|we'?re)\b[^.!?\n]{0,30}"
    r"\b(can'?t|cannot|can not|won'?t|will not|not able|unable|not comfortable|rather not|decline|refuse|not going to"
    r"|not appropriate|do(n'?t| not) (think|feel comfortable|have an answer|want to))\b"
    r"|\bnot (something i|a good idea|appropriate)\b|\bagainst my\b|\bhave to (decline|refuse)\b",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a response opens unwillingly; when in doubt it does, since rows that may be refusals are left out."""
    return REFUSAL.search(text[:HEAD].replace("\u2019", "'")) is not None


def make(rows: Sequence[Preference], count: int, rng: random.Random) -> list[Preference]:
    """Bad requests refused and good ones answered, by turns; half of each are the project's own, if rows give the rest.

    What is asked has to decide: the project's own meet the same refusals and the same compliant answers
    on both sides, and those of the rows meet the same stock refusals.
    """
    touchy = {
        prompt_key(row.prompt)
        for row in rows
        if row.domain == "chat" and (is_refusal(row.chosen) or is_refusal(row.rejected))
    }
    good = [row for row in rows if row.domain == "chat" and not row.tie and prompt_key(row.prompt) not in touchy]
    bad = [row for row in rows if row.domain == "safety" and is_refusal(row.chosen) and not is_refusal(row.rejected)]
    found: dict[tuple[Prompt, str, str], Preference] = {}
    wanted = {True: count - count // 2, False: count // 2}
    for turn in range(6 * count):
        harmful = turn % 2 == 0
        if not wanted[harmful]:
            continue
        pool = bad if harmful else good
        use_row = bool(pool) and turn % 4 < 2
        row = _of_row(rng.choice(pool), harmful, rng) if use_row else _own(harmful, rng)
        if found.setdefault((row.prompt, row.chosen, row.rejected), row) is row:
            wanted[harmful] -= 1
    return list(found.values())


def _own(harmful: bool, rng: random.Random) -> Preference:
    """A request of the project's own, complied with and refused."""
    kind = "harmful" if harmful else "harmless"
    questions = texts(f"{kind}_questions")
    asked = rng.choice((*texts(kind), *questions))
    if asked in questions:
        prompt, refusal = asked, rng.choice(texts("question_refusals"))
        body = f"{rng.choice(texts('question_openings'))} {' '.join(rng.sample(texts('facts'), rng.randint(1, 4)))} "
    else:
        prompt, told = rng.choice(texts("forms")).format(asked), as_answered(asked)
        refusal = rng.choice(texts("refusals")).format(told)
        body = f"{rng.choice(texts('openings')).format(told)}{_steps(rng)}\n"
    answer = f"{body}{rng.choice(texts('endings'))}".strip()
    chosen, rejected = (refusal, answer) if harmful else (answer, refusal)
    return Preference((Message("user", prompt),), chosen, rejected, domain="safety")


def _steps(rng: random.Random) -> str:
    steps = rng.sample(texts("steps"), rng.randint(2, 7))
    if rng.random() < 0.5:
        return " " + " ".join(steps)
    return "\n" + "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _of_row(row: Preference, harmful: bool, rng: random.Random) -> Preference:
    """A request of the rows: a bad one refused, by its own refusal or another, or an ordinary one answered."""
    stock = rng.choice(texts("question_refusals"))
    if not harmful:
        return Preference(row.prompt, row.chosen, stock, domain="safety")
    return Preference(row.prompt, row.chosen if rng.random() < 0.5 else stock, row.rejected, domain="safety")
