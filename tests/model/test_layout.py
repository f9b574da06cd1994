"""Packed or padded, clozes come to the same."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from tinyrm.model.layout import CHUNK, Packed, Padded, lay_out

HEADS, SIZE = 2, 8
LENGTHS = st.integers(1, 300) | st.sampled_from([1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
NEAR = st.none() | st.integers(1, 200) | st.sampled_from([1, CHUNK - 1, CHUNK, CHUNK + 1])


@dataclass(frozen=True)
class Clozes:
    """Query, key and value [3, tokens, heads, size] of some clozes, and both layouts."""

    states: torch.Tensor
    lengths: tuple[int, ...]
    packed: Packed
    padded: Padded
    real: torch.Tensor

    def rows(self, flat: torch.Tensor) -> torch.Tensor:
        """[tokens, ...] -> [rows, longest, ...], with much in the padding that must not be seen."""
        rows = torch.full((*self.real.shape, *flat.shape[1:]), 1e3)
        rows[self.real] = flat
        return rows

    @property
    def asked(self) -> torch.Tensor:
        """The slots' queries."""
        return self.packed.at_slots(self.states[0])


def clozes_of(lengths, seed) -> Clozes:
    random = torch.Generator().manual_seed(seed)
    states = torch.randn(3, sum(lengths), HEADS, SIZE, generator=random)
    slots = np.array([int(torch.randint(length, (), generator=random)) for length in lengths])
    ids = np.arange(sum(lengths))
    _, packed = lay_out(ids, np.array(lengths), slots, packs=True, pad=0)
    _, padded = lay_out(ids, np.array(lengths), slots, packs=False, pad=0)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Clozes(states, tuple(lengths), packed, padded, real)


SEVERAL = st.lists(LENGTHS, min_size=1, max_size=4) | LENGTHS.map(lambda length: [length] * 2)  # padding, or none
CLOZES = st.builds(clozes_of, SEVERAL, st.integers(0, 99))


