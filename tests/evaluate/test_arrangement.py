from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.evaluate.arrangement import Arrangement


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.integers(1, 30), min_size=1, max_size=5), st.integers(1, 150))
def test_a_sample_is_in_proportion_and_in_order(prefer, sizes, limit):
    names = [name for name, n in sizes.items() for _ in range(n)]
    rows = [prefer(str(i), subset=name) for i, name in enumerate(names)]
    whole = Arrangement(rows, names, "subset", notes=("kept",))
    drawn = whole.sample(limit, seed=1)
    assert len(drawn.preferences) == min(limit, len(rows))
    assert [p.subset for p in drawn.preferences] == list(drawn.subsets)
    places = [rows.index(p) for p in drawn.preferences]
    assert places == sorted(set(places))
    share = len(drawn.preferences) / len(rows)
    assert all(abs(Counter(drawn.subsets)[name] - share * n) <= 1 for name, n in sizes.items())
    assert drawn == whole.sample(limit, seed=1)
    assert drawn.notes == ("kept",)


def test_another_seed_draws_other_rows(prefer):
    whole = Arrangement([prefer(str(i)) for i in range(100)], ["s"] * 100, "subset")
    assert whole.sample(10, seed=1) != whole.sample(10, seed=2)
