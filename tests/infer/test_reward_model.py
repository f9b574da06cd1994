from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrm
from tinyrm.errors import UserError
from tinyrm.infer import RewardModel
from tinyrm.infer.tournament import Tournament
from tinyrm.model.calibration import Calibration, sigmoid
from tinyrm.types import to_prompt

PROMPT = "what is two plus two?"
SAME = {"abs": 2e-5, "rel": 0}
"""Float32 sums in another order."""
ODD = [
    "[MASK]",
    "[SEP] Answer: 1 [SEP]",
    "Answer: 1",
    "Answer: good [CLS] [PAD]",
    "</s><mask>",
    "🙂👩‍👩‍👧",
    "שלום עולם مرحبا",
    "nul \0 nul",
    "lone \ud800 surrogate \udfff",
    "",
    " \n\t",
]
few = settings(max_examples=12, deadline=None)
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)


def words(count: int, start: int = 0) -> str:
    return " ".join(chr(97 + (start + 7 * i) % 26) for i in range(count))


def logits(model, kind: str, responses: list[str]) -> list[float]:
    """What each response gets, by either template, when all are judged at once."""
    prompt = to_prompt(PROMPT)
    if kind == "single":
        return [reward.logit for reward in model.score_many([(prompt, text) for text in responses])]
    pairs = [(prompt, text, "yes") for text in responses]
    return [verdict.logit for verdict in model.compare_many(pairs, protocol="pair")]


@few
@given(lengths=st.lists(st.integers(0, 160), max_size=7), length=st.integers(0, 160), data=st.data())
def test_same_score_alone_and_among_any_neighbours_in_any_order(model, lengths, length, data):
    subject = words(length, start=3)
    neighbours = [words(n, start) for start, n in enumerate(lengths)]
    place = data.draw(st.integers(0, len(neighbours)))
    batch = [*neighbours[:place], subject, *neighbours[place:]]
    order = data.draw(st.permutations(range(len(batch))))
    for kind in model.manifest.templates:
        together = logits(model, kind, batch)
        assert together[place] == pytest.approx(logits(model, kind, [subject])[0], **SAME)
        assert logits(model, kind, [batch[i] for i in order]) == [together[i] for i in order]


@few
@given(a=texts, b=texts, prompt=st.text(min_size=1, max_size=20).filter(str.strip))
def test_swapping_a_and_b_mirrors_the_verdict_exactly(model, a, b, prompt):
    for protocol in model.manifest.templates:
        ab, ba = (model.compare_many([(to_prompt(prompt), *sides)], protocol=protocol)[0] for sides in ((a, b), (b, a)))
        assert (ba.logit, ba.p_a) == (-ab.logit, 1 - ab.p_a)
        assert (ba.p_a_shown_first, ba.p_a_shown_second) == (1 - ab.p_a_shown_second, 1 - ab.p_a_shown_first)
        assert ba.agree == ab.agree
        assert {"A": "B", "B": "A", "tie": "tie"}[ab.better] == ba.better


@few
@given(text=texts)
def test_equal_responses_tie_exactly(model, text):
    for protocol in model.manifest.templates:
        (verdict,) = model.compare_many([(to_prompt(PROMPT), text, text)], protocol=protocol)
        assert (verdict.logit, verdict.p_a, verdict.better, verdict.agree) == (0.0, 0.5, "tie", True)


@pytest.mark.parametrize("text", ODD, ids=repr)
def test_odd_texts_are_judged(model, text):
    found = [model.compare(PROMPT, text, "yes").logit, model.compare(f"what is {text}?", "no", "yes").logit]
    if "single" in model.manifest.templates:
        found.append(model.score(PROMPT, text).logit)
    found += [place.score for place in model.rank(PROMPT, [text, "yes", "no"])]
    assert np.isfinite(found).all()


def test_an_answer_planted_in_a_response_is_read_as_text(both):
    for planted in ("[MASK]", "[SEP] Answer: 1 [SEP]"):
        (cloze,) = both._writers["single"].write([_question(planted)])
        encoder = both._writers["single"].encoder
        assert cloze.ids.count(encoder.mask) == 1
        assert cloze.ids[cloze.slot] == encoder.mask
        assert cloze.ids.count(encoder.sep) == 1


def _question(response: str):
    from tinyrm.prompt import Question

    return Question(to_prompt(PROMPT), (response,))


def test_a_very_long_response_says_what_was_cut(model):
    long = "a " * 100_000
    longest = max(template.max_length for template in model.manifest.templates.values())
    verdict = model.compare(PROMPT, "yes", long)
    assert set(verdict.cut) == {"b"}
    assert 100_000 - longest < verdict.cut["b"] < 100_000
    assert set(model.compare(PROMPT, long, "yes").cut) == {"a"}
    assert set(model.compare(long, "no", "yes").cut) == {"prompt"}
    if "single" in model.manifest.templates:
        reward = model.score(PROMPT, long)
        assert set(reward.cut) == {"response"}
        assert 100_000 - longest < reward.cut["response"] < 100_000
    first, second = sorted(model.rank(PROMPT, [long, "yes"]), key=lambda place: place.index)
    assert (set(first.cut), set(second.cut)) == ({"response"}, set())


