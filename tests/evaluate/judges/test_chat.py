"""A chat model on the loopback: letters from probabilities, from text, or from nothing at all."""

from __future__ import annotations

import math
from contextlib import suppress
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.judges.conftest import ANY_JSON

from tinyrm.errors import UserError
from tinyrm.evaluate.judges import load_judge
from tinyrm.evaluate.judges.chat import read_choice
from tinyrm.types import to_prompt

PROMPT = to_prompt("Which is {better}?")


def shown(body):
    """The responses in the order in which the model sees them."""
    text = body["messages"][-1]["content"]
    return tuple(text.split(f"{side}'s Answer]\n")[1].split("\n[The End")[0] for side in "AB")


def completion(text, top=None):
    logprobs = None
    if top is not None:
        alternatives = [{"token": token, "logprob": math.log(p)} for token, p in top.items()]
        logprobs = {"content": [{**alternatives[0], "top_logprobs": alternatives}]}
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop"}]}


def longer(path, body, headers):
    """Prefers the longer one with 0.8, and what is shown as A a little."""
    a, b = shown(body)
    p = 0.8 if len(a) > len(b) else 0.3
    return 200, completion("A", {"A": p * 0.9, " B": (1 - p) * 0.9, "C": 0.1})


def test_letters_are_read_from_probabilities_in_both_orders(server):
    running = server(longer)
    judge = load_judge(f"openai:some/model@2@{running.url}/v1")
    one, other = judge.compare_many([(PROMPT, "a long one", "short"), (PROMPT, "short", "a long one")])
    assert one.p_a_shown_first == pytest.approx(0.8)
    assert one.p_a_shown_second == pytest.approx(0.7)
    assert one.logit == pytest.approx((math.log(4) + math.log(7 / 3)) / 2)
    assert other.p_a == 1 - one.p_a
    assert not judge.work.counts
    assert len(running.asked) == 2
    asked = running.asked[0]
    assert asked.path == "/v1/chat/completions"
    assert (asked.body["model"], asked.body["logprobs"], asked.body["temperature"]) == ("some/model@2", True, 0)
    assert {shown(asked.body) for asked in running.asked} == {("a long one", "short"), ("short", "a long one")}
    assert "Which is {better}?" in asked.body["messages"][1]["content"]
    assert judge.about["server"] == f"{running.url}/v1"


def test_without_probabilities_the_text_is_read(server):
    running = server(lambda path, body, headers: (200, completion(f"Answer: **{'AB'[shown(body)[1] == 'good']}**")))
    judge = load_judge(f"openai:m@{running.url}/v1")
    (verdict,) = judge.compare_many([(PROMPT, "good", "bad")])
    assert verdict.p_a == verdict.p_a_shown_first == verdict.p_a_shown_second == 1.0
    assert judge.work.counts == {"read as text": 2}
    assert "read as text 2" in judge.work_done()


def test_what_cannot_be_read_is_a_tie_and_counted(server):
    running = server(lambda path, body, headers: (200, completion("Both A and B have their merits")))
    judge = load_judge(f"openai:m@{running.url}/v1")
    (verdict,) = judge.compare_many([(PROMPT, "good", "bad")])
    assert (verdict.p_a, verdict.better) == (0.5, "tie")
    assert judge.work.counts == {"unreadable": 2}


def test_a_model_that_always_says_a_is_undecided(server):
    running = server(lambda path, body, headers: (200, completion("A")))
    (verdict,) = load_judge(f"openai:m@{running.url}/v1").compare_many([(PROMPT, "good", "bad")])
    assert (verdict.p_a, verdict.p_a_shown_first, verdict.p_a_shown_second) == (0.5, 1.0, 0.0)


