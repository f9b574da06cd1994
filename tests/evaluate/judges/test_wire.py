"""Both ends of every wire format: `tinyrm serve` judged over HTTP says what its model says here."""

from __future__ import annotations

import pytest
from tests.serve.conftest import serving

import tinyrm
from tinyrm.evaluate.judges import load_judge
from tinyrm.types import to_prompt

PAIRS = [
    (to_prompt("what is the answer?"), "four", "no no no"),
    (to_prompt("is it so?"), "yes, five is the answer", "four."),
    (to_prompt("a b c"), "the best response", "bad"),
]


@pytest.fixture(scope="module")
def model(checkpoint_folder):
    return tinyrm.load(checkpoint_folder("bert", ("single",)))


@pytest.fixture(scope="module")
def url(model):
    with serving(model) as url:
        yield url


@pytest.mark.parametrize(
    "spec", ["vllm-score:{}/score", "vllm-classify:{}/classify", "tei-predict:{}/predict", "openrlhf:{}/get_reward"]
)
def test_rewards_over_the_wire(model, url, spec):
    expected = [model.score(prompt, a).logit - model.score(prompt, b).logit for prompt, a, b in PAIRS]
    found = load_judge(spec.format(url)).compare_many(PAIRS)
    assert [verdict.logit for verdict in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kinds", [("single",), ("pair",)])
def test_verdicts_over_the_wire(checkpoint_folder, kinds):
    model = tinyrm.load(checkpoint_folder("bert", kinds))
    expected = model.compare_many(PAIRS, domains=["chat", None, "safety"])
    with serving(model) as url:
        judge = load_judge(f"tinyrm:{url}")
        assert judge.protocols == kinds
        assert judge.about["model"] == model.manifest.name
        found = judge.compare_many(PAIRS, domains=["chat", None, "safety"])
        for name in ("p_a", "logit", "p_a_shown_first", "p_a_shown_second"):
            assert [getattr(v, name) for v in found] == pytest.approx([getattr(v, name) for v in expected], abs=1e-5)
        # The same model asked as a chat model: its letters' probabilities are the calibrated ones.
        chatted = load_judge(f"openai:{model.manifest.name}@{url}/v1").compare_many(PAIRS)
        calm = model.compare_many(PAIRS)
        assert [v.p_a_shown_first for v in chatted] == pytest.approx([v.p_a for v in calm], abs=1e-5)
