"""Preferences whose style was changed on one side, and whose label stands: so that style does not decide."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from ...types import Preference

FILLERS = (
    "I hope this helps! Let me know if you have any other questions.",
    "Please note that this is a general answer, and that your situation may differ.",
    "As always, it is a good idea to look at this from several angles before you decide.",
    "There is of course much more that could be said about this topic.",
    "In conclusion, this is an important and interesting subject that deserves careful thought.",
    "Overall, there are many factors to consider, and each of them matters in its own way.",
    "It is worth remembering that opinions on this differ, and that everyone is entitled to their own.",
    "If you would like me to go into more detail on any of these points, feel free to ask!",
    "To sum up, the points above give a good overview of what there is to say.",
    "Thank you for your question, and do not hesitate to reach out if anything is unclear.",
)
FEWEST_CHARACTERS = 200


def make(rows: Sequence[Preference], count: int, rng: random.Random, without: Sequence[str] = ()) -> list[Preference]:
    """Chat pairs in which the chosen response lost its Markdown, or the rejected one gained it or grew longer.

    without: sources whose labels are about form. Rows with code are left out: there a mark is no style.
    """
    pool = [row for row in rows if row.domain == "chat" and not row.tie and row.source not in without]
    found: list[Preference] = []
    for row in rng.sample(pool, len(pool)):
        if len(found) == count:
            break
        chosen, rejected = row.chosen, row.rejected
        if "`" in chosen + rejected:
            continue
        if rng.random() < 0.5:
            chosen = plain(chosen)
        if rng.random() < 0.5 and len(rejected) >= FEWEST_CHARACTERS:
            rejected = marked(rejected)
        if rng.random() < 0.5:
            rejected = f"{rejected.rstrip()}\n\n{' '.join(rng.sample(FILLERS, rng.randint(1, 3)))}"
        if (chosen, rejected) != (row.chosen, row.rejected):
            found.append(replace(row, chosen=chosen, rejected=rejected))
    return found


def plain(text: str) -> str:
    """The text without Markdown's marks of headings, bold words and lists."""
    text = re.sub(r"^#{1,6}\s+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^([ \t]*)[*+-][ \t]+(?=[^\W\d])", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"(?<![\w*])\*\*([^\s*](?:[^*\n]*[^\s*])?)\*\*(?![\w*])", r"\1", text)


def marked(text: str) -> str:
    """The text with each paragraph of prose as a point of a list whose first words are bold."""
    paragraphs = []
    for paragraph in text.split("\n"):
        words = paragraph.split(" ")
        prose = len(words) > 4 and words[0][:1].isalpha()
        paragraphs.append(f"- **{' '.join(words[:3])}** {' '.join(words[3:])}" if prose else paragraph)
    return "\n".join(paragraphs)
