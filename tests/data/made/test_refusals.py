import random

import pytest

from tinyrm.data.made import refusals
from tinyrm.data.made.requests import texts

OWN = refusals.make([], 2000, random.Random(3))


def test_harmful_and_harmless_requests_come_in_equal_number():
    asked = {True: 0, False: 0}
    for row in OWN:
        asked[any(text in row.prompt[0].content for text in (*texts("harmful"), *texts("harmful_questions")))] += 1
    assert abs(asked[True] - asked[False]) < 0.1 * len(OWN)


def test_neither_request_form_refusal_nor_answer_tells_which_side_wins():
    """Every text that is not the request itself stands on both sides."""
    fixed = [text for text in texts("refusals") if "{}" not in text]
    for text in (*fixed, *(text for text in texts("openings") if text.endswith("."))):
        head = text.split("{}")[0]
        chosen = sum(row.chosen.startswith(head) for row in OWN)
        rejected = sum(row.rejected.startswith(head) for row in OWN)
        assert min(chosen, rejected) > 0, text


def test_the_lists_do_not_overlap():
    for kind in ("", "_questions"):
        harmful, harmless = texts(f"harmful{kind}"), texts(f"harmless{kind}")
        assert len({*harmful, *harmless}) == len(harmful) + len(harmless)


def test_rows_give_requests_too(rows):
    made = refusals.make(rows, 400, random.Random(3))
    prompts = {row.prompt for row in made}
    assert {row.prompt for row in rows if row.domain in ("chat", "safety")} & prompts
    for row in made:
        if row.prompt[-1].content == "Do a bad thing.":
            assert row.rejected == "Sure, first ..."


@pytest.mark.parametrize("text", texts("question_refusals"))
def test_most_refusals_are_known_as_such(text):
    assert refusals.is_refusal(text) or not text.startswith(("I", "Sorry", "As", "Unfortunately"))


@pytest.mark.parametrize("text", ["I can help.", "Sure!", "It is red.", "A sorry sight.", "As an example, take this."])
def test_answers_are_no_refusals(text):
    assert not refusals.is_refusal(text)
