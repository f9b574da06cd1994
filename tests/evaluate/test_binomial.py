import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate.binomial import fair_coin, wilson

Z = 1.959963984540054


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_limits_are_the_shares_that_are_just_not_rejected(drawn):
    """The definition (Wilson 1927): the roots of |seen - share| = z sqrt(share (1 - share) / n)."""
    right, n = drawn
    low, high = wilson(right, n)
    assert 0 <= low <= right / n <= high <= 1
    for share in (low, high):
        assert abs(right / n - share) == pytest.approx(Z * math.sqrt(share * (1 - share) / n), abs=1e-9)


def test_known_intervals():
    """Table 1 of Newcombe (1998), 'Two-sided confidence intervals for the single proportion', method 3."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    assert wilson(0, 0) == (0, 1)


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_coin_against_every_way_it_can_fall(heads, tails):
    n = heads + tails
    if n <= 12:
        ways = [abs(2 * sum(way) - n) >= abs(heads - tails) for way in itertools.product((0, 1), repeat=n)]
        assert fair_coin(heads, tails) == sum(ways) / len(ways)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_the_coin_is_a_probability_that_knows_no_side_and_falls_with_unevenness(heads, tails):
    p = fair_coin(heads, tails)
    assert 0 <= p <= 1
    assert p == fair_coin(tails, heads)
    fewer, more = sorted((heads, tails))
    if fewer:
        assert fair_coin(fewer - 1, more + 1) <= p


def test_the_coin_is_nearly_normal_when_thrown_often():
    heads, n = 6100, 12_000
    z = (2 * heads - n - 1) / math.sqrt(n)
    assert fair_coin(heads, n - heads) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)
    assert fair_coin(20_000, 0) == 0
