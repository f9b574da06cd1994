"""What a benchmark averages: one credit for each thing that can be right or wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyrm.data.split import prompt_key
from tinyrm.types import Prompt

from .arrangement import Arrangement
from .judging import Floats, Judged


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A judge's credits by a benchmark's own rule.

    credit: from 0 wrong to 1 right; NaN where this judge left nothing to average (it then counts nowhere).
    subsets: what each belongs to. units: what moves together when a resample is drawn, mostly a digest of the prompt.
    """

    credit: Floats
    subsets: Sequence[str]
    units: Sequence[str]

    @property
    def counts(self) -> Counter[str]:
        """Credits there are, by subset."""
        return Counter(subset for subset, credit in zip(self.subsets, self.credit, strict=True) if credit == credit)

    def alike(self, other: Outcomes) -> bool:
        """Whether both are of the same rows, so that they can be compared one by one."""
        return list(self.subsets) == list(other.subsets) and list(self.units) == list(other.units)


def by_rule(rule: Callable[[Judged], Floats], *, ties: bool = False) -> Callable[[Judged, Arrangement], Outcomes]:
    """One outcome a comparison, its credit by `rule`; comparisons labelled ties are left out unless `ties`."""

    def outcomes(judged: Judged, arranged: Arrangement) -> Outcomes:
        credit = rule(judged)
        kept = [i for i, preference in enumerate(judged.preferences) if ties or not preference.tie]
        return Outcomes(
            credit[kept],
            [arranged.subsets[i] for i in kept],
            units_of([arranged.preferences[i].prompt for i in kept]),
        )

    return outcomes


def units_of(prompts: Sequence[Prompt]) -> list[str]:
    """A digest of each prompt: rows of one prompt share it."""
    known = {prompt: unit_of(prompt) for prompt in dict.fromkeys(prompts)}
    return [known[prompt] for prompt in prompts]


def unit_of(prompt: Prompt) -> str:
    """A digest that rows of one prompt share."""
    return hashlib.blake2b(prompt_key(prompt).encode("utf-8", "replace"), digest_size=8).hexdigest()


def half_for_ties(judged: Judged) -> Floats:
    """Right, wrong, or half right where the judge calls a tie."""
    return judged.credit
