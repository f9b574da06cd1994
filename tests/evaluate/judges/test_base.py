"""What holds for every judge: swapped sides give 1 - p, both orders count alike, nothing is asked twice."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import PairJudge, Scored, ScoringJudge
from tinyrm.types import to_prompt

PROMPT = to_prompt("q")


class Scores(ScoringJudge):
    """Rewards by a table."""

    def __init__(self, rewards):
        super().__init__({"name": "table", "kind": "test"})
        self.rewards, self.asked = rewards, []

    def score_many(self, responses, progress):
        self.asked += responses
        for _ in responses:
            progress(1)
        return [Scored(self.rewards[text], {"response": len(text)}) for _, text in responses]


class Compares(PairJudge):
    """Log-odds of the first by a table."""

    def __init__(self, odds):
        super().__init__({"name": "table", "kind": "test"})
        self.odds, self.asked = odds, []

    def first_wins(self, pairs, progress):
        self.asked += pairs
        progress(len(pairs))
        return [self.odds[a, b] for _, a, b in pairs]


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_scores_alone_know_no_order(x, y):
    judge = Scores({"a": x, "b": y})
    one, other = judge.compare_many([(PROMPT, "a", "b"), (PROMPT, "b", "a")])
    assert one.p_a == 1 - other.p_a
    assert one.logit == -other.logit == x - y
    assert one.p_a == one.p_a_shown_first == one.p_a_shown_second
    assert one.cut == {"a": 1, "b": 1}
    assert len(judge.asked) == 2  # each response once


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_both_orders_of_a_pair_weigh_the_same(first, second):
    judge = Compares({("a", "b"): first, ("b", "a"): second})
    one, other = judge.compare_many([(PROMPT, "a", "b"), (PROMPT, "b", "a")])
    assert one.p_a == 1 - other.p_a
    assert math.isfinite(one.logit)
    assert (one.p_a_shown_first, one.p_a_shown_second) == (1 - other.p_a_shown_second, 1 - other.p_a_shown_first)
    assert (one.p_a_shown_first > 0.5) == (first > 0 and one.p_a_shown_first != 0.5)
    assert len(judge.asked) == 2
    if first == second:
        assert one.p_a == 0.5  # it named what was shown first, or second, both times


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9), st.booleans())
def test_progress_ends_at_all_pairs(texts, alone):
    told = []
    rewards = dict.fromkeys("abcd", 0.0)
    judge = Scores(rewards) if alone else Compares({(a, b): 0.0 for a in rewards for b in rewards})
    judge.compare_many([(PROMPT, a, b) for a, b in pairwise(texts)], progress=told.append)
    assert sum(told) == len(texts) - 1 == judge.work.pairs


def test_work_is_counted_over_calls():
    judge = Scores({"a": 1.0, "b": 2.0, "c": 3.0})
    assert judge.compare_many([]) == []
    judge.compare_many([(PROMPT, "a", "b"), (PROMPT, "a", "c")])
    assert (judge.work.pairs, judge.work.responses) == (2, 3)
    assert judge.work.seconds > 0
    assert "pairs a second" in judge.work_done()


def test_what_a_judge_cannot_do_is_said():
    judge = Scores({"a": math.nan, "b": 1.0})
    with pytest.raises(UserError, match="table scores responses one by one: it knows no protocol 'pair'"):
        judge.compare_many([], protocol="pair")
    with pytest.raises(UserError, match="table only compares pairs"):
        Compares({}).compare_many([], protocol="single")
    with pytest.raises(UserError, match="knows no domains"):
        judge.compare_many([(PROMPT, "a", "b")], domains=["chat"])
    with pytest.raises(UserError, match="no finite number"):
        judge.compare_many([(PROMPT, "a", "b")])
    with pytest.raises(UserError, match="is no number"):
        Compares({("a", "b"): math.nan, ("b", "a"): 0.0}).compare_many([(PROMPT, "a", "b")])
