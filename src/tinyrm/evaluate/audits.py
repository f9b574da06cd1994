"""What else than quality moves a judge: the order of the responses, their length, their style."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .bootstrap import Score, Statistic, bootstrap
from .judging import Judged
from .metrics import Bin, binned, by_quantile
from .outcomes import units_of

_MARKS = re.compile(
    r"^[ \t]*(?:#{1,6} |[-*+] |\d+[.)] |```|\|.*\|[ \t]*$|> )|\*\*[^*\n]+\*\*|__[^_\n]+__|(?<!`)`[^`\n]+`(?!`)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Position:
    """What the order of the two responses does, over `n` rows that are shown in both.

    first_named: share of showings that name the response shown first; 0.5 is no bias (a tie is half).
    both_first, both_second: share of rows on which both orders name whatever is shown first (second).
    accuracy_shown_first, accuracy_shown_second: of the chosen response at that place.
    gap: mean difference of the two orders' probabilities.
    """

    n: int
    first_named: float
    both_first: float
    both_second: float
    accuracy_shown_first: float
    accuracy_shown_second: float
    gap: float


@dataclass(frozen=True)
class Lean:
    """Whether a judge leans towards responses that have more of something, over `n` rows on which it differs.

    equal: rows on which both have as much, left out here.
    named: share on which the judge names the response with more. labelled: share on which the label does.
    accuracy_more, accuracy_less: accuracy where the chosen response has more (less). balanced: the mean of these,
    which a judge by this alone gets half right. curve: accuracy by (chosen - rejected) / (chosen + rejected).
    """

    feature: str
    n: int
    equal: int
    named: Score
    labelled: float
    accuracy_more: Score | None
    accuracy_less: Score | None
    balanced: Score | None
    curve: tuple[Bin, ...]


@dataclass(frozen=True)
class Audits:
    """All that can be told from verdicts alone; what does not apply is None.

    by_margin: accuracy by how sure the judge is (|log-odds|, tenths of the rows). by_label_margin: by how much better
    the chosen response is said to be.
    """

    position: Position | None
    length: Lean | None
    style: Lean | None
    by_margin: tuple[Bin, ...]
    by_label_margin: tuple[Bin, ...]


def audit(judged: Judged, seed: int = 0) -> Audits:
    return Audits(
        position(judged),
        lean(judged, "characters", len, seed),
        lean(judged, "markdown marks", markdown_marks, seed),
        by_margin(judged),
        by_label_margin(judged),
    )


def position(judged: Judged) -> Position | None:
    """None for a judge whose probabilities are the same in both orders, as when it reads responses one by one."""
    p, votes = judged.p_by_order[judged.scored], judged.votes[judged.scored]
    if not len(p) or np.array_equal(p[:, 0], p[:, 1]):
        return None
    right = (votes + 1) / 2
    return Position(
        n=len(p),
        first_named=float((right[:, 0].mean() + (1 - right[:, 1]).mean()) / 2),
        both_first=float(((votes[:, 0] == 1) & (votes[:, 1] == -1)).mean()),
        both_second=float(((votes[:, 0] == -1) & (votes[:, 1] == 1)).mean()),
        accuracy_shown_first=float(right[:, 0].mean()),
        accuracy_shown_second=float(right[:, 1].mean()),
        gap=float(np.abs(p[:, 0] - p[:, 1]).mean()),
    )


def lean(judged: Judged, feature: str, measure: Callable[[str], int], seed: int = 0) -> Lean | None:
    """None if the two responses have as much of it on every row. Intervals are by resampling prompts."""
    rows = [p for p, scored in zip(judged.preferences, judged.scored, strict=True) if scored]
    amount = {text: measure(text) for p in rows for text in (p.chosen, p.rejected)}  # a text may stand in many rows
    amounts = np.array([(amount[p.chosen], amount[p.rejected]) for p in rows], dtype=np.float64).reshape(-1, 2)
    differs = amounts[:, 0] != amounts[:, 1]
    n = int(differs.sum())
    if not n:
        return None
    amounts, credit = amounts[differs], judged.credit[judged.scored][differs]
    more = amounts[:, 0] > amounts[:, 1]
    resampled = bootstrap(
        {"right": credit, "named": np.where(more, credit, 1 - credit)},
        np.where(more, "more", "less").tolist(),
        units_of([p.prompt for p, d in zip(rows, differs, strict=True) if d]),
        seed=seed,
    )

    def accuracy(name: str, formula: str, *subsets: str) -> Score | None:
        statistic = Statistic(name, dict.fromkeys(subsets, 1.0), formula, role="part")
        return resampled["right"].score(statistic) if set(subsets) <= set(resampled["right"].subsets) else None

    named = Statistic(
        "named", {"more": 1.0, "less": 1.0}, f"share on which more {feature} is preferred", over_rows=True, role="part"
    )
    return Lean(
        feature,
        n,
        len(rows) - n,
        resampled["named"].score(named),
        float(more.mean()),
        accuracy("chosen has more", f"accuracy where the chosen response has more {feature}", "more"),
        accuracy("chosen has less", f"accuracy where the chosen response has less {feature}", "less"),
        accuracy("balanced", "mean of the two", "more", "less"),
        binned((amounts[:, 0] - amounts[:, 1]) / amounts.sum(axis=1), credit, np.linspace(-1, 1, 11)),
    )


def markdown_marks(text: str) -> int:
    """Headings, list items, quotes, table rows, code fences, and words in bold or as code."""
    return len(_MARKS.findall(text))


def by_margin(judged: Judged) -> tuple[Bin, ...]:
    return by_quantile(np.abs(judged.logit[judged.scored]), judged.credit[judged.scored])


def by_label_margin(judged: Judged) -> tuple[Bin, ...]:
    margin = np.array([np.nan if p.margin is None else p.margin for p in judged.preferences], dtype=np.float64)
    known = judged.scored & np.isfinite(margin)
    return by_quantile(margin[known], judged.credit[known])
