import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data import deduplicate, normalise, split_by_prompt
from tinyrm.types import Message, Preference


def preference(prompt, chosen="x", rejected="y", **columns):
    return Preference((Message("user", prompt),), chosen, rejected, **columns)


preferences = st.lists(
    st.builds(
        preference,
        st.sampled_from(["a b", "A, b!", "c", "d", "e", "?", "!"]),
        st.sampled_from(["x", "x ", "y"]),
        st.sampled_from(["y", "z", "Z"]),
        tie=st.booleans(),
        source=st.sampled_from(["s", "t", None]),
    ),
    max_size=40,
)


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_normalise_folds_case_punctuation_and_compatibility_forms():
    assert normalise("  Ｈｅｌｌｏ,\n“Straße”—ﬁne! ") == "hello strasse fine"


@given(preferences, st.randoms(use_true_random=False))
def test_deduplicating(rows, chance):
    kept, dropped = deduplicate(rows)
    assert len(kept) + dropped == len(rows)
    assert deduplicate(kept) == (kept, 0)
    shuffled = chance.sample(rows, len(rows))
    assert len(deduplicate(shuffled)[0]) == len(kept)
    assert deduplicate([*rows, *rows]) == (kept, dropped + len(rows))
    turned = [replace(row, chosen=row.rejected, rejected=row.chosen, tie=False) for row in rows if not row.tie]
    assert all(row.tie or row.chosen.split() == row.rejected.split() for row in deduplicate([*rows, *turned])[0])


def test_verdicts_that_contradict_each_other_are_all_dropped():
    row = preference("Which one?", "this", "that")
    turned = preference("which  ONE", "that ", "this")
    tie = replace(row, tie=True)
    assert deduplicate([row, preference("which one", "this", "that")]) == ([row], 1)
    assert deduplicate([row, turned]) == ([], 2)
    assert deduplicate([tie, row]) == ([], 2)
    assert deduplicate([tie, replace(turned, tie=True)]) == ([tie], 1)


def test_responses_that_differ_in_a_sign_are_different():
    rows = [preference("Add.", "a + b", "a - b"), preference("Add.", "a + b", "a * b")]
    assert deduplicate(rows) == (rows, 0)


@given(preferences, st.floats(0, 0.9), st.integers(1, 20), st.integers(), st.randoms(use_true_random=False))
def test_no_prompt_stands_on_both_sides(rows, share, max_rows, seed, chance):
    train, held = split_by_prompt(rows, share, max_rows, seed)
    assert Counter(train) + Counter(held) == Counter(rows)
    assert len(held) <= min(max_rows, share * len(rows))
    sides = [{normalise(row.prompt[0].content) or row.prompt for row in side} for side in (train, held)]
    assert not sides[0] & sides[1]
    shuffled = split_by_prompt(chance.sample(rows, len(rows)), share, max_rows, seed)
    assert [Counter(side) for side in shuffled] == [Counter(train), Counter(held)]


def test_every_source_is_held_out_in_proportion():
    sizes = {"large": 4000, "middle": 400, "small": 40}
    rows = [preference(f"{source} {n // 2}", source=source) for source, size in sizes.items() for n in range(size)]
    random.Random(1).shuffle(rows)
    _, held = split_by_prompt(rows, 0.1, 10**6, 17)
    counts = Counter(row.source for row in held)
    assert all(abs(counts[source] - size / 10) <= 2 for source, size in sizes.items())
    assert split_by_prompt(rows, 0.1, 10**6, 18)[1] != held
