"""LLMBar (arXiv 2310.07641): which of two outputs follows the instruction, some of them written to mislead.

The formula is that of LLMEvaluator/evaluate.py of princeton-nlp/LLMBar (`correct_average`) and of the paper's tables.
Its 419 pairs are also in RewardBench 1: what is tuned on them is tuned on RewardBench.
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
from .benchmark import Benchmark, Row, mean_of, named_in, present, read_pair, weighted

ROWS = {"Natural": 100, "Neighbor": 134, "GPTInst": 92, "GPTOut": 47, "Manual": 46}
_ACCURACY = "share of right verdicts over both orders (each order of a pair is a verdict; a tie is wrong)"


def read(row: Row, where: str) -> list[Preference]:
    """A published row (input, output_1, output_2, label); its subset is told by a column or by the file's folder."""
    subset = named_in(str(row.get("subset") or ""), ROWS) or named_in(where, ROWS)
    return [replace(p, subset=subset, domain="chat") for p in read_pair(row, where)]


def arrange(preferences: Sequence[Preference]) -> Arrangement:
    """Keeps the rows of the five subsets.

    Raises:
        UserError: there are none.
    """
    known = [p for p in preferences if p.subset]
    if not known:
        raise UserError(
            "no row tells its subset of LLMBar: give the folder Dataset/LLMBar of its repository, "
            f"or rows with a column `subset` that holds one of {', '.join(ROWS)}"
        )
    subsets = [str(p.subset) for p in known]
    others = len(preferences) - len(known)
    notes = (f"{others:,} rows of other subsets were left out",) if others else ()
    return Arrangement(known, subsets, "subset", missing_rows(ROWS, Counter(subsets)), notes)


def right_by_order(judged: Judged) -> Floats:
    """Share of the two orders that name the chosen response."""
    return np.asarray((judged.votes == 1).mean(axis=1), dtype=np.float64)


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    natural, *adversarial = (weighted(name, [name], {name: 1.0}, rows, _ACCURACY) for name in ROWS)
    return present(
        [
            mean_of("Average", [natural, *adversarial], "mean of the five subsets"),
            natural,
            *adversarial,
            mean_of("Adversarial", adversarial, "mean of the four adversarial subsets", "part"),
        ]
    )


BENCHMARK = Benchmark(
    "llmbar",
    None,
    None,
    arrange,
    statistics,
    read,
    by_rule(right_by_order),
    "Dataset/LLMBar of github.com/princeton-nlp/LLMBar",
)
