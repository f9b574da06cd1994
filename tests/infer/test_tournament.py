"""Candidates ranked by comparisons: few of them, fair to the order, right where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.infer.tournament import ROUND_ROBIN, Tournament, rescaled

names = st.lists(st.text("abc", max_size=3), max_size=60)


def played(texts, odds, full=False):
    """Scores, and the meetings, of a tournament whose log-odds are `odds(first, second)`."""
    tournament, met = Tournament(texts, full=full), []
    while meetings := tournament.round():
        met += meetings
        tournament.record([odds(texts[i], texts[j]) for i, j in meetings])
    return tournament.scores(), met, tournament


def strength(text):
    return math.sin(hash(("strength", *map(ord, text))) % 1000)


def noisy(a, b):
    return (
        strength(a)
        - strength(b)
        + 0.3 * (math.sin(len(a) * 7 + ord((a + "a")[0])) - math.sin(len(b) * 7 + ord((b + "a")[0])))
    )


@given(texts=names, full=st.booleans())
def test_nobody_meets_twice_and_the_bound_holds(texts, full):
    _, met, tournament = played(texts, noisy, full)
    pairs = {frozenset((texts[i], texts[j])) for i, j in met}
    assert len(pairs) == len(met)
    assert all(len(pair) == 2 for pair in pairs)
    count = len(set(texts))
    assert len(met) <= tournament.comparisons
    if full or count <= ROUND_ROBIN:
        assert len(met) == count * (count - 1) // 2
    else:
        assert tournament.comparisons <= (math.ceil(math.log2(count)) + 4) * count / 2


@given(texts=names, data=st.data())
def test_the_order_of_the_candidates_changes_no_bit(texts, data):
    order = data.draw(st.permutations(range(len(texts))))
    scores, shuffled = played(texts, noisy)[0], played([texts[i] for i in order], noisy)[0]
    assert shuffled == [scores[i] for i in order]
    assert all(scores[i] == scores[j] for i, a in enumerate(texts) for j, b in enumerate(texts) if a == b)


@settings(max_examples=20)
@given(count=st.integers(2, 120), full=st.booleans())
def test_consistent_odds_are_found_again(count, full):
    texts = [str(i) for i in range(count)]
    truth = np.array([strength(text) for text in texts])
    scores, _, _ = played(texts, lambda a, b: strength(a) - strength(b), full)
    assert np.allclose(scores, truth - truth.mean(), atol=1e-6)


def test_a_thousand_noisy_candidates_in_7000_comparisons():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=1000)
    scores, met, _ = played(
        [str(i) for i in range(1000)], lambda a, b: truth[int(a)] - truth[int(b)] + rng.normal(scale=1.0)
    )
    assert len(met) <= 7000
    assert np.corrcoef(scores, truth)[0, 1] > 0.95
    assert np.argmax(scores) in np.argsort(-truth)[:10]


def test_all_against_all_is_the_mean_log_odds():
    texts = ["x", "y", "z"]
    odds = {("x", "y"): 1.0, ("x", "z"): 4.0, ("y", "z"): -2.0}
    scores, _, _ = played(texts, lambda a, b: odds.get((a, b), -odds.get((b, a), 0)))
    assert scores == pytest.approx([5 / 3, -1.0, -2 / 3])


def test_a_round_is_recorded_once():
    tournament = Tournament(["x", "y"])
    tournament.round()
    with pytest.raises(ValueError, match="once"):
        tournament.record([])
    tournament.record([1.0])
    with pytest.raises(ValueError, match="once"):
        tournament.record([1.0])


@given(steps=st.lists(st.integers(1, 5), min_size=1, max_size=20), units=st.integers(0, 50))
def test_rescaled_steps_sum_to_the_units(steps, units):
    told = []
    advance = rescaled(told.append, units, sum(steps))
    for step in steps:
        advance(step)
    assert sum(told) == units
    assert min(told) >= 0
