import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrm.evaluate.bootstrap import Resampled, Statistic, bootstrap

ALL = ("a", "b", "c")
ROWS = Statistic("all", dict.fromkeys(ALL, 1.0), "", over_rows=True)
MEAN = Statistic("mean", {"a": 1.0, "b": 2.0, "c": 5.0}, "")

rows_of_judge = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(ALL), st.integers(0, 30)), min_size=5, max_size=80
)


def prompts_of(prompts):
    return [str(prompt) for prompt in prompts]


def resample(rows, **options):
    credit, subsets, prompts = zip(*rows, strict=True)
    return bootstrap({"j": np.array(credit)}, subsets, prompts_of(prompts), **{"resamples": 200, **options})["j"]


@settings(max_examples=40, deadline=None)
@given(rows_of_judge)
def test_the_point_is_the_data_and_lies_in_its_interval(rows):
    resampled = resample(rows)
    mine = resampled.score(ROWS)
    assert mine.value == pytest.approx(np.mean([credit for credit, _, _ in rows]))
    present = {name: [credit for credit, subset, _ in rows if subset == name] for name in ALL}
    total = sum(MEAN.weights[name] for name in ALL if present[name])
    by_hand = sum(MEAN.weights[name] * np.mean(present[name]) for name in ALL if present[name]) / total
    weighted = resampled.score(MEAN)
    assert weighted.value == pytest.approx(by_hand)
    for score in (mine, weighted):
        assert 0 <= score.low <= score.value + 1e-6
        assert score.value - 1e-6 <= score.high <= 1 + 1e-6
        assert score.n == len(rows)


@settings(max_examples=20, deadline=None)
@given(rows_of_judge)
def test_the_opposite_judge_has_the_mirrored_interval(rows):
    mine = resample(rows).score(MEAN)
    opposite = resample([(1 - credit, subset, prompt) for credit, subset, prompt in rows]).score(MEAN)
    assert (opposite.value, opposite.low, opposite.high) == pytest.approx((1 - mine.value, 1 - mine.high, 1 - mine.low))


@settings(max_examples=20, deadline=None)
@given(rows_of_judge, st.integers(2, 4))
def test_copies_of_rows_add_no_certainty(rows, copies):
    mine, copied = resample(rows).score(ROWS), resample(rows * copies).score(ROWS)
    assert (copied.low, copied.high) == pytest.approx((mine.low, mine.high))


def test_on_independent_rows_the_standard_error_is_the_analytic_one():
    rng = np.random.default_rng(3)
    credit = (rng.random(1500) < 0.7).astype(float)
    subsets = ["a"] * 500 + ["b"] * 1000
    resampled = bootstrap({"j": credit}, subsets, prompts_of(range(1500)))["j"]
    error = {"a": credit[:500].std() / 500**0.5, "b": credit[500:].std() / 1000**0.5}
    for weights in ({"a": 1.0}, {"b": 1.0}, {"a": 1.0, "b": 1.0}):
        total = sum(weights.values())
        analytic = sum((w / total * error[name]) ** 2 for name, w in weights.items()) ** 0.5
        score = resampled.score(Statistic("s", weights, ""))
        assert (score.high - score.low) / (2 * 1.96) == pytest.approx(analytic, rel=0.08)


def test_prompts_that_subsets_share_move_in_both():
    """The same 50 rows under two names: their difference is certain, their mean no surer than one of them."""
    credit = (np.random.default_rng(0).random(50) < 0.5).astype(float)
    resampled = bootstrap({"j": np.tile(credit, 2)}, ["a"] * 50 + ["b"] * 50, prompts_of([*range(50)] * 2))["j"]
    alone = resampled.score(Statistic("a", {"a": 1.0}, ""))
    both = resampled.score(Statistic("both", {"a": 1.0, "b": 1.0}, ""))
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high))


def test_subsets_of_one_row_do_not_feign_certainty():
    credit = (np.arange(100) % 2).astype(float)
    names = [str(i) for i in range(100)]
    resampled = bootstrap({"j": credit}, names, prompts_of(range(100)))["j"]
    score = resampled.score(Statistic("all", dict.fromkeys(names, 1.0), "", over_rows=True))
    assert (score.high - score.low) / (2 * 1.96) == pytest.approx(0.05, rel=0.1)


def test_paired_differences():
    rng = np.random.default_rng(1)
    one = (rng.random(300) < 0.7).astype(float)
    other = np.where(rng.random(300) < 0.95, one, 1 - one)
    judges = bootstrap({"one": one, "other": other}, ["a"] * 300, prompts_of(range(300)))
    statistic = Statistic("a", {"a": 1.0}, "")
    alike = (judges["one"] - judges["one"]).score(statistic)
    assert (alike.value, alike.low, alike.high) == (0, 0, 0)
    gap = (judges["one"] - judges["other"]).score(statistic)
    assert gap.value == pytest.approx(one.mean() - other.mean())
    paired = (one - other).std() / 300**0.5
    assert (gap.high - gap.low) / (2 * 1.96) == pytest.approx(paired, rel=0.15)
    alone = bootstrap({"other": other}, ["a"] * 300, prompts_of(range(300)))["other"]
    np.testing.assert_array_equal(alone.right, judges["other"].right)
    with pytest.raises(ValueError, match="same rows"):
        judges["one"] - bootstrap({"j": one}, ["a"] * 300, prompts_of(range(300)), seed=1)["j"]


