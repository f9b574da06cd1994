"""Pairs that people judged, ties among them: PandaLM (arXiv 2306.05087) and Auto-J (arXiv 2310.05470).

Labels are of three kinds, and so are verdicts: a pair labelled a tie is right only where the judge calls a tie, which
a judge of probabilities almost never does. The formulas are those of codes/leaderboard/pairwise_eval.py of
GAIR-NLP/auto-j and of the accuracy in PandaLM's tables (its F1 is not a mean, and not given).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinyrm.types import Preference

from ..arrangement import Arrangement, missing_rows
from ..bootstrap import Statistic
from ..judging import Floats, Judged
from ..outcomes import by_rule
from .benchmark import Benchmark, Row, present, read_pair, weighted

GROUPS = {
    "Summarization": "post_summarization text_summarization note_summarization",
    "Exam Questions": "math_reasoning solving_exam_question_with_math solving_exam_question_without_math",
    "Code": "code_simplification code_generation explaining_code code_correction_rewriting code_to_code_translation",
    "Rewriting": "text_simplification language_polishing instructional_rewriting text_correction paraphrasing",
    "Creative Writing": "writing_song_lyrics writing_social_media_post writing_blog_post writing_personal_essay "
    "creative_writing writing_advertisement writing_marketing_materials writing_presentation_script counterfactual",
    "Functional Writing": "writing_product_description writing_job_application writing_news_article writing_biography "
    "writing_email writing_legal_document writing_technical_document writing_scientific_paper functional_writing "
    "writing_cooking_recipe",
    "General Communication": "asking_how_to_question open_question analyzing_general explaining_general "
    "seeking_advice recommendation value_judgement verifying_fact chitchat roleplay planning brainstorming",
    "NLP Tasks": "ranking text_to_text_translation data_analysis classification_identification title_generation "
    "question_generation reading_comprehension keywords_extraction information_extraction topic_modeling others",
}
"""Scenarios of each group of Auto-J."""

SCENARIOS = {scenario: group for group, scenarios in GROUPS.items() for scenario in scenarios.split()}
PANDALM_ROWS = 999
_PER_SCENARIO = 24
_NO_SCENARIO = "no known scenario"
_TIED, _DECIDED = "labelled ties", "decided"
_BOTH = "share of pairs of which both orders say what the label says; a labelled tie is right if both call a tie"
_THREE = "share of pairs whose verdict over both orders is the label: one, the other or a tie; the majority of 3 people"


def read_autoj(row: Row, where: str) -> list[Preference]:
    """A published row: scenario, prompt, `response 1`, `response 2`, label (2 is a tie)."""
    scenario = str(row.get("scenario") or row.get("subset"))
    scenario = scenario if scenario in SCENARIOS else _NO_SCENARIO
    domain = "reasoning" if SCENARIOS.get(scenario) in ("Exam Questions", "Code") else "chat"
    return [replace(p, subset=scenario, domain=domain) for p in read_pair(row, where)]


def arrange_autoj(preferences: Sequence[Preference]) -> Arrangement:
    subsets = [str(p.subset) for p in preferences]
    missing = missing_rows(dict.fromkeys(SCENARIOS, _PER_SCENARIO), Counter(subsets))
    strange = subsets.count(_NO_SCENARIO)
    notes = (f"{strange:,} rows are of a scenario that belongs to no group",) if strange else ()
    return Arrangement(preferences, subsets, "scenario", missing, notes, folded=True)


def autoj_statistics(rows: Mapping[str, int]) -> list[Statistic]:
    groups = [weighted(group, names.split(), rows, rows, _BOTH) for group, names in GROUPS.items()]
    missing = any(not rows.get(scenario) for scenario in SCENARIOS)
    overall = replace(weighted("Overall", rows, rows, rows, _BOTH, "overall"), partial=missing)
    return present([overall, *groups])


def read_pandalm(row: Row, where: str) -> list[Preference]:
    """A published row: instruction, input, response1, response2, and 1, 2 or 0 (a tie) of three annotators.

    Six of the published responses are the bare word `true`, which JSON reads as a value; the other answer is "True."
    """
    row = {name: str(value) if isinstance(value, bool) else value for name, value in row.items()}
    return [
        replace(p, id=str(row.get("idx", "")) or p.id, subset=_TIED if p.tie else _DECIDED, domain="chat")
        for p in read_pair(row, where)
    ]


def arrange_pandalm(preferences: Sequence[Preference]) -> Arrangement:
    missing = missing_rows({"all": PANDALM_ROWS}, {"all": len(preferences)})
    return Arrangement(preferences, [str(p.subset) for p in preferences], "label", missing)


def pandalm_statistics(rows: Mapping[str, int]) -> list[Statistic]:
    return present(
        [
            weighted("Accuracy", rows, rows, rows, _THREE, "overall"),
            weighted("Without ties", [_DECIDED], rows, rows, "the same, without the pairs labelled ties"),
        ]
    )


def labels(judged: Judged) -> Floats:
    """What the label says of each pair: 1 the chosen response, 0 a tie."""
    return np.array([not p.tie for p in judged.preferences], dtype=np.float64)


def agrees_in_both_orders(judged: Judged) -> Floats:
    """1 where each order says what the label says, else 0."""
    return np.asarray((judged.votes == labels(judged)[:, None]).all(axis=1), dtype=np.float64)


def agrees(judged: Judged) -> Floats:
    """1 where the verdict over both orders says what the label says, else 0."""
    return np.asarray(np.sign(judged.p_chosen - 0.5) == labels(judged), dtype=np.float64)


AUTOJ = Benchmark(
    "auto-j",
    None,
    None,
    arrange_autoj,
    autoj_statistics,
    read_autoj,
    by_rule(agrees_in_both_orders, ties=True),
    "data/test/testdata_pairwise.jsonl of github.com/GAIR-NLP/auto-j",
)
PANDALM = Benchmark(
    "pandalm",
    None,
    None,
    arrange_pandalm,
    pandalm_statistics,
    read_pandalm,
    by_rule(agrees, ties=True),
    "data/testset-v1.json of github.com/WeOpenML/PandaLM",
)