def test_what_a_server_does_not_take_is_left_out(server):
    def picky(path, body, headers):
        for name in ("max_tokens", "top_logprobs", "logprobs", "temperature"):
            if name in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{name}'."}}
        return 200, completion("B")

    running = server(picky)
    judge = load_judge(f"openai:m@{running.url}/v1")
    judge.compare_many([(PROMPT, "a", "b")])
    before = len(running.asked)
    judge.compare_many([(PROMPT, "c", "d")])
    assert len(running.asked) == before + 2  # learned once


def test_other_refusals_are_told(server):
    running = server(lambda path, body, headers: (404, {"error": {"message": "no model 'm'"}}))
    with pytest.raises(UserError, match=r"answered 404: .*no model 'm'"):
        load_judge(f"openai:m@{running.url}/v1").compare_many([(PROMPT, "a", "b")])
    running = server(lambda path, body, headers: (200, {"choices": []}))
    with pytest.raises(UserError, match="no chat completion"):
        load_judge(f"openai:m@{running.url}/v1").compare_many([(PROMPT, "a", "b")])


def test_the_key_is_sent_and_never_told(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    running = server(longer)
    judge = load_judge(f"openai:m@{running.url}/v1")
    judge.compare_many([(PROMPT, "a", "bb")])
    assert running.asked[0].headers["Authorization"] == "Bearer sk-secret"
    assert "secret" not in f"{judge.about}{judge!r}{judge.work_done()}"
    monkeypatch.delenv("OPENAI_API_KEY")
    load_judge(f"openai:m@{running.url}/v1").compare_many([(PROMPT, "c", "dd")])
    assert "Authorization" not in running.asked[-1].headers


@pytest.mark.parametrize(
    ("text", "how", "odds"),
    [
        ("A", "read as text", math.inf),
        ("B.", "read as text", -math.inf),
        ("[[B]]", "read as text", -math.inf),
        ("Response A is better.", "read as text", math.inf),
        ("As I see it, neither", "unreadable", 0.0),
        ("A or B", "unreadable", 0.0),
        ("", "unreadable", 0.0),
        (None, "unreadable", 0.0),
    ],
)
def test_texts(text, how, odds):
    assert read_choice({"message": {"content": text}}) == (how, odds)


def test_a_letter_that_is_not_listed_counts_as_the_last_that_is():
    (choice,) = completion("A", {"A": 0.9, "The": 0.05, "x": 0.01})["choices"]
    assert read_choice(choice) == ("", pytest.approx(math.log(90)))
    (choice,) = completion("Hm, B", {"Hm": 0.9, "Well": 0.1})["choices"]
    assert read_choice(choice) == ("read as text", -math.inf)


@pytest.mark.parametrize("listed", [[], [{"token": "A", "logprob": -0.01}]])
def test_a_lone_token_tells_no_odds(listed):
    token = {"token": "A", "logprob": -0.01, "top_logprobs": listed}
    choice = {"message": {"content": "A"}, "logprobs": {"content": [token]}}
    assert read_choice(choice) == ("read as text", math.inf)


def test_marks_before_the_letter_are_passed_over():
    (choice,) = completion("[[A]]", {"A": 0.75, "B": 0.25})["choices"]
    choice["logprobs"]["content"].insert(0, {"token": "[[", "logprob": 0.0, "top_logprobs": []})
    assert read_choice(choice) == ("", pytest.approx(math.log(3)))


@given(st.text(alphabet="ABab .*[]'\n:") | st.text())
def test_no_text_is_too_strange(text):
    how, odds = read_choice({"message": {"content": text}, "logprobs": {"content": []}})
    assert (how == "unreadable") == (odds == 0)


@settings(max_examples=40)
@given(ANY_JSON | st.fixed_dictionaries({"choices": st.lists(ANY_JSON, min_size=1)}))
def test_no_answer_is_too_strange(answer):
    with suppress(UserError):
        how, odds = nowhere().read(answer)
        assert how in ("", "read as text", "unreadable")
        assert isinstance(odds, float)


@lru_cache
def nowhere():
    return load_judge("openai:m@http://127.0.0.1:1/v1")
