"""Right solutions with one wrong result put in."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from fractions import Fraction

from ...types import Preference

NUMBER = r"\$?(\d+(?:,\d{3})*(?:\.\d+)?)%?"
SIGN = r"\s*(?:\+|-|\u2212|\*|x|\u00d7|\\times|\\cdot|/|\u00f7)\s*"
EQUATION = re.compile(rf"{NUMBER}({SIGN}){NUMBER}\s*=\s*{NUMBER}(?![\d.,]*\d|{SIGN}|,\d)")


def make(rows: Sequence[Preference], count: int, rng: random.Random) -> list[Preference]:
    """A solution whose arithmetic was checked, against the same with one result changed from there on.

    The changed number goes on through the rest of the solution, as a slip of the pen would.
    """
    found: list[Preference] = []
    pool = [row for row in rows if row.domain == "reasoning" and not row.tie]
    for row in rng.sample(pool, len(pool)):
        if len(found) == count:
            break
        wrong = planted(row.chosen, rng)
        if wrong is not None:
            found.append(Preference(row.prompt, row.chosen, wrong, domain="reasoning"))
    return found


def planted(text: str, rng: random.Random) -> str | None:
    """The text with one result changed, None if it has no equation of two numbers that is true."""
    true = [match for match in EQUATION.finditer(text) if _holds(match)]
    if not true:
        return None
    place = rng.choice(true)
    right = place.group(4)
    start = place.start(4)
    wrong = _other(right, rng)
    number = re.compile(rf"(?<![\d.,]){re.escape(right)}(?![\d]|[.,]\d)")
    return text[:start] + number.sub(wrong, text[start:])


def _holds(match: re.Match[str]) -> bool:
    a, sign, b, result = match.groups()
    sign = sign.strip()
    left, right, said = (Fraction(number.replace(",", "")) for number in (a, b, result))
    if sign in "/\u00f7":
        return right != 0 and left / right == said
    return said == (left + right if sign == "+" else left - right if sign in "-\u2212" else left * right)


def _other(number: str, rng: random.Random) -> str:
    """Another number that looks as likely: one digit changed, never to a leading nought."""
    digits = [place for place, char in enumerate(number) if char.isdigit()]
    place = rng.choice(digits)
    fresh = [d for d in "0123456789" if d != number[place] and not (d == "0" and place == digits[0])]
    return number[:place] + rng.choice(fresh) + number[place + 1 :]
