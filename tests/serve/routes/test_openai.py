"""The `openai` package asking for verdicts."""

from __future__ import annotations

import math

import openai
import pytest

RUBRIC = 'Judge. Say "[[A]]" if assistant A is better, "[[B]]" if B is, "[[C]]" for a tie.'
QUESTION = (
    "[User Question]\n{}\n\n[The Start of Assistant A's Answer]\n{}\n[The End of Assistant A's Answer]\n\n"
    "[The Start of Assistant B's Answer]\n{}\n[The End of Assistant B's Answer]"
)


@pytest.fixture(scope="module")
def judge(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def ask(judge, a, b, rubric=RUBRIC, **more):
    messages = [{"role": "system", "content": rubric}, {"role": "user", "content": QUESTION.format("what is a?", a, b)}]
    return judge.chat.completions.create(model="tinyrm", messages=messages, **more)


def test_the_verdict_is_worded_as_asked_with_the_probability_as_logprobs(both, judge):
    expected = both.compare("what is a?", "yes", "no")
    found = ask(judge, "yes", "no", logprobs=True, top_logprobs=5)
    (choice,) = found.choices
    assert choice.message.content == f"[[{expected.better}]]"
    assert choice.finish_reason == "stop"
    before, letter, after = choice.logprobs.content
    assert (before.token, letter.token, after.token) == ("[[", expected.better, "]]")
    likely = {token.token: math.exp(token.logprob) for token in letter.top_logprobs}
    assert likely == {"A": pytest.approx(expected.p_a, abs=1e-5), "B": pytest.approx(1 - expected.p_a, abs=1e-5)}
    assert math.exp(letter.logprob) == pytest.approx(max(likely.values()))
    assert found.usage.prompt_tokens > 0


def test_both_orders_give_the_same_verdict(judge):
    first = ask(judge, "yes", "no").choices[0].message.content
    second = ask(judge, "no", "yes").choices[0].message.content
    assert {first, second} == {"[[A]]", "[[B]]"}


def test_equal_answers_tie_where_the_prompt_knows_ties(judge):
    assert ask(judge, "yes", "yes").choices[0].message.content == "[[C]]"
    assert ask(judge, "yes", "yes", rubric="[[A]] or [[B]]").choices[0].message.content == "[[A]]"


def test_one_token_is_the_letter(judge):
    found = ask(judge, "yes", "no", max_tokens=1, logprobs=True, top_logprobs=1)
    assert found.choices[0].message.content in ("A", "B")
    assert len(found.choices[0].logprobs.content) == 1
    assert len(found.choices[0].logprobs.content[0].top_logprobs) == 1
    assert ask(judge, "yes", "no").choices[0].logprobs is None


def test_refusals_arrive_as_the_package_s_exceptions(judge):
    with pytest.raises(openai.UnprocessableEntityError, match="MT-Bench"):
        judge.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello!"}])
    with pytest.raises(openai.UnprocessableEntityError, match="stream"):
        ask(judge, "yes", "no", stream=True)
    with pytest.raises(openai.UnprocessableEntityError, match="logprobs"):
        ask(judge, "yes", "no", n=2)
    with pytest.raises(openai.NotFoundError):
        judge.models.retrieve("another")


def test_models(judge):
    assert [model.id for model in judge.models.list()] == ["random-bert"]
    assert judge.models.retrieve("random-bert").owned_by == "tinyrm"


def test_embeddings(both, judge):
    text = "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n"
    (found,) = judge.embeddings.create(model="m", input=[text]).data
    assert found.embedding == pytest.approx([both.score("a?", "yes").logit], abs=2e-5)