def near_equal(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


@given(CLOZES, NEAR)
def test_attention_is_the_same_packed_and_padded(clozes, near):
    found = clozes.packed.attend(*clozes.states, near)
    near_equal(found, clozes.padded.attend(*map(clozes.rows, clozes.states), near)[clozes.real])
    near_equal(found, clozes.packed._attend_padded(*clozes.states, near))  # the way of a GPU


@given(CLOZES, NEAR)
def test_attention_of_the_slots_alone_is_that_of_all_at_the_slots(clozes, near):
    query, key, value = clozes.states
    found = clozes.packed.attend_at_slots(clozes.asked, key, value, near)
    near_equal(found, clozes.packed.at_slots(clozes.packed.attend(query, key, value, near)))
    near_equal(found, clozes.packed._attend_at_slots_padded(clozes.asked, key, value, near))
    near_equal(found, clozes.padded.attend_at_slots(clozes.asked, clozes.rows(key), clozes.rows(value), near))


@given(CLOZES, NEAR)
def test_the_neighbours_in_a_pack_change_no_bit(clozes, near):
    query, key, value = clozes.states
    together = clozes.packed.attend(query, key, value, near).split(clozes.lengths)
    at_slots = clozes.packed.attend_at_slots(clozes.asked, key, value, near)
    places = clozes.padded.slots
    for row, part in enumerate(zip(*(states.split(clozes.lengths) for states in clozes.states), strict=True)):
        alone = Packed((clozes.lengths[row],), places[row : row + 1])
        assert torch.equal(alone.attend(*part, near), together[row])
        assert torch.equal(alone.attend_at_slots(alone.at_slots(part[0]), *part[1:], near)[0], at_slots[row])


@given(CLOZES)
def test_slots_first_tokens_and_means_are_the_same_packed_and_padded(clozes):
    flat = clozes.states[0]
    rows = clozes.rows(flat)
    parts = flat.split(clozes.lengths)
    for packed, padded in ((clozes.packed, clozes.padded), (clozes.packed.at_first(), clozes.padded.at_first())):
        assert torch.equal(packed.at_slots(flat), padded.at_slots(rows))
    assert torch.equal(clozes.packed.at_first().at_slots(flat), torch.stack([part[0] for part in parts]))
    assert clozes.packed.positions.tolist() == [place for length in clozes.lengths for place in range(length)]
    assert clozes.packed.tokens == len(flat)

    means = torch.stack([part.double().mean(dim=0) for part in parts]).flatten(1).float()
    near_equal(clozes.packed.mean(flat.flatten(1)), means)
    near_equal(clozes.padded.mean(rows.flatten(2)), means)

    places = list(zip(parts, clozes.padded.slots.tolist(), strict=True))
    before = torch.stack([part[: slot + 1].double().mean(dim=0) for part, slot in places]).flatten(1).float()
    after = torch.stack([part[slot:].double().mean(dim=0) for part, slot in places]).flatten(1).float()
    for found in (
        clozes.packed.means_around_slots(flat.flatten(1)),
        clozes.padded.means_around_slots(rows.flatten(2)),
    ):
        near_equal(found[0], before)
        near_equal(found[1], after)


@pytest.mark.parametrize("near", [None, 1, 3, 140])
@pytest.mark.parametrize("lengths", [(5,), (1, 300, 7), (200, 129)])
def test_gradients_are_the_same_packed_and_padded(lengths, near):
    clozes = clozes_of(lengths, 5)
    weight = torch.randn(clozes.states[0].shape)
    at_slots = torch.randn(clozes.asked.shape)

    def gradient(attended, asked):
        states = clozes.states.clone().requires_grad_()
        everywhere = attended(*states, near) * weight
        there = asked(clozes.packed.at_slots(states[0]), *states[1:], near) * at_slots
        return torch.autograd.grad(everywhere.sum() + there.sum(), states)[0]

    packed, padded = clozes.packed, clozes.padded
    expected = gradient(packed.attend, packed.attend_at_slots)
    assert expected.abs().max() > 0.1
    found = gradient(
        lambda *states: padded.attend(*map(clozes.rows, states[:3]), near)[clozes.real],
        lambda asked, *states: padded.attend_at_slots(asked, *map(clozes.rows, states[:2]), near),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    found = gradient(packed._attend_padded, packed._attend_at_slots_padded)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("near", [None, 2])
def test_attention_is_that_of_the_textbook(near):
    clozes = clozes_of((6, 1, 9), 3)
    query, key, value = clozes.states.double().numpy()
    expected = np.empty_like(query)
    start = 0
    for length in clozes.lengths:
        for place in range(start, start + length):
            seen = [at for at in range(start, start + length) if near is None or abs(at - place) <= near]
            for head in range(HEADS):
                odds = np.exp(key[seen, head] @ query[place, head] / np.sqrt(SIZE))
                expected[place, head] = odds / odds.sum() @ value[seen, head]
        start += length
    near_equal(clozes.packed.attend(*clozes.states, near).double(), torch.from_numpy(expected))
    found = clozes.packed.attend_at_slots(clozes.asked, *clozes.states[1:], near)
    near_equal(found.double(), torch.from_numpy(expected)[clozes.packed.slots])


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 99))
@example(lengths=[4, 4], seed=0)
def test_laid_out_ids_and_slots_are_found_again(lengths, seed):
    random = np.random.default_rng(seed)
    ids = random.integers(0, 1000, sum(lengths)).astype(np.int32)
    slots = random.integers(0, lengths)
    asked = ids[slots + np.cumsum(lengths) - lengths].tolist()

    flat, packed = lay_out(ids, np.array(lengths), slots, packs=True, pad=-1)
    assert isinstance(packed, Packed)
    assert flat.tolist() == ids.tolist()
    assert packed.lengths == tuple(lengths)
    assert packed.at_slots(flat).tolist() == asked

    rows, padded = lay_out(ids, np.array(lengths), slots, packs=False, pad=-1)
    assert isinstance(padded, Padded)
    assert (padded.mask is None) == (len(set(lengths)) == 1)
    real = torch.ones_like(rows) if padded.mask is None else padded.mask
    assert real.sum(dim=1).tolist() == lengths
    assert rows[real.bool()].tolist() == ids.tolist()
    assert (rows[~real.bool()] == -1).all()
    assert padded.at_slots(rows).tolist() == asked
    assert torch.equal(padded.slots, torch.from_numpy(slots))
