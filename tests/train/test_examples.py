from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.prompt import ClozeWriter, Question, builtin
from tinyrm.train.examples import encode, questions_of, under_limits
from tinyrm.types import Preference, to_prompt

words = st.lists(st.sampled_from(["a", "b", "c", "yes", "no", "good"]), max_size=40).map(" ".join)
preferences = st.builds(
    Preference,
    prompt=words.map(lambda text: to_prompt(f"what is {text}?")),
    chosen=words,
    rejected=words,
    margin=st.none() | st.floats(0, 3, width=32),
    tie=st.booleans(),
    probability=st.none() | st.floats(0.5, 1, width=32),
    domain=st.sampled_from([None, "chat", "safety"]),
)


@pytest.fixture(scope="module", params=["single", "pair"])
def writer(request, encoder):
    return ClozeWriter(encoder, builtin(request.param, max_length=96))


@given(rows=st.lists(preferences, min_size=1, max_size=10))
def test_examples_hold_exactly_the_clozes(writer, rows):
    examples = encode(rows, writer)
    questions = [question for row in rows for question in questions_of(row, writer.template.kind, row.domain)]
    clozes = writer.write(questions)
    assert [tuple(part) for part in np.split(examples.ids, examples.starts[1:-1])] == [cloze.ids for cloze in clozes]
    assert examples.slots.tolist() == [cloze.slot for cloze in clozes]
    assert examples.lengths.ravel().tolist() == [len(cloze.ids) for cloze in clozes]
    assert examples.target.tolist() == pytest.approx([row.target for row in rows])
    assert examples.margin.tolist() == [0.0 if row.tie else row.margin or 0.0 for row in rows]
    assert (len(examples), examples.per) == (len(rows), 2)


@given(rows=st.lists(preferences, min_size=1, max_size=10), seed=st.integers(0, 9))
def test_one_order_is_one_of_the_two_and_its_target_follows(encoder, rows, seed):
    writer = ClozeWriter(encoder, builtin("pair", max_length=96))
    both, one = encode(rows, writer), encode(rows, writer, orders="one", seed=seed)
    assert one.per == 1
    parts = [np.split(examples.ids, examples.starts[1:-1]) for examples in (both, one)]
    for i, row in enumerate(rows):
        drawn = parts[1][i].tolist()
        matching = {
            parts[0][2 * i].tolist() == drawn: row.target,
            parts[0][2 * i + 1].tolist() == drawn: 1 - row.target,
        }
        assert any(key and one.target[i] == pytest.approx(target) for key, target in matching.items()) or (
            parts[0][2 * i].tolist() == parts[0][2 * i + 1].tolist()
        )


def test_both_orders_are_drawn(encoder):
    writer = ClozeWriter(encoder, builtin("pair", max_length=96))
    rows = [Preference(to_prompt("a?"), "yes", "no")] * 200
    assert 60 < encode(rows, writer, orders="one").target.sum() < 140


@given(rows=st.lists(preferences, min_size=1, max_size=6), seed=st.integers(0, 9))
def test_limits_of_length_are_broken_by_the_chosen_and_kept_by_the_rejected(rows, seed):
    rng = np.random.default_rng(seed)
    for row in rows:
        asked = questions_of(row, "single", None)
        for question, limited in zip(asked, under_limits(asked, rng), strict=True):
            assert limited.responses == question.responses
            before, after = question.prompt[-1].content, limited.prompt[-1].content
            assert after.startswith(before)
            (limit,) = map(int, re.findall(r"at most (\d+) words", after[len(before) :]))
            words = len(question.responses[0].split())
            assert limit >= 1
            if question is asked[0] and words > 1:
                assert limit < words
            if question is asked[1]:
                assert limit >= words


def test_conditioned_examples_hold_four_clozes_and_begin_with_the_two(encoder):
    writer = ClozeWriter(encoder, builtin("single", max_length=96))
    rows = [Preference(to_prompt("a?"), "yes no yes", "no"), Preference(to_prompt("b?"), "a b", "c")]
    plain, conditioned = encode(rows, writer), encode(rows, writer, conditioned=True)
    assert (conditioned.per, len(conditioned.slots)) == (4, 8)
    parts = [np.split(examples.ids, examples.starts[1:-1]) for examples in (plain, conditioned)]
    for i in range(2):
        for j in range(2):
            assert parts[0][2 * i + j].tolist() == parts[1][4 * i + j].tolist()


def test_both_orders_of_a_pair_are_read():
    row = Preference(to_prompt("a?"), "yes", "no", domain="chat")
    first, second = questions_of(row, "pair", "chat")
    assert (first.responses, second.responses) == (("yes", "no"), ("no", "yes"))
    assert questions_of(row, "single", "chat") == (
        Question(row.prompt, ("yes",), "chat"),
        Question(row.prompt, ("no",), "chat"),
    )


def test_a_share_of_the_rows_is_given_the_general_instruction(encoder):
    writer = ClozeWriter(encoder, builtin("single", max_length=96))
    rows = [Preference(to_prompt(f"{n}?"), "yes", "no", domain="safety") for n in range(400)]

    def openings(general, seed=0, rows=rows):
        examples = encode(rows, writer, general=general, seed=seed)
        return [tuple(examples.ids[start : start + 5]) for start in examples.starts[:-1:2]]

    (told,), (untold,) = set(openings(0.0)), set(openings(1.0))
    assert told != untold
    half = openings(0.5)
    assert 150 < half.count(told) < 250
    assert half == openings(0.5) != openings(0.5, seed=1)
    assert openings(0.5, rows=rows[::-3]) == half[::-3], "other rows change nothing about a row"
    assert len(set(openings(0.5, rows=[replace(rows[0], rejected=f"no {n}") for n in range(40)]))) == 1, "one prompt"


@given(pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] != pair[1])))
def test_rows_that_share_a_response_are_of_one_family_and_read_it_once(encoder, pairs):
    writer = ClozeWriter(encoder, builtin("single", max_length=96))
    examples = encode([Preference(to_prompt("a?"), "b " * a, "b " * b) for a, b in pairs], writer)
    numbers = examples.clozes(np.arange(len(pairs))).reshape(-1, 2)
    responses = [response for pair in pairs for response in pair]
    assert len(np.unique(numbers)) == len(set(responses))
    for one, n in zip(responses, numbers.ravel(), strict=True):
        assert numbers.ravel()[responses.index(one)] == n
        assert examples.lengths.ravel()[n] == examples.lengths.ravel()[responses.index(one)]
    # By brute force: families grow by whatever shares a response with them.
    for place, pair in enumerate(pairs):
        reached = set(pair)
        for _ in pairs:
            reached |= {r for other in pairs if reached & set(other) for r in other}
        mates = [reached & set(other) != set() for other in pairs]
        assert (examples.families == examples.families[place]).tolist() == mates


def test_counts_what_was_cut_and_reports_progress(encoder):
    writer = ClozeWriter(encoder, builtin("single", max_length=96))
    steps = []
    rows = [Preference(to_prompt("a?"), "yes " * 200, "no"), Preference(to_prompt("a?"), "yes", "no")] * 700
    examples = encode(rows, writer, progress=lambda *step: steps.append(step))
    assert examples.cut == 700
    assert steps == sorted(set(steps))
    assert steps[-1] == (len(rows), len(rows)) == (len(examples), len(examples))


def test_no_preferences_are_no_examples(writer):
    assert len(encode([], writer)) == 0
