import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate.judging import digest_of, judge_preferences

texts = st.text(max_size=8)


def swapped(preference):
    return dataclasses.replace(preference, chosen=preference.rejected, rejected=preference.chosen)


@given(texts, texts, texts)
def test_the_judge_is_asked_the_same_whichever_side_the_label_is_on(judge_by, prefer, prompt, one, other):
    judge = judge_by(lambda prompt, a, b: 0.3 if a < b else 0.7 if a > b else 0.5)
    row = prefer(prompt, one, other)
    judged = judge_preferences(judge, [row, swapped(row)])
    assert judge.asked[0] == judge.asked[1]
    if one != other:
        assert judged.p_chosen.sum() == pytest.approx(1)
        assert judged.credit.sum() == 1


@given(st.lists(st.tuples(texts, texts, texts).filter(lambda row: row[1] != row[2]), min_size=1))
def test_always_a_is_right_half_of_the_time(always_a, prefer, rows):
    symmetric = [p for row in rows for p in (prefer(*row), swapped(prefer(*row)))]
    assert judge_preferences(always_a, symmetric).credit.mean() == 0.5


def test_a_is_a_fair_coin_when_chosen_is_always_first(always_a, prefer):
    judged = judge_preferences(always_a, [prefer(f"question {i}") for i in range(2000)])
    assert abs(judged.credit.mean() - 0.5) < 0.05


def test_truth_and_indecision(truth, undecided, prefer):
    rows = [prefer(f"question {i}") for i in range(20)]
    judged = judge_preferences(truth, rows)
    assert judged.credit.mean() == 1
    assert judged.p_chosen == pytest.approx(0.9)
    assert judge_preferences(undecided, rows).credit.mean() == 0.5


def test_a_probability_next_to_a_half_is_no_tie(judge_by, prefer):
    rows = [prefer(f"question {i}") for i in range(20)]
    just_under = np.nextafter(0.5, 0)
    judged = judge_preferences(judge_by(lambda prompt, a, b: just_under), rows)
    assert set(judged.credit) == {0.0, 1.0}


def test_labelled_ties_have_no_credit(truth, prefer):
    judged = judge_preferences(truth, [prefer("a"), prefer("b", tie=True)])
    assert judged.scored.tolist() == [True, False]
    assert len(judged.p_chosen) == 2


def test_domains_are_told_only_when_asked_for_and_known(truth, prefer):
    rows = [prefer("a", domain="safety"), prefer("b", domain="other"), prefer("c")]
    judge_preferences(truth, rows)
    assert truth.domains == [None, None, None]
    judge_preferences(truth, rows, use_domains=True)
    assert truth.domains == ["safety", None, None]


def test_orders_and_cuts_are_kept(judge_by, prefer):
    judged = judge_preferences(judge_by(lambda *pair: 0.9, agree=False, cut={"a": 3}), [prefer()])
    assert (judged.orders_agree.tolist(), judged.was_cut.tolist()) == ([False], [True])


def test_a_judge_that_breaks_its_word_is_refused(judge_by, prefer):
    judge = judge_by(lambda *pair: 0.9)
    judge.compare_many = lambda pairs, **options: []
    with pytest.raises(ValueError, match="0 verdicts on 1 pairs"):
        judge_preferences(judge, [prefer()])


def test_saved_judgements_hold_no_text(truth, prefer, tmp_path):
    rows = [prefer("secret question", id="x", subset="s"), prefer("another", tie=True), prefer("third")]
    judge_preferences(truth, rows).save(tmp_path / "judged.jsonl")
    text = (tmp_path / "judged.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    assert records[0] == {
        "id": "x",
        "digest": digest_of(rows[0]),
        "subset": "s",
        "p_chosen": pytest.approx(0.9),
        "p_shown_first": pytest.approx(0.9),
        "p_shown_second": pytest.approx(0.9),
        "logit": pytest.approx(np.log(9)),
        "credit": 1.0,
        "agree": True,
        "cut": False,
    }
    assert [record["credit"] for record in records] == [1.0, None, 1.0]
    assert len({record["digest"] for record in records}) == 3
    assert "question" not in text
