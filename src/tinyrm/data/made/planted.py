"""Right solutions with one wrong result put in."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from ...types import Preference

NUMBER = r"\$?(?<!\d)(\d{1,15}(?:,\d{3})*(?:\.\d{1,9})?)%?"
SIGN = r"\s*(?:\+|-|\u2212|\*|x|\u00d7|\\times|\\cdot|/|\u00f7)\s*"
EQUATION = re.compile(rf"{NUMBER}({SIGN}){NUMBER}\s*=\s*{NUMBER}(?![\d.,]*\d|{SIGN}|,\d|\s*\(?mod)")


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
            found.append(replace(row, rejected=wrong, margin=None, probability=None))
    return found


def planted(text: str, rng: random.Random) -> str | None:
    """The text with one result changed, None if it has no equation of two numbers that is true.

    A result that the last line names is taken where there is one, so that the answer is wrong too.
    """
    true = [match for match in EQUATION.finditer(text) if _holds(match)]
    if not true:
        return None
    last = set(re.findall(r"\d[\d.,]*\d|\d", text.rstrip().rpartition("\n")[2]))
    place = rng.choice([match for match in true if match.group(4) in last] or true)
    right, start = place.group(4), place.start(4)
    # A number that opens a line counts the steps.
    number = re.compile(rf"(?<!\n)(?<![\d.,]){re.escape(right)}(?![\d]|[.,]\d)")
    return text[:start] + number.sub(_other(right, rng), text[start:])


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
