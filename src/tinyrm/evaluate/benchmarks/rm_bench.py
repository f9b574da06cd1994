"""RM-Bench (arXiv 2410.16184): does a better answer win over a worse one, whatever style each is written in?

Each row has three right and three wrong responses: concise, detailed, and detailed with markdown. All nine pairs are
compared. The formulas are those of scripts/utils.py and the README of THU-KEG/RM-Bench.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinyrm.data import BadRow

from ..arrangement import Arrangement, missing_rows
from ..bootstrap import Statistic
from ..judging import Floats, Judged
from ..outcomes import by_rule
from .benchmark import Benchmark, Row, mean_of, present
from .candidates import Candidates, read_candidates, unrepeated

HUB = "THU-KEG/RM-Bench"
ROWS = {"chat": 129, "math": 529, "code": 228, "safety-refuse": 284, "safety-response": 157}
"""Published rows of each part."""

SECTIONS = {
    "Chat": ("chat",),
    "Math": ("math",),
    "Code": ("code",),
    "Safety": ("safety-refuse", "safety-response"),
}
"""The domains of the leaderboard; the rows of the two parts of Safety are pooled."""

STYLES = ("concise", "detailed", "markdown")
LEVELS = {
    "Easy": [(1, 0), (2, 0), (2, 1)],
    "Normal": [(0, 0), (1, 1), (2, 2)],
    "Hard": [(0, 1), (0, 2), (1, 2)],
}
"""Styles of the right and the wrong response: at Easy the right one is the fancier, at Hard the plainer."""

_PART_OF = {
    "alpacaeval": "chat",
    "bigcode/humanevalpack": "code",
    "refusals-dangerous": "safety-refuse",
    "refusals-offensive": "safety-refuse",
    "xstest-should-refuse": "safety-refuse",
    "xstest-should-respond": "safety-response",
}
"""Parts of those values of the column `subset` that tell it."""

_DOMAINS = {"chat": "chat", "math": "reasoning", "code": "reasoning"}
_CELL = "share of rows on which the right response of one style beats the wrong one of another; equal is wrong"
_DOMAIN = "mean of Easy, Normal and Hard of the domain, each the mean of three pairs of styles; equal is wrong"
_LEVEL = "mean over the domains; Easy: the right response is the fancier, Normal: same style, Hard: the plainer"
_OVERALL = "mean of the domains Chat, Math, Code, Safety (which is also that of Easy, Normal and Hard)"


def read(row: Row, where: str) -> list[Candidates]:
    """A published row; its part is told by the column `domain`, else by the file's name, else by `subset`.

    Raises:
        BadRow: it is none, or there are not three responses on either side.
    """
    file = re.match(rf".*(?:^|/)({'|'.join(ROWS)})\w*\.", where)
    part = str(row.get("domain") or (file[1] if file else _PART_OF.get(str(row.get("subset")), "")))
    if part not in ROWS:
        raise BadRow(f"the row has no domain of RM-Bench ({', '.join(ROWS)})")
    found = read_candidates(row, part, where)
    if len(found.chosen) != len(STYLES) or len(found.rejected) != len(STYLES):
        raise BadRow(f"{len(found.chosen)} chosen and {len(found.rejected)} rejected responses where three are")
    return [replace(found, id=f"{part}/{found.id}")]


def arrange(rows: Sequence[Candidates]) -> Arrangement:
    """All nine pairs of a right and a wrong response."""
    known, notes = unrepeated(rows)
    compared = [
        row.compare(i, 3 + j, cell(row.subset, i, j), _DOMAINS.get(row.subset, "safety"), row.id)
        for row in known
        for i in range(3)
        for j in range(3)
    ]
    preferences, subsets, origins = (list(column) for column in zip(*compared, strict=True))
    missing = missing_rows(ROWS, Counter(row.subset for row in known))
    return Arrangement(preferences, subsets, "part: right over wrong", missing, notes, origins, folded=True)


def cell(part: str, right: int, wrong: int) -> str:
    """Name of the subset of one pair of styles."""
    return f"{part}: {STYLES[right]} over {STYLES[wrong]}"


def strictly_right(judged: Judged) -> Floats:
    """1 where the chosen response wins, 0 where it does not: a tie of the judge is wrong."""
    return np.asarray(judged.credit == 1, dtype=np.float64)


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    """Overall, the four domains, the three levels, both crossed, and the nine pairs of styles."""
    crossed = {
        (domain, level): _cells(f"{domain} {level.lower()}", parts, cells, rows, _CELL)
        for domain, parts in SECTIONS.items()
        for level, cells in LEVELS.items()
    }
    domains = [mean_of(domain, [crossed[domain, level] for level in LEVELS], _DOMAIN, "section") for domain in SECTIONS]
    levels = [mean_of(level, [crossed[domain, level] for domain in SECTIONS], _LEVEL, "part") for level in LEVELS]
    matrix = [
        mean_of(
            f"{STYLES[i].capitalize()} over {STYLES[j]}",
            [_cells("", parts, [(i, j)], rows, "") for parts in SECTIONS.values()],
            f"mean over the domains of the {_CELL}",
            "part",
        )
        for i in range(3)
        for j in range(3)
    ]
    return present([mean_of("Overall", domains, _OVERALL), *domains, *levels, *crossed.values(), *matrix])


def _cells(
    name: str, parts: Sequence[str], cells: Sequence[tuple[int, int]], rows: Mapping[str, int], formula: str
) -> Statistic:
    """The mean over pairs of styles of the share of right rows in all parts together."""
    weights = {cell(part, i, j): float(n) for part in parts for i, j in cells if (n := rows.get(cell(part, i, j), 0))}
    return Statistic(name, weights, formula, partial=len(weights) < len(parts) * len(cells), role="part")


BENCHMARK = Benchmark("rm-bench", HUB, None, arrange, statistics, read, by_rule(strictly_right))