def test_the_seed_decides():
    rows = [(float(i % 3 == 0), "a", i) for i in range(60)]
    np.testing.assert_array_equal(resample(rows, seed=5).right, resample(rows, seed=5).right)
    assert not np.array_equal(resample(rows, seed=5).right, resample(rows, seed=6).right)


@settings(max_examples=30, deadline=None)
@given(rows_of_judge, st.sets(st.integers(0, 79)))
def test_a_row_without_credit_counts_for_nobody(rows, lacking):
    lacking = {i for i in lacking if i < len(rows)} - {0}
    credit, subsets, prompts = zip(*rows, strict=True)
    given_up = np.where([i in lacking for i in range(len(rows))], np.nan, credit)
    both = bootstrap({"mine": given_up, "all": np.array(credit)}, subsets, prompts_of(prompts), resamples=200)
    mine = both["mine"].score(ROWS)
    assert mine.n == len(rows) - len(lacking)
    assert mine.value == pytest.approx(np.nanmean(given_up))
    gap = (both["mine"] - both["all"]).score(MEAN)
    present = {s for s, c in zip(subsets, given_up, strict=True) if c == c}
    if present == set(subsets):
        assert gap.value == pytest.approx(both["mine"].score(MEAN).value - both["all"].score(MEAN).value)


WILSON = 1.959963984540054**2


@pytest.mark.parametrize("credit", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("prompts", [1, 3, 40])
def test_where_all_came_out_alike_wilsons_limit_stands_in(credit, prompts):
    rows = [(credit, "a", i % prompts) for i in range(2 * prompts)]
    unseen = WILSON / (prompts + WILSON)
    for statistic in (ROWS, Statistic("a", {"a": 1.0}, "")):
        score = resample(rows).score(statistic)
        assert score.widened
        assert (score.low, score.high) == pytest.approx((credit * (1 - unseen), credit + unseen * (1 - credit)))


def test_what_was_not_seen_joins_in_quadrature_by_its_weight():
    credit = np.concatenate([np.arange(100) % 2, np.ones(50)])
    resampled = bootstrap({"j": credit}, ["a"] * 100 + ["b"] * 50, prompts_of(range(150)))["j"]
    alone, sure = resampled.score(Statistic("a", {"a": 1.0}, "")), resampled.score(Statistic("b", {"b": 1.0}, ""))
    both = resampled.score(Statistic("both", {"a": 1.0, "b": 3.0}, ""))
    assert (alone.widened, sure.widened, both.widened) == (False, True, True)
    assert sure.low == pytest.approx(50 / (50 + WILSON))
    low = np.hypot((alone.value - alone.low) / 4, (1 - sure.low) * 3 / 4)
    assert both.low == pytest.approx(both.value - low, abs=1e-6)
    assert both.high == pytest.approx(both.value + (alone.high - alone.value) / 4, abs=1e-6)


def test_what_was_not_seen_of_shared_prompts_adds_up():
    """Nine subsets of the same 129 prompts say no more than one of them; of other prompts they would."""
    subsets, prompts = [f"s{i % 9}" for i in range(9 * 129)], prompts_of(i // 9 for i in range(9 * 129))
    names = {f"s{i}": 1.0 for i in range(9)}
    resampled = bootstrap({"j": np.ones(len(subsets))}, subsets, prompts)["j"]
    one = resampled.score(Statistic("one", {"s0": 1.0}, ""))
    assert one.low == pytest.approx(129 / (129 + WILSON))
    for statistic in (Statistic("mean", names, ""), Statistic("rows", names, "", over_rows=True)):
        assert resampled.score(statistic).low == pytest.approx(one.low)
    apart = bootstrap({"j": np.ones(len(subsets))}, subsets, prompts_of(range(9 * 129)))["j"]
    assert apart.score(Statistic("mean", names, "")).low == pytest.approx(1 - (1 - one.low) / 3)


def test_weights_may_be_shares_of_a_total():
    resampled = resample([(1.0, "a", 0), (1.0, "a", 1)])
    assert resampled.score(Statistic("half", {"a": 0.5, "b": 0.5}, "", total=1.0)).value == 0.5
    assert resampled.score(Statistic("half", {"a": 0.5, "b": 0.5}, "", n=7)).n == 7


def test_a_subset_that_no_draw_hit_drops_out_of_the_mean():
    resampled = Resampled(("a", "b"), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 0.0]]), "")
    score = resampled.score(Statistic("mean", {"a": 1.0, "b": 1.0}, ""))
    assert (score.value, score.low) == (0.5, 0.5)
