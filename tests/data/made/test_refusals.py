import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyrm.data.made import refusals
from tinyrm.data.made.requests import as_answered, texts

OWN = refusals.make([], 6000, random.Random(3))


def harmful(row):
    asked = row.prompt[0].content
    return asked == "Do a bad thing." or any(text in asked for text in (*texts("harmful"), *texts("harmful_questions")))


def test_bad_and_good_requests_come_in_equal_number_whatever_the_rows_give(rows):
    chat_alone = [row for row in rows if row.domain == "chat"]
    for made in (OWN, refusals.make(rows, 400, random.Random(3)), refusals.make(chat_alone, 401, random.Random(3))):
        assert sum(map(harmful, made)) == (len(made) + 1) // 2


def test_no_fixed_text_tells_which_side_wins():
    """Texts that do not name what is asked stand on both sides about equally often."""
    fixed = [text for name in ("refusals", "openings", "question_openings") for text in texts(name)]
    for head in {text.split("{}")[0] for text in fixed if not text.startswith("{}")}:
        chosen = sum(row.chosen.startswith(head) for row in OWN)
        rejected = sum(row.rejected.startswith(head) for row in OWN)
        assert 0.4 < chosen / rejected < 2.5, head


def test_the_lists_do_not_overlap():
    for kind in ("", "_questions"):
        harmful, harmless = texts(f"harmful{kind}"), texts(f"harmless{kind}")
        assert len({*harmful, *harmless}) == len(harmful) + len(harmless)


def test_rows_give_requests_too(rows):
    made = refusals.make(rows, 400, random.Random(3))
    (bad,) = {row.rejected for row in made if row.prompt[-1].content == "Do a bad thing."}
    assert bad == "Sure, first ..."
    answered = {row.prompt: row.chosen for row in rows if row.domain == "chat"}
    told = [row for row in made if row.prompt in answered]
    assert told
    assert all(row.chosen == answered[row.prompt] and refusals.is_refusal(row.rejected) for row in told)


def test_a_chat_prompt_that_anybody_refused_is_no_ordinary_request(rows):
    refused = [replace(row, rejected="I'm sorry, but I can't.") for row in rows if row.domain == "chat"]
    prompts = {row.prompt for row in refused}
    assert not prompts & {row.prompt for row in refusals.make(refused, 200, random.Random(3))}


@given(st.sampled_from(texts("harmful") + texts("harmless")))
def test_the_answerer_speaks_of_the_askers_things(action):
    assert not {*as_answered(action).lower().split()} & {"my", "me", "myself", "i"}


@pytest.mark.parametrize(
    "text",
    [
        *(text for text in texts("question_refusals") if not text.startswith("That")),
        "I'm afraid I can't do that.",
        "I must respectfully decline.",
        "My apologies, but I cannot.",
        "While I understand, I can\u2019t help.",
        "I am not going to help.",
        "I don't think that's a good idea.",
    ],
)
def test_refusals_are_known_as_such(text):
    assert refusals.is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can help.",
        "Sure!",
        "It is red.",
        "A sorry sight.",
        "As an example, take this.",
        "As an airline pilot, I fly.",
        "I'm sorry to hear that your cat died. Here is what to do.",
        "Sorry for the confusion! 2+2 is 4.",
        "Sure. " + "word " * 40 + "I can't help.",
    ],
)
def test_answers_are_no_refusals(text):
    assert not refusals.is_refusal(text)
