from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.config import MadeConfig
from tinyrm.data.made import make

counts = st.integers(0, 30)


@given(counts, counts, st.integers(0, 9))
def test_what_is_made_depends_on_the_rows_the_counts_and_the_seed_alone(rows, neighbours, refusals, seed):
    config = MadeConfig(neighbours=neighbours, refusals=refusals, planted=3, styles=3, degraded=3)
    made = make(rows, config, seed)
    assert made == make(list(rows), config, seed)
    found = Counter(row.source for row in made)
    assert found["made-neighbours"] <= neighbours
    assert found["made-refusals"] == refusals
    assert found["made-planted"] == 1  # one row alone has an equation
    assert len({row.id for row in made}) == len(made)
    assert all(row.chosen != row.rejected for row in made)


def test_nothing_asked_nothing_made(rows):
    assert make(rows, MadeConfig(), 1) == []


def test_little_to_make_from_makes_little():
    made = make([], MadeConfig(neighbours=9, refusals=9, planted=9, styles=9, degraded=9), 1)
    assert {row.source for row in made} == {"made-refusals"}
