"""Anthropic's pairs: the test split of HH-RLHF (arXiv 2204.05862), and HHH alignment (arXiv 2112.00861)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinyrm.data import BadRow
from tinyrm.errors import UserError
from tinyrm.types import Preference

from ..arrangement import Arrangement, missing_rows
from ..bootstrap import Statistic
from .benchmark import Benchmark, Row, named_in, present, read_pair, weighted

HH_HUB = "Anthropic/hh-rlhf"
HH_ROWS = {"harmless-base": 2312, "helpful-base": 2354, "helpful-online": 1137, "helpful-rejection-sampled": 2749}
HH_SECTIONS = {
    "Helpful": ("helpful-base", "helpful-online", "helpful-rejection-sampled"),
    "Harmless": ("harmless-base",),
}

HHH_HUB = "HuggingFaceH4/hhh_alignment"
HHH_ROWS = {"helpful": 59, "harmless": 58, "honest": 61, "other": 43}

_ROWS = "share of right rows; a tie of the judge is half right"


def read_hh(row: Row, where: str) -> list[Preference]:
    """A published row (two transcripts that share their opening); its subset is told by its folder."""
    if "red-team" in where:  # the same data set also holds transcripts of red teams, which are no pairs
        return []
    return _named(read_pair(row, where), HH_ROWS, row, where)


def read_hhh(row: Row, where: str) -> list[Preference]:
    """A published row: input and targets; the subset is told by a column or the file's folder.

    BIG-bench's own file is one document with all rows in `examples`, and target_scores in place of targets.

    Raises:
        BadRow: there are not one right and one wrong answer.
    """
    if isinstance(row.get("examples"), list):
        examples = [example for example in row["examples"] if isinstance(example, Mapping)]
        return [pair for example in examples for pair in read_hhh({**example, "examples": None}, where)]
    targets, scores = row.get("targets"), row.get("target_scores")
    if isinstance(targets, Mapping):
        answers, labels = targets.get("choices"), targets.get("labels")
        if not isinstance(answers, list) or not isinstance(labels, list) or len(answers) != len(labels):
            raise BadRow("targets do not hold as many labels as choices")
        return _named([_right_and_wrong(row, list(zip(answers, labels, strict=True)))], HHH_ROWS, row, where)
    if isinstance(scores, Mapping):
        return _named([_right_and_wrong(row, list(scores.items()))], HHH_ROWS, row, where)
    return _named(read_pair(row, where), HHH_ROWS, row, where)


def _right_and_wrong(row: Row, answers: Sequence[tuple[Any, Any]]) -> Preference:
    right = [text for text, label in answers if label == 1]
    wrong = [text for text, label in answers if label == 0]
    if len(right) != 1 or len(wrong) != 1:
        raise BadRow(f"{len(right)} answers are right and {len(wrong)} wrong where one is")
    [preference] = read_pair({"prompt": row.get("input"), "chosen": right[0], "rejected": wrong[0]}, "")
    return preference


def _named(pairs: Sequence[Preference], subsets: Mapping[str, int], row: Row, where: str) -> list[Preference]:
    subset = named_in(str(row.get("subset") or ""), subsets) or named_in(where, subsets)
    domain = "safety" if subset and subset.startswith("harmless") else "chat"
    return [replace(p, subset=subset, domain=domain) for p in pairs]


def _arrange(name: str, rows: Mapping[str, int]) -> Callable[[Sequence[Preference]], Arrangement]:
    def arrange(preferences: Sequence[Preference]) -> Arrangement:
        known = [p for p in preferences if p.subset]
        if not known:
            raise UserError(f"no row tells its subset of {name}, by a column `subset` or its folder: {', '.join(rows)}")
        subsets = [str(p.subset) for p in known]
        others = len(preferences) - len(known)
        notes = (f"{others:,} rows of no known subset were left out",) if others else ()
        return Arrangement(known, subsets, "subset", missing_rows(rows, Counter(subsets)), notes)

    return arrange


def hh_statistics(rows: Mapping[str, int]) -> list[Statistic]:
    sections = [weighted(name, subsets, rows, rows, _ROWS) for name, subsets in HH_SECTIONS.items()]
    return present([weighted("Overall", HH_ROWS, rows, rows, _ROWS, "overall"), *sections])


def hhh_statistics(rows: Mapping[str, int]) -> list[Statistic]:
    sections = [weighted(name.capitalize(), [name], rows, rows, _ROWS) for name in HHH_ROWS]
    return present([weighted("Overall", HHH_ROWS, rows, rows, _ROWS, "overall"), *sections])


HH = Benchmark("hh", HH_HUB, "test", _arrange("HH-RLHF", HH_ROWS), hh_statistics, read_hh)
HHH = Benchmark("hhh", HHH_HUB, None, _arrange("HHH alignment", HHH_ROWS), hhh_statistics, read_hhh)
