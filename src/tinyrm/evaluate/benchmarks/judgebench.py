"""JudgeBench (arXiv 2410.12784): pairs of which one answer is objectively right, judged in both orders.

The formula is that of utils/metrics.py of ScalerLab/JudgeBench: a pair is right if the two orders name the right
answer more often than the wrong one, so that two orders which contradict each other are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinyrm.errors import UserError
from tinyrm.types import Preference

from ..arrangement import Arrangement, missing_rows
from ..bootstrap import Statistic
from ..judging import Floats, Judged
from ..outcomes import by_rule
from .benchmark import Benchmark, Row, present, read_pair, weighted

HUB = "ScalerLab/JudgeBench"
CATEGORIES = {
    "Knowledge": "mmlu-pro",
    "Reasoning": "livebench-reasoning",
    "Math": "livebench-math",
    "Coding": "livecodebench",
}
"""How the sources of a category begin."""

ROWS = {
    "gpt-4o": {"Knowledge": 154, "Reasoning": 98, "Math": 56, "Coding": 42},
    "claude-3.5-sonnet": {"Knowledge": 154, "Reasoning": 51, "Math": 34, "Coding": 31},
}
"""Published pairs by the model that wrote them; the leaderboard shows those of GPT-4o."""

_FORMULA = "share of pairs on which the two orders name the right answer more often than the wrong one"


def read(row: Row, where: str) -> list[Preference]:
    """A published row: question, response_A, response_B, label (`A>B`), source, response_model, pair_id."""
    writer = str(row.get("response_model") or where).lower()
    source = str(row.get("source") or row.get("subset") or "")
    return [
        replace(
            preference,
            id=str(row.get("pair_id") or row.get("id") or "") or None,
            source="claude-3.5-sonnet" if "claude" in writer else "gpt-4o" if "gpt" in writer else None,
            subset=next((name for name, start in CATEGORIES.items() if source.startswith(start)), None),
            domain="reasoning",
        )
        for preference in read_pair(row, where)
    ]


def arrange(preferences: Sequence[Preference]) -> Arrangement:
    """Keeps the pairs of known sources, apart by who wrote them.

    Raises:
        UserError: there are none.
    """
    known = [p for p in preferences if p.subset and p.source]
    if not known:
        raise UserError(
            "no row is of JudgeBench: `source` begins with one of "
            f"{', '.join(CATEGORIES.values())}, and `response_model` names GPT-4o or Claude"
        )
    subsets = [_subset(str(p.source), str(p.subset)) for p in known]
    others = len(preferences) - len(known)
    notes = [f"{others:,} rows of other sources were left out"] if others else []
    present_writers = {p.source for p in known}
    expected = {
        _subset(writer, name): n
        for writer, categories in ROWS.items()
        if writer in present_writers
        for name, n in categories.items()
    }
    notes += [f"No pairs written by {writer} are there" for writer in ROWS if writer not in present_writers]
    return Arrangement(known, subsets, "pairs", missing_rows(expected, Counter(subsets)), tuple(notes))


def mostly_right(judged: Judged) -> Floats:
    """1 where the two orders name the chosen response more often than the rejected one, else 0."""
    return np.asarray(judged.votes.sum(axis=1) > 0, dtype=np.float64)


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    """For each writer of the pairs: all of them, and by category."""
    scores: list[Statistic] = []
    for writer, categories in ROWS.items():
        first = not present(scores)
        prefix = "" if first else f"{writer}: "
        own = {_subset(writer, name): rows.get(_subset(writer, name), 0) for name in categories}
        overall = weighted(f"{prefix}Overall", own, own, rows, f"{_FORMULA}; pairs of {writer}", "part")
        scores.append(replace(overall, role="overall") if first else overall)
        scores += [
            weighted(
                prefix + name,
                [_subset(writer, name)],
                own,
                rows,
                f"{_FORMULA}; pairs of {writer}",
                "section" if first else "part",
            )
            for name in categories
        ]
    return present(scores)


def _subset(writer: str, category: str) -> str:
    return f"{writer}: {category}"


BENCHMARK = Benchmark("judgebench", HUB, None, arrange, statistics, read, by_rule(mostly_right))
