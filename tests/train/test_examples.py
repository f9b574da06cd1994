from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.prompt import ClozeWriter, Question, builtin
from tinyrm.train.examples import encode, questions_of, shuffled_batches, within_budget
from tinyrm.types import Preference, to_prompt

PAD = 0
lengths = st.lists(st.integers(1, 60), min_size=1, max_size=80).map(np.asarray)
words = st.lists(st.sampled_from(["a", "b", "c", "yes", "no", "good"]), max_size=40).map(" ".join)
preferences = st.builds(
    Preference,
    prompt=words.map(lambda text: to_prompt(f"what is {text}?")),
    chosen=words,
    rejected=words,
    margin=st.none() | st.floats(0, 3, width=32),
    tie=st.booleans(),
    domain=st.sampled_from([None, "chat", "safety"]),
)


@pytest.fixture(scope="module", params=["single", "pair"])
def writer(request, encoder):
    return ClozeWriter(encoder, builtin(request.param, max_length=96))


@given(lengths=lengths, size=st.integers(1, 20), seed=st.integers(0, 9))
def test_an_epoch_holds_every_example_once_and_follows_from_its_seed(lengths, size, seed):
    batches = list(shuffled_batches(lengths, size, seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    assert len(batches) == -(-len(lengths) // size)
    again = list(shuffled_batches(lengths, size, seed))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in batches]


def test_epochs_differ_and_batches_hold_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 500, 1000)
    first, second = (list(shuffled_batches(lengths, 10, seed)) for seed in (0, 1))
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in second]
    spread = np.mean([np.ptp(lengths[batch]) for batch in first])
    assert spread < np.ptp(lengths) / 4
    assert not np.array_equal(np.argsort([lengths[batch].mean() for batch in first]), np.arange(len(first)))


@given(lengths=lengths, tokens=st.integers(1, 400), data=st.data())
def test_pieces_hold_every_example_once_within_the_budget(lengths, tokens, data):
    indices = np.asarray(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, unique=True)))
    pieces = within_budget(indices, lengths, tokens)
    assert sorted(np.concatenate(pieces)) == sorted(indices)
    for piece in pieces:
        assert 2 * len(piece) * lengths[piece].max() <= tokens or len(piece) == 1


@given(rows=st.lists(preferences, min_size=1, max_size=10), data=st.data())
def test_a_batch_gives_back_exactly_the_clozes(writer, rows, data):
    examples = encode(rows, writer)
    chosen = np.asarray(data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, unique=True)))
    batch = examples.batch(chosen, PAD)
    questions = [question for i in chosen for question in questions_of(rows[i], writer.template.kind, rows[i].domain)]
    clozes = writer.write(questions)
    mask = np.ones(batch.ids.shape, int) if batch.mask is None else batch.mask.numpy()
    for place, cloze in enumerate(clozes):
        assert tuple(batch.ids[place, : len(cloze.ids)].tolist()) == cloze.ids
        assert (batch.ids[place, len(cloze.ids) :] == PAD).all()
        assert mask[place].tolist() == [1] * len(cloze.ids) + [0] * (mask.shape[1] - len(cloze.ids))
        assert int(batch.slot[place]) == cloze.slot
    assert batch.ids.shape == (2 * len(chosen), max(len(cloze.ids) for cloze in clozes))
    assert (batch.mask is None) == bool(mask.all())
    assert batch.target.tolist() == [0.5 if rows[i].tie else 1.0 for i in chosen]
    assert batch.margin.tolist() == [0.0 if rows[i].tie else rows[i].margin or 0.0 for i in chosen]
    assert len(examples) == len(rows)
    assert examples.lengths[chosen].tolist() == [
        max(len(clozes[2 * i].ids), len(clozes[2 * i + 1].ids)) for i in range(len(chosen))
    ]


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
    rows = [Preference(to_prompt("a?"), "yes", "no", domain="safety")] * 400

    def openings(general, seed=0):
        examples = encode(rows, writer, general=general, seed=seed)
        return [tuple(examples.ids[start : start + 5]) for start in examples.starts[:-1:2]]

    (told,), (untold,) = set(openings(0.0)), set(openings(1.0))
    assert told != untold
    half = openings(0.5)
    assert 150 < half.count(told) < 250
    assert half == openings(0.5) != openings(0.5, seed=1)


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
