import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.evaluate import judge_preferences
from tinyrm.evaluate.arrangement import Arrangement
from tinyrm.evaluate.outcomes import Outcomes, by_rule, half_for_ties, unit_of, units_of
from tinyrm.types import to_prompt

prompts = st.lists(st.text(max_size=3), max_size=12)


@given(prompts)
def test_rows_of_one_prompt_share_a_unit(texts):
    units = units_of([to_prompt(text) for text in texts])
    assert units == [unit_of(to_prompt(text)) for text in texts]
    for one, mine in zip(texts, units, strict=True):
        for other, its in zip(texts, units, strict=True):
            if one == other:
                assert mine == its
    assert all(len(unit) == 16 for unit in units)


def test_a_unit_is_of_a_prompts_words_and_does_not_tell_them():
    one, same, other = (unit_of(to_prompt(text)) for text in ("Secret words", " secret  words", "secret"))
    assert one == same != other
    assert "secret" not in other
    assert unit_of(to_prompt("\ud800"))  # a text that no encoding can write


def test_labelled_ties_are_left_out_unless_the_rule_knows_them(prefer, truth):
    rows = [prefer("a"), prefer("b", tie=True), prefer("c")]
    arranged = Arrangement(rows, ["x", "y", "z"], "subset")
    judged = judge_preferences(truth, rows)
    without = by_rule(half_for_ties)(judged, arranged)
    assert (list(without.subsets), list(without.credit)) == (["x", "z"], [1, 1])
    assert by_rule(half_for_ties, ties=True)(judged, arranged).counts == {"x": 1, "z": 1}  # the tie is worth nothing
    right = by_rule(lambda judged: np.ones(3), ties=True)(judged, arranged)
    assert right.counts == {"x": 1, "y": 1, "z": 1}


def test_outcomes_are_alike_where_rows_are():
    one = Outcomes(np.array([1.0, 0.0]), ["a", "b"], ["1", "2"])
    assert one.alike(Outcomes(np.array([0.0, np.nan]), ("a", "b"), ("1", "2")))
    assert not one.alike(Outcomes(one.credit, ["a", "b"], ["2", "1"]))
    assert not one.alike(Outcomes(one.credit[:1], ["a"], ["1"]))
