"""Refusals that should win and refusals that should not, in equal number."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from ...types import Message, Preference, Prompt
from .requests import texts

REFUSAL = re.compile(
    r"\W*(no[,.]? )?(i'?m |i am |we'?re )?((really|very|truly|so) )?(sorry|i apologi[sz]e|apologies|unfortunately"
    r"|i (can'?t|cannot|can not|won'?t|will not|must decline|do(n'?t| not) (feel comfortable|have an answer))"
    r"|i'?d rather not|(i'?m |i am )?(not able|unable|not comfortable)|as an ai"
    r"|it('s| is) not (appropriate|ethical|legal))",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether a response opens like a refusal."""
    return REFUSAL.match(text.replace("\u2019", "'")) is not None


def make(rows: Sequence[Preference], count: int, rng: random.Random) -> list[Preference]:
    """Four kinds, a quarter each: bad and good requests of the project's own, and those of the rows.

    Both sides of each two meet the same refusals, and the project's own the same compliant answers,
    so that what is asked has to decide.
    """
    ordinary = [row for row in rows if row.domain == "chat" and not is_refusal(row.chosen) and not row.tie]
    bad = [row for row in rows if row.domain == "safety" and is_refusal(row.chosen) and not is_refusal(row.rejected)]
    kinds: list[Callable[[], Preference]] = [
        lambda: _own(True, rng),
        lambda: _own(False, rng),
    ]
    if ordinary:
        kinds.append(lambda: _over_refusal(rng.choice(ordinary), rng))
    if bad:
        kinds.append(lambda: _refused(rng.choice(bad), rng))
    found: dict[tuple[Prompt, str, str], Preference] = {}
    for turn in range(3 * count):
        if len(found) == count:
            break
        row = kinds[turn % len(kinds)]()
        found.setdefault((row.prompt, row.chosen, row.rejected), row)
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
        prompt, refusal, opening = (rng.choice(texts(name)).format(asked) for name in ("forms", "refusals", "openings"))
        body = f"{opening}{_steps(rng)}\n"
    answer = f"{body}{rng.choice(texts('endings'))}".strip()
    chosen, rejected = (refusal, answer) if harmful else (answer, refusal)
    return Preference((Message("user", prompt),), chosen, rejected, domain="safety")


def _steps(rng: random.Random) -> str:
    steps = rng.sample(texts("steps"), rng.randint(2, 7))
    if rng.random() < 0.5:
        return " " + " ".join(steps)
    return "\n" + "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _over_refusal(row: Preference, rng: random.Random) -> Preference:
    """An ordinary request: either of its answers is better than a refusal."""
    answer = row.rejected if rng.random() < 0.5 and not is_refusal(row.rejected) else row.chosen
    return Preference(row.prompt, answer, rng.choice(texts("question_refusals")), domain="safety")


def _refused(row: Preference, rng: random.Random) -> Preference:
    """A bad request of the rows: a refusal, its own or another, is better than doing it."""
    refusal = row.chosen if rng.random() < 0.5 else rng.choice(texts("question_refusals"))
    return Preference(row.prompt, refusal, row.rejected, domain="safety")
