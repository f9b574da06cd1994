import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.evaluate.binomial import fair_coin
from tinyrm.evaluate.bootstrap import Statistic
from tinyrm.evaluate.outcomes import Outcomes
from tinyrm.evaluate.paired import compare, holm

SUBSETS = ("a", "b", "c")
ROWS = Statistic("all", dict.fromkeys(SUBSETS, 1.0), "", over_rows=True, role="overall")
SECTIONS = [Statistic(name, {name: 1.0}, "") for name in SUBSETS]
credits = st.sampled_from([0.0, 0.5, 1.0])
two_judges = st.lists(
    st.tuples(credits, credits, st.sampled_from(SUBSETS), st.integers(0, 12)), min_size=1, max_size=40
)


def outcomes_of(drawn):
    one, other, subsets, prompts = zip(*drawn, strict=True)
    units = [str(prompt) for prompt in prompts]
    return tuple(Outcomes(np.array(credit), subsets, units) for credit in (one, other))


@settings(max_examples=30)
@given(two_judges)
def test_prompts_are_counted_by_the_side_that_earned_more_on_them(drawn):
    one, other = outcomes_of(drawn)
    for statistic, pair in zip([ROWS, *SECTIONS], compare(one, other, [ROWS, *SECTIONS]), strict=True):
        rows = [row for row in drawn if row[2] in statistic.weights]
        gaps = [sum(a - b for a, b, _, prompt in rows if prompt == p) for p in {row[3] for row in rows}]
        assert (pair.better, pair.worse) == (sum(g > 0 for g in gaps), sum(g < 0 for g in gaps))
        assert pair.p == fair_coin(pair.better, pair.worse)
        if rows:
            assert pair.difference.value == pytest.approx(np.mean([a - b for a, b, *_ in rows]), abs=1e-6)
            assert pair.difference.low <= pair.difference.value <= pair.difference.high


@settings(max_examples=20)
@given(two_judges)
def test_the_other_way_round_everything_is_mirrored(drawn):
    one, other = outcomes_of(drawn)
    present = [s for s in SECTIONS if one.counts[s.name]]
    for there, back in zip(compare(one, other, present), compare(other, one, present), strict=True):
        assert (there.better, there.worse, there.p, there.p_holm) == (back.worse, back.better, back.p, back.p_holm)
        limits = (-back.difference.value, -back.difference.high, -back.difference.low)
        assert (there.difference.value, there.difference.low, there.difference.high) == pytest.approx(limits, abs=1e-6)


def test_mcnemar_on_one_row_a_prompt():
    """Of 30 rows on which two judges differ, one is right on 22."""
    one = [1.0] * 22 + [0.0] * 8 + [1.0] * 40
    other = [0.0] * 22 + [1.0] * 8 + [1.0] * 40
    (pair,) = compare(*outcomes_of([(a, b, "a", i) for i, (a, b) in enumerate(zip(one, other, strict=True))]), [ROWS])
    assert (pair.better, pair.worse) == (22, 8)
    assert pair.p == pytest.approx(0.016124, abs=1e-6)  # 2 P(X <= 8), X of 30 throws of a fair coin
    assert pair.p_holm is None


def test_copies_of_a_prompt_add_no_certainty():
    drawn = [(1.0, 0.0, "a", i) for i in range(6)]
    once, often = (compare(*outcomes_of(drawn * n), [ROWS])[0] for n in (1, 5))
    assert (once.better, once.p) == (often.better, often.p) == (6, 2 / 64)


def test_a_credit_that_one_judge_did_not_earn_or_lose_is_even():
    one, other = outcomes_of([(1.0, 1.0, "a", 1), (1.0, 0.0, "a", 2)])
    lacking = Outcomes(np.array([np.nan, 1.0]), one.subsets, one.units)
    (pair,) = compare(lacking, lacking, [ROWS])
    assert (pair.better, pair.worse, pair.difference.value) == (0, 0, 0)
    (pair,) = compare(lacking, other, [SECTIONS[0]])
    assert pair.difference.value == 0.5


def test_other_rows_are_refused():
    one, other = outcomes_of([(1.0, 1.0, "a", 1)]), outcomes_of([(1.0, 1.0, "a", 2)])
    with pytest.raises(ValueError, match="same rows"):
        compare(one[0], other[0], [ROWS])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p):
    """A hypothesis is rejected at a level if it and all smaller ones pass level / (those not smaller)."""
    corrected = holm(p)
    assert all(mine <= it <= 1 for mine, it in zip(p, corrected, strict=True))
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [corrected[i] for i in order] == sorted(corrected)
    for level in (0.01, 0.05, 0.3):
        rejected = set()
        for rank, i in enumerate(order):
            if (len(p) - rank) * p[i] > level:
                break
            rejected.add(i)
        assert rejected == {i for i, value in enumerate(corrected) if value <= level}


def test_holm_is_over_the_sections_alone():
    drawn = [(1.0, 0.0, s, f"{s}{i}") for s, n in (("a", 6), ("b", 3), ("c", 1)) for i in range(n)]
    overall, *sections = compare(*outcomes_of(drawn), [ROWS, *SECTIONS])
    assert overall.p_holm is None
    assert [pair.p for pair in sections] == [2 / 64, 2 / 8, 1]
    assert [pair.p_holm for pair in sections] == [6 / 64, 0.5, 1]