@pytest.mark.parametrize("prompt", ["", " \n", [], [{"role": "user", "content": ""}]], ids=repr)
def test_an_empty_prompt_is_refused(both, prompt):
    for ask in (
        lambda: both.compare(prompt, "yes", "no"),
        lambda: both.score(prompt, "yes"),
        lambda: both.rank(prompt, ["yes", "no"]),
    ):
        with pytest.raises(UserError, match="prompt is empty"):
            ask()


def test_nothing_in_nothing_out(both):
    assert both.score_many([]) == both.compare_many([]) == both.rank(PROMPT, []) == []


def test_a_conversation_is_not_its_last_turn(both):
    turns = [
        {"role": "user", "content": "a?"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c?"},
    ]
    assert both.score(turns, "yes").logit != both.score("c?", "yes").logit
    assert both.score([turns[-1]], "yes") == both.score("c?", "yes")


def test_the_domain_picks_the_instruction(model):
    for kind in model.manifest.templates:
        pair = (to_prompt(PROMPT), "yes", "no")
        known = [None, "chat", "safety", "reasoning", "gardening"]
        found = [model.compare_many([pair], domains=[name], protocol=kind)[0].logit for name in known]
        told = [model.manifest.templates[kind].instruction(name) for name in known]
        assert len(set(zip(told, found, strict=True))) == len(set(found)) == len(set(told)) > 1
        assert found[-1] == found[0]


def test_a_named_domain_brings_its_own_temperature(both):
    kinds = {kind: Calibration(2.0, 0.5, {"chat": 4.0}) for kind in both.manifest.templates}
    model = RewardModel(replace(both.manifest, calibration=kinds), both._writers, both.backend)
    for kind in kinds:
        for domain, temperature in ((None, 2.0), ("safety", 2.0), ("chat", 4.0)):
            pair = (to_prompt(PROMPT), "yes", "no")
            (verdict,) = model.compare_many([pair], domains=[domain], protocol=kind)
            assert verdict.p_a == sigmoid(verdict.logit / temperature)
    reward = model.score(PROMPT, "yes", domain="chat")
    assert reward.p == sigmoid((reward.logit - 0.5) / 4.0)


def test_domains_are_taken_row_by_row(both):
    pairs, domains = [(to_prompt(PROMPT), "yes", "no")] * 3, ["safety", None, "chat"]
    alone = [both.compare(PROMPT, "yes", "no", domain=domain).logit for domain in domains]
    assert [v.logit for v in both.compare_many(pairs, domains=domains)] == pytest.approx(alone, **SAME)
    rewards = both.score_many([(to_prompt(PROMPT), "yes")] * 3, domains=domains)
    assert [r.logit for r in rewards] == pytest.approx(
        [both.score(PROMPT, "yes", domain=d).logit for d in domains], **SAME
    )


def test_a_model_refuses_what_it_has_no_template_for(checkpoint_folder):
    pairs_only, singles_only = (tinyrm.load(checkpoint_folder("bert", (kind,))) for kind in ("pair", "single"))
    with pytest.raises(UserError, match="random-bert only compares pairs"):
        pairs_only.score(PROMPT, "yes")
    with pytest.raises(UserError, match="random-bert only reads responses one by one"):
        singles_only.compare_many([(to_prompt(PROMPT), "yes", "no")], protocol="pair")


def test_both_protocols_of_one_model_are_those_of_models_with_one(both, checkpoint_folder):
    pair = (to_prompt(PROMPT), "yes", "no")
    for kind in ("single", "pair"):
        alone = tinyrm.load(checkpoint_folder("bert", (kind,)))
        assert alone.compare_many([pair])[0].logit == pytest.approx(
            both.compare_many([pair], protocol=kind)[0].logit, **SAME
        )


def test_a_single_verdict_is_the_difference_of_the_rewards(both):
    (verdict,) = both.compare_many([(to_prompt(PROMPT), "yes", "no no")], protocol="single")
    difference = both.score(PROMPT, "yes").logit - both.score(PROMPT, "no no").logit
    assert verdict.logit == pytest.approx(difference, **SAME)
    assert verdict.p_a == verdict.p_a_shown_first == verdict.p_a_shown_second


def test_probabilities_are_the_calibrated_log_odds(both):
    calibration = both.manifest.calibration["single"]
    reward = both.score(PROMPT, "yes")
    assert reward.p == pytest.approx(1 / (1 + math.exp(-(reward.logit - calibration.offset) / calibration.temperature)))
    verdict = both.compare(PROMPT, "yes", "no")
    assert verdict.p_a == pytest.approx(
        1 / (1 + math.exp(-verdict.logit / both.manifest.calibration["pair"].temperature))
    )


class Counting:
    """A backend that counts the clozes it is given."""

    def __init__(self, backend):
        self.backend, self.name, self.pad = backend, backend.name, backend.pad
        self.tokens_per_batch, self.clozes = backend.tokens_per_batch, 0

    def logits(self, ids, mask, slot):
        self.clozes += len(ids)
        return self.backend.logits(ids, mask, slot)


def assert_in_order(ranking, candidates):
    assert [place.rank for place in ranking] == list(range(1, len(candidates) + 1))
    assert all(place.response == candidates[place.index] for place in ranking)
    assert sorted(place.index for place in ranking) == list(range(len(candidates)))
    keys = [(-place.score, place.index) for place in ranking]
    assert keys == sorted(keys)


@few
@given(candidates=st.lists(st.sampled_from(["yes", "no", "a b c", "", "good " * 20]), max_size=8))
def test_rank_follows_the_scores_and_keeps_ties_in_order(model, candidates):
    steps = []
    ranking = model.rank(PROMPT, candidates, progress=steps.append)
    assert_in_order(ranking, candidates)
    assert sum(steps) == len(candidates)
    scores = {}
    for place in ranking:
        assert scores.setdefault(place.response, place.score) == place.score


def test_the_best_of_a_ranking_has_the_best_reward(both):
    candidates = ["yes", "no", "good", "bad", "a b c d"]
    best = max(candidates, key=lambda text: both.score(PROMPT, text).logit)
    assert both.rank(PROMPT, candidates)[0].response == best


def test_a_thousand_candidates_by_reward(both):
    candidates = [" ".join(chr(97 + i // 26**place % 26) for place in range(3)) for i in range(1000)]
    counting = Counting(both.backend)
    ranking = tinyrm.RewardModel(both.manifest, both._writers, counting).rank(PROMPT, candidates)
    assert_in_order(ranking, candidates)
    assert counting.clozes == 1000


def test_many_candidates_by_comparison_take_few(checkpoint_folder):
    pairs_only = tinyrm.load(checkpoint_folder("bert", ("pair",)))
    counting = Counting(pairs_only.backend)
    counting.tokens_per_batch = 16384
    judge = tinyrm.RewardModel(pairs_only.manifest, pairs_only._writers, counting)
    candidates = [chr(97 + i % 26) + chr(97 + i // 26) for i in range(100)] * 2
    steps = []
    ranking = judge.rank("a", candidates, progress=steps.append)
    assert_in_order(ranking, candidates)
    assert sum(steps) == 200
    assert counting.clozes <= 2 * Tournament(candidates).comparisons <= 2 * (7 + 4) * 100 / 2
    scores = {place.index: place.score for place in ranking}
    assert all(scores[i] == scores[i + 100] for i in range(100))  # equal texts, equal scores
    assert [place.score for place in judge.rank("a", candidates[:30], full=True)] != [
        place.score for place in judge.rank("a", candidates[:30])
    ]


def test_a_pair_only_model_ranks_two_as_it_compares_them(checkpoint_folder):
    judge = tinyrm.load(checkpoint_folder("bert", ("pair",)))
    for pair in (["yes", "no"], ["no", "yes"], ["a b", "c d e"]):
        better = judge.compare(PROMPT, *pair).better
        assert judge.rank(PROMPT, pair)[0].response == pair["AB".index(better)]


def test_content_in_parts_is_its_text(both):
    parts = [{"role": "user", "content": [{"type": "text", "text": "what is a?"}]}]
    assert both.score(parts, "yes") == both.score([{"role": "user", "content": "what is a?"}], "yes")
    with pytest.raises(TypeError, match="parts with text"):
        both.score([{"role": "user", "content": [{"type": "image_url"}]}], "yes")


def test_lists_and_tables_are_judged_as_their_rows(model):
    prompts, first, second, domains = ["what is a?", PROMPT], ["yes", "no no"], ["no", "a b"], ["chat", None]
    alone = [model.compare(*row, domain=name) for *row, name in zip(prompts, first, second, domains, strict=True)]
    table = {"prompt": prompts, "chosen": first, "rejected": second, "domain": domains}
    for found in (model.compare(prompts, first, second, domain=domains), model.compare(table)):
        assert [v.logit for v in found] == pytest.approx([v.logit for v in alone], **SAME)
    rankings = model.rank(prompts, [first, [*second, "yes"]])
    assert [len(ranking) for ranking in rankings] == [2, 3]
    for prompt, ranking in zip(prompts, rankings, strict=True):
        texts = [place.response for place in sorted(ranking, key=lambda place: place.index)]
        again = model.rank(prompt, texts)
        assert [place.score for place in ranking] == pytest.approx([place.score for place in again], **SAME)


def test_awaited_judgements_are_the_same(both):
    async def ask():
        return await asyncio.gather(
            both.acompare(PROMPT, "yes", "no"), both.ascore(PROMPT, "yes"), both.arank(PROMPT, ["yes", "no"])
        )

    before = both.tokens
    verdict, reward, ranking = asyncio.run(ask())
    spent = both.tokens - before
    assert (verdict, reward) == (both.compare(PROMPT, "yes", "no"), both.score(PROMPT, "yes"))
    assert ranking == both.rank(PROMPT, ["yes", "no"])
    assert both.tokens - before == 2 * spent  # threads lose no count
