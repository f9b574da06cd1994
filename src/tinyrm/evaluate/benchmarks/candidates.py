"""Rows with lists of right and wrong responses: RM-Bench and RewardBench 2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinyrm.data import BadRow
from tinyrm.data.shapes import to_row_prompt
from tinyrm.data.winners import has
from tinyrm.types import Preference, Prompt

from ..arrangement import Origin
from .benchmark import Row

MOST = 200
"""Responses of one row; all pairs of them may be compared."""


@dataclass(frozen=True)
class Candidates:
    """A prompt with responses that are right (`chosen`) and wrong (`rejected`)."""

    prompt: Prompt
    chosen: tuple[str, ...]
    rejected: tuple[str, ...]
    subset: str
    id: str

    @property
    def responses(self) -> tuple[str, ...]:
        """The right ones first."""
        return self.chosen + self.rejected

    def compare(
        self, better: int, worse: int, subset: str, domain: str | None, group: str
    ) -> tuple[Preference, str, Origin]:
        """Two of the responses as a comparison, by their places; those that are alike right or wrong are a tie."""
        tie = (better < len(self.chosen)) == (worse < len(self.chosen))
        preference = Preference(
            self.prompt,
            self.responses[better],
            self.responses[worse],
            tie=tie,
            domain=domain,
            subset=subset,
            id=f"{self.id}#{better}-{worse}",
        )
        return preference, subset, Origin(self.id, group, better, worse)


def read_candidates(row: Row, subset: str, where: str) -> Candidates:
    """A row whose `chosen` and `rejected` are lists of texts (or, in a CSV, such lists as JSON).

    Raises:
        BadRow: they are not, there are more than `MOST`, or there is no prompt.
    """
    chosen, rejected = (_texts(row.get(column), column) for column in ("chosen", "rejected"))
    prompt = to_row_prompt({"prompt": row.get("prompt"), "chosen": "", "rejected": ""})
    if len(chosen) + len(rejected) > MOST:
        raise BadRow(f"{len(chosen) + len(rejected)} responses: more than {MOST} are not compared")
    return Candidates(prompt, chosen, rejected, subset, str(row["id"] if has(row, "id") else where))


def unrepeated(rows: Sequence[Candidates]) -> tuple[list[Candidates], tuple[str, ...]]:
    """The first row of every id of a subset, and a note on how many repeat one."""
    first: dict[tuple[str, str], Candidates] = {}
    for row in rows:
        first.setdefault((row.subset, row.id), row)
    repeats = len(rows) - len(first)
    return list(first.values()), (f"{repeats:,} rows repeat the id of another and were left out",) if repeats else ()


def _texts(value: Any, column: str) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise BadRow(f"{column} is not a JSON list") from None
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise BadRow(f"{column} is not a list of texts")
    return tuple(value)
