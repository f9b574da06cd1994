"""RewardBench 2 (arXiv 2506.01937): best of four, and the Ties subset.

Counts are those of the data set's card; the formulas are those of `rewardbench` 0.1.4 on PyPI
(utils.reroll_and_score_dataset and utils.process_single_model).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrm.data import BadRow
from tinyrm.data.winners import number_in
from tinyrm.errors import UserError

from ..arrangement import Arrangement, Origin, missing_rows
from ..bootstrap import Statistic
from ..judging import Judged
from ..outcomes import Outcomes, unit_of
from .benchmark import Benchmark, Row, mean_of, present, weighted
from .candidates import Candidates, read_candidates, unrepeated

HUB = "allenai/reward-bench-2"
TIES = "Ties"
ROWS = {"Factuality": 475, "Precise IF": 160, "Math": 183, "Safety": 450, "Focus": 495, TIES: 102}
"""Published rows of each subset; half of those of Ties have one right answer (`ref`), half have several (`tied`)."""

DOMAINS = {"Math": "reasoning", "Safety": "safety"}
"""Subsets that are not of the domain chat."""

TIES_WEIGHTS = {
    "Ties: all right above all wrong, several right": 0.3,
    "Ties: right above all wrong, one right": 0.3,
    "Ties: margin above spread": 0.2,
    "Ties: smaller margin above spread": 0.2,
    "Ties: tanh(smaller margin / spread - 1)": 0.01,
}
"""Parts of the Ties score. Of a prompt with several right answers: spread is the highest less the lowest reward of a
right answer, margin the lowest of a right less the highest of a wrong one; the smaller margin is that of this prompt
or of its twin with one right answer. The last is averaged over prompts with a spread above 0."""

_TIED, _REF, _MARGIN, _HARD, _RATIO = TIES_WEIGHTS
_BEST = "share of prompts whose chosen response beats all rejected ones; equal to the best of k: 1 / k"
_TIES = "0.3 accuracy (several right) + 0.3 accuracy (one right) + 0.2 margin > spread + 0.2 smaller margin > spread"
_TIES += " + 0.01 mean tanh(smaller margin / spread - 1)"


def read(row: Row, where: str) -> list[Candidates]:
    """A published row: prompt, lists of chosen and rejected, subset, id.

    Raises:
        BadRow: it is none, or not of the form that its subset has.
    """
    subset = str(row.get("subset"))
    subset = next((name for name in ROWS if name.lower() == subset.lower()), subset)
    found = read_candidates(row, subset, where)
    if number_in(row, "num_correct") not in (None, len(found.chosen)):
        raise BadRow(f"num_correct is {row['num_correct']}, but {len(found.chosen)} responses are chosen")
    if subset == TIES:
        kind, _, prompt = found.id.partition(":")
        if kind not in ("ref", "tied") or not re.fullmatch("[0-9]{1,9}", prompt):
            raise BadRow(f"the id of a row of Ties is ref:N or tied:N, not {found.id!r}")
    elif len(found.chosen) != 1:
        raise BadRow(f"{len(found.chosen)} responses are chosen where one is")
    return [found]


def arrange(rows: Sequence[Candidates]) -> Arrangement:
    """Best of four: the chosen response against each rejected one. Ties: every response against every other.

    Raises:
        UserError: no row has a subset of RewardBench 2.
    """
    known, notes = unrepeated([row for row in rows if row.subset in ROWS])
    if not known:
        raise UserError("no row has a subset of RewardBench 2 (such as 'Factuality') in its column `subset`")
    if others := sum(row.subset not in ROWS for row in rows):
        notes += (f"{others:,} rows of other subsets were left out",)
    compared = []
    for row in known:
        if row.subset == TIES:
            group, n = f"{TIES}:{_prompt(row.id)}", len(row.responses)
            pairs: Iterable[tuple[int, int]] = ((i, j) for i in range(n) for j in range(i + 1, n))
        else:
            group, pairs = f"{row.subset}/{row.id}", ((0, 1 + j) for j in range(len(row.rejected)))
        compared += [row.compare(i, j, row.subset, DOMAINS.get(row.subset, "chat"), group) for i, j in pairs]
    preferences, subsets, origins = (list(column) for column in zip(*compared, strict=True))
    found = Counter(row.subset for row in known)
    return Arrangement(preferences, subsets, "part", missing_rows(ROWS, found), notes, origins)


def outcomes(judged: Judged, arranged: Arrangement) -> Outcomes:
    """Best of four: a credit a prompt. Ties: those credits whose means make its score."""
    members: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, origin in enumerate(arranged.origins):
        members[arranged.subsets[i], origin.row].append(i)
    credits: list[tuple[float, str, str]] = []
    ties: dict[str, dict[str, Stand]] = {"ref": {}, "tied": {}}
    for (subset, row), places in members.items():
        mine = [float(judged.logit[i]) for i in places]
        if subset != TIES:
            credits.append((best_of(mine), subset, unit_of(arranged.preferences[places[0]].prompt)))
            continue
        origins = [arranged.origins[i] for i in places]
        right = 1 + max(arranged.origins[i].better for i in places if not arranged.preferences[i].tie)
        ties[row.partition(":")[0]][_prompt(row)] = stand(leads(mine, origins), right)
    credits += ties_credits(ties["ref"], ties["tied"])
    credit, subsets, units = (list(column) for column in zip(*credits, strict=True))
    return Outcomes(np.array(credit, dtype=np.float64), subsets, units)


def best_of(logits: Sequence[float]) -> float:
    """Credit of a chosen response, from its log-odds against each rejected one."""
    return 0.0 if min(logits) < 0 else 1 / (1 + sum(x == 0 for x in logits))


def leads(logits: Sequence[float], origins: Sequence[Origin]) -> list[float]:
    """Each response's log-odds against all others, added up.

    For a judge that scores n responses alone this is n times its score less the mean score.
    """
    met: dict[int, list[float]] = defaultdict(list)
    for logit, origin in zip(logits, origins, strict=True):
        met[origin.better].append(logit)
        met[origin.worse].append(-logit)
    return [math.fsum(met[i]) for i in range(len(met))]


@dataclass(frozen=True, slots=True)
class Stand:
    """How the right answers to a prompt stand among its wrong ones.

    margin: lowest right less highest wrong. spread: highest right less lowest right, None if one alone is right.
    """

    margin: float
    spread: float | None

    @property
    def accurate(self) -> bool:
        return self.margin > 0


def stand(leads: Sequence[float], right: int) -> Stand:
    """Of what `leads` gives, the first `right` responses being right; both figures are on the scale of the log-odds.

    They are divided last: a difference of two sums is exact where the scores are whole numbers, a quotient is not.
    """
    n, lowest, highest = len(leads), min(leads[:right]), max(leads[:right])
    return Stand((lowest - max(leads[right:])) / n, (highest - lowest) / n if right > 1 else None)


def ties_credits(ref: Mapping[str, Stand], tied: Mapping[str, Stand]) -> list[tuple[float, str, str]]:
    """(credit, part of the score, what moves together) for the prompts with one right answer and with several."""
    credits = [(float(s.accurate), _REF, f"{TIES}:{prompt}") for prompt, s in ref.items()]
    credits += [(float(s.accurate), _TIED, f"{TIES}:{prompt}") for prompt, s in tied.items()]
    for prompt in tied:
        spread = tied[prompt].spread
        if prompt not in ref or spread is None:
            continue
        margin = tied[prompt].margin
        smaller = min(margin, ref[prompt].margin)
        ratio = math.tanh(smaller / spread - 1) if spread > 0 else math.nan
        for credit, part in ((float(margin > spread), _MARGIN), (float(smaller > spread), _HARD), (ratio, _RATIO)):
            credits.append((credit, part, f"{TIES}:{prompt}"))
    return credits


def statistics(rows: Mapping[str, int]) -> list[Statistic]:
    """The mean of the six subsets, and each of them."""
    sections = [weighted(name, [name], {name: 1.0}, rows, _BEST) for name in ROWS if name != TIES]
    ties = rows.get(_REF, 0) + rows.get(_TIED, 0)
    partial = not (rows.get(_REF) and rows.get(_TIED) and rows.get(_MARGIN))
    sections.append(Statistic(TIES, TIES_WEIGHTS if ties else {}, _TIES, partial=partial, total=1.0, n=ties))
    overall = mean_of("Overall", sections, f"mean of the subsets {', '.join(ROWS)}")
    return present([replace(overall, n=ties + sum(rows.get(name, 0) for name in ROWS)), *sections])


def _prompt(row: str) -> str:
    """The number that a prompt with several right answers shares with its twin that has one."""
    return str(int(row.partition(":")[2]))


BENCHMARK = Benchmark("rewardbench2", HUB, "test", arrange, statistics, read, outcomes)
