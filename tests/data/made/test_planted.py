import random

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data.made.planted import EQUATION, planted


@given(st.integers(1, 999), st.integers(1, 99), st.sampled_from("+-*"), st.randoms(use_true_random=False))
def test_a_true_equation_becomes_a_false_one_and_nothing_before_it_changes(a, b, sign, rng):
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    text = f"Take {result}. Then {a} {sign} {b} = {result}, so it is {result}."
    wrong = planted(text, rng)
    if result < 0:
        assert wrong is None
        return
    assert wrong is not None
    assert wrong != text
    before = text.index("=")
    assert wrong[:before] == text[:before]
    changed = EQUATION.search(wrong)
    assert changed is not None
    assert int(changed.group(4)) != result
    assert wrong.endswith(f"so it is {changed.group(4)}.")


def test_only_arithmetic_that_is_true_is_touched():
    rng = random.Random(1)
    for text in ("2 + 2 = 5", "x + 2 = 4", "It is 12.", "1 / 0 = 7", "", "7 / 2 = 3", "1 + 1 = 2 + 0"):
        assert planted(text, rng) is None
    for text in ("7 / 2 = 3.5", "1,000 + 1 = 1,001", "$5 * 3 = $15", "2 \\times 4 = 8", "30% + 20% = 50%"):
        assert planted(text, rng) is not None


def test_other_numbers_that_hold_its_digits_stay():
    wrong = planted("3 + 4 = 7. Not 17, 7.5, 71 or 1,7 but 7.", random.Random(2))
    assert wrong is not None
    assert "17, 7.5, 71 or 1,7 but" in wrong
    assert not wrong.endswith(" 7.")


def test_the_answer_is_wrong_too_where_an_equation_gives_it():
    for seed in range(20):
        wrong = planted("2 + 2 = 4\n3 + 3 = 6\nSo it is 6.", random.Random(seed))
        assert wrong is not None
        assert wrong.startswith("2 + 2 = 4\n")
        assert not wrong.endswith("So it is 6.")


def test_numbers_of_steps_and_remainders_stay():
    wrong = planted("2 + 2 = 4\n4. Then stop.", random.Random(1))
    assert wrong is not None
    assert wrong.endswith("\n4. Then stop.")
    assert planted("3 + 4 = 7 (mod 2)", random.Random(1)) is None
    assert planted("1" * 9000, random.Random(1)) is None
