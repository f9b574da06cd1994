from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.infer.engine import answer
from tinyrm.prompt import Cloze


class Sums:
    """A backend whose logits are easily told: the sum of the ids that are no padding, and the id at the slot."""

    name, pad = "sums", 9999

    def __init__(self, tokens_per_batch):
        self.tokens_per_batch = tokens_per_batch
        self.batches = []

    def logits(self, ids, mask, slot):
        self.batches.append(ids.shape)
        assert ids.dtype == mask.dtype == slot.dtype == np.int64
        assert ((ids == self.pad) == (mask == 0)).all()
        return np.stack([(ids * mask).sum(axis=1), ids[np.arange(len(ids)), slot]], axis=1).astype(np.float32)


@st.composite
def clozes(draw):
    ids = draw(st.lists(st.integers(1, 5), min_size=1, max_size=12))
    return Cloze(tuple(ids), draw(st.integers(0, len(ids) - 1)), {})


@given(asked=st.lists(clozes(), max_size=20), budget=st.integers(1, 40))
def test_every_cloze_is_answered_in_its_place_and_computed_once(asked, budget):
    backend, steps = Sums(budget), []
    found = answer(backend, asked, steps.append)
    assert len(found) == len(asked)
    assert [tuple(row) for row in found] == [(sum(cloze.ids), cloze.ids[cloze.slot]) for cloze in asked]
    assert sum(rows for rows, _ in backend.batches) == len({(cloze.ids, cloze.slot) for cloze in asked})
    assert all(rows * tokens <= budget or rows == 1 for rows, tokens in backend.batches)
    assert sum(steps) == len(asked)
    assert all(step > 0 for step in steps)


@given(asked=st.lists(clozes(), max_size=20), data=st.data())
def test_batches_do_not_depend_on_the_order(asked, data):
    first, second = Sums(24), Sums(24)
    answer(first, asked)
    answer(second, data.draw(st.permutations(asked)))
    assert first.batches == second.batches


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_similar_lengths_share_a_batch(lengths):
    asked = [Cloze((1,) * n, i % n, {}) for i, n in enumerate(lengths)]
    backend = Sums(60)
    answer(backend, asked)
    widths = [tokens for _, tokens in backend.batches]
    assert widths == sorted(widths, reverse=True)
