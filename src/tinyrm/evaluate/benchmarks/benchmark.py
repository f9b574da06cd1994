"""What a benchmark is: rows are read and arranged, judged, credited, and the credits averaged to sections."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tinyrm.data import to_preference
from tinyrm.types import Preference

from ..arrangement import Arrangement
from ..bootstrap import Statistic
from ..judging import Judged
from ..outcomes import Outcomes, by_rule, half_for_ties

Row: TypeAlias = "Mapping[str, Any]"
"""A row as it was published."""


def read_pair(row: Row, where: str) -> list[Preference]:
    """A row of any shape that `tinyrm.data` knows; equal and empty responses stay, as they were published."""
    return [to_preference(row, allow_equal=True, allow_empty_response=True)]


def named_in(text: str, names: Collection[str]) -> str | None:
    """Which of the names stands in a text as a word of its own, in any case; the last one if there are several."""
    words = re.compile(rf"(?<![a-z])({'|'.join(names)})(?![a-z])", re.IGNORECASE).findall(text)
    return next((name for name in names if words and name.lower() == words[-1].lower()), None)


@dataclass(frozen=True)
class Benchmark:
    """How a set of labelled rows is read, judged and scored.

    path, split: anything `tinyrm.data.read_rows` takes, and the split to read of it (None: everything). Where the
        publisher has no rows on the Hub, `path` is None, and `source` says where they are.
    read: what a published row holds (it gets the row, and the path and place where it stands).
    arrange: the comparisons to judge, in subsets, from all that was read.
    outcomes: the credits that a judge earns by the benchmark's own rule.
    statistics: what to compute, from the number of credits by subset; the first is the headline.
    """

    name: str
    path: str | None
    split: str | None
    arrange: Callable[[Sequence[Any]], Arrangement]
    statistics: Callable[[Mapping[str, int]], list[Statistic]]
    read: Callable[[Row, str], Iterable[Any]] = read_pair
    outcomes: Callable[[Judged, Arrangement], Outcomes] = field(default_factory=lambda: by_rule(half_for_ties))
    source: str = ""


def weighted(
    name: str,
    subsets: Collection[str],
    weights: Mapping[str, float],
    rows: Mapping[str, int],
    formula: str,
    role: Literal["overall", "section", "part"] = "section",
) -> Statistic:
    """The mean of those subsets that have rows, by their weights; partial if one has none."""
    present = {subset: float(weights[subset]) for subset in subsets if rows.get(subset)}
    return Statistic(name, present, formula, partial=len(present) < len(subsets), role=role)


def mean_of(
    name: str, parts: Sequence[Statistic], formula: str, role: Literal["overall", "section", "part"] = "overall"
) -> Statistic:
    """The mean, each weighing the same, of those parts that have rows."""
    present = [part for part in parts if part.weights]
    weights: dict[str, float] = {}
    for part in present:
        for subset, weight in part.weights.items():
            share = weight / (part.total or sum(part.weights.values())) / len(present)
            weights[subset] = weights.get(subset, 0.0) + share
    total = 1.0 if any(part.total for part in present) else None
    return Statistic(name, weights, formula, partial=any(part.partial for part in parts), role=role, total=total)


def present(statistics: Iterable[Statistic]) -> list[Statistic]:
    """Those that have any row."""
    return [statistic for statistic in statistics if statistic.weights]
