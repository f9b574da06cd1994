import json
from collections import Counter

import pytest

from tinyrm.errors import UserError
from tinyrm.evaluate import evaluate
from tinyrm.evaluate.benchmarks.rewardbench import ROWS


@pytest.fixture
def rewardbench(parquet, rewardbench_rows):
    return parquet(rewardbench_rows)


def symmetric(n):
    rows = [{"prompt": f"question {i}", "chosen": "yes", "rejected": "no", "subset": f"s{i % 2}"} for i in range(n)]
    return rows + [{**row, "chosen": "no", "rejected": "yes"} for row in rows]


def test_truth_scores_100_everywhere(truth, rewardbench):
    found = evaluate(truth, "rewardbench", data=rewardbench)
    scores = found.scores + found.subsets
    assert {(score.value, score.high, score.widened) for score in scores} == {(1, 1, True)}
    assert all(score.low < 0.9 for score in scores)  # two rows a subset are no proof
    assert found.scores[0].name == "Overall"
    assert found.calibration.ece == pytest.approx(0.1)
    assert len(found.subsets) == len(ROWS)


def test_a_judge_that_always_says_a_has_half(always_a, parquet):
    found = evaluate(always_a, parquet(symmetric(50)))
    assert found.scores[0].value == 0.5
    assert found.scores[0].n == found.rows.judged == 100


def test_indecision_is_exactly_half(undecided, rewardbench):
    found = evaluate(undecided, "rewardbench", data=rewardbench)
    assert {score.value for score in found.scores + found.subsets} == {0.5}
    assert found.rows.called_ties == found.rows.judged


def test_what_is_missing_is_told(truth, parquet, rewardbench_rows):
    path = parquet([row for row in rewardbench_rows if row["subset"] != "math-prm"])
    found = evaluate(truth, "rewardbench", data=path)
    assert Counter(gap.found for gap in found.missing) == {0: 1, 2: len(ROWS) - 1}
    partial = {score.name for score in found.scores if score.partial}
    assert partial == {"Overall", "Reasoning", "Paper: reasoning", "Paper: mean", "Paper: all rows"}


def test_identical_responses_are_kept(undecided, parquet):
    rows = [*symmetric(5), {"prompt": "same", "chosen": "x", "rejected": "x", "subset": "s0"}]
    assert evaluate(undecided, parquet(rows)).rows.judged == 11


def test_labelled_ties_are_counted_but_not_scored(truth, tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": str(i), "chosen": "good", "rejected": "poor", "tie": i == 0} for i in range(4)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    found = evaluate(truth, path)
    assert (found.rows.judged, found.rows.tied, found.scores[0].n, found.scores[0].value) == (4, 1, 3, 1)
    path.write_text(json.dumps(rows[0]))
    with pytest.raises(UserError, match="no row to be right or wrong about"):
        evaluate(truth, path)


def test_bad_rows_are_skipped_with_their_reason_or_refused(truth, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "q", "chosen": "good", "rejected": "poor"}) + '\n{"prompt": "q"}\n')
    found = evaluate(truth, path)
    assert (found.rows.judged, len(found.rows.skipped)) == (1, 1)
    with pytest.raises(UserError):
        evaluate(truth, path, on_bad_row="refuse")


def test_a_sample_is_said_to_be_one(truth, rewardbench):
    found = evaluate(truth, "rewardbench", data=rewardbench, limit=len(ROWS))
    assert found.rows.sampled
    assert (found.rows.judged, found.rows.available) == (len(ROWS), 2 * len(ROWS))
    assert not any(score.partial for score in found.scores)
    assert not evaluate(truth, "rewardbench", data=rewardbench, limit=10**6).rows.sampled
    with pytest.raises(UserError, match="at least 1"):
        evaluate(truth, "rewardbench", data=rewardbench, limit=0)


def test_two_judges_are_compared_in_pairs(truth, undecided, always_a, rewardbench, parquet):
    best = evaluate(truth, "rewardbench", data=rewardbench)
    assert {gap.value for gap in best.minus(evaluate(undecided, "rewardbench", data=rewardbench))} == {0.5}
    with pytest.raises(UserError, match="same rows"):
        best.minus(evaluate(always_a, parquet(symmetric(5), "other.parquet")))


def test_baselines_stand_beside(truth, parquet):
    rows = [{"prompt": str(i), "chosen": "good" * (1 + i % 4), "rejected": "poor" * 2} for i in range(80)]
    longer, shorter = evaluate(truth, parquet(rows)).baselines
    assert longer.scores[0].value == 0.625  # of four lengths, one is shorter, one equal and two longer
    assert shorter.scores[0].value == 0.375
    assert longer.differences[0].value == 0.375
    assert longer.differences[0].low > 0


def test_domains_reach_the_judge(truth, rewardbench):
    evaluate(truth, "rewardbench", data=rewardbench, use_domains=True)
    assert set(truth.domains) == {"chat", "safety", "reasoning"}


def test_progress_and_json(truth, rewardbench):
    done = []
    found = evaluate(truth, "rewardbench", data=rewardbench, progress=lambda *step: done.append(step))
    assert done == [(step, found.rows.judged) for step in range(1, found.rows.judged + 1)]
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["scores"][0]["value"] == 1
    assert "judged" not in plain
    assert "question" not in json.dumps(plain)
