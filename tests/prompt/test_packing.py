import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.prompt import allot, shorten

fields = st.lists(
    st.tuples(st.integers(0, 5000), st.one_of(st.integers(1, 9), st.floats(0.1, 10.0))), min_size=1, max_size=5
)
rooms = st.integers(0, 4000)


@given(fields, rooms)
def test_the_room_is_used_up_but_for_what_nobody_needs(fields, room):
    needs, weights = zip(*fields, strict=True)
    given = allot(needs, weights, room)
    assert sum(given) == min(room, sum(needs))
    assert all(0 <= got <= need for got, need in zip(given, needs, strict=True))


@given(fields, rooms)
def test_every_field_gets_its_share_or_all_it_needs(fields, room):
    needs, weights = zip(*fields, strict=True)
    for got, need, weight in zip(allot(needs, weights, room), needs, weights, strict=True):
        share = room * weight / sum(weights)
        assert got >= min(need, int(share - 1e-6))  # a share of 3 may be computed as 2.9999999


@given(fields)
def test_needs_that_fit_are_met(fields):
    needs, weights = zip(*fields, strict=True)
    assert allot(needs, weights, sum(needs)) == list(needs)


def test_room_goes_to_the_fields_by_weight():
    assert allot([1000, 1000, 1000], [1.0, 1.5, 1.5], 400) == [100, 150, 150]
    assert allot([10, 1000, 1000], [1.0, 1.5, 1.5], 400) == [10, 195, 195]
    assert allot([], [], 400) == []


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 4))
def test_a_shortened_text_fits_and_says_what_was_removed(length, room, gap_length):
    ids, gap = list(range(length)), [-1] * gap_length
    kept, removed = shorten(ids, room, gap)
    assert len(kept) <= room
    assert removed == length - sum(i >= 0 for i in kept)
    assert (removed == 0) == (kept == ids)
    assert [i for i in kept if i >= 0] == sorted(i for i in kept if i >= 0)


@given(st.integers(0, 300), st.integers(1, 4), st.integers(1, 200))
def test_both_ends_are_kept_and_the_gap_stands_between(beyond, gap_length, more):
    room = 2 * gap_length + 2 + more
    ids, gap = list(range(room + 1 + beyond)), [-1] * gap_length
    kept, _ = shorten(ids, room, gap)
    assert len(kept) == room
    head = kept.index(-1)
    tail = room - head - gap_length
    assert kept == ids[:head] + gap + ids[-tail:]
    assert head - tail in (0, 1)


@pytest.mark.parametrize("room", range(5))
def test_a_room_too_small_for_a_gap_keeps_the_start(room):
    assert shorten(list(range(9)), room, [-1]) == (list(range(room)), 9 - room)
