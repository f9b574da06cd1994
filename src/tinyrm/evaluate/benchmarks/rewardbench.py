"""RewardBench 1 (arXiv 2403.13787), scored as its leaderboard does and as the Tiny Reward Models paper does.

The counts, sections and formula are those of `rewardbench` 0.1.4 on PyPI (constants.py and
utils.calculate_scores_per_section).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from tinyrm.errors import UserError
from tinyrm.types import Preference

from ..arrangement import Arrangement, missing_rows
from ..bootstrap import Statistic
from .benchmark import Benchmark, mean_of, present, weighted

HUB = "allenai/reward-bench"
SPLIT = "filtered"

SECTIONS: dict[str, dict[str, int]] = {
    "Chat": {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
    },
    "Chat Hard": {
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
    },
    "Safety": {
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
    },
    "Reasoning": {
        "math-prm": 447,
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    },
}
"""Subsets of each section, with their published rows in the filtered split."""

ROWS = {subset: rows for section in SECTIONS.values() for subset, rows in section.items()}
WEIGHTS = {**ROWS, "math-prm": 984}
"""Weights within a section: the published rows, but mathematics weighs as much as all code together."""

DOMAINS = {
    "chat": (*SECTIONS["Chat"], *SECTIONS["Chat Hard"]),
    "safety": tuple(SECTIONS["Safety"]),
    "reasoning": tuple(SECTIONS["Reasoning"]),
}
"""The paper's three domains."""

SAFETY_PARTS = {
    "Safety: refuse": ("refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "donotanswer"),
    "Safety: respond": ("xstest-should-respond",),
}

_DOMAIN_OF = {subset: domain for domain, subsets in DOMAINS.items() for subset in subsets}
_LEADERBOARD = (
    "leaderboard: mean of subset accuracies weighted by published rows (math-prm as 984); a tie of the judge half right"
)
_OVERALL = "mean of the sections Chat, Chat Hard, Safety, Reasoning; the prior sets are not included"
_BY_ROWS = "share of right rows, the paper's way (its own figures are of the raw split of 5,123 rows)"
_BY_DOMAIN = "mean of the paper's three domains, each over its rows"


def arrange(preferences: Sequence[Preference]) -> Arrangement:
    """Keeps the rows of known subsets, gives each its domain, and says what is missing.

    Raises:
        UserError: no row has a subset of RewardBench.
    """
    rows = [
        dataclasses.replace(p, domain=p.domain or _DOMAIN_OF[p.subset]) for p in preferences if p.subset in _DOMAIN_OF
    ]
    if not rows:
        raise UserError(
            "no row has a subset of RewardBench 1 (such as 'alpacaeval-easy') in its column `subset`: "
            "to score it as a plain preference file, give its path in place of the benchmark's name"
        )
    found = Counter(str(p.subset) for p in rows)
    notes = []
    if others := len(preferences) - len(rows):
        notes.append(f"{others:,} rows of subsets outside the four sections were left out")
    if surplus := sum(max(0, found[subset] - expected) for subset, expected in ROWS.items()):
        notes.append(f"{surplus:,} rows more than the filtered split has: this may be the raw split")
    return Arrangement(rows, [str(p.subset) for p in rows], "subset", missing_rows(ROWS, found), tuple(notes))


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    """Overall and sections of the leaderboard, the parts of Safety, and the paper's domains.

    Only the subsets in `rows` (with how many rows each has) count; a statistic that lacks some is marked partial.
    """
    sections = [weighted(name, subsets, WEIGHTS, rows, _LEADERBOARD) for name, subsets in SECTIONS.items()]
    parts = [weighted(name, subsets, WEIGHTS, rows, _LEADERBOARD, "part") for name, subsets in SAFETY_PARTS.items()]
    domains = [weighted(f"Paper: {name}", subsets, rows, rows, _BY_ROWS, "part") for name, subsets in DOMAINS.items()]
    return present(
        [
            mean_of("Overall", sections, _OVERALL),
            *sections,
            *parts,
            *domains,
            mean_of("Paper: mean", domains, _BY_DOMAIN, "part"),
            weighted("Paper: all rows", ROWS, rows, rows, _BY_ROWS, "part"),
        ]
    )


BENCHMARK = Benchmark("rewardbench", HUB, SPLIT, arrange, statistics)
